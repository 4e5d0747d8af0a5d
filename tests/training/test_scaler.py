"""Steps down a loss in float16, whose gradients overflow now and then."""

import math

import pytest
import torch

from training.steps import Scaler


def one_weight(value=1.0):
    weight = torch.nn.Parameter(torch.tensor([value]))
    return weight, torch.optim.Adam([weight], 0.1)


def test_a_step_goes_down_the_loss_from_fresh_gradients():
    """The same with a scaler that scales and with one that does not."""
    ends = []
    for enabled in (True, False):
        scaler, (weight, adam) = Scaler("cpu", enabled=enabled), one_weight()
        for _ in range(5):
            scaler.descend(adam, weight.square().sum())
            scaler.update()
        assert scaler.skipped == 0
        ends.append(weight.item())
    assert ends[0] == ends[1] < 0.6


@pytest.mark.parametrize("lost", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_left_out_though_its_gradients_are_finite(lost):
    scaler, (weight, adam) = Scaler("cpu", init_scale=1.0), one_weight()
    for more in (0, lost):
        scaler.descend(adam, weight.square().sum() + more)
        scaler.update()
        if not more:
            before = weight.item()
    assert weight.item() == before < 1 and scaler.skipped == 1


def test_steps_that_overflow_are_left_out_and_counted():
    """Gradients that overflow are planted: of one network at one step, of both at another."""
    scaler, networks, step = Scaler("cpu", init_scale=1.0), [one_weight(), one_weight()], 0
    for (weight, _), bad in zip(networks, ((3, 5), (0, 5)), strict=True):
        weight.register_hook(lambda gradient, bad=bad: gradient * (math.inf if step in bad else 1))
    counts = []
    for step in range(7):  # noqa: B007, the hooks read it
        before = [weight.item() for weight, _ in networks]
        for weight, adam in networks:
            scaler.descend(adam, weight.square().sum())
        scaler.update()
        stayed = sum(weight.item() == was for (weight, _), was in zip(networks, before, strict=True))
        assert stayed == scaler.skipped
        counts.append(int(scaler.skipped))
        scaler.skipped = 0
    assert counts == [1, 0, 0, 1, 0, 2, 0]
