"""Train a CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017) on unpaired photographs and drawings.

    python -m survey.cyclegan --name Paprika --src_data data/src_data --tgt_data data/tgt_data

A generator turns photographs into drawings, and a second one, F in the paper and `_back` here, drawings into
photographs. Each must restore the input of the other from its result. A discriminator for each kind learns to
tell real pictures from results. Pictures are tensors N,C,H,W in [-1, 1], RGB.
"""

import dataclasses
import functools
import itertools
import sys

import utils
from survey.cyclegan_options import CYCLEGAN, residual_blocks
from training.folder import find_run

if __name__ == "__main__":  # PyTorch takes seconds to load: a wrong command is reported before that
    utils.refuse_early(functools.partial(find_run, method=CYCLEGAN))

import torch
from torch import nn

from CartoonGAN import fake_loss, learning_rate_factor, pixel_loss, real_loss, through_frozen
from evaluation import judge
from networks import initialise
from pages import writing
from pictures.foreign import CycleGenerator
from support import gpu
from support.norm import InstanceNorm
from training import processes
from training.batches import POOL_BACK
from training.run import open_run
from training.steps import Pool, Scaler, auc


class PatchDiscriminator(nn.Module):
    """Picture (N,channels,H,W) to logits (N,1,H/8 - 2,W/8 - 2), one for each patch of 70x70 pixels.

    C64-C128-C256-C512 (Section 7.2), where 64 is `ndf`. C512 has stride 1, as in the authors' code.
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


def discriminator_loss(on_real, on_fake):
    """A discriminator's least squares (Section 4), halved so that it learns more slowly (Section 7.1)."""
    return (real_loss(on_real, "lsgan") + fake_loss(on_fake, "lsgan")) / 2


def generator_loss(args, losses):
    """The loss of both generators (Equation 3), with the identity losses (Section 5.2)."""
    weights = {"adversarial": 1, "cycle": args.cycle_lambda, "identity": args.cycle_lambda * args.idt_lambda}
    return sum(weights[name.removesuffix("_back")] * loss for name, loss in losses.items())


# The schedule


def learning_rates(args, _phase, epoch):
    """The learning rate of each optimiser in an epoch, counted from 1: CartoonGAN's `--lr_policy linear`.

    Of 200 epochs, epoch 101 has the full rate and epoch 200 a hundredth, as in the authors' Torch code. Their
    PyTorch code divides by one epoch more, and begins up to two epochs earlier.
    """
    factor = learning_rate_factor("linear", 2, epoch, args.train_epoch)
    return {"adam_g": args.lrG * factor, "adam_d": args.lrD * factor}


# The step


def step(model, args, photo, drawing, place):
    """Train the generators, then the discriminators on the same results (the authors' order).

    `place`, (phase, epoch, step), determines the choices of the pools. Returns the losses, without their
    weights, and further measurements: {name: tensor}.
    """
    with model.autocast():
        result, same_drawing = generate(model.parallel_generator, args, photo, drawing)
        result_back, same_photo = generate(model.parallel_generator_back, args, drawing, photo)
        losses = {
            "adversarial": real_loss(through_frozen(model.discriminator, result), "lsgan"),
            "adversarial_back": real_loss(through_frozen(model.discriminator_back, result_back), "lsgan"),
            "cycle": pixel_loss(model.parallel_generator_back(result), photo),
            "cycle_back": pixel_loss(model.parallel_generator(result_back), drawing),
        }
    if args.idt_lambda:
        losses["identity"] = pixel_loss(same_drawing, drawing)
        losses["identity_back"] = pixel_loss(same_photo, photo)
    model.scaler.optimise(model.adam_g, generator_loss(args, losses))

    # Copies: a chunk in a pool would keep the memory of the whole batch.
    fake = model.pool.exchange(result.detach().clone(), place)
    fake_back = model.pool_back.exchange(result_back.detach().clone(), place)
    with model.autocast():  # instance norm is per picture, so one batch of real and fake is exact
        on_drawing, on_fake = model.parallel_discriminator(torch.cat([drawing, fake])).chunk(2)
        on_photo, on_fake_back = model.parallel_discriminator_back(torch.cat([photo, fake_back])).chunk(2)
    discriminators = {
        "discriminator": discriminator_loss(on_drawing, on_fake),
        "discriminator_back": discriminator_loss(on_photo, on_fake_back),
    }
    model.scaler.optimise(model.adam_d, sum(discriminators.values()))
    model.scaler.update()
    measures = {"auc_result": auc(on_drawing, on_fake), "auc_result_back": auc(on_photo, on_fake_back)}
    measures["change_from_photo"] = (result.detach() - photo).abs().mean() * 127.5  # grey levels of 255
    return {name: loss.detach() for name, loss in (discriminators | losses).items()} | measures


def generate(generator, args, picture, target):
    """The results of a picture and, for the identity loss, of a picture of the target kind (else None)."""
    if not args.idt_lambda:
        return generator(picture), None
    return generator(torch.cat([picture, target])).chunk(2)


# The run


@dataclasses.dataclass
class Model:
    """What is trained, and what the steps need."""

    networks = ("generator", "generator_back", "discriminator", "discriminator_back")
    generators = ("generator", "generator_back")
    optimisers, pools = ("adam_g", "adam_d"), ("pool", "pool_back")
    content_weight = "idt_lambda"  # the option that keeps results close to their photographs
    vgg = ema = None  # this method has neither

    generator: CycleGenerator
    generator_back: CycleGenerator
    discriminator: PatchDiscriminator  # of drawings
    discriminator_back: PatchDiscriminator  # of photographs
    parallel_generator: nn.Module  # the same four, wrapped: gradients are averaged over processes
    parallel_generator_back: nn.Module
    parallel_discriminator: nn.Module
    parallel_discriminator_back: nn.Module
    adam_g: torch.optim.Adam  # of both generators
    adam_d: torch.optim.Adam  # of both discriminators
    scaler: Scaler
    pool: Pool  # of older results
    pool_back: Pool
    autocast: functools.partial  # makes a context of the run's precision


def build(args, device, precision):
    """A new Model with untrained weights from N(0, 0.02), the same in every process."""
    torch.manual_seed(args.seed)
    layout = gpu.for_training(device, precision)
    form = {"ngf": args.ngf, "nb": residual_blocks(args), "upsample": args.upsample}
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
        run.start(model, learning_rates, make_measure=judge.measure_of, after_samples=writing.update)

        for photo, drawing in run.batches(phase=2, epochs=run.args.train_epoch):  # there is no phase one
            run.log_step(step(model, run.args, photo, drawing, run.place))


if __name__ == "__main__":
    sys.exit(utils.exit_status(main))
