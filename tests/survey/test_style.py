"""The statistics of feature maps, each beside its definition written out."""

import itertools
import math

import pytest
import torch

from survey import style
from survey.style import STATISTICS

torch.manual_seed(0)
F, S = (
    torch.rand(1, 3, 4, 5, dtype=torch.float64),
    torch.rand(1, 3, 2, 3, dtype=torch.float64),
)  # 20 places, 6


def places(maps):
    return maps[0].flatten(1).T


def squared_mmd(kernel, one, other):
    """Of two feature maps, by the sums over all pairs of places."""

    def mean(a, b):
        values = [kernel(x, y) for x, y in itertools.product(places(a), places(b))]
        return sum(values) / len(values)

    return mean(one, one) + mean(other, other) - 2 * mean(one, other)


def distance(moments, one, other):
    return (moments(one) - moments(other)).square().sum()


def test_a_gram_matrix_by_hand():
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels at two places
    assert style.gram(maps).tolist() == [[2.5, 5.5], [5.5, 12.5]]


def test_the_mmd_of_the_polynomial_kernel_is_the_gram_loss_up_to_its_factor():
    mmd = squared_mmd(lambda x, y: (x @ y) ** 2, F, S)
    channels = F.shape[1]
    gatys = distance(style.gram, F, S) / (4 * channels**2)  # E of the 2015 paper, by places
    torch.testing.assert_close(mmd, 4 * channels**2 * gatys)
    for name in ("gram", "mmd_poly"):
        torch.testing.assert_close(style.loss_to(S, name)(F), mmd / style.gram(S).square().sum())


def test_the_mmd_of_the_linear_kernel_is_the_distance_of_the_means():
    mmd = squared_mmd(lambda x, y: x @ y, F, S)
    torch.testing.assert_close(style.loss_to(S, "mmd_linear")(F), mmd / style.mean(S).square().sum())


def test_the_estimate_for_the_gaussian_kernel_is_right_in_the_mean(monkeypatch):
    width = torch.tensor(0.3, dtype=torch.float64)
    wanted = squared_mmd(lambda x, y: torch.exp(-(x - y).square().sum() / (2 * width)), F, 2 * S)
    torch.manual_seed(0)
    monkeypatch.setattr(style, "PAIRS", 1)
    found = torch.stack([style.gaussian_mmd(places(F), places(2 * S), width) for _ in range(4000)])
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean() - wanted) < 4 * error < wanted / 10


def test_the_width_of_the_gaussian_kernel_is_the_mean_square_distance_of_two_places(monkeypatch):
    asked = []
    monkeypatch.setattr(style, "gaussian_mmd", lambda found, wanted, width: asked.append(width))
    style.loss_to(S, "mmd_gaussian")(F)
    both = [(x - y).square().sum() for x, y in itertools.product(places(S), places(S))]
    torch.testing.assert_close(asked[0], sum(both) / len(both))


def test_means_and_deviations_by_hand():
    maps = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]])
    torch.testing.assert_close(style.mean_std(maps), torch.tensor([[2.0, 5.0], [1.0, 0.0031623]]))
    other = torch.tensor([[[[0.0, 8.0]], [[6.0, 6.0]]]])  # means 4 and 6, deviations 4 and 0
    loss = style.loss_to(maps, "mean_std")(other)
    torch.testing.assert_close(loss, torch.tensor((4 + 1 + 9) / (4 + 25 + 1)), rtol=1e-4, atol=0)


@pytest.mark.parametrize("statistics", STATISTICS[:3] + STATISTICS[4:])
def test_a_loss_is_0_for_the_drawing_and_1_without_features(statistics):
    loss = style.loss_to(S, statistics)
    assert loss(S) == 0
    assert loss(torch.zeros_like(F)).item() == pytest.approx(1, abs=0.01)  # batch norm's eps is no 0


@pytest.mark.parametrize("statistics", STATISTICS)
def test_a_flat_drawing_has_finite_losses_and_gradients(statistics):
    maps = F.clone().requires_grad_()
    for drawing in (torch.full_like(S, 0.5), torch.zeros_like(S)):
        loss = style.loss_to(drawing, statistics)(maps)
        loss.backward()
        assert loss.isfinite() and maps.grad.isfinite().all()


def test_layers_count_alike():
    distances = {"a": lambda maps: maps.sum(), "b": lambda maps: 10 * maps.sum()}
    assert style.style_loss({"a": torch.ones(2), "b": torch.ones(3), "c": torch.ones(9)}, distances) == 16


def test_total_variation_of_slopes():
    slope = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 3, 5, 4)
    assert style.total_variation(slope).item() == 1
    assert style.total_variation(slope.mT * 3).item() == 9
