"""The search over pixels, on objectives whose best picture is known."""

import pytest
import torch

from survey.descent import OPTIMISERS, descend
from utils import RunFailed

WANTED = torch.linspace(-0.9, 0.9, 3 * 8 * 8).view(1, 3, 8, 8)


def squared_error(picture):
    return {"error": 1e-3 * (picture - WANTED).square().mean()}


@pytest.mark.parametrize(("optimiser", "steps"), [("lbfgs", 20), ("adam", 200)])
def test_both_find_the_least_of_a_square(optimiser, steps):
    picture, losses = descend(torch.zeros_like(WANTED), squared_error, steps, optimiser)
    torch.testing.assert_close(picture, WANTED, rtol=0, atol=0.05)
    assert losses["error"] == pytest.approx(squared_error(picture)["error"].item())


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_the_losses_are_those_of_the_picture_that_is_returned(optimiser):
    def beyond(picture):
        return {"error": (picture - 3).square().mean(), "none": 0 * picture.sum()}

    picture, losses = descend(torch.zeros(1, 3, 8, 8), beyond, 200, optimiser)
    assert (picture == 1).all() and losses == {"error": 4, "none": 0}


def test_what_would_be_cut_off_is_drawn_back():
    """The least of -x + 3 max(0, x - 1)^2 lies at 7/6; without the square the search has no end."""
    seen = []
    descend(torch.zeros(1, 1, 1, 1), lambda x: seen.append(x.item()) or {"error": -x.sum()}, 50)
    assert seen[-2] == pytest.approx(7 / 6, abs=1e-3) and seen[-1] == 1


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_start_without_a_gradient_stays(optimiser):
    start = WANTED.permute(0, 1, 3, 2)  # and need not be contiguous
    picture, _ = descend(start, lambda x: {"error": (x - start).square().sum()}, 10, optimiser)
    assert torch.equal(picture, start)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_loss_that_is_no_number_is_told(optimiser):
    with pytest.raises(RunFailed, match="the loss is nan after 0 steps"):
        descend(WANTED, lambda picture: {"error": (picture.sum() * float("nan"))}, 10, optimiser)
