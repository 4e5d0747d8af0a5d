"""Train a CartoonGAN (Chen, Lai, Liu: CartoonGAN, CVPR 2018) on unpaired photographs and drawings.

    python CartoonGAN.py --name Paprika --src_data data/src_data --tgt_data data/tgt_data

Phase one trains the generator G to reproduce the content of photographs. Phase two keeps that content loss
and adds an adversarial one: a discriminator D learns to call drawings real, and both G's results and
edge-smoothed drawings fake. With --adv_lambda 0 there is no D, and --style_lambda gives style transfer as by
Johnson et al. (ECCV 2016). Pictures are tensors N,C,H,W in [-1, 1], RGB. Losses are float32 or wider.
"""

import dataclasses
import functools
import os
import sys

if sys.flags.safe_path:  # python -P does not search the folder of the script
    sys.path.insert(0, os.path.dirname(__file__))

import utils
from training.folder import find_run

if __name__ == "__main__":  # PyTorch takes seconds to load: a wrong command is refused before that
    utils.refuse_early(find_run)

import torch
import torch.nn.functional as F

import edge_promoting
from evaluation import judge
from networks import CONTENT, STYLE, VGG19, Discriminator, Generator, at_least_float32, draw_scales, gram
from pages import writing
from pictures import checkpoints
from support import architecture, gpu
from training import augment, pixels, processes
from training.options import has_discriminator, needs_vgg
from training.pool import Pool
from training.ranking import auc
from training.run import open_run
from training.scaler import Scaler
from training.shown import running_mean

# The losses


def discriminator_loss(on_drawing, on_result, on_smoothed, mode):
    """What D minimises, given its logits for drawings, for G's results and for smoothed drawings.

    With "bce", -[log D(c) + log(1 - D(G(p))) + log(1 - D(e))] for a drawing c, a photo p and a smoothed
    drawing e, D(.) being the sigmoid of logits (Equation 3). "lsgan": least squares (Mao et al., ICCV 2017).
    """
    return real_loss(on_drawing, mode) + fake_loss(on_result, mode) + fake_loss(on_smoothed, mode)


def real_loss(logits, mode):
    """Small where D calls pictures real. For G's results, what G minimises: with "bce" -log D(G(p))."""
    logits = at_least_float32(logits)
    return F.softplus(-logits).mean() if mode == "bce" else (logits - 1).square().mean()


def fake_loss(logits, mode):
    """Small where D calls pictures fake."""
    logits = at_least_float32(logits)
    return F.softplus(logits).mean() if mode == "bce" else logits.square().mean()


def content_loss(of_result, of_photo):
    """Mean absolute difference of two feature maps (N,C,H,W) of VGG19 (Equation 4)."""
    return F.l1_loss(at_least_float32(of_result), at_least_float32(of_photo))


def style_loss(of_result, of_drawings):
    """Squared Frobenius norm of differences of Gram matrices, averaged over pictures, summed over layers.

    `of_result` holds feature maps (N,C,H,W), `of_drawings` Gram matrices (C,C), one per layer (Johnson et
    al., Equation 4). No photo has a drawing of its own: each matrix is the mean over the drawings of a step.
    """
    pairs = zip(map(gram, of_result), of_drawings, strict=True)
    return sum((painted - drawn).square().sum((1, 2)).mean() for painted, drawn in pairs)


def perceptual_losses(model, args, result, photo, drawing=None):
    """Distances of a result from the content of its photo and, in phase two, from the style of drawings."""
    content_layer = CONTENT if args.con_lambda else ()
    style_layers = STYLE if args.style_lambda and drawing is not None else ()
    losses = {}
    with model.autocast():
        maps = model.vgg.maps(result, style_layers + content_layer) if model.vgg else []
        # Of photos and drawings no graph is kept: VGG19 is frozen, and they need no gradients.
        if content_layer:
            of_result = maps.pop()  # the last map is its layer's
            losses["content"] = content_loss(of_result, model.vgg(photo))
        if style_layers:  # the mean over the batch, then over the processes
            grams = [processes.mean(gram(x).mean(0)) for x in model.vgg.maps(drawing, style_layers)]
            losses["style"] = style_loss(maps, grams)
    return losses


def generator_loss(args, losses):
    """What G minimises: the paper's adversarial and content losses (Equation 1), and those added to them."""
    weights = {"adversarial": args.adv_lambda, "content": args.con_lambda}
    weights |= {"style": args.style_lambda, "total_variation": args.tv_lambda}
    weights |= {"colour": args.colour_lambda, "pixel": args.pixel_lambda}
    return sum(weights[name] * loss for name, loss in losses.items())


# The schedule


def learning_rates(args, phase, epoch):
    """The learning rate of each optimiser in this epoch (counted from 1) of a phase."""
    epochs = args.pre_train_epoch if phase == 1 else args.train_epoch
    factor = learning_rate_factor(args.lr_policy, phase, epoch, epochs)
    rate_g = args.pre_lr if phase == 1 and args.pre_lr else args.lrG
    return {"adam_g": rate_g * factor, "adam_d": args.lrD * factor}


def learning_rate_factor(policy, phase, epoch, epochs):
    """What the learning rates are multiplied by in this epoch (counted from 1) of a phase.

    "step": 1 in phase one; in phase two 0.1 after half of the epochs, 0.01 after three quarters. "linear": in
    both phases 1 in the first half, then 1 … 2/n, 1/n in the n epochs of the second, as in the authors' code.
    """
    if policy == "linear":
        return 1 - max(0, epoch - 1 - epochs // 2) / (epochs - epochs // 2)
    done = (epoch - 1) / epochs
    return 0.1 ** ((done >= 1 / 2) + (done >= 3 / 4)) if phase == 2 else 1


# The steps. Each returns its losses, without their weights, and further measurements: {name: tensor}.


def paint(model, photo):
    """G's results, and the photos that its losses compare them with: flattened with --flatten."""
    photo = model.generator.flatten(photo)
    with model.autocast():
        return model.parallel_generator(photo, flat=True), photo


def reconstruction_step(model, args, photo):
    """Phase one: G learns to reproduce the content of the photo."""
    result, photo = paint(model, photo)
    losses = perceptual_losses(model, args, result, photo)
    model.scaler.descend(model.adam_g, generator_loss(args, losses))
    model.scaler.update()
    return {name: loss.detach() for name, loss in losses.items()}


def adversarial_step(model, args, photo, drawing, smoothed, place):
    """Phase two: D learns first, then G, judged by the updated D. G runs once for both.

    `place`, (phase, epoch, step), seeds what D is shown: of the pool, this batch of results or an older one,
    with --diffaugment in other tones, and with --smoothed_noise the smoothed drawings with noise.
    """
    result, photo = paint(model, photo)

    # D sees all three as one batch. Instance norm looks at each picture alone, so three calls give the same.
    pooled = model.pool.exchange(result.detach(), place)
    smoothed = augment.add_noise(args, place, smoothed)
    with model.autocast():
        shown = augment.augment(args, (*place, 0), drawing, pooled, smoothed)
        logits = model.parallel_discriminator(torch.cat(shown))
    on_drawing, on_shown, on_smoothed = logits.chunk(3)
    discriminator = discriminator_loss(on_drawing, on_shown, on_smoothed, args.gan_mode)
    model.scaler.descend(model.adam_d, discriminator)
    told_apart = {"auc_result": auc(on_drawing, on_shown), "auc_smoothed": auc(on_drawing, on_smoothed)}

    # G's gradients pass through D, whose own weights get none.
    frozen = {name: weight.detach() for name, weight in model.discriminator.named_parameters()}
    with model.autocast():
        shown = augment.augment(args, (*place, 1), result)
        on_result = torch.func.functional_call(model.discriminator, frozen, *shown)
    losses = {"adversarial": real_loss(on_result, args.gan_mode)}
    terms = descend_generator(model, args, losses, result, photo, drawing)
    return {"discriminator": discriminator.detach(), **terms, **told_apart}


def perceptual_step(model, args, photo, drawing=None, _smoothed=None, place=None):
    """Phase two without a discriminator. Without a style loss a batch is the photo alone."""
    result, photo = paint(model, photo)
    return descend_generator(model, args, {}, result, photo, drawing)


def descend_generator(model, args, losses, result, photo, drawing):
    """G's step of phase two: adds to `losses` those that need no discriminator, and descends their sum."""
    losses |= perceptual_losses(model, args, result, photo, drawing)
    if args.tv_lambda:
        losses["total_variation"] = pixels.total_variation(result)
    if args.colour_lambda:
        losses["colour"] = pixels.colour_loss(result, photo)
    if args.pixel_lambda:
        losses["pixel"] = pixels.pixel_loss(result, photo)
    model.scaler.descend(model.adam_g, generator_loss(args, losses))
    model.scaler.update()
    change = (result.detach() - photo).abs().mean() * 127.5  # in units of 1/255 of the range
    return {name: loss.detach() for name, loss in losses.items()} | {"change_from_photo": change}


# The run


@dataclasses.dataclass
class Model:
    """What is trained, and what the steps need besides."""

    networks, generators = ("generator", "discriminator"), ("generator",)  # as Run.restore has them
    optimisers, pools = ("adam_g", "adam_d"), ("pool",)
    content_weight = "con_lambda"  # the option that holds results to their photographs

    generator: Generator
    discriminator: Discriminator | None  # None with --adv_lambda 0
    parallel_generator: torch.nn.Module  # the same two, wrapped: averages their gradients over processes
    parallel_discriminator: torch.nn.Module | None
    vgg: VGG19 | None  # frozen; None without --con_lambda and --style_lambda
    ema: torch.nn.Module | None  # the running mean of G's weights, with --ema_decay
    adam_g: torch.optim.Adam  # for both phases: its moments carry over
    adam_d: torch.optim.Adam | None
    scaler: Scaler
    pool: Pool  # of older results
    autocast: functools.partial  # gives a context that computes in the run's precision


def build(args, device, precision):
    """A new Model with untrained weights, the same in every process, and the frozen VGG19."""
    torch.manual_seed(args.seed)
    layout = gpu.for_training(device, precision)
    shape = {key: getattr(args, key) for key in architecture.OPTIONS}
    generator, discriminator, vgg = Generator(**shape), None, None
    if has_discriminator(args):
        discriminator = Discriminator(args.in_ndc, args.out_ndc, args.ndf, args.conv_bias)
    for network in filter(None, (generator, discriminator)):
        if args.norm_init == "uniform":
            draw_scales(network)
        network.to(**layout)
    if needs_vgg(args):
        load = lambda: checkpoints.load_vgg(args.vgg_model, args.seed)
        vgg = processes.on_first_process_first(load).to(**layout)
        vgg.features.to(utils.dtype(precision))
    adam = functools.partial(torch.optim.Adam, betas=(args.beta1, args.beta2), fused=True)
    return Model(
        generator,
        discriminator,
        processes.parallel(generator, device),
        processes.parallel(discriminator, device) if discriminator else None,
        vgg,
        running_mean(generator, args.ema_decay),
        adam(generator.parameters(), args.lrG),
        adam(discriminator.parameters(), args.lrD) if discriminator else None,
        Scaler(device.type, enabled=precision == "fp16"),
        Pool(args.pool_size, args.seed),
        functools.partial(utils.autocast, device, precision),
    )


def main(argv=None):
    with open_run(argv) as run:
        args = run.args
        model = build(args, run.device, run.precision)
        run.restore(model)  # if the run is resumed: weights, optimisers, pool, place
        run.load_data(edge_promoting.make_pairs)  # photographs, drawings and their edge-smoothed copies
        run.begin(learning_rates, judge.measure_of, after_samples=writing.update)

        for (photo,) in run.batches(phase=1, epochs=args.pre_train_epoch):
            run.log_step(reconstruction_step(model, args, photo))

        step = adversarial_step if model.discriminator else perceptual_step
        for batch in run.batches(phase=2, epochs=args.train_epoch):  # photo, drawing, smoothed drawing
            run.log_step(step(model, args, *batch, place=run.place))


if __name__ == "__main__":
    sys.exit(utils.exit_status(main))
