"""Train a CartoonGAN (Chen, Lai, Liu: CartoonGAN, CVPR 2018) on unpaired photographs and drawings.

    python CartoonGAN.py --name Paprika --src_data data/src_data --tgt_data data/tgt_data

Phase one trains the generator G to reproduce the content of photographs. Phase two keeps that content loss
and adds an adversarial one: a discriminator D learns to classify drawings as real, and G's results and
edge-smoothed drawings as fake. With --adv_lambda 0 there is no D, and --style_lambda gives style transfer as
by Johnson et al. (ECCV 2016). Pictures are tensors N,C,H,W in [-1, 1], RGB. Losses are at least float32.
"""

import dataclasses
import functools
import os
import sys

if sys.flags.safe_path:  # python -P does not search the folder of the script
    sys.path.insert(0, os.path.dirname(__file__))

import utils
from training.folder import find_run

if __name__ == "__main__":  # a wrong command is refused before PyTorch is loaded, which takes seconds
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
from training.steps import Pool, Scaler, add_noise, augment, running_mean

# The losses


def discriminator_loss(on_drawing, on_result, on_smoothed, mode):
    """D's loss, given its logits for drawings, for G's results and for smoothed drawings.

    With "bce", -[log D(c) + log(1 - D(G(p))) + log(1 - D(e))] for a drawing c, a photo p and a smoothed
    drawing e, where D(.) is the sigmoid of logits (Equation 3). "lsgan": least squares (Mao et al., 2017).
    """
    return real_loss(on_drawing, mode) + fake_loss(on_result, mode) + fake_loss(on_smoothed, mode)


def real_loss(logits, mode):
    """Low where D classifies as real. For G's results it is G's adversarial loss: with "bce" -log D(G(p))."""
    logits = at_least_float32(logits)
    return F.softplus(-logits).mean() if mode == "bce" else (logits - 1).square().mean()


def fake_loss(logits, mode):
    """Low where D classifies as fake."""
    logits = at_least_float32(logits)
    return F.softplus(logits).mean() if mode == "bce" else logits.square().mean()


def content_loss(of_result, of_photo):
    """Mean absolute difference of two feature maps (N,C,H,W) of VGG19 (Equation 4)."""
    return F.l1_loss(at_least_float32(of_result), at_least_float32(of_photo))


def style_loss(of_result, of_drawings):
    """Squared Frobenius norm of differences of Gram matrices, averaged over pictures, summed over layers.

    `of_result` holds feature maps (N,C,H,W), `of_drawings` Gram matrices (C,C), one per layer (Johnson et
    al., Equation 4). The photos have no drawings of their own: each matrix is the mean over a batch of them.
    """
    pairs = zip(map(gram, of_result), of_drawings, strict=True)
    return sum((result - drawing).square().sum((1, 2)).mean() for result, drawing in pairs)


def total_variation(result, _photo=None):
    """Mean absolute difference of neighbours: squares would penalise sharp outlines more than blurs."""
    result = at_least_float32(result)
    return result.diff(dim=3).abs().mean() + result.diff(dim=2).abs().mean()


def colour_loss(result, photo):
    """Mean distance of the chroma of a result from its photo's, in units of CIE Lab; 2 is just visible.

    The idea is AnimeGANv3's. The root has an infinite gradient at 0, so 1e-3 is added to the squares.
    """
    difference = chroma(result) - chroma(photo)
    return (difference.square().sum(1) + 1e-3).sqrt().mean()


def pixel_loss(result, photo):
    """Mean absolute difference: a tint is everywhere and costs much, a line is thin and costs little."""
    return F.l1_loss(at_least_float32(result), at_least_float32(photo))


# Linear sRGB to X, Y, Z (IEC 61966-2-1), each divided by that of white (D65).
TO_XYZ = ((0.43395, 0.37622, 0.18983), (0.21267, 0.71516, 0.07217), (0.01776, 0.10947, 0.87276))


def chroma(picture):
    """a* and b* of CIE Lab, float32 N,2,H,W, of a picture of three channels."""
    rgb = (at_least_float32(picture) + 1) / 2
    # The clamps keep the gradient of the branch that is not taken finite.
    linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    x, y, z = (sum(share * linear[:, i] for i, share in enumerate(row)) for row in TO_XYZ)
    cube_root = lambda t: torch.where(
        t > 216 / 24389, t.clamp(min=216 / 24389) ** (1 / 3), (24389 / 27 * t + 16) / 116
    )
    x, y, z = cube_root(x), cube_root(y), cube_root(z)
    return torch.stack([500 * (x - y), 200 * (y - z)], dim=1)


def auc(on_real, on_fake):
    """The share of pairs of a real and a fake patch in which the real one has the higher logit; not a loss.

    The area under the ROC curve, a tensor: 0.5 is chance, 1 always right, and equal logits count half. The
    patches of all processes are ranked together.
    """
    real, fake = (processes.gather(logits.detach()).flatten() for logits in (on_real, on_fake))
    fake = fake.sort().values
    below = torch.searchsorted(fake, real) + torch.searchsorted(fake, real, right=True)
    return below.float().mean() / (2 * len(fake))


# The losses of phase two that compare the pixels of a result with its photo, by name
PIXEL_LOSSES = {"total_variation": total_variation, "colour": colour_loss, "pixel": pixel_loss}
# The weight of a loss is the option --NAME_lambda, with these abbreviations.
ABBREVIATIONS = {"adversarial": "adv", "content": "con", "total_variation": "tv"}


def weight_of(args, loss):
    """The weight of a loss by its name."""
    return getattr(args, f"{ABBREVIATIONS.get(loss, loss)}_lambda")


def generator_loss(args, losses):
    """G's loss: the weighted sum of {name: loss}, in the paper of the adversarial and content losses."""
    return sum(weight_of(args, name) * loss for name, loss in losses.items())


def perceptual_losses(model, args, result, photo, drawing=None):
    """Distances of a result from the content of its photo and, in phase two, from the style of drawings."""
    content_layer = CONTENT if args.con_lambda else ()
    style_layers = STYLE if args.style_lambda and drawing is not None else ()
    losses = {}
    with model.autocast():
        maps = model.vgg.maps(result, style_layers + content_layer) if model.vgg else []
        # Photos and drawings keep no graph: VGG19 is frozen, and they need no gradients.
        if content_layer:
            losses["content"] = content_loss(maps.pop(), model.vgg(photo))  # the last map is its layer's
        if style_layers:  # the mean over the batch, then over the processes
            grams = [processes.mean(gram(x).mean(0)) for x in model.vgg.maps(drawing, style_layers)]
            losses["style"] = style_loss(maps, grams)
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

    "step": 1 in phase one; in phase two 0.1 after half of the epochs, 0.01 after three quarters. "linear": in
    both phases 1 in the first half, then 1 … 2/n, 1/n in the n epochs of the second, as in the authors' code.
    """
    if policy == "linear":
        return 1 - max(0, epoch - 1 - epochs // 2) / (epochs - epochs // 2)
    done = (epoch - 1) / epochs
    return 0.1 ** ((done >= 1 / 2) + (done >= 3 / 4)) if phase == 2 else 1


# The steps. Each returns its losses, without their weights, and further measurements: {name: tensor}.


def generate(model, photo):
    """G's results, and the photos that its losses compare them with: flattened with --flatten."""
    photo = model.generator.flatten(photo)
    with model.autocast():
        return model.parallel_generator(photo, flat=True), photo


def reconstruction_step(model, args, photo):
    """Phase one: G learns to reproduce the content of the photo."""
    result, photo = generate(model, photo)
    losses = perceptual_losses(model, args, result, photo)
    return descend(model, args, losses)


def adversarial_step(model, args, photo, drawing, smoothed, place):
    """Phase two: D learns first, then G with the updated D. G runs once for both.

    `place`, (phase, epoch, step), seeds what D sees: this batch of results or an older one of the pool, other
    tones with --diffaugment, and noise on the smoothed drawings with --smoothed_noise.
    """
    result, photo = generate(model, photo)

    # D sees all three as one batch. Instance norm is per picture, so three calls would give the same.
    pooled = model.pool.exchange(result.detach(), place)
    noisy = add_noise(args, place, smoothed)
    with model.autocast():
        logits = model.parallel_discriminator(torch.cat(augment(args, (*place, 0), drawing, pooled, noisy)))
    on_drawing, on_pooled, on_smoothed = logits.chunk(3)
    loss = discriminator_loss(on_drawing, on_pooled, on_smoothed, args.gan_mode)
    model.scaler.descend(model.adam_d, loss)

    with model.autocast():
        on_result = through_frozen(model.discriminator, *augment(args, (*place, 1), result))
    losses = {"adversarial": real_loss(on_result, args.gan_mode)}
    losses = generator_step(model, args, losses, result, photo, drawing)
    aucs = {"auc_result": auc(on_drawing, on_pooled), "auc_smoothed": auc(on_drawing, on_smoothed)}
    return {"discriminator": loss.detach(), **losses, **aucs}


def through_frozen(discriminator, picture):
    """D's logits: gradients pass through D to the picture, but D's weights get none."""
    frozen = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    return torch.func.functional_call(discriminator, frozen, picture)


def perceptual_step(model, args, photo, drawing=None, _smoothed=None, place=None):
    """Phase two without a discriminator. Without a style loss a batch is the photo alone."""
    result, photo = generate(model, photo)
    return generator_step(model, args, {}, result, photo, drawing)


def generator_step(model, args, losses, result, photo, drawing):
    """G's step of phase two: add the losses that need no discriminator to `losses`, and descend the sum."""
    losses |= perceptual_losses(model, args, result, photo, drawing)
    losses |= {name: f(result, photo) for name, f in PIXEL_LOSSES.items() if weight_of(args, name)}
    change = (result.detach() - photo).abs().mean() * 127.5  # in grey levels of 255
    return descend(model, args, losses) | {"change_from_photo": change}


def descend(model, args, losses):
    """Do a step of G down the weighted sum of the losses; returns them, detached."""
    model.scaler.descend(model.adam_g, generator_loss(args, losses))
    model.scaler.update()
    return {name: loss.detach() for name, loss in losses.items()}


# The run


@dataclasses.dataclass
class Model:
    """What is trained, and what the steps need besides."""

    networks, generators = ("generator", "discriminator"), ("generator",)  # see Run.restore
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
    autocast: functools.partial  # returns a context that computes in the run's precision


def build(args, device, precision):
    """A new Model with untrained weights, the same in every process, and the frozen VGG19."""
    torch.manual_seed(args.seed)
    layout = gpu.for_training(device, precision)
    generator = Generator(**{key: getattr(args, key) for key in architecture.OPTIONS})
    discriminator = vgg = None
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
