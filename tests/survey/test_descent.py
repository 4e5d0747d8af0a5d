"""Optimising pixels, on objectives whose minimum is known."""

import pytest
import torch

from survey.descent import descend

TARGET = torch.linspace(-0.9, 0.9, 3 * 8 * 8).view(1, 3, 8, 8)


@pytest.mark.parametrize(("optimiser", "steps"), [("lbfgs", 20), ("adam", 200)])
def test_the_minimum_of_a_square(optimiser, steps):
    objective = lambda picture: {"error": 1e-3 * (picture - TARGET).square().mean()}
    picture, losses = descend(torch.zeros_like(TARGET), objective, steps, optimiser)
    torch.testing.assert_close(picture, TARGET, rtol=0, atol=0.05)
    assert losses["error"] == pytest.approx(objective(picture)["error"].item())


def test_values_outside_the_range_are_penalised():
    """The minimum of -x + 3 max(0, x - 1)^2 is at 7/6; without the penalty there is none."""
    values = []
    descend(torch.zeros(1, 1, 1, 1), lambda x: values.append(x.item()) or {"error": -x.sum()}, 50)
    assert values[-2] == pytest.approx(7 / 6, abs=1e-3) and values[-1] == 1
