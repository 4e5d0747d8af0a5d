"""Train a CartoonGAN (Chen, Lai, Liu: CartoonGAN, CVPR 2018) on unpaired photographs and drawings.

    python CartoonGAN.py --name Paprika --src_data data/src_data --tgt_data data/tgt_data

Phase one trains the generator G to reproduce the content of photographs. Phase two keeps this content loss
and adds an adversarial loss: a discriminator D learns to classify drawings as real, and G's results and
edge-smoothed drawings as fake. --adv_lambda 0 trains without D; --style_lambda adds the style loss of Johnson
et al. (ECCV 2016) to phase two. Pictures are tensors N,C,H,W in [-1, 1], RGB; losses are at least float32.
"""

import dataclasses
import functools
import os
import sys

if sys.flags.safe_path:  # python -P does not search the folder of the script
    sys.path.insert(0, os.path.dirname(__file__))

import utils
from training.folder import find_run

if __name__ == "__main__":  # report a wrong command before PyTorch is loaded, which takes seconds
    utils.refuse_early(find_run)

import torch
import torch.nn.functional as F

import edge_promoting
from evaluation import judge
from networks import CONTENT, STYLE, VGG19, Discriminator, Generator, at_least_float32, draw_scales, gram
from pages import writing
from pictures import checkpoints
from support import architecture, gpu
from training import processes
from training.options import has_discriminator, needs_vgg
from training.run import open_run
from training.steps import Pool, Scaler, add_noise, auc, augment, running_mean

# The losses


def discriminator_loss(on_drawing, on_result, on_smoothed, mode):
    """D's loss, given its logits for drawings, for G's results and for smoothed drawings.

    "bce": -[log D(c) + log(1 - D(G(p))) + log(1 - D(e))] for a drawing c, a photo p and a smoothed drawing e,
    where D is the sigmoid of the logits (Equation 3). "lsgan": least squares (Mao et al., ICCV 2017).
    """
    return real_loss(on_drawing, mode) + fake_loss(on_result, mode) + fake_loss(on_smoothed, mode)


def real_loss(logits, mode):
    """Mean -log D, or (D - 1)² with "lsgan": low if D classifies as real. On results G's adversarial loss."""
    logits = at_least_float32(logits)
    return F.softplus(-logits).mean() if mode == "bce" else (logits - 1).square().mean()


def fake_loss(logits, mode):
    """Mean -log(1 - D), or D² with "lsgan": low if D classifies as fake."""
    logits = at_least_float32(logits)
    return F.softplus(logits).mean() if mode == "bce" else logits.square().mean()


def content_loss(of_result, of_photo):
    """Mean absolute difference of the feature maps (N,C,H,W) of VGG19's conv4_4 (Equation 4)."""
    return F.l1_loss(at_least_float32(of_result), at_least_float32(of_photo))


def style_loss(of_result, of_drawings):
    """Squared Frobenius norm of the differences of Gram matrices, summed over layers (Johnson et al., Eq. 4).

    `of_result` is the feature maps (N,C,H,W) of each layer, `of_drawings` the Gram matrix (C,C) of each: the
    mean over a batch of drawings, because photos and drawings are unpaired.
    """
    pairs = zip(map(gram, of_result), of_drawings, strict=True)
    return sum((result - drawing).square().sum((1, 2)).mean() for result, drawing in pairs)


def total_variation(result, _photo=None):
    """Mean absolute difference of neighbouring pixels. Squares would penalise sharp outlines too much."""
    result = at_least_float32(result)
    return result.diff(dim=3).abs().mean() + result.diff(dim=2).abs().mean()


def colour_loss(result, photo):
    """Mean distance of a result from its photo in a* and b* of CIE Lab, where 2 is just visible.

    AnimeGANv3 has a similar loss. The gradient of the root is infinite at 0, so 1e-3 is added to the squares.
    """
    difference = chroma(result) - chroma(photo)
    return (difference.square().sum(1) + 1e-3).sqrt().mean()


def pixel_loss(result, photo):
    """Mean absolute difference of pixels: high for a tint, which changes all pixels, low for thin lines."""
    return F.l1_loss(at_least_float32(result), at_least_float32(photo))


# Linear sRGB to CIE XYZ (IEC 61966-2-1), divided by the X, Y, Z of white (D65)
TO_XYZ = ((0.43395, 0.37622, 0.18983), (0.21267, 0.71516, 0.07217), (0.01776, 0.10947, 0.87276))


def chroma(picture):
    """a* and b* of CIE Lab (N,2,H,W), float32, of an RGB picture."""
    rgb = (at_least_float32(picture) + 1) / 2
    # Without the clamps, the branch that torch.where discards could have an infinite gradient.
    linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = torch.stack([sum(share * linear[:, i] for i, share in enumerate(row)) for row in TO_XYZ])
    cube_root = xyz.clamp(min=216 / 24389) ** (1 / 3)
    x, y, z = torch.where(xyz > 216 / 24389, cube_root, (24389 / 27 * xyz + 16) / 116)
    return torch.stack([500 * (x - y), 200 * (y - z)], dim=1)


# The losses of phase two on the pixels of a result and its photo, by name
PIXEL_LOSSES = {"total_variation": total_variation, "colour": colour_loss, "pixel": pixel_loss}
# The weight of a loss is the option --NAME_lambda, with these names abbreviated
ABBREVIATIONS = {"adversarial": "adv", "content": "con", "total_variation": "tv"}


def weight_of(args, loss):
    """The weight of the loss with this name."""
    return getattr(args, f"{ABBREVIATIONS.get(loss, loss)}_lambda")


def generator_loss(args, losses):
    """G's loss: the weighted sum of `losses`, {name: tensor}. In the paper, adversarial + 10 content."""
    return sum(weight_of(args, name) * loss for name, loss in losses.items())


def perceptual_losses(model, args, result, photo, drawing=None):
    """The content loss and, given drawings, the style loss; a loss whose weight is 0 is left out."""
    content_layer = CONTENT if args.con_lambda else ()
    style_layers = STYLE if args.style_lambda and drawing is not None else ()
    losses = {}
    with model.autocast():
        maps = model.vgg.maps(result, style_layers + content_layer) if model.vgg else []
        # VGG19 is frozen, so the maps of photos and drawings are computed without a graph.
        if content_layer:
            losses["content"] = content_loss(maps[-1], model.vgg(photo))  # CONTENT is the last layer
        if style_layers:  # the mean over the batch, then over the processes
            grams = [processes.mean(gram(x).mean(0)) for x in model.vgg.maps(drawing, style_layers)]
            losses["style"] = style_loss(maps[: len(STYLE)], grams)
    return losses


# The schedule


def learning_rates(args, phase, epoch):
    """The learning rate of each optimiser in this epoch (counted from 1) of a phase."""
    epochs = args.pre_train_epoch if phase == 1 else args.train_epoch
    factor = learning_rate_factor(args.lr_policy, phase, epoch, epochs)
    rate_g = args.pre_lr if phase == 1 and args.pre_lr else args.lrG
    return {"adam_g": rate_g * factor, "adam_d": args.lrD * factor}


def learning_rate_factor(policy, phase, epoch, epochs):
    """The factor of the learning rates in this epoch (counted from 1) of a phase.

    "step": 1 in phase one; in phase two 0.1 after half of the epochs, 0.01 after three quarters. "linear", as
    in the authors' code: 1 in the first half of each phase, then 1, …, 2/n, 1/n in the other n epochs.
    """
    if policy == "linear":
        return 1 - max(0, epoch - 1 - epochs // 2) / (epochs - epochs // 2)
    done = (epoch - 1) / epochs
    return 0.1 ** ((done >= 1 / 2) + (done >= 3 / 4)) if phase == 2 else 1


# The steps. Each returns its losses, unweighted, and other measurements: {name: tensor}


def generate(model, photo):
    """G's result, and the photo that its losses compare it with: with --flatten, the flattened one."""
    photo = model.generator.flatten(photo)
    with model.autocast():
        return model.parallel_generator(photo, flat=True), photo


def reconstruction_step(model, args, photo):
    """Phase one: G learns to reproduce the content of the photo."""
    result, photo = generate(model, photo)
    return optimise_generator(model, args, perceptual_losses(model, args, result, photo))


def adversarial_step(model, args, photo, drawing, smoothed, place):
    """Phase two: D learns first, then G with the updated D. G runs once for both.

    D may see older results (--pool_size), changed tones (--diffaugment) and noise on the smoothed drawings
    (--smoothed_noise). The seed and `place`, (phase, epoch, step), determine these random changes.
    """
    result, photo = generate(model, photo)

    pooled = model.pool.exchange(result.detach(), place)
    noisy = add_noise(args, place, smoothed)
    # All three in one forward pass: instance norm is per picture, so three calls give the same logits.
    pictures = torch.cat(augment(args, (*place, 0), drawing, pooled, noisy))
    with model.autocast():
        on_drawing, on_pooled, on_smoothed = model.parallel_discriminator(pictures).chunk(3)
    loss_d = discriminator_loss(on_drawing, on_pooled, on_smoothed, args.gan_mode)
    model.scaler.optimise(model.adam_d, loss_d)

    (seen,) = augment(args, (*place, 1), result)
    with model.autocast():
        on_result = through_frozen(model.discriminator, seen)
    losses = {"adversarial": real_loss(on_result, args.gan_mode)}
    terms = generator_step(model, args, losses, result, photo, drawing)
    aucs = {"auc_result": auc(on_drawing, on_pooled), "auc_smoothed": auc(on_drawing, on_smoothed)}
    return {"discriminator": loss_d.detach(), **terms, **aucs}


def through_frozen(discriminator, picture):
    """D's logits. Gradients pass through D to the picture, but D's weights get none."""
    frozen = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    return torch.func.functional_call(discriminator, frozen, picture)


def perceptual_step(model, args, photo, drawing=None, _smoothed=None, place=None):
    """Phase two without a discriminator. Without a style loss, a batch is the photo alone."""
    result, photo = generate(model, photo)
    return generator_step(model, args, {}, result, photo, drawing)


def generator_step(model, args, losses, result, photo, drawing):
    """G's step of phase two, on `losses` and those that need no discriminator."""
    losses = losses | perceptual_losses(model, args, result, photo, drawing)
    losses |= {name: f(result, photo) for name, f in PIXEL_LOSSES.items() if weight_of(args, name)}
    terms = optimise_generator(model, args, losses)
    if model.ema:
        model.ema.update_parameters(model.generator)
    terms["change_from_photo"] = (result.detach() - photo).abs().mean() * 127.5  # grey levels of 255
    return terms


def optimise_generator(model, args, losses):
    """Take an optimiser step of G on the weighted sum of the losses; returns the losses, detached."""
    model.scaler.optimise(model.adam_g, generator_loss(args, losses))
    model.scaler.update()  # G's is the last optimiser of each step
    return {name: loss.detach() for name, loss in losses.items()}


# The run


@dataclasses.dataclass
class Model:
    """What is trained, and what the steps need."""

    # The attributes that a run saves and restores (Run.start), and the option that preserves content
    networks, generators = ("generator", "discriminator"), ("generator",)
    optimisers, pools = ("adam_g", "adam_d"), ("pool",)
    content_weight = "con_lambda"

    generator: Generator
    discriminator: Discriminator | None  # None with --adv_lambda 0
    parallel_generator: torch.nn.Module  # the same two, with gradients averaged over processes
    parallel_discriminator: torch.nn.Module | None
    vgg: VGG19 | None  # frozen; None without --con_lambda and --style_lambda
    ema: torch.nn.Module | None  # the running mean of G's weights, with --ema_decay
    adam_g: torch.optim.Adam  # for both phases: its moments carry over
    adam_d: torch.optim.Adam | None
    scaler: Scaler
    pool: Pool  # older results for D
    autocast: functools.partial  # returns a context in which the networks compute in the run's precision


def build(args, device, precision):
    """A new Model. The initial weights depend on --seed and are the same in every process."""
    torch.manual_seed(args.seed)
    layout = gpu.for_training(device, precision)  # the device and memory format of all networks
    generator = Generator(**{key: getattr(args, key) for key in architecture.OPTIONS})
    discriminator = vgg = None
    if has_discriminator(args):
        discriminator = Discriminator(args.in_ndc, args.out_ndc, args.ndf, args.conv_bias)
    for network in filter(None, (generator, discriminator)):
        if args.norm_init == "uniform":
            draw_scales(network)
        network.to(**layout)
    if needs_vgg(args):
        vgg = processes.on_first_process_first(lambda: checkpoints.load_vgg(args.vgg_model, args.seed))
        vgg.to(**layout).features.to(utils.dtype(precision))
    adam = functools.partial(torch.optim.Adam, betas=(args.beta1, args.beta2), fused=True)
    return Model(
        generator=generator,
        discriminator=discriminator,
        parallel_generator=processes.parallel(generator, device),
        parallel_discriminator=processes.parallel(discriminator, device) if discriminator else None,
        vgg=vgg,
        ema=running_mean(generator, args.ema_decay),
        adam_g=adam(generator.parameters(), args.lrG),
        adam_d=adam(discriminator.parameters(), args.lrD) if discriminator else None,
        scaler=Scaler(device.type, enabled=precision == "fp16"),
        pool=Pool(args.pool_size, args.seed),
        autocast=functools.partial(utils.autocast, device, precision),
    )


def main(argv=None):
    with open_run(argv) as run:
        args = run.args
        model = build(args, run.device, run.precision)
        run.start(
            model,
            learning_rates,
            make_pairs=edge_promoting.make_pairs,  # the edge-smoothed copies of the drawings
            make_measure=judge.measure_of,  # of the results, for --eval_every
            after_samples=writing.update,  # writes the pages
        )

        for (photo,) in run.batches(phase=1, epochs=args.pre_train_epoch):
            run.log_step(reconstruction_step(model, args, photo))

        step = adversarial_step if model.discriminator else perceptual_step
        for batch in run.batches(phase=2, epochs=args.train_epoch):
            # A batch is photo, drawing and smoothed drawing, or the photo alone if no loss uses drawings.
            run.log_step(step(model, args, *batch, place=run.place))


if __name__ == "__main__":
    sys.exit(utils.exit_status(main))
