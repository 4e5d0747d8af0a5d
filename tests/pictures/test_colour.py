"""Results with the colours of their photographs, and mixed with them."""

import numpy as np
import pytest

from pictures import colour, images


def blots(seed):
    """Soft blots of colour, 48x64."""
    return images.resize(np.random.default_rng(seed).integers(50, 206, (6, 8, 3), np.uint8), 64, 48)


PHOTO, RESULT = blots(0), blots(1)


def test_chroma_comes_from_the_photo_and_lightness_from_the_result():
    photo = np.full((32, 32, 3), (140, 120, 110), np.uint8)  # pale, so that nothing leaves RGB
    photo[:, 16:] = (110, 125, 140)
    result = np.full((32, 32, 3), 90, np.uint8)
    result[:, 16:] = 160
    kept, given, made = (colour.to_lab(x) for x in (colour.keep(photo, result, "chroma"), photo, result))
    assert abs(kept[..., 0] - made[..., 0]).max() < 1
    assert abs(kept[..., 1:] - given[..., 1:]).max() < 1.5
    red, green, blue = colour.to_rgb(np.float32([[[80, 100, 60]]]))[0, 0]  # redder than RGB can show
    assert red == 255 and max(green, blue) < 100


def test_mean_gives_the_photos_mean_and_deviation_of_chroma():
    kept, given = colour.to_lab(colour.keep(PHOTO, RESULT, "mean")), colour.to_lab(PHOTO)
    assert abs(kept[..., 1:].mean((0, 1)) - given[..., 1:].mean((0, 1))).max() < 1
    assert abs(kept[..., 1:].std((0, 1)) / given[..., 1:].std((0, 1)) - 1).max() < 0.1


@pytest.mark.parametrize("strength", [0, 0.25, 1])
def test_strength_is_the_share_of_the_result(strength):
    mixed = colour.keep(PHOTO, RESULT, strength=strength)
    assert abs(mixed - (strength * RESULT.astype(float) + (1 - strength) * PHOTO)).max() <= 0.5


def test_the_guided_filter_is_linear_in_the_guide_within_every_window():
    guide, image = np.random.default_rng(0).random((2, 9, 11))
    windows = {
        (y, x): (slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)) for y, x in np.ndindex(9, 11)
    }
    slope, offset, expected = np.empty((3, 9, 11))
    for place, window in windows.items():
        here, there = guide[window], image[window]
        slope[place] = ((here * there).mean() - here.mean() * there.mean()) / (here.var() + 1e-3)
        offset[place] = there.mean() - slope[place] * here.mean()
    for place, window in windows.items():
        expected[place] = slope[window].mean() * guide[place] + offset[window].mean()
    assert colour.guided_filter(guide, image, 2, 1e-3) == pytest.approx(expected)
