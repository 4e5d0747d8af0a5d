"""Texture synthesis of small drawings with random weights."""

import pytest
import torch

from survey import layers, style, texture


def test_the_loss_is_that_of_the_papers_layers_and_is_halved(vgg, pair, pictures):
    _, drawing = pictures

    def paint(steps):
        torch.manual_seed(0)
        args = texture.parse([str(pair[1]), "x.png", "--steps", str(steps)])
        return texture.paint(args, vgg, None, [drawing])

    (_, before), (made, after) = paint(1), paint(20)
    assert made.shape == drawing.shape and after["style"] < before["style"] / 2
    averaged, names = layers.pool_by_average(vgg), ["relu1_1", "pool1", "pool2", "pool3", "pool4"]
    maps, drawn = (layers.features(averaged, picture, names) for picture in (made, drawing))
    losses = [style.loss_to(drawn[name], "gram")(maps[name]).item() for name in names]
    assert after["style"] == pytest.approx(sum(losses) / 5, rel=1e-4)
