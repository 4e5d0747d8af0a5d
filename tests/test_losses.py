"""Each loss term against a value worked by hand."""

import math

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
