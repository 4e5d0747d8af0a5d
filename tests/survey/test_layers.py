"""The layers of VGG19 by name."""

import torch
from torch import nn

from survey import layers


def test_names_are_those_of_the_layers(vgg):
    block, convolution, indices = 1, 0, {}
    for index, layer in enumerate(vgg.features):
        if isinstance(layer, nn.Conv2d):
            convolution += 1
        elif isinstance(layer, nn.ReLU):
            indices[f"relu{block}_{convolution}"] = index
        else:
            indices[f"pool{block}"] = index
            block, convolution = block + 1, 0
    assert indices == layers.INDICES


def test_features_by_name_in_any_order_and_with_average_pooling(vgg):
    picture = torch.rand(1, 3, 32, 32)
    maps = layers.features(vgg, picture, ["pool2", "relu1_1", "relu1_2"])
    assert [*maps["relu1_1"].shape] == [1, 4, 32, 32]
    torch.testing.assert_close(maps["pool2"], vgg.features[:10](vgg.normalise(picture)))
    averaged = layers.features(layers.pool_by_average(vgg), picture, ["pool1"])["pool1"]
    torch.testing.assert_close(averaged, nn.functional.avg_pool2d(maps["relu1_2"], 2))
    assert layers.features(vgg, picture, ["pool2"])["pool2"].equal(maps["pool2"])  # a copy was changed
