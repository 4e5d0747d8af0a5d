"""Deep image analogy on small pictures with random weights."""

import pytest
import torch
import torch.nn.functional as F

from survey import analogy, layers


def scene(height, width, cells=9):
    """Patches of colour with some grain, (1,3,H,W)."""
    random = torch.Generator().manual_seed(2)
    patches = torch.rand(1, 3, cells, cells, generator=random) * 1.6 - 0.8
    grain = torch.rand(1, 3, height, width, generator=random) - 0.5
    return (F.interpolate(patches, (height, width), mode="bicubic") + 0.5 * grain).clamp(-1, 1)


def test_blending_by_hand():
    own, other = torch.zeros(1, 2, 1, 3), torch.full((1, 2, 1, 3), 7.0)
    own[0, 0, 0] = torch.tensor([0.0, 0.05**0.5, 1.0])  # responses 0, tau and 1
    blended = analogy.blend(own, other, "relu2_1")[0, 0, 0]
    assert blended[0] == pytest.approx(7, abs=1e-4)
    assert blended[1] == pytest.approx(0.3 * 0.05**0.5 + 0.7 * 7, rel=1e-4)  # sigmoid(0) of 0.6
    assert blended[2] == pytest.approx(0.6 * 1 + 0.4 * 7)


def test_deconvolution_halves_its_error_and_keeps_what_is_right(vgg):
    maps = layers.features(vgg, scene(64, 64), ["relu1_1", "relu2_1"])
    target, start = maps["relu2_1"], layers.features(vgg, -scene(64, 64).flip(3), ["relu1_1"])["relu1_1"]
    between = vgg.features[layers.INDICES["relu1_1"] + 1 : layers.INDICES["relu2_1"] + 1]
    relative = lambda maps: ((between(maps) - target).square().sum() / target.square().sum()).item()
    found, loss = analogy.deconvolve(vgg, target, "relu2_1", "relu1_1", start, 30)
    assert loss == pytest.approx(relative(found), rel=1e-4)
    assert loss < relative(start) / 2
    found, loss = analogy.deconvolve(vgg, target, "relu2_1", "relu1_1", maps["relu1_1"], 5)
    assert found.equal(maps["relu1_1"]) and loss == 0


def test_a_shifted_and_recoloured_copy_gets_the_drawings_colours(vgg):
    whole = scene(96, 96, 20)
    recolour = lambda picture: 0.8 * picture + torch.tensor([0.1, 0, -0.1]).view(1, 3, 1, 1)
    photo, drawing = whole[..., 16:80, 16:80], recolour(whole)[..., 8:, 8:]
    args = analogy.parse([__file__, __file__, "out.png", "--steps", "8"])
    picture, _ = analogy.paint(args, vgg, photo, [drawing])
    error = (picture - recolour(photo))[..., 8:-8, 8:-8].abs()
    assert (error < 0.01).float().mean() > 0.95  # means of patches blur a few places
