"""Texture synthesis of small drawings with random weights."""

import pytest
import torch

from survey import layers, style, texture


@pytest.fixture
def options(pair, tmp_path):
    return lambda steps: texture.parse([str(pair[1]), str(tmp_path / "x.png"), "--steps", str(steps)])


def test_the_texture_of_a_constant_picture_is_constant(wider_vgg, options):
    colour = torch.tensor([0.5, -0.2, 0.1])
    torch.manual_seed(0)
    made, _ = texture.paint(options(120), wider_vgg, None, [colour.view(1, 3, 1, 1).expand(1, 3, 24, 24)])
    inner = made[0, :, 4:-4, 4:-4]  # zero padding makes the border different
    torch.testing.assert_close(inner.mean((1, 2)), colour, rtol=0, atol=0.01)
    assert inner.std((1, 2)).max() < texture.NOISE / 5


def test_the_loss_is_that_of_the_papers_layers_and_is_halved(vgg, options, pictures):
    _, drawing = pictures
    torch.manual_seed(0)
    _, before = texture.paint(options(1), vgg, None, [drawing])
    torch.manual_seed(0)
    made, after = texture.paint(options(20), vgg, None, [drawing])
    assert made.shape == drawing.shape and after["style"] < before["style"] / 2
    vgg, names = layers.pool_by_average(vgg), ["relu1_1", "pool1", "pool2", "pool3", "pool4"]
    grams = [[style.gram(each) for each in layers.features(vgg, x, names).values()] for x in (made, drawing)]
    errors = [(g - a).square().sum() / a.square().sum() for g, a in zip(*grams, strict=True)]
    assert after["style"] == pytest.approx(sum(errors).item() / 5, rel=1e-4)
