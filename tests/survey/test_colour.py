"""The two ways to keep the photograph's colours."""

import numpy as np
import torch
from skimage.color import rgb2yiq

from survey import colour


def picture(seed, low, high):
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.rand(1, 3, 20, 30, generator=generator)
    mixed[:, 1] = 0.6 * mixed[:, 0] + 0.4 * mixed[:, 1]  # correlated channels
    return low + (high - low) * mixed


def test_a_drawing_gets_the_photographs_mean_and_covariance():
    photo, drawing = picture(0, -0.3, 0.4), picture(1, -1, 1)
    pixels, targets = (x[0].flatten(1) for x in (colour.match_colours(drawing, photo), photo))
    torch.testing.assert_close(pixels.mean(1), targets.mean(1))
    torch.testing.assert_close(torch.cov(pixels), torch.cov(targets))
    ramp = torch.linspace(-1, 1, 20).expand(1, 3, 20, 20)  # the symmetric root does not rotate colours
    matched = colour.match_colours(ramp, ramp / 2 + 0.25)
    torch.testing.assert_close(matched, ramp / 2 + 0.25, rtol=0, atol=1e-3)


def test_the_luminance_is_y_of_yiq_and_gets_the_photographs_mean_and_deviation():
    pictures = picture(0, 0, 0.5), picture(1, -1, 1)
    photo, drawing = map(colour.luminance, pictures)
    expected = rgb2yiq(pictures[0][0].permute(1, 2, 0).numpy())[..., 0]
    np.testing.assert_allclose(photo[0, 0], expected, atol=1e-6)
    matched = colour.match_luminance(drawing, photo)
    torch.testing.assert_close(matched.mean(), photo.mean())
    torch.testing.assert_close(matched.std(), photo.std())
