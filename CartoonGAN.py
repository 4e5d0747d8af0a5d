"""Train a CartoonGAN (Chen, Lai, Liu: CartoonGAN, CVPR 2018) on unpaired photographs and drawings.

    python CartoonGAN.py --name Paprika --src_data data/src_data --tgt_data data/tgt_data

Phase one trains the generator G as an auto-encoder of photographs under a content loss. Phase two trains it
against a discriminator D that learns to call drawings real, G's results and edge-smoothed drawings fake.
With --adv_lambda 0 there is no D: add a --style_lambda for style transfer as by Johnson et al. (ECCV 2016).
Pictures are tensors N,C,H,W in [-1, 1], RGB. Each loss is a mean, computed in float32 or wider.
"""

import dataclasses
import functools
import sys

import utils
from training.folders import find_run

if __name__ == "__main__":  # PyTorch takes seconds to load: what is wrong with the command is told before
    utils.refuse_early(find_run)

import torch
import torch.nn.functional as F

import edge_promoting
from evaluation import judge
from networks import CONTENT, STYLE, VGG19, Discriminator, Generator, at_least_float32, gram
from pages import writing
from pictures import checkpoints
from training import processes
from training.batches import POOL
from training.options import GENERATOR_OPTIONS, has_discriminator
from training.pool import Pool
from training.run import open_run
from training.scaler import Scaler

# The losses


def discriminator_loss(on_drawing, on_result, on_smoothed, mode):
    """What D minimises: its logits for a drawing go up, for G's result and for a smoothed drawing down.

    With "bce" this is -[log D(c) + log(1 - D(G(p))) + log(1 - D(e))], D being the sigmoid of the logits
    (Equation 3). "lsgan" is least squares (Mao et al., ICCV 2017), which the first author's code uses.
    """
    return as_real(on_drawing, mode) + as_fake(on_result, mode) + as_fake(on_smoothed, mode)


def as_real(logits, mode):
    """Small where D calls pictures real. Of G's results it is G's adversarial loss, -log D(G(p))."""
    logits = at_least_float32(logits)
    return F.softplus(-logits).mean() if mode == "bce" else (logits - 1).square().mean()


def as_fake(logits, mode):
    """Small where D calls pictures fake."""
    logits = at_least_float32(logits)
    return F.softplus(logits).mean() if mode == "bce" else logits.square().mean()


def content_loss(result, photo):
    """Mean absolute difference of two feature maps (Equation 4)."""
    return F.l1_loss(at_least_float32(result), at_least_float32(photo))


def style_loss(result, wanted):
    """Squared Frobenius norm of the difference of Gram matrices: a mean over pictures, added over layers.

    `result` holds feature maps (N,C,H,W), `wanted` Gram matrices (C,C), one a layer (Johnson et al.,
    Equation 4). No drawing belongs to a photo, so these are the mean Gram matrices of all the drawings.
    """
    pairs = zip(map(gram, result), wanted, strict=True)
    return sum((shown - drawn).square().sum((1, 2)).mean() for shown, drawn in pairs)


def total_variation(picture):
    """Mean absolute difference of neighbours, across plus down (Rudin et al., Physica D 1992).

    Absolute, where others square it: squares cost a sharp outline more than the blur in its place.
    """
    picture = at_least_float32(picture)
    return picture.diff(dim=3).abs().mean() + picture.diff(dim=2).abs().mean()


def perceptual_losses(model, args, result, photo, drawing=None):
    """VGG19's losses of a result, {name: loss}: to the content of its photo, to the style of drawings."""
    content = CONTENT if args.con_lambda else ()
    style = STYLE if args.style_lambda and drawing is not None else ()
    losses = {}
    with model.autocast():
        maps = model.vgg.maps(result, style + content) if style + content else []
        if content:
            with torch.no_grad():
                wanted = model.vgg(photo)
            losses["content"] = content_loss(maps.pop(), wanted)
        if style:
            with torch.no_grad():
                wanted = [processes.mean(gram(x).mean(0)) for x in model.vgg.maps(drawing, style)]
            losses["style"] = style_loss(maps, wanted)
    return losses


def generator_loss(args, losses):
    """What G minimises: w_adv L_adv + w_con L_con (Equation 1), and what was added to the paper's losses."""
    weights = {"adversarial": args.adv_lambda, "content": args.con_lambda}
    weights |= {"style": args.style_lambda, "total_variation": args.tv_lambda}
    return sum(weights[name] * loss for name, loss in losses.items())


# The schedule


def learning_rates(args, phase, epoch):
    """The learning rate of each optimiser in an epoch (from 1) of a phase."""
    epochs = args.pre_train_epoch if phase == 1 else args.train_epoch
    factor = learning_rate_factor(args.lr_policy, phase, epoch, epochs)
    rate_g = args.pre_lr if phase == 1 and args.pre_lr else args.lrG
    return {"adam_g": rate_g * factor, "adam_d": args.lrD * factor}


def learning_rate_factor(policy, phase, epoch, epochs):
    """What the learning rates are multiplied by in an epoch (from 1) of a phase.

    "step": in phase two a tenth after one half of the epochs, a hundredth after three quarters. "linear": in
    both phases 1 for the first half, then evenly down towards 0.
    """
    if policy == "linear":
        return 1 - max(0, epoch - epochs // 2) / (epochs - epochs // 2 + 1)
    done = (epoch - 1) / epochs
    return 0.1 ** ((done >= 1 / 2) + (done >= 3 / 4)) if phase == 2 else 1


# The steps. Each returns its losses and what is watched beside them, {name: tensor}.


def reconstruction_step(model, args, photo):
    """Phase one: G learns to keep the content of the photo."""
    with model.autocast():
        result = model.parallel_generator(photo)
    losses = perceptual_losses(model, args, result, photo)
    model.scaler.descend(model.adam_g, generator_loss(args, losses))
    model.scaler.update()
    return {name: loss.detach() for name, loss in losses.items()}


def adversarial_step(model, args, photo, drawing, smoothed, place):
    """Phase two: first D learns, then G through the D that has just learned. G runs once.

    `place`, (phase, epoch, step), seeds what the pool shows: the newest results, or older ones.
    """
    with model.autocast():
        result = model.parallel_generator(photo)

    # D sees all as one batch, which changes nothing: instance norm looks at each picture alone.
    shown = model.pool.exchange(result.detach(), place)
    with model.autocast():
        logits = model.parallel_discriminator(torch.cat([drawing, shown, smoothed]))
    on_drawing, on_result, on_smoothed = logits.chunk(3)
    discriminator = discriminator_loss(on_drawing, on_result, on_smoothed, args.gan_mode)
    model.scaler.descend(model.adam_d, discriminator)
    called_fake = (on_result.detach() < (0 if args.gan_mode == "bce" else 0.5)).float().mean()

    # D's own weights get no gradients here.
    frozen = {name: weight.detach() for name, weight in model.discriminator.named_parameters()}
    with model.autocast():
        on_result = torch.func.functional_call(model.discriminator, frozen, result)
    losses = {"adversarial": as_real(on_result, args.gan_mode)}
    terms = descend_generator(model, args, losses, result, photo, drawing)
    return {"discriminator": discriminator.detach(), **terms, "fakes_detected": called_fake}


def perceptual_step(model, args, photo, drawing=None, _smoothed=None, place=None):
    """Phase two without a discriminator; only a style loss needs the drawings."""
    with model.autocast():
        result = model.parallel_generator(photo)
    return descend_generator(model, args, {}, result, photo, drawing)


def descend_generator(model, args, losses, result, photo, drawing):
    """G's step of phase two, down `losses` and those that need no discriminator."""
    losses |= perceptual_losses(model, args, result, photo, drawing)
    if args.tv_lambda:
        losses["total_variation"] = total_variation(result)
    model.scaler.descend(model.adam_g, generator_loss(args, losses))
    model.scaler.update()
    change = (result.detach() - photo).abs().mean() * 127.5  # in grey levels of 255
    return {name: loss.detach() for name, loss in losses.items()} | {"change_from_photo": change}


# The run


@dataclasses.dataclass
class Model:
    """What is trained, and what the steps need beside it."""

    generator: Generator
    discriminator: Discriminator | None  # None with --adv_lambda 0
    parallel_generator: torch.nn.Module  # the same two where gradients are wanted: averaged over processes
    parallel_discriminator: torch.nn.Module | None
    vgg: VGG19 | None  # frozen; None without --con_lambda and --style_lambda
    adam_g: torch.optim.Adam
    adam_d: torch.optim.Adam | None
    scaler: Scaler
    pool: Pool  # of older results
    autocast: functools.partial  # a context that computes in the run's precision


def build(args, device, precision):
    """The Model at its start: fresh weights, and the frozen VGG19."""
    torch.manual_seed(args.seed)
    layout = {"device": device, "memory_format": torch.channels_last}
    shape = {key: getattr(args, key) for key in GENERATOR_OPTIONS}
    generator, discriminator, vgg = Generator(**shape).to(**layout), None, None
    if has_discriminator(args):
        discriminator = Discriminator(args.in_ndc, args.out_ndc, args.ndf).to(**layout)
    if args.con_lambda or args.style_lambda:
        vgg = checkpoints.load_vgg(args.vgg_model, args.seed).to(**layout)
        vgg.features.to(utils.dtype(precision))
    adam = functools.partial(torch.optim.Adam, betas=(args.beta1, args.beta2), fused=True)
    return Model(
        generator,
        discriminator,
        processes.parallel(generator, device),
        processes.parallel(discriminator, device) if discriminator else None,
        vgg,
        adam(generator.parameters(), args.lrG),
        adam(discriminator.parameters(), args.lrD) if discriminator else None,
        Scaler(device.type, enabled=precision == "fp16"),
        Pool(args.pool_size, (args.seed, POOL)),
        functools.partial(utils.autocast, device, precision),
    )


def main(argv=None):
    with open_run(argv) as run:
        args = run.args
        model = build(args, run.device, run.precision)
        run.restore(model)  # to where it stopped, if it goes on
        run.load_data(edge_promoting.make_pairs)  # photographs, drawings, their edge-smoothed copies
        run.begin(learning_rates, judge.measure_of, after_samples=writing.update)

        for (photo,) in run.batches(phase=1, epochs=args.pre_train_epoch):
            run.took(reconstruction_step(model, args, photo))

        step = adversarial_step if model.discriminator else perceptual_step
        for pictures in run.batches(phase=2, epochs=args.train_epoch):  # photo, drawing, smoothed drawing
            run.took(step(model, args, *pictures, place=run.place))


if __name__ == "__main__":
    sys.exit(utils.exit_status(main))
