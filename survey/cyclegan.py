"""Train a CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017) on unpaired photographs and drawings.

    python -m survey.cyclegan --name Paprika --src_data data/src_data --tgt_data data/tgt_data

A generator paints photographs as drawings, and a second one drawings as photographs; in the names here the
latter is `_back`, and F in the paper. What one paints, the other must turn into what it was. A discriminator
for each kind learns to tell real pictures from painted ones. Pictures are tensors N,C,H,W in [-1, 1], RGB.
"""

import dataclasses
import functools
import itertools
import sys

import utils
from survey.cyclegan_options import CYCLEGAN, blocks
from training.folder import find_run

if __name__ == "__main__":  # PyTorch takes seconds to load: a wrong command is refused before that
    utils.refuse_early(functools.partial(find_run, method=CYCLEGAN))

import torch
from torch import nn

from CartoonGAN import auc, fake_loss, learning_rate_factor, pixel_loss, real_loss, through_frozen
from evaluation import judge
from networks import initialise
from pages import writing
from pictures.foreign import CycleGenerator
from support import gpu
from support.norm import InstanceNorm
from training import processes
from training.batches import POOL_BACK
from training.run import open_run
from training.steps import Pool, Scaler


class PatchDiscriminator(nn.Module):
    """Picture (N,channels,H,W) to logits (N,1,H/8 - 2,W/8 - 2), each of a patch of 70x70 pixels: real or not.

    C64-C128-C256-C512 (Section 7.2), 64 being `ndf`. C512 does not stride, as in the authors' code.
    """

    def __init__(self, channels=3, ndf=64):
        super().__init__()
        convolution = functools.partial(nn.Conv2d, kernel_size=4, padding=1)
        relu = functools.partial(nn.LeakyReLU, 0.2, inplace=True)
        layers = [convolution(channels, ndf, stride=2), relu()]
        for wide, wider, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
            layers.append(convolution(wide * ndf, wider * ndf, stride=stride))
            layers += [InstanceNorm(wider * ndf, affine=False), relu()]
        self.layers = nn.Sequential(*layers, convolution(8 * ndf, 1))

    def forward(self, picture):
        return self.layers(picture)


# The losses


def discriminator_loss(on_real, on_painted):
    """A discriminator's least squares (Section 4), halved so that it learns more slowly (Section 7.1)."""
    return (real_loss(on_real, "lsgan") + fake_loss(on_painted, "lsgan")) / 2


def generator_loss(args, losses):
    """The loss of both generators (Equation 3), with the identity losses (Section 5.2)."""
    weights = {"adversarial": 1, "cycle": args.cycle_lambda, "identity": args.cycle_lambda * args.idt_lambda}
    return sum(weights[name.removesuffix("_back")] * loss for name, loss in losses.items())


# The schedule


def learning_rates(args, _phase, epoch):
    """The learning rate of each optimiser in this epoch (counted from 1).

    Constant in the first half of the epochs, then evenly towards 0: of 200, epoch 101 has the full rate and
    epoch 200 a hundredth, as in the authors' Torch code, and as `--lr_policy linear` of CartoonGAN.py. Their
    PyTorch code divides by one epoch more, and begins up to two epochs earlier.
    """
    factor = learning_rate_factor("linear", 2, epoch, args.train_epoch)
    return {"adam_g": args.lrG * factor, "adam_d": args.lrD * factor}


# The step


def step(model, args, photo, drawing, place):
    """The generators learn first, then the discriminators, from what was painted before (the authors' order).

    `place`, (phase, epoch, step), decides which results the pools show. Returns the losses, without their
    weights, and further measurements: {name: tensor}.
    """
    with model.autocast():
        result, same_drawing = paint(model.parallel_generator, args, photo, drawing)
        result_back, same_photo = paint(model.parallel_generator_back, args, drawing, photo)
        losses = {
            "adversarial": real_loss(through_frozen(model.discriminator, result), "lsgan"),
            "adversarial_back": real_loss(through_frozen(model.discriminator_back, result_back), "lsgan"),
            "cycle": pixel_loss(model.parallel_generator_back(result), photo),
            "cycle_back": pixel_loss(model.parallel_generator(result_back), drawing),
        }
    if args.idt_lambda:
        losses["identity"] = pixel_loss(same_drawing, drawing)
        losses["identity_back"] = pixel_loss(same_photo, photo)
    model.scaler.descend(model.adam_g, generator_loss(args, losses))

    # Copies: a chunk in a pool would keep the memory of the whole batch, the identity with it.
    shown = model.pool.exchange(result.detach().clone(), place)
    shown_back = model.pool_back.exchange(result_back.detach().clone(), place)
    with model.autocast():  # instance norm looks at each picture alone, so one call for both gives the same
        on_drawing, on_shown = model.parallel_discriminator(torch.cat([drawing, shown])).chunk(2)
        on_photo, on_shown_back = model.parallel_discriminator_back(torch.cat([photo, shown_back])).chunk(2)
    discriminators = {
        "discriminator": discriminator_loss(on_drawing, on_shown),
        "discriminator_back": discriminator_loss(on_photo, on_shown_back),
    }
    model.scaler.descend(model.adam_d, sum(discriminators.values()))
    model.scaler.update()
    watched = {"auc_result": auc(on_drawing, on_shown), "auc_result_back": auc(on_photo, on_shown_back)}
    watched["change_from_photo"] = (result.detach() - photo).abs().mean() * 127.5  # in 1/255 of the range
    return {name: loss.detach() for name, loss in (discriminators | losses).items()} | watched


def paint(generator, args, picture, other):
    """What a generator makes of a picture, and with an identity loss of one of the kind that it paints."""
    if not args.idt_lambda:
        return generator(picture), None
    return generator(torch.cat([picture, other])).chunk(2)


# The run


@dataclasses.dataclass
class Model:
    """What is trained, and what the step needs besides."""

    networks = ("generator", "generator_back", "discriminator", "discriminator_back")
    generators = ("generator", "generator_back")
    optimisers, pools = ("adam_g", "adam_d"), ("pool", "pool_back")
    content_weight = "idt_lambda"  # the option that holds results to their photographs
    vgg = ema = None  # this method has neither

    generator: CycleGenerator
    generator_back: CycleGenerator
    discriminator: PatchDiscriminator  # of drawings
    discriminator_back: PatchDiscriminator  # of photographs
    parallel_generator: nn.Module  # the same four, wrapped: averages their gradients over processes
    parallel_generator_back: nn.Module
    parallel_discriminator: nn.Module
    parallel_discriminator_back: nn.Module
    adam_g: torch.optim.Adam  # of both generators
    adam_d: torch.optim.Adam  # of both discriminators
    scaler: Scaler
    pool: Pool  # of older results
    pool_back: Pool
    autocast: functools.partial  # gives a context that computes in the run's precision


def build(args, device, precision):
    """A new Model with untrained weights from N(0, 0.02), the same in every process."""
    torch.manual_seed(args.seed)
    layout = gpu.for_training(device, precision)
    form = {"ngf": args.ngf, "nb": blocks(args), "upsample": args.upsample}
    generators = (
        CycleGenerator(args.in_ngc, args.out_ngc, **form),
        CycleGenerator(args.out_ngc, args.in_ngc, **form),
    )
    discriminators = PatchDiscriminator(args.out_ngc, args.ndf), PatchDiscriminator(args.in_ngc, args.ndf)
    networks = (*generators, *discriminators)
    for network in networks:
        initialise(network)
        network.to(**layout)
    adam = functools.partial(torch.optim.Adam, betas=(args.beta1, args.beta2), fused=True)
    weights = lambda pair: itertools.chain(*(network.parameters() for network in pair))
    return Model(
        *networks,
        *(processes.parallel(network, device) for network in networks),
        adam(weights(generators), args.lrG),
        adam(weights(discriminators), args.lrD),
        Scaler(device.type, enabled=precision == "fp16"),
        Pool(args.pool_size, args.seed),
        Pool(args.pool_size, args.seed, POOL_BACK),
        functools.partial(utils.autocast, device, precision),
    )


def main(argv=None):
    with open_run(argv, CYCLEGAN) as run:
        model = build(run.args, run.device, run.precision)
        run.restore(model)  # if the run is resumed: weights, optimisers, pools, place
        run.load_data()  # photographs and drawings
        run.begin(learning_rates, judge.measure_of, after_samples=writing.update)

        for photo, drawing in run.batches(phase=2, epochs=run.args.train_epoch):  # there is no phase one
            run.log_step(step(model, run.args, photo, drawing, run.place))


if __name__ == "__main__":
    sys.exit(utils.exit_status(main))
