"""The two ways to keep the photograph's colours."""

import numpy as np
import torch
from skimage.color import rgb2yiq

from survey import colour


def picture(seed, low, high):
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.rand(1, 3, 20, 30, generator=generator)
    mixed[:, 1] = 0.6 * mixed[:, 0] + 0.4 * mixed[:, 1]  # channels that go together
    return low + (high - low) * mixed


def spread(picture):
    colours = picture[0].flatten(1)
    return colours.mean(1), torch.cov(colours)


def yiq(picture):
    return rgb2yiq(picture[0].permute(1, 2, 0).numpy())


def test_a_drawing_gets_the_photographs_mean_and_covariance():
    photo, drawing = picture(0, -0.3, 0.4), picture(1, -1, 1)
    matched = colour.match_colours(drawing, photo)
    for got, wanted in zip(spread(matched), spread(photo), strict=True):
        torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(colour.match_colours(photo, photo), photo)


def test_colours_move_as_little_as_they_can():
    """The symmetric root does not turn them: of two grey ramps one becomes the other."""
    ramp = torch.linspace(-1, 1, 20).expand(1, 3, 20, 20)
    matched = colour.match_colours(ramp, ramp / 2 + 0.25)
    torch.testing.assert_close(matched, ramp / 2 + 0.25, rtol=0, atol=1e-3)


def test_flat_drawings_and_photographs_have_finite_colours():
    flat, photo = torch.full((1, 3, 20, 30), 0.5), picture(0, -0.5, 0.5)
    assert colour.match_colours(flat, photo).isfinite().all()
    torch.testing.assert_close(colour.match_colours(photo, flat), flat, rtol=0, atol=0.02)
    grey = torch.full((1, 1, 20, 30), 0.5)
    assert colour.match_luminance(grey, colour.luminance(photo)).isfinite().all()


def test_a_luminance_gets_the_photographs_mean_and_deviation():
    photo, drawing = colour.luminance(picture(0, 0, 0.5)), colour.luminance(picture(1, -1, 1))
    matched = colour.match_luminance(drawing, photo)
    torch.testing.assert_close(matched.mean(), photo.mean())
    torch.testing.assert_close(matched.std(), photo.std())


def test_another_luminance_leaves_the_chroma():
    photo = picture(0, -0.4, 0.4)
    np.testing.assert_allclose(colour.luminance(photo)[0, 0], yiq(photo)[..., 0], atol=1e-6)
    changed = colour.with_luminance(photo, colour.luminance(photo) + 0.3)
    np.testing.assert_allclose(
        yiq(changed) - yiq(photo), np.broadcast_to([0.3, 0, 0], (20, 30, 3)), atol=1e-4
    )
    torch.testing.assert_close(colour.with_luminance(photo, colour.luminance(photo)), photo)
