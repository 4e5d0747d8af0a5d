"""Losses that look at pixels, against values by hand and against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from CartoonGAN import chroma, colour_loss, pixel_loss, total_variation


def pictures(seed, count=2):
    return 2 * torch.rand(count, 3, 6, 5, generator=torch.Generator().manual_seed(seed)) - 1


def test_total_variation():
    assert total_variation(torch.full((2, 3, 4, 5), 0.7)) == 0
    ramp = torch.arange(5.0).expand(2, 3, 4, 5)  # 1 a pixel across
    assert total_variation(ramp).item() == 1
    assert total_variation(ramp - 2 * torch.arange(4.0)[:, None]).item() == 3
    assert total_variation(ramp.half()).dtype == torch.float32


def test_chroma_is_that_of_cie_lab():
    picture = pictures(0)
    picture[0, :, 0, :2] = torch.tensor([[-1.0, 1.0]])  # black and white
    wanted = np.stack([rgb2lab(((one + 1) / 2).permute(1, 2, 0).numpy())[..., 1:] for one in picture])
    assert chroma(picture).permute(0, 2, 3, 1).numpy() == pytest.approx(wanted, abs=0.02)


def test_colour_loss_is_a_mean_distance():
    result, photo = pictures(1), pictures(2)
    wanted = (chroma(result) - chroma(photo)).norm(dim=1).mean().item()
    assert colour_loss(result, photo).item() == pytest.approx(wanted, rel=1e-3)
    assert colour_loss(result.bfloat16(), photo).dtype == torch.float32


def test_brightness_of_grey_is_no_colour():
    grey = torch.linspace(-1, 1, 12).view(1, 1, 3, 4).expand(1, 3, 3, 4)
    assert colour_loss(grey, torch.zeros_like(grey)).item() < 0.05
    assert colour_loss(grey + torch.tensor([0.5, 0, 0]).view(1, 3, 1, 1), grey).item() > 10


def test_gradients_are_finite_everywhere():
    """Also at black, where a root and a power of 2.4 have none, and where result and photo are the same."""
    picture = torch.full((1, 3, 2, 2), -1.0)
    picture[..., 1] = 1
    result = picture.clone().requires_grad_()
    colour_loss(result, picture).backward()
    assert result.grad.isfinite().all()


def test_a_tint_costs_more_than_a_black_line():
    photo = torch.full((2, 3, 16, 24), -0.5)
    line, tint = photo.clone(), photo + 0.1
    line[..., 12] = -1
    assert pixel_loss(photo, photo) == 0
    assert pixel_loss(line, photo).item() == pytest.approx(0.5 / 24)
    assert pixel_loss(tint, photo).item() == pytest.approx(0.1)
    assert pixel_loss(line.bfloat16(), photo.bfloat16()).dtype == torch.float32
