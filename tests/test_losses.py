"""Each loss term against a value worked by hand."""

import math

import numpy as np
import pytest
import torch

import losses

log = math.log


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_loss(dtype):
    # Logits whose sigmoids are 3/4, 1/4 and 1/2.
    drawing, result, smoothed = (torch.full((2, 1, 3, 3), x, dtype=dtype) for x in (log(3), -log(3), 0.0))
    wanted = -(log(3 / 4) + log(1 - 1 / 4) + log(1 - 1 / 2))
    assert losses.discriminator(drawing, result, smoothed, "bce").item() == pytest.approx(wanted, rel=1e-6)
    assert losses.adversarial(result, "bce").item() == pytest.approx(-log(1 / 4), rel=1e-6)


def test_least_squares():
    drawing, result, smoothed = (torch.tensor([x, x]) for x in (0.5, 0.25, -1.0))
    wanted = (0.5 - 1) ** 2 + 0.25**2 + 1
    assert losses.discriminator(drawing, result, smoothed, "lsgan").item() == pytest.approx(wanted)
    assert losses.adversarial(result, "lsgan").item() == pytest.approx((0.25 - 1) ** 2)


def test_each_term_is_a_mean():
    drawing, result, smoothed = torch.zeros(1), torch.tensor([0.0, log(3)]), torch.zeros(4)
    wanted = log(2) + (log(2) + log(4)) / 2 + log(2)
    assert losses.discriminator(drawing, result, smoothed, "bce").item() == pytest.approx(wanted)
    features = torch.tensor([[1.0, -2.0], [0.5, 4.0]])
    assert losses.content(features, torch.zeros(2, 2)).item() == pytest.approx((1 + 2 + 0.5 + 4) / 4)


@pytest.mark.parametrize("mode", ["bce", "lsgan"])
def test_which_way_is_down(mode):
    """A drawing's logit wants up, a result's and a smoothed drawing's down; G wants its result's up."""
    logits = torch.zeros(3, requires_grad=True)
    losses.discriminator(*logits.chunk(3), mode).backward()
    assert (
        logits.grad.sign() == torch.tensor([-1, 1 if mode == "bce" else 0, 1 if mode == "bce" else 0])
    ).all()
    result = torch.zeros(1, requires_grad=True)
    losses.adversarial(result, mode).backward()
    assert result.grad < 0


def test_large_logits_do_not_overflow():
    far = torch.tensor([1e4])
    for loss in (losses.discriminator(-far, far, far, "bce"), losses.adversarial(-far, "bce")):
        assert loss.isfinite()
    assert losses.adversarial(-far, "bce").item() == pytest.approx(1e4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_and_features_are_widened(dtype):
    logits = torch.full((5,), 300.0, dtype=dtype)
    assert losses.adversarial(logits, "lsgan").dtype == torch.float32
    assert losses.adversarial(logits, "lsgan").item() == pytest.approx(299**2)
    assert losses.content(logits, -logits).dtype == torch.float32


def maps(count, *shape, seed=0):
    """Feature maps, a list of one layer for each shape (C,H,W)."""
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=(count, *size)), dtype=torch.float32) for size in shape]


def gram_in_numpy(maps):
    """Of one picture's maps (C,H,W), element by element."""
    maps = maps.numpy().astype(float)
    return np.array([[(one * other).sum() / maps.size for other in maps] for one in maps])


def grams(maps):
    return [losses.gram(layer).mean(0) for layer in maps]


def test_gram_and_style_against_numpy():
    result, drawing = maps(2, (3, 4, 5), (6, 2, 2)), maps(3, (3, 5, 4), (6, 1, 3), seed=1)
    wanted = 0
    for shown, drawn in zip(result, drawing, strict=True):
        target = np.mean([gram_in_numpy(picture) for picture in drawn], axis=0)
        differences = [gram_in_numpy(picture) - target for picture in shown]
        wanted += np.mean([(difference**2).sum() for difference in differences])
        assert losses.gram(shown).numpy() == pytest.approx(
            np.array([gram_in_numpy(x) for x in shown]), rel=1e-5
        )
    assert losses.style(result, grams(drawing)).item() == pytest.approx(wanted, rel=1e-5)


def test_style_looks_at_what_is_there_and_not_where():
    (result,) = maps(1, (4, 6, 6))
    moved = result.roll((2, 3), dims=(2, 3))
    assert losses.style([result], grams([moved])).item() == pytest.approx(0, abs=1e-12)
    assert losses.style([result], grams([moved.flip(1)])) > 1e-3


def test_style_is_compared_with_the_mean_of_all_drawings():
    """So a batch whose drawings change places changes nothing, and each result has a gradient of its own."""
    (result,), (drawing,) = maps(3, (4, 5, 5)), maps(3, (4, 5, 5), seed=1)
    value = losses.style([result], grams([drawing]))
    assert losses.style([result], grams([drawing.flip(0)])).item() == pytest.approx(value.item(), rel=1e-6)
    alone = torch.stack([losses.style([one[None]], grams([drawing])) for one in result])
    assert value.item() == pytest.approx(alone.mean().item(), rel=1e-6)


def test_style_is_float32_under_autocast():
    half = [layer.bfloat16() for layer in maps(2, (8, 16, 16))]
    wanted = losses.style([layer.float() for layer in half], grams(layer[:1].float() for layer in half))
    with torch.autocast("cpu", torch.bfloat16):
        got = losses.style(half, grams(layer[:1] for layer in half))
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_total_variation():
    assert losses.total_variation(torch.full((2, 3, 4, 5), 0.7)) == 0
    ramp = torch.arange(5.0).expand(2, 3, 4, 5)  # 1 a pixel across
    assert losses.total_variation(ramp).item() == 1
    assert losses.total_variation(ramp - 2 * torch.arange(4.0)[:, None]).item() == 3
    assert losses.total_variation(ramp.half()).dtype == torch.float32


def test_fakes_detected_and_change_by_hand():
    logits = torch.tensor([-1.0, 0.2, 0.4, 0.6])
    assert losses.fakes_detected(logits, "bce").item() == 0.25
    assert losses.fakes_detected(logits, "lsgan").item() == 0.75
    photo = torch.zeros(1, 3, 2, 2)
    assert losses.change(photo + 2 / 255, photo).item() == pytest.approx(1)
