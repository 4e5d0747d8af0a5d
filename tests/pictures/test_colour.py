"""Results with the colours of their photographs, and mixed with them."""

import numpy as np
import pytest

from pictures import colour, images


@pytest.fixture(scope="module")
def photo():
    """Soft blots of colour, 48x64."""
    blots = np.random.default_rng(0).integers(40, 216, (6, 8, 3), np.uint8)
    return images.resize(blots, 64, 48)


@pytest.fixture(scope="module")
def result():
    blots = np.random.default_rng(1).integers(60, 196, (6, 8, 3), np.uint8)
    return images.resize(blots, 64, 48)


def test_off_at_full_strength_is_the_result_itself(photo, result):
    assert colour.keep(photo, result) is result


@pytest.mark.parametrize("how", ["chroma", "mean"])
def test_a_photo_keeps_its_own_colours(photo, how):
    assert abs(colour.keep(photo, photo, how).astype(int) - photo).mean() < 2


def test_chroma_is_the_photos_and_lightness_the_results():
    # Grey levels and pale colours: nothing leaves RGB.
    photo = np.full((32, 32, 3), (140, 120, 110), np.uint8)
    photo[:, 16:] = (110, 125, 140)
    result = np.full((32, 32, 3), 90, np.uint8)
    result[:, 16:] = 160
    kept, wanted, made = (colour.to_lab(x) for x in (colour.keep(photo, result, "chroma"), photo, result))
    assert abs(kept[..., 0] - made[..., 0]).max() < 1
    assert abs(kept[..., 1:] - wanted[..., 1:]).max() < 1.5


def test_mean_gives_the_photos_mean_and_deviation_of_chroma(photo, result):
    kept, wanted = colour.to_lab(colour.keep(photo, result, "mean")), colour.to_lab(photo)
    assert abs(kept[..., 1:].mean((0, 1)) - wanted[..., 1:].mean((0, 1))).max() < 1
    assert abs(kept[..., 1:].std((0, 1)) / wanted[..., 1:].std((0, 1)) - 1).max() < 0.1


@pytest.mark.parametrize("strength", [0, 0.25, 1])
def test_strength_mixes(photo, result, strength):
    mixed = colour.keep(photo, result, strength=strength)
    assert abs(mixed - (strength * result.astype(float) + (1 - strength) * photo)).max() <= 0.5


def test_lab_and_back(photo):
    assert abs(colour.to_rgb(colour.to_lab(photo)).astype(int) - photo).max() <= 1


def test_the_guided_filter_keeps_the_guides_edge_and_smooths_elsewhere():
    guide = np.zeros((32, 32), np.float32)
    guide[:, 16:] = 1
    noisy = guide + np.random.default_rng(0).normal(0, 0.1, guide.shape)
    smooth = colour.guided_filter(guide, noisy, 4, 1e-4)
    assert abs(smooth - guide).mean() < 0.3 * abs(noisy - guide).mean()
    assert np.diff(smooth[:, 15:17]).mean() > 0.9


def test_the_guided_filter_is_a_line_of_the_guide_in_every_window():
    rng = np.random.default_rng(0)
    guide, image = rng.random((2, 9, 11))
    slope, offset = np.empty((2, 9, 11))
    for y, x in np.ndindex(9, 11):
        window = slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)
        here, there = guide[window], image[window]
        slope[y, x] = ((here * there).mean() - here.mean() * there.mean()) / (here.var() + 1e-3)
        offset[y, x] = there.mean() - slope[y, x] * here.mean()
    expected = np.empty((9, 11))
    for y, x in np.ndindex(9, 11):
        window = slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)
        expected[y, x] = slope[window].mean() * guide[y, x] + offset[window].mean()
    assert colour.guided_filter(guide, image, 2, 1e-3) == pytest.approx(expected)
