"""The method: networks, each loss by hand, the schedule, the step."""

import itertools
import types

import pytest
import torch
import torch.nn.functional as F
from helpers import refusal
from torch import nn

from survey import cyclegan
from survey.cyclegan_options import CYCLEGAN, SMALLEST, residual_blocks
from training.steps import auc

PLACE = (2, 1, 0)
TINY = "--ngf 4 --ndf 4 --nb 1 --input_size 32 --batch_size 2 --device cpu --precision fp32"
NETWORKS = cyclegan.Model.networks


def build(text="", precision="fp32"):
    """A new Model with tiny networks, and its options."""
    args, _ = CYCLEGAN.parse(f"{TINY} {text}".split())
    return cyclegan.build(args, torch.device("cpu"), precision), args


def pictures(count, seed, dtype=torch.float32):
    """Smooth random pictures of 32 pixels a side in [-1, 1]."""
    rough = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(rough, 32, mode="bicubic").clamp(0, 1).mul(2).sub(1).to(dtype)


def test_the_discriminator_is_the_papers():
    """Section 7.2: 4x4 convolutions, C64-C128-C256-C512 and one to a single channel; 2.765 M weights."""
    with torch.device("meta"):
        network = cyclegan.PatchDiscriminator()
    assert sum(weight.numel() for weight in network.parameters()) == 2_764_737
    layers = [*network.layers]
    assert [layer.stride[0] for layer in layers if isinstance(layer, nn.Conv2d)] == [2, 2, 2, 1, 1]
    assert {layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)} == {0.2}
    kinds = ["Conv2d", "LeakyReLU", *["Conv2d", "InstanceNorm", "LeakyReLU"] * 3, "Conv2d"]
    assert [type(layer).__name__ for layer in layers] == kinds
    assert network(torch.empty(1, 3, 256, 256, device="meta")).shape == (1, 1, 30, 30)
    assert cyclegan.PatchDiscriminator(3, 4)(torch.zeros(1, 3, SMALLEST, SMALLEST)).shape == (1, 1, 1, 1)


def test_each_network_has_its_own_weights_and_channels():
    model, _ = build("--out_ngc 1 --idt_lambda 0")
    firsts = [next(getattr(model, name).parameters()).flatten()[:20] for name in NETWORKS]
    assert all(not torch.equal(*pair) for pair in itertools.combinations(firsts, 2))
    assert all(first.std().item() == pytest.approx(0.02, rel=0.5) for first in firsts)
    assert [getattr(model, name).architecture["in_ngc"] for name in NETWORKS[:2]] == [3, 1]
    assert [getattr(model, name).layers[0].in_channels for name in NETWORKS[2:]] == [1, 3]


def test_the_number_of_residual_blocks_and_wrong_options():
    texts = "", "--input_size 252", "--input_size 128 --nb 3"
    assert [residual_blocks(CYCLEGAN.parse(text.split())[0]) for text in texts] == [9, 6, 3]
    assert "need at least 24" in refusal(CYCLEGAN.parse, "--input_size", 20)
    assert "need --idt_lambda 0" in refusal(CYCLEGAN.parse, "--in_ngc", 1)


def plain_step(model, args, photo, drawing):
    """All terms and gradients by the plain formulas: a pass for each picture and each discriminator."""
    square = lambda logits, target: F.mse_loss(logits, torch.full_like(logits, target))
    away = lambda one, other: (one - other).abs().mean()
    paint, back, drawings, photos = (getattr(model, name) for name in NETWORKS)
    drawn, shot = paint(photo), back(drawing)
    terms = {"adversarial": square(drawings(drawn), 1.0), "adversarial_back": square(photos(shot), 1.0)}
    terms |= {"cycle": away(back(drawn), photo), "cycle_back": away(paint(shot), drawing)}
    terms |= {"identity": away(paint(drawing), drawing), "identity_back": away(back(photo), photo)}
    weights = (1, 1, *[args.cycle_lambda] * 2, *[args.cycle_lambda * args.idt_lambda] * 2)
    sum(weight * term for weight, term in zip(weights, terms.values(), strict=True)).backward()
    gradients = {name: flat_gradient(getattr(model, name)) for name in NETWORKS[:2]}
    for way, name, real, painted in (("", NETWORKS[2], drawing, drawn), ("_back", NETWORKS[3], photo, shot)):
        judge = getattr(model, name)
        judge.zero_grad()
        on_real, on_painted = judge(real), judge(painted.detach())
        terms[f"discriminator{way}"] = (square(on_real, 1.0) + square(on_painted, 0.0)) / 2
        terms[f"discriminator{way}"].backward()
        terms[f"auc_result{way}"] = auc(on_real, on_painted)
        gradients[name] = flat_gradient(judge)
    return terms | {"change_from_photo": 127.5 * away(drawn, photo)}, gradients


def flat_gradient(network):
    return torch.cat([weight.grad.flatten() for weight in network.parameters()])


@pytest.mark.parametrize("identity", [0.5, 0])
def test_a_step_has_the_terms_and_gradients_of_the_plain_formulas(identity):
    (fast, args), (plain, _) = (build(f"--idt_lambda {identity} --cycle_lambda 3") for _ in range(2))
    for model in (fast, plain):
        for name in NETWORKS:
            for weight in getattr(model, name).to(torch.float64).parameters():
                weight.data *= 5  # gradients of the narrow initial weights are little but rounding noise
    batch = pictures(2, 0, torch.float64), pictures(2, 1, torch.float64)
    expected, gradients = plain_step(plain, args, *batch)
    terms = cyclegan.step(fast, args, *batch, PLACE)
    assert expected.keys() - terms.keys() == (set() if identity else {"identity", "identity_back"})
    for name, value in terms.items():
        assert value.item() == pytest.approx(expected[name].item()), name
    for name, gradient in gradients.items():
        error = flat_gradient(getattr(fast, name)) - gradient
        assert error.norm() < 1e-9 * gradient.norm(), name


def test_each_optimiser_has_two_networks_and_its_own_rate():
    model, args = build("--lrG 1 --lrD 0.5")
    rates = [cyclegan.learning_rates(args, 2, epoch) for epoch in (101, 151)]  # of 200
    assert rates == [{"adam_g": 1, "adam_d": 0.5}, {"adam_g": 0.5, "adam_d": 0.25}]
    for adam, trained in (("adam_g", NETWORKS[:2]), ("adam_d", NETWORKS[2:])):
        weights = {id(weight) for group in getattr(model, adam).param_groups for weight in group["params"]}
        assert weights == {id(weight) for name in trained for weight in getattr(model, name).parameters()}


def test_discriminators_see_what_the_pools_give_and_generators_learn_from_the_newest():
    model, args = build()
    older, older_back, given, seen = pictures(2, 2), pictures(2, 3), [], []
    for name, old in (("pool", older), ("pool_back", older_back)):
        exchange = lambda batch, place, old=old: (given.append((batch, place)), old)[1]
        setattr(model, name, types.SimpleNamespace(exchange=exchange))
    for name in NETWORKS[2:]:
        getattr(model, name).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    photo, drawing = pictures(2, 0), pictures(2, 1)
    cyclegan.step(model, args, photo, drawing, (2, 3, 4))
    assert [place for _, place in given] == [(2, 3, 4)] * 2
    for (result, _), judged in zip(given, seen[:2], strict=True):
        assert torch.equal(result, judged) and judged.requires_grad and not result.requires_grad
        assert result.untyped_storage().nbytes() == 4 * result.numel()  # a pool keeps nothing else in memory
    assert torch.equal(seen[2], torch.cat([drawing, older]))
    assert torch.equal(seen[3], torch.cat([photo, older_back]))


def test_steps_in_half_precision():
    expected = cyclegan.step(*build(), pictures(2, 0), pictures(2, 1), PLACE)
    model, args = build(precision="fp16")
    before = {name: next(getattr(model, name).parameters()).clone() for name in NETWORKS}
    for step in range(12):  # fp16 skips its first steps until the scale fits
        terms = cyclegan.step(model, args, pictures(2, 0), pictures(2, 1), (2, 1, step))
        if not step:
            for name, value in expected.items():
                assert terms[name].item() == pytest.approx(value.item(), rel=0.03, abs=0.02), name
    assert all(value.isfinite() and value.dtype == torch.float32 for value in terms.values())
    assert all(not torch.equal(next(getattr(model, name).parameters()), before[name]) for name in NETWORKS)
    assert model.scaler.is_enabled()
