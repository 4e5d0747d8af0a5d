"""What flattening and outlining do to flat areas, texture and borders; the guided filter."""

import cv2
import pytest
import torch

from support.filters import Flatten, guided_filter


def photo(height=40, width=48, seed=0):
    """Dark left, light right, with fine texture."""
    picture = torch.full((1, 3, height, width), -0.5)
    picture[..., width // 2 :] = 0.5
    return picture + 0.1 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))


def test_a_plain_picture_is_unchanged():
    plain = torch.full((2, 3, 16, 20), 0.3)
    assert torch.allclose(Flatten(3, outline=1)(plain), plain, atol=1e-6)
    assert Flatten(0)(plain) is plain


def test_texture_is_removed_and_the_border_stays_sharp():
    flat = Flatten(2)(photo())
    left, right = flat[..., :20], flat[..., 28:]
    assert max(left.std(), right.std()) < 0.02  # of 0.1
    assert left.mean().item() == pytest.approx(-0.5, abs=0.02)
    jumps = flat.mean((0, 1, 2)).diff()  # column by column
    assert jumps.argmax() == 23 and jumps.max() > 0.99


def test_an_outline_is_a_thin_dark_line_on_the_dark_side_of_a_border():
    flat, inked = Flatten(2)(photo()), Flatten(2, outline=1)(photo())
    change = (inked - flat).mean((0, 1, 2))  # column by column
    assert change[22:24].min() < -0.4 and (change > -0.05).sum() >= 44
    assert torch.allclose(Flatten(2, outline=0.5)(photo()), (flat + inked) / 2, atol=1e-5)
    colours = torch.zeros(1, 3, 32, 40)  # of one brightness
    colours[:, 0, :, :20], colours[:, 1, :, 20:] = 0.6, 0.6
    assert Flatten(0, outline=1)(colours).amin(1)[..., 19:21].max() < -0.4


def test_borders_of_all_directions_are_outlined_alike():
    y, x = torch.meshgrid(torch.arange(40), torch.arange(48), indexing="ij")
    for bright in (x > 24, x + y > 44, x - y > 4):
        picture = torch.where(bright, 0.5, -0.5).expand(1, 3, 40, 48)
        assert (picture - Flatten(0, outline=1)(picture)).max().item() == pytest.approx(0.49, abs=0.02)


def test_a_rough_texture_gets_less_ink_than_a_contour():
    rough = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)).sub(0.5)
    rough = torch.nn.functional.interpolate(rough, scale_factor=4)  # squares of 4 pixels at random
    border = torch.full((1, 3, 48, 48), -0.5)
    border[..., 24:] = 0.5
    ink = lambda picture: (picture - Flatten(0, outline=1)(picture)).amax(1)
    assert ink(rough).quantile(0.9) < 0.3 < ink(border)[..., 22:24].amax()


def test_each_picture_is_flattened_alone_in_float32_and_without_gradients():
    pictures = torch.cat([photo(seed=seed) for seed in range(3)]).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        together = Flatten(1)(pictures)
    for one, flat in zip(pictures, together, strict=True):
        assert torch.allclose(Flatten(1)(one[None])[0], flat, atol=1e-6)
    assert not together.requires_grad and Flatten(1)(photo().bfloat16()).dtype == torch.float32


def test_the_guided_filter_equals_its_definition_in_box_blurs():
    guide, picture = (photo(seed=seed)[0, 0].numpy() for seed in (1, 2))
    blur = lambda x: cv2.blur(x, (9, 9), borderType=cv2.BORDER_REFLECT_101)
    slope = (blur(guide * picture) - blur(guide) * blur(picture)) / (blur(guide**2) - blur(guide) ** 2 + 0.01)
    expected = blur(slope) * guide + blur(blur(picture) - slope * blur(guide))
    result = guided_filter(*(torch.from_numpy(x)[None, None] for x in (guide, picture)), 4)
    assert torch.allclose(result[0, 0], torch.from_numpy(expected), atol=1e-5)
