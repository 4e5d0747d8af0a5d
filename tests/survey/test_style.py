"""The statistics of feature maps, each compared with its explicit definition."""

import itertools
import math

import pytest
import torch

from survey import style

torch.manual_seed(0)
F = torch.rand(1, 3, 4, 5, dtype=torch.float64)  # 20 places
S = torch.rand(1, 3, 2, 3, dtype=torch.float64)  # 6 places


def places(maps):
    return maps[0].flatten(1).T


def squared_mmd(kernel, one, other):
    """Of two feature maps, by the sums over all pairs of places."""

    def mean(a, b):
        values = [kernel(x, y) for x, y in itertools.product(places(a), places(b))]
        return sum(values) / len(values)

    return mean(one, one) + mean(other, other) - 2 * mean(one, other)


@pytest.mark.parametrize(
    ("statistics", "kernel", "moments"),
    [
        ("gram", lambda x, y: (x @ y) ** 2, style.gram),
        ("mmd_linear", lambda x, y: x @ y, style.mean),
    ],
)
def test_a_loss_is_the_mmd_of_its_kernel_relative_to_the_drawings_statistics(statistics, kernel, moments):
    expected = squared_mmd(kernel, F, S) / moments(S).square().sum()
    torch.testing.assert_close(style.loss_to(S, statistics)(F), expected)


def test_the_estimate_for_the_gaussian_kernel_is_unbiased(monkeypatch):
    width = torch.tensor(0.3, dtype=torch.float64)
    expected = squared_mmd(lambda x, y: torch.exp(-(x - y).square().sum() / (2 * width)), F, 2 * S)
    torch.manual_seed(0)
    monkeypatch.setattr(style, "PAIRS", 1)
    found = torch.stack([style.gaussian_mmd(places(F), places(2 * S), width) for _ in range(4000)])
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean() - expected) < 4 * error < expected / 10


def test_the_width_of_the_gaussian_kernel_is_the_mean_square_distance_of_two_places(monkeypatch):
    monkeypatch.setattr(style, "gaussian_mmd", lambda places, targets, width: width)
    distances = [(x - y).square().sum() for x, y in itertools.product(places(S), places(S))]
    torch.testing.assert_close(style.loss_to(S, "mmd_gaussian")(F), sum(distances) / len(distances))


def test_means_and_deviations_by_hand():
    maps = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]])
    torch.testing.assert_close(style.mean_std(maps), torch.tensor([[2.0, 5.0], [1.0, 0.0031623]]))
    other = torch.tensor([[[[0.0, 8.0]], [[6.0, 6.0]]]])  # means 4 and 6, deviations 4 and 0
    loss = style.loss_to(maps, "mean_std")(other)
    torch.testing.assert_close(loss, torch.tensor((4 + 1 + 9) / (4 + 25 + 1)), rtol=1e-4, atol=0)


@pytest.mark.parametrize("statistics", style.STATISTICS)
def test_a_black_drawing_has_finite_losses_and_gradients(statistics):
    maps = F.clone().requires_grad_()
    loss = style.loss_to(torch.zeros_like(S), statistics)(maps)
    loss.backward()
    assert loss.isfinite() and maps.grad.isfinite().all()
