"""Tiles against the whole, and the receptive field that they overlap by."""

import numpy as np
import pytest
import torch

import inference
from networks import Generator, InstanceNorm


def prepared(precision="fp32", **architecture):
    torch.manual_seed(0)
    generator = Generator(**{"ngf": 4, "nb": 1} | architecture)
    for layer in generator.modules():
        if isinstance(layer, InstanceNorm):
            torch.nn.init.uniform_(layer.weight, 0.5, 1)
    return inference.prepare(generator, torch.device("cpu"), precision)


def photo(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize(
    "architecture",
    [{}, {"nb": 2}, {"nb": 0}, {"res_convs": 3}, {"upsample": "resize"}, {"padding": "zeros", "nb": 3}],
)
def test_receptive_field_is_what_gradients_reach(architecture):
    generator = prepared(**architecture).double()
    for layer in generator.modules():  # the statistics see everything: they are held apart
        if isinstance(layer, InstanceNorm):
            layer.running_mean = torch.zeros(layer.num_features).double()
            layer.running_var = torch.ones(layer.num_features).double()
            torch.nn.init.constant_(layer.bias, 1)  # ReLUs let gradients through
        elif hasattr(layer, "weight"):
            torch.nn.init.uniform_(layer.weight, 0.01, 0.02)
    reach, middle = 0, 100
    for pixel in range(middle, middle + 4):
        x = torch.zeros(1, 3, 200, 200, dtype=torch.double, requires_grad=True)
        y = generator.up(generator.blocks(generator.down(x)))[0, :, pixel, pixel].sum()
        touched = torch.autograd.grad(y, x)[0].abs().sum((0, 1, 2)).nonzero()
        reach = max(reach, pixel - touched.min().item(), touched.max().item() - pixel)
    assert reach <= inference.receptive_field(generator) <= reach + 3


def test_receptive_field_of_the_authors_network():
    with torch.device("meta"):
        assert inference.receptive_field(Generator()) == 85


@pytest.mark.parametrize("size", [(70, 130), (5, 90), (64, 64)])
@pytest.mark.parametrize("upsample", ["deconv", "resize"])
def test_tiles_make_the_whole_where_its_statistics_are_known(monkeypatch, size, upsample):
    generator = prepared(upsample=upsample)
    monkeypatch.setattr(inference.images, "fit_within", lambda image, longest: image)
    (whole,) = inference.stylise(generator, [photo(*size)])
    tiled = inference.stylise_in_tiles(generator, photo(*size), 16)
    assert tiled.shape == whole.shape
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_tiles_leave_the_network_as_it_was():
    generator = prepared()
    before = inference.stylise(generator, [photo(16, 16)])
    inference.stylise_in_tiles(generator, photo(90, 90), 16)
    assert (inference.stylise(generator, [photo(16, 16)])[0] == before[0]).all()


def test_statistics_come_from_no_more_pixels_than_a_tile(monkeypatch):
    seen, stylise = [], inference.stylise
    monkeypatch.setattr(
        inference, "stylise", lambda g, photos: seen.append(photos[0].shape) or stylise(g, photos)
    )
    inference.stylise_in_tiles(prepared(), photo(300, 200), 32)
    height, width = seen[0][:2]
    assert abs(height / width - 1.5) < 0.05
    largest = max(h * w for h, w, _ in seen[1:])
    assert 0.9 * largest < height * width <= largest


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_only_convolutions_are_narrowed(precision):
    generator = prepared(precision)
    kinds = {
        type(layer).__name__: layer.weight.dtype for layer in generator.modules() if hasattr(layer, "weight")
    }
    narrow = torch.bfloat16 if precision == "bf16" else torch.float32
    assert kinds == {"Conv2d": narrow, "ConvTranspose2d": narrow, "InstanceNorm": torch.float32}
    exact, near = (inference.stylise(g, [photo(32, 32)])[0].astype(int) for g in (prepared(), generator))
    assert np.abs(exact - near).mean() < 3


def test_out_of_memory_is_known_by_its_words():
    for error in (torch.OutOfMemoryError("x"), MemoryError()):
        assert inference.is_out_of_memory(error)
    with pytest.raises(RuntimeError) as told:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert inference.is_out_of_memory(told.value)
    assert not inference.is_out_of_memory(RuntimeError("shapes do not agree"))
