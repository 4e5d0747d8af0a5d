"""The layers of VGG19 by name."""

import pytest
import torch
from torch import nn

from networks import VGG19
from survey import layers


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return VGG19(width=4, deeper=True)


def test_names_stand_for_the_layers_that_they_say(vgg):
    block, convolution = 1, 0
    for place, layer in enumerate(vgg.features):
        if isinstance(layer, nn.Conv2d):
            convolution += 1
        elif isinstance(layer, nn.ReLU):
            name = f"relu{block}_{convolution}"
            assert layers.PLACES[name] == place
        else:
            assert layers.PLACES[f"pool{block}"] == place
            block, convolution = block + 1, 0
    assert len(layers.PLACES) == place + 1 - sum(isinstance(layer, nn.Conv2d) for layer in vgg.features)


def test_maps_go_by_their_names_in_any_order(vgg):
    picture = torch.rand(1, 3, 32, 32)
    maps = layers.features(vgg, picture, ["pool2", "relu1_1"])
    assert {name: (*each.shape[1:],) for name, each in maps.items()} == {
        "relu1_1": (4, 32, 32),
        "pool2": (8, 8, 8),
    }
    torch.testing.assert_close(maps["pool2"], vgg.features[:10](vgg.normalise(picture)))


def test_what_weights_do_not_have_is_told(vgg, capsys):
    names = ["relu1_1", "pool4", "relu5_1"]
    assert layers.available(vgg, names) == names and capsys.readouterr().err == ""
    assert layers.available(VGG19(width=4), names) == ["relu1_1"]
    assert capsys.readouterr().err == "these VGG19 weights end at conv4_4: pool4, relu5_1 left out\n"


def test_poolings_take_means_in_a_copy(vgg):
    picture = torch.rand(1, 3, 32, 32)
    before = layers.features(vgg, picture, ["relu1_2", "pool1"])
    soft = layers.features(layers.pool_by_average(vgg), picture, ["pool1"])["pool1"]
    torch.testing.assert_close(soft, nn.functional.avg_pool2d(before["relu1_2"], 2))
    assert torch.equal(layers.features(vgg, picture, ["pool1"])["pool1"], before["pool1"])
