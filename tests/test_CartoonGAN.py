"""The method: each loss against a value worked by hand, the schedule, the steps."""

import math
import types

import numpy as np
import pytest
import torch
from helpers import TINY

import CartoonGAN
from CartoonGAN import content_loss, discriminator_loss, gram, real_loss, style_loss
from support.norm import InstanceNorm
from training import options, steps

CPU = torch.device("cpu")
PLACE = (2, 1, 0)
WATCHED = (
    "auc_result",
    "auc_smoothed",
    "change_from_photo",
)  # what is counted in phase two beside the losses
log = math.log


def build(text="", precision="fp32"):
    """A Model at its start with tiny networks, and its options."""
    args, _ = options.parse(f"{TINY} {text}".split())
    return CartoonGAN.build(args, CPU, precision), args


def pictures(count, size, seed=0, dtype=torch.float32):
    """Smooth random pictures in [-1, 1]."""
    rough = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(rough, size, mode="bicubic").clamp(0, 1).mul(2).sub(1).to(dtype)


def flat_batch(channels=3):
    """A photo, a drawing and a smoothed drawing of one grey each."""
    return [torch.full((2, channels, 16, 16), value) for value in (-0.5, 0.0, 0.5)]


# The losses


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_loss(dtype):
    # Logits whose sigmoids are 3/4, 1/4 and 1/2.
    drawing, result, smoothed = (torch.full((2, 1, 3, 3), x, dtype=dtype) for x in (log(3), -log(3), 0.0))
    wanted = -(log(3 / 4) + log(1 - 1 / 4) + log(1 - 1 / 2))
    assert discriminator_loss(drawing, result, smoothed, "bce").item() == pytest.approx(wanted, rel=1e-6)
    assert real_loss(result, "bce").item() == pytest.approx(-log(1 / 4), rel=1e-6)


def test_least_squares():
    drawing, result, smoothed = (torch.tensor([x, x]) for x in (0.5, 0.25, -1.0))
    wanted = (0.5 - 1) ** 2 + 0.25**2 + 1
    assert discriminator_loss(drawing, result, smoothed, "lsgan").item() == pytest.approx(wanted)
    assert real_loss(result, "lsgan").item() == pytest.approx((0.25 - 1) ** 2)


def test_each_loss_is_a_mean():
    drawing, result, smoothed = torch.zeros(1), torch.tensor([0.0, log(3)]), torch.zeros(4)
    wanted = log(2) + (log(2) + log(4)) / 2 + log(2)
    assert discriminator_loss(drawing, result, smoothed, "bce").item() == pytest.approx(wanted)
    features = torch.tensor([[1.0, -2.0], [0.5, 4.0]])
    assert content_loss(features, torch.zeros(2, 2)).item() == pytest.approx((1 + 2 + 0.5 + 4) / 4)


@pytest.mark.parametrize("mode", ["bce", "lsgan"])
def test_which_way_is_down(mode):
    """A drawing's logit wants up, a result's and a smoothed drawing's down; G wants its result's up."""
    logits = torch.full((3,), 0.5, requires_grad=True)
    discriminator_loss(*logits.chunk(3), mode).backward()
    assert logits.grad.sign().tolist() == [-1, 1, 1]
    result = torch.zeros(1, requires_grad=True)
    real_loss(result, mode).backward()
    assert result.grad < 0


def test_large_logits_do_not_overflow():
    far = torch.tensor([1e4])
    for loss in (discriminator_loss(-far, far, far, "bce"), real_loss(-far, "bce")):
        assert loss.isfinite()
    assert real_loss(-far, "bce").item() == pytest.approx(1e4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_and_features_are_widened(dtype):
    logits = torch.full((5,), 300.0, dtype=dtype)
    assert real_loss(logits, "lsgan").dtype == torch.float32
    assert real_loss(logits, "lsgan").item() == pytest.approx(299**2)
    assert discriminator_loss(logits, logits, logits, "lsgan").item() == pytest.approx(299**2 + 2 * 300**2)
    assert content_loss(logits, -logits).dtype == torch.float32


def maps(count, *shape, seed=0):
    """Feature maps, a list of one layer for each shape (C,H,W)."""
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=(count, *size)), dtype=torch.float32) for size in shape]


def gram_in_numpy(maps):
    """Of one picture's maps (C,H,W), element by element."""
    maps = maps.numpy().astype(float)
    return np.array([[(one * other).sum() / maps.size for other in maps] for one in maps])


def grams(maps):
    return [gram(layer).mean(0) for layer in maps]


def test_gram_and_style_against_numpy():
    result, drawing = maps(2, (3, 4, 5), (6, 2, 2)), maps(3, (3, 5, 4), (6, 1, 3), seed=1)
    wanted = 0
    for shown, drawn in zip(result, drawing, strict=True):
        target = np.mean([gram_in_numpy(picture) for picture in drawn], axis=0)
        differences = [gram_in_numpy(picture) - target for picture in shown]
        wanted += np.mean([(difference**2).sum() for difference in differences])
        assert gram(shown).numpy() == pytest.approx(np.array([gram_in_numpy(x) for x in shown]), rel=1e-5)
    assert style_loss(result, grams(drawing)).item() == pytest.approx(wanted, rel=1e-5)


def test_style_looks_at_what_is_there_and_not_where():
    (result,) = maps(1, (4, 6, 6))
    moved = result.roll((2, 3), dims=(2, 3))
    assert style_loss([result], grams([moved])).item() == pytest.approx(0, abs=1e-12)
    assert style_loss([result], grams([moved.flip(1)])) > 1e-3


def test_style_is_compared_with_the_mean_of_all_drawings():
    """So a batch whose drawings change places changes nothing, and each result has a gradient of its own."""
    (result,), (drawing,) = maps(3, (4, 5, 5)), maps(3, (4, 5, 5), seed=1)
    value = style_loss([result], grams([drawing]))
    assert style_loss([result], grams([drawing.flip(0)])).item() == pytest.approx(value.item(), rel=1e-6)
    alone = torch.stack([style_loss([one[None]], grams([drawing])) for one in result])
    assert value.item() == pytest.approx(alone.mean().item(), rel=1e-6)


def test_style_is_float32_under_autocast():
    half = [layer.bfloat16() for layer in maps(2, (8, 16, 16))]
    wanted = style_loss([layer.float() for layer in half], grams(layer[:1].float() for layer in half))
    with torch.autocast("cpu", torch.bfloat16):
        got = style_loss(half, grams(layer[:1] for layer in half))
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(wanted.item(), rel=1e-6)


# The schedule


def test_learning_rates():
    def factors(policy, phase, epochs):
        of = CartoonGAN.learning_rate_factor
        return [of(policy, phase, epoch, epochs) for epoch in range(1, epochs + 1)]

    assert factors("step", 1, epochs=8) == [1] * 8
    assert factors("step", 2, epochs=8) == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)
    assert factors("step", 2, epochs=1) == [1]
    for phase in (1, 2):
        assert factors("linear", phase, epochs=6) == pytest.approx([1, 1, 1, 1, 2 / 3, 1 / 3])
        assert factors("linear", phase, epochs=1) == [1]
        assert factors("linear", phase, epochs=20)[10::9] == pytest.approx([1, 0.1])  # epochs 11 and 20
    text = "--lrG 0.1 --lrD 0.3 --lr_policy linear --pre_train_epoch 10 --train_epoch 10"
    for more, first in (("--pre_lr 0.5", 0.5), ("", 0.1)):
        args, _ = options.parse(f"{text} {more}".split())
        rates = [CartoonGAN.learning_rates(args, *place) for place in ((1, 1), (1, 10), (2, 7))]
        assert [rate["adam_g"] for rate in rates] == pytest.approx([first, first / 5, 0.1 * 4 / 5])
        assert [rate["adam_d"] for rate in rates] == pytest.approx([0.3, 0.06, 0.24])


# The steps


def two_pass_gradients(model, args, photo, drawing, smoothed):
    """D's and G's gradients by the plain reading: every picture through its own pass, G run twice."""
    real, fake = torch.ones, torch.zeros

    def distance(logits, target):
        target = target(logits.shape, dtype=logits.dtype)
        if args.gan_mode == "lsgan":
            return torch.nn.functional.mse_loss(logits, target)
        return torch.nn.functional.binary_cross_entropy(torch.sigmoid(logits), target)

    discriminator, generator = model.discriminator, model.generator
    discriminator.zero_grad()
    result = generator(photo).detach()
    loss = distance(discriminator(drawing), real) + distance(discriminator(result), fake)
    (loss + distance(discriminator(smoothed), fake)).backward()
    gradients_d = [parameter.grad.clone() for parameter in discriminator.parameters()]
    model.adam_d.step()

    generator.zero_grad()
    result = generator(photo)
    content = (model.vgg(result) - model.vgg(photo)).abs().mean()
    (args.adv_lambda * distance(discriminator(result), real) + args.con_lambda * content).backward()
    return gradients_d, [parameter.grad.clone() for parameter in generator.parameters()]


@pytest.mark.parametrize("mode", ["bce", "lsgan"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_one_pass_step_has_the_gradients_of_the_plain_two_pass_step(mode, dtype, tolerance):
    fast, args = build(f"--gan_mode {mode} --con_lambda 3 --adv_lambda 2")
    plain, _ = build(f"--gan_mode {mode}")
    for model in (fast, plain):
        for network in (model.generator, model.discriminator, model.vgg):
            network.to(dtype)
        # Plain descent, so that the update of D carries no more error into G's pass than the gradients have.
        model.adam_d = torch.optim.SGD(model.discriminator.parameters(), 0.1)
        model.adam_g = torch.optim.SGD(model.generator.parameters(), 0.1)
    batch = [pictures(2, 16, seed, dtype) for seed in range(3)]
    wanted_d, wanted_g = two_pass_gradients(plain, args, *batch)
    passes = []
    fast.generator.register_forward_hook(lambda *_: passes.append(1))
    CartoonGAN.adversarial_step(fast, args, *batch, PLACE)
    assert len(passes) == 1
    for network, wanted in ((fast.discriminator, wanted_d), (fast.generator, wanted_g)):
        got = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
        wanted = torch.cat([gradient.flatten() for gradient in wanted])
        assert wanted.norm() > 0
        assert (got - wanted).norm() / wanted.norm() < tolerance


def test_the_generator_step_leaves_the_discriminator_trainable_and_vgg_frozen():
    model, args = build()
    frozen = {key: value.clone() for key, value in model.vgg.state_dict().items()}
    before = {key: value.clone() for key, value in model.discriminator.state_dict().items()}
    CartoonGAN.adversarial_step(model, args, *(pictures(2, 16, seed) for seed in range(3)), PLACE)
    assert all(parameter.requires_grad for parameter in model.discriminator.parameters())
    assert all(torch.equal(value, frozen[key]) for key, value in model.vgg.state_dict().items())
    assert any(not torch.equal(value, before[key]) for key, value in model.discriminator.state_dict().items())


def test_the_discriminator_is_shown_what_the_pool_gives_and_the_generator_learns_from_the_newest():
    model, args = build("--con_lambda 0 --pre_train_epoch 0")
    photo, drawing, smoothed = (pictures(2, 16, seed) for seed in range(3))
    older, given, seen = pictures(2, 16, 3), [], []
    exchange = lambda batch, place: (given.append((batch, place)), older)[1]
    model.pool = types.SimpleNamespace(exchange=exchange)
    model.discriminator.register_forward_pre_hook(lambda _, shown: seen.append(shown[0]))
    CartoonGAN.adversarial_step(model, args, photo, drawing, smoothed, (2, 3, 4))
    ((result, place),) = given
    assert place == (2, 3, 4) and not result.requires_grad
    assert torch.equal(seen[0], torch.cat([drawing, older, smoothed]))
    assert torch.equal(seen[1], result) and seen[1].requires_grad


def test_noise_is_on_the_smoothed_drawings_alone():
    model, args = build("--con_lambda 0 --pre_train_epoch 0 --smoothed_noise 0.5")
    photo, drawing, smoothed = (pictures(2, 16, seed) for seed in range(3))
    seen = []
    model.discriminator.register_forward_pre_hook(lambda _, shown: seen.append(shown[0]))
    CartoonGAN.adversarial_step(model, args, photo, drawing, smoothed, (2, 3, 4))
    on_drawing, on_result, on_smoothed = seen[0].chunk(3)
    assert on_drawing.equal(drawing) and on_result.equal(seen[1])
    assert on_smoothed.equal(steps.add_noise(args, (2, 3, 4), smoothed)) and not on_smoothed.equal(smoothed)


@pytest.mark.parametrize("text", ["--gan_mode lsgan --pool_size 2", "--con_lambda 0 --pre_train_epoch 0"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_steps(text, precision):
    """The scaler's branch too, which only a GPU without bf16 takes by itself."""
    model, args = build(text, precision)
    before = model.generator.down[0].weight.clone()
    for step in range(12):  # fp16 skips its first steps until the scale fits
        batch = (pictures(2, 16, seed) for seed in range(3))
        terms = CartoonGAN.adversarial_step(model, args, *batch, (2, 1, step))
    assert all(value.isfinite() and value.dtype == torch.float32 for value in terms.values())
    content = {"content"} if args.con_lambda else set()
    assert set(terms) == {"discriminator", "adversarial", *WATCHED} | content
    assert not torch.equal(before, model.generator.down[0].weight)
    assert model.scaler.is_enabled() == (precision == "fp16")


def test_drawn_scales_are_those_of_the_seed():
    """The convolutions' weights are the same as without them."""
    texts = ("", "--norm_init uniform", "--norm_init uniform", "--norm_init uniform --seed 1")
    for part in ("generator", "discriminator"):
        networks = [getattr(build(text)[0], part) for text in texts]
        convolutions = [[weight for weight in each.parameters() if weight.dim() == 4] for each in networks]
        scales = [
            torch.cat([layer.weight for layer in each.modules() if isinstance(layer, InstanceNorm)])
            for each in networks
        ]
        assert all(map(torch.equal, *convolutions[:2])) and scales[0].eq(1).all()
        assert torch.equal(*scales[1:3]) and not torch.isclose(scales[2], scales[3]).all()
        assert 0 < scales[1].min() < scales[1].max() < 1


def test_without_biases_both_networks_have_none_and_learn():
    model, args = build("--conv_bias none")
    for network in (model.generator, model.discriminator):
        assert all(layer.bias is None for layer in network.modules() if hasattr(layer, "stride"))
    before = [network.state_dict() for network in (model.generator, model.discriminator)]
    before = [{key: value.clone() for key, value in each.items()} for each in before]
    CartoonGAN.adversarial_step(model, args, *(pictures(2, 16, seed) for seed in range(3)), PLACE)
    for network, then in zip((model.generator, model.discriminator), before, strict=True):
        assert not any(torch.equal(value, then[key]) for key, value in network.state_dict().items())


def test_without_adversarial_weight_there_is_no_discriminator():
    model, args = build("--adv_lambda 0")
    assert model.discriminator is None and model.adam_d is None
    terms = CartoonGAN.perceptual_step(model, args, pictures(2, 16), place=PLACE)
    assert set(terms) == {"content", "change_from_photo"}


LOSSES = [
    ("--style_lambda 2 --tv_lambda 1", "discriminator adversarial content style total_variation"),
    ("--adv_lambda 0 --style_lambda 2 --tv_lambda 1", "content style total_variation"),
    ("--con_lambda 0 --pre_train_epoch 0 --style_lambda 2", "discriminator adversarial style"),
    ("--con_lambda 0 --pre_train_epoch 0 --adv_lambda 0 --style_lambda 2", "style"),
    ("--con_lambda 0 --pre_train_epoch 0 --tv_lambda 1", "discriminator adversarial total_variation"),
]
LOSSES_OF_COLOUR = [
    ("--colour_lambda 0.5 --diffaugment color", "discriminator adversarial content colour"),
    ("--colour_lambda 0.5 --adv_lambda 0", "content colour"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("text", "wanted", "channels"),
    [(*case, 1) for case in LOSSES] + [(*case, 3) for case in LOSSES + LOSSES_OF_COLOUR],
)
def test_each_loss_with_a_weight_is_there_by_its_name(text, wanted, channels, precision):
    model, args = build(f"{text} --in_ngc {channels} --out_ngc {channels} --in_ndc {channels}", precision)
    descended, descend = [], model.scaler.descend
    model.scaler.descend = lambda adam, loss: (descended.append(loss), descend(adam, loss))
    step = CartoonGAN.adversarial_step if model.discriminator else CartoonGAN.perceptual_step
    terms = step(model, args, *flat_batch(channels), PLACE)
    watched = [name for name in WATCHED if model.discriminator or name == "change_from_photo"]
    assert set(terms) == {*wanted.split(), *watched}
    assert all(value.dtype == torch.float32 and value.isfinite() for value in terms.values())
    weights = {"content": args.con_lambda, "style": args.style_lambda, "total_variation": args.tv_lambda}
    weights |= {"colour": args.colour_lambda}
    weights |= {"adversarial": args.adv_lambda, "discriminator": 0, **dict.fromkeys(WATCHED, 0)}
    total = sum(weights[term] * value for term, value in terms.items())
    assert descended[-1].item() == pytest.approx(total.item(), rel=1e-5)


def test_phase_one_is_content_alone():
    model, args = build("--style_lambda 2 --tv_lambda 1")
    assert set(CartoonGAN.reconstruction_step(model, args, pictures(2, 16))) == {"content"}


def test_what_is_watched_by_hand():
    model, args = build("--con_lambda 0 --pre_train_epoch 0")
    logits = torch.tensor(
        [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, 1.0, 9.0, -1.0, -1.0, -1.0, 2.5], requires_grad=True
    )
    model.parallel_discriminator = lambda _: 1 * logits
    # 2/255 of [-1, 1] is one grey level of 255.
    model.parallel_generator = lambda photo, flat: photo + 2 / 255 + 0 * model.generator.down[0].weight.sum()
    terms = CartoonGAN.adversarial_step(model, args, *(pictures(4, 16, seed) for seed in range(3)), PLACE)
    assert terms["auc_result"].item() == (1 + 2.5 + 3 + 3) / 16
    assert terms["auc_smoothed"].item() == (3 + 3 + 3 + 4) / 16
    assert terms["change_from_photo"].item() == pytest.approx(1, rel=1e-4)
