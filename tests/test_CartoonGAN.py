"""The method: each loss against a value computed by hand, the schedule, the steps."""

import math
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import TINY, same
from skimage.color import rgb2lab

import CartoonGAN
from CartoonGAN import colour_loss, content_loss, discriminator_loss, pixel_loss, real_loss, style_loss
from networks import STYLE, gram
from training import options, steps

CPU = torch.device("cpu")
PLACE = (2, 3, 4)
WITHOUT_VGG = "--con_lambda 0 --pre_train_epoch 0"
log = math.log


def build(text="", precision="fp32"):
    """A Model at its start with tiny networks, and its options."""
    args, _ = options.parse(f"{TINY} {text}".split())
    return CartoonGAN.build(args, CPU, precision), args


def pictures(count, seed=0, dtype=torch.float32, channels=3, size=16):
    """Smooth random pictures in [-1, 1]."""
    rough = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(rough, size, mode="bicubic").clamp(0, 1).mul(2).sub(1).to(dtype)


def batch(dtype=torch.float32, channels=3):
    """A photo, a drawing and a smoothed drawing, two of each."""
    return [pictures(2, seed, dtype, channels) for seed in range(3)]


# The losses


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_loss_by_hand(dtype):
    """The sigmoids are 3/4, then 1/2 and 1/4, then 2/3. Each loss is a mean: the batches differ in size."""
    drawing, result, smoothed = (torch.tensor(x, dtype=dtype) for x in ([log(3)] * 3, [0, -log(3)], [log(2)]))
    fake = (-log(1 / 2) - log(3 / 4)) / 2 - log(1 / 3)
    assert discriminator_loss(drawing, result, smoothed, "bce").item() == pytest.approx(-log(3 / 4) + fake)
    assert real_loss(result, "bce").item() == pytest.approx((log(2) + log(4)) / 2)


def test_least_squares_by_hand():
    drawing, result, smoothed = (torch.tensor(x) for x in ([0.5] * 3, [0.25, 0.75], [-1.0]))
    expected = (0.5 - 1) ** 2 + (0.25**2 + 0.75**2) / 2 + 1
    assert discriminator_loss(drawing, result, smoothed, "lsgan").item() == pytest.approx(expected)
    assert real_loss(result, "lsgan").item() == pytest.approx((0.75**2 + 0.25**2) / 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_losses_are_float32_and_large_logits_do_not_overflow(dtype):
    logits = torch.full((5,), 300.0, dtype=dtype)
    assert real_loss(logits, "lsgan").item() == pytest.approx(299**2)
    assert discriminator_loss(logits, logits, logits, "lsgan").item() == pytest.approx(299**2 + 2 * 300**2)
    assert real_loss(-logits, "bce").item() == pytest.approx(300)
    assert content_loss(logits, -logits).item() == pixel_loss(logits, -logits).item() == 600
    assert real_loss(logits, "bce").dtype == content_loss(logits, logits).dtype == torch.float32


def maps(count, *shapes, seed=0):
    """Feature maps, a list of one layer for each shape (C,H,W)."""
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=(count, *shape)), dtype=torch.float32) for shape in shapes]


def gram_in_numpy(maps):
    """The Gram matrix of one picture's maps (C,H,W), element by element."""
    maps = maps.numpy().astype(float)
    return np.array([[(one * other).sum() / maps.size for other in maps] for one in maps])


@pytest.mark.parametrize("half", [False, True])
def test_style_loss_against_numpy(half):
    """Two layers; the drawings' matrices are means. Half precision is widened first, also under autocast."""
    result, drawing = maps(2, (3, 4, 5), (6, 2, 2)), maps(3, (3, 5, 4), (6, 1, 3), seed=1)
    if half:
        result, drawing = ([layer.bfloat16() for layer in each] for each in (result, drawing))
    expected = 0
    for of_result, of_drawing in zip(result, drawing, strict=True):
        target = np.mean([gram_in_numpy(picture.float()) for picture in of_drawing], axis=0)
        distances = [((gram_in_numpy(picture.float()) - target) ** 2).sum() for picture in of_result]
        expected += np.mean(distances)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = style_loss(result, [gram(layer).mean(0) for layer in drawing])
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected, rel=1e-5)


def test_total_variation_by_hand():
    assert CartoonGAN.total_variation(torch.full((2, 3, 4, 5), 0.7)) == 0
    ramp = torch.arange(5.0).expand(2, 3, 4, 5)  # 1 a pixel across
    assert CartoonGAN.total_variation(ramp - 2 * torch.arange(4.0)[:, None]).item() == 1 + 2
    assert CartoonGAN.total_variation(ramp.half()).dtype == torch.float32


def test_colour_loss_is_the_mean_distance_in_lab():
    result, photo = pictures(2, 1, size=7), pictures(2, 2, size=7)
    photo[0, :, 0, :2] = torch.tensor([[-1.0, 1.0]])  # black and white
    lab = [
        np.stack([rgb2lab((x / 2 + 0.5).permute(1, 2, 0).numpy()) for x in each]) for each in (result, photo)
    ]
    expected = np.linalg.norm((lab[0] - lab[1])[..., 1:], axis=-1).mean()
    assert colour_loss(result, photo).item() == pytest.approx(expected, rel=2e-3)
    assert CartoonGAN.chroma(photo).permute(0, 2, 3, 1).numpy() == pytest.approx(lab[1][..., 1:], abs=0.02)
    assert colour_loss(result.bfloat16(), photo).dtype == torch.float32
    grey = pictures(2, 3, channels=1).expand(2, 3, 16, 16)
    assert colour_loss(grey, -grey).item() < 0.05  # brightness is not a colour
    equal = photo.clone().requires_grad_()
    colour_loss(equal, photo).backward()
    assert equal.grad.isfinite().all()


# The schedule


@pytest.mark.parametrize(
    ("policy", "phase", "expected"),
    [
        ("step", 1, [1] * 8),
        ("step", 2, [1] * 4 + [0.1] * 2 + [0.01] * 2),
        ("step", 2, [1, 1, 1, 0.1, 0.01]),
        *(("linear", phase, [1, 1, 1, 1, 2 / 3, 1 / 3]) for phase in (1, 2)),
        ("linear", 1, [1, 1, 1, 2 / 3, 1 / 3]),
    ],
)
def test_the_factor_of_the_learning_rates(policy, phase, expected):
    epochs = len(expected)
    factors = [CartoonGAN.learning_rate_factor(policy, phase, n, epochs) for n in range(1, epochs + 1)]
    assert factors == pytest.approx(expected)


@pytest.mark.parametrize(("text", "first"), [("--pre_lr 0.5", 0.5), ("", 0.1)])
def test_each_optimiser_has_its_own_learning_rate(text, first):
    text += " --lrG 0.1 --lrD 0.3 --lr_policy linear --pre_train_epoch 10 --train_epoch 20"
    model, args = build(f"{text} --beta1 0.4 --beta2 0.9")
    rates = [CartoonGAN.learning_rates(args, *place) for place in ((1, 1), (1, 10), (2, 17))]
    assert [rate["adam_g"] for rate in rates] == pytest.approx([first, first / 5, 0.1 * 4 / 10])
    assert [rate["adam_d"] for rate in rates] == pytest.approx([0.3, 0.06, 0.12])
    defaults = [adam.defaults for adam in (model.adam_g, model.adam_d)]
    assert [(each["lr"], each["betas"]) for each in defaults] == [(0.1, (0.4, 0.9)), (0.3, (0.4, 0.9))]


# The steps


def plain_gradients(model, args, photo, drawing, smoothed):
    """D's and G's gradients computed plainly: each kind of picture in its own pass, G run twice."""

    def distance(logits, target):
        target = torch.full_like(logits, target)
        if args.gan_mode == "lsgan":
            return F.mse_loss(logits, target)
        return F.binary_cross_entropy(torch.sigmoid(logits), target)

    discriminator, generator = model.discriminator, model.generator
    loss = distance(discriminator(drawing), 1) + distance(discriminator(generator(photo).detach()), 0)
    (loss + distance(discriminator(smoothed), 0)).backward()
    gradients_d = gradient(discriminator)
    model.adam_d.step()
    result = generator(photo)
    content = (model.vgg(result) - model.vgg(photo)).abs().mean()
    (args.adv_lambda * distance(discriminator(result), 1) + args.con_lambda * content).backward()
    return gradients_d, gradient(generator)


def gradient(network):
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("mode", ["bce", "lsgan"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_the_one_pass_step_has_the_gradients_of_the_plain_step(mode, dtype, tolerance):
    """VGG19 does not change."""
    (fast, args), (plain, _) = (build(f"--gan_mode {mode} --con_lambda 3 --adv_lambda 2") for _ in range(2))
    for model in (fast, plain):
        for network in (model.generator, model.discriminator, model.vgg):
            network.to(dtype)
        # Plain descent, so that the update of D carries no more error into G's pass than the gradients have.
        model.adam_d = torch.optim.SGD(model.discriminator.parameters(), 0.1)
        model.adam_g = torch.optim.SGD(model.generator.parameters(), 0.1)
    expected = plain_gradients(plain, args, *batch(dtype))
    passes, vgg = [], [weight.clone() for weight in fast.vgg.parameters()]
    fast.generator.register_forward_hook(lambda *_: passes.append(1))
    terms = CartoonGAN.adversarial_step(fast, args, *batch(dtype), PLACE)
    assert len(passes) == 1 and not any(value.requires_grad for value in terms.values())
    for network, theirs in zip((fast.discriminator, fast.generator), expected, strict=True):
        assert (gradient(network) - theirs).norm() < tolerance * theirs.norm()
        assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(
        weight.grad is None and weight.equal(x) for weight, x in zip(fast.vgg.parameters(), vgg, strict=True)
    )


def test_phase_one_minimises_only_the_weighted_content_loss():
    model, args = build("--con_lambda 3 --style_lambda 2 --tv_lambda 1 --pixel_lambda 1")
    photo = pictures(2)
    result = model.generator(photo)
    loss = (model.vgg(result) - model.vgg(photo)).abs().mean()
    (3 * loss).backward()
    expected = gradient(model.generator)
    terms = CartoonGAN.reconstruction_step(model, args, photo)
    assert terms.keys() == {"content"} and terms["content"].item() == pytest.approx(loss.item())
    assert (gradient(model.generator) - expected).norm() < 1e-4 * expected.norm()


def test_what_the_discriminator_sees():
    """Drawings, the pool's batch, noisy smoothed drawings, in other tones; for G the newest result."""
    model, args = build(f"{WITHOUT_VGG} --smoothed_noise 0.5 --diffaugment color")
    photo, drawing, smoothed = batch()
    older, given, seen, results = pictures(2, 3), [], [], []
    exchange = lambda batch, place: (given.append((batch, place)), older)[1]
    model.pool = types.SimpleNamespace(exchange=exchange)
    model.generator.register_forward_hook(lambda *hooked: results.append(hooked[-1]))
    model.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    CartoonGAN.adversarial_step(model, args, photo, drawing, smoothed, PLACE)
    ((result, place),) = given
    assert place == PLACE and result.equal(results[0]) and not result.requires_grad
    noisy = steps.add_noise(args, PLACE, smoothed)
    assert seen[0].equal(torch.cat(steps.augment(args, (*PLACE, 0), drawing, older, noisy)))
    assert seen[1].equal(*steps.augment(args, (*PLACE, 1), result)) and seen[1].requires_grad
    assert not noisy.equal(smoothed) and not seen[0][:2].equal(drawing)


ALL = "--con_lambda 2 --style_lambda 3 --tv_lambda 5 --pixel_lambda 7"
WEIGHTS = {"content": 2, "style": 3, "total_variation": 5, "pixel": 7, "colour": 11, "adversarial": 13}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("text", "expected", "channels"),
    [
        (f"{ALL} --colour_lambda 11 --adv_lambda 13 --flatten 1", WEIGHTS, 3),
        (f"{ALL} --adv_lambda 0", "content style total_variation pixel", 1),
        (f"{WITHOUT_VGG} --adv_lambda 13", "adversarial", 1),
        ("--con_lambda 0 --pre_train_epoch 0 --style_lambda 3 --adv_lambda 0", "style", 3),
        ("--con_lambda 2 --adv_lambda 0 --colour_lambda 11", "content colour", 3),
    ],
)
def test_the_loss_of_the_generator_is_a_weighted_sum(text, expected, channels, precision):
    model, args = build(f"{text} --in_ngc {channels} --out_ngc {channels} --in_ndc {channels}", precision)
    losses, optimise, results = [], model.scaler.optimise, []
    model.scaler.optimise = lambda adam, loss: (losses.append(loss.detach()), optimise(adam, loss))
    model.generator.register_forward_hook(lambda *hooked: results.append(hooked[-1].detach()))
    step = CartoonGAN.adversarial_step if model.discriminator else CartoonGAN.perceptual_step
    photo, *drawings = batch(channels=channels)
    terms = step(model, args, photo, *drawings, PLACE)
    assert CartoonGAN.PIXEL_LOSSES.keys() <= WEIGHTS.keys()
    expected = expected.split() if isinstance(expected, str) else [*expected]
    measured = ["change_from_photo"] + ["auc_result", "auc_smoothed"] * bool(model.discriminator)
    assert {*terms} == {*expected, *measured} | ({"discriminator"} if model.discriminator else set())
    assert all(value.dtype == torch.float32 and value.isfinite() for value in terms.values())
    assert losses[-1].item() == pytest.approx(sum(WEIGHTS[name] * terms[name].item() for name in expected))
    if model.discriminator:
        assert losses[0].equal(terms["discriminator"])
    photo = model.generator.flatten(photo)
    assert terms["change_from_photo"].item() == pytest.approx(127.5 * pixel_loss(results[0], photo).item())
    for name in {*expected} & {*CartoonGAN.PIXEL_LOSSES}:
        assert terms[name].equal(CartoonGAN.PIXEL_LOSSES[name](results[0], photo))
    if "content" in expected and precision == "fp32":
        loss = (model.vgg(results[0]) - model.vgg(photo)).abs().mean()
        assert terms["content"].item() == pytest.approx(loss.item())
    if "style" in expected and precision == "fp32":
        of_result, of_drawing = (model.vgg.maps(picture, STYLE) for picture in (results[0], drawings[0]))
        loss = style_loss(of_result, [gram(layer).mean(0) for layer in of_drawing])
        assert terms["style"].item() == pytest.approx(loss.item())


def test_the_aucs_compare_drawings_with_what_the_discriminator_saw():
    model, args = build(WITHOUT_VGG)
    logits = torch.tensor([0, 1, 2, 3, -1, 0.5, 1, 9, -1, -1, -1, 2.5], requires_grad=True)
    model.parallel_discriminator = lambda _: 1 * logits
    terms = CartoonGAN.adversarial_step(model, args, *(pictures(4, seed) for seed in range(3)), PLACE)
    assert terms["auc_result"].item() == (1 + 2.5 + 3 + 3) / 16
    assert terms["auc_smoothed"].item() == (3 + 3 + 3 + 4) / 16


def test_vgg19_computes_in_the_precision_of_the_run():
    model, _ = build(precision="bf16")
    assert {weight.dtype for weight in model.vgg.parameters()} == {torch.bfloat16}
    assert model.vgg.mean.dtype == torch.float32 and model.generator.down[0].weight.dtype == torch.float32


def test_the_seed_determines_the_weights_and_the_scales():
    assert build()[0].generator.down[1].weight.eq(1).all()
    models = [build(f"--norm_init uniform --seed {seed}")[0] for seed in (0, 0, 1)]
    for part in ("generator", "discriminator"):
        one, again, other = (getattr(model, part).state_dict() for model in models)
        assert same(one, again)
        assert {name for name in one if one[name].equal(other[name])} == {x for x in one if "bias" in x}
