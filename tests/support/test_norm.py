"""The norms and the padded convolution beside their definitions and PyTorch's own, in any memory layout."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from support import norm
from support.norm import InstanceNorm, LayerNorm, PaddedConv2d, pooled

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def normal(layer):
    """The layer with random weights."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    return layer


def pictures(*size):
    return torch.randn(size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("kind", "over"), [(InstanceNorm, (2, 3)), (LayerNorm, (1, 2, 3))])
def test_a_norm_is_its_definition(kind, over, layout):
    layer, x = normal(kind(3)), pictures(2, 3, 5, 7).contiguous(memory_format=layout)
    mean, variance = x.mean(over, keepdim=True), x.var(over, correction=0, keepdim=True)
    weight, bias = (parameter.view(1, 3, 1, 1) for parameter in (layer.weight, layer.bias))
    wanted = (x - mean) / (variance + 1e-5).sqrt() * weight + bias
    assert torch.allclose(layer(x), wanted, atol=1e-6)
    assert kind is LayerNorm or layer(x).is_contiguous(memory_format=layout)


@pytest.mark.parametrize("kind", [InstanceNorm, LayerNorm])
def test_given_statistics_are_used_in_place_of_the_picture_s_own(kind):
    layer, x = normal(kind(3)), pictures(2, 3, 5, 7)
    layer.running_mean, layer.running_var = torch.tensor([1.0, 2, 3]), torch.tensor([4.0, 5, 6])
    mean, variance, weight, bias = (
        value.view(1, 3, 1, 1) for value in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    wanted = (x - mean) / (variance + 1e-5).sqrt() * weight + bias
    assert torch.allclose(layer(x), wanted, atol=1e-5)


@pytest.mark.parametrize("size", [(3, 5, 12, 10), (1, 4, 300, 300)])
@pytest.mark.parametrize("layout", ["channels_last", "contiguous", "strided"])
@pytest.mark.parametrize("grad_layout", ["channels_last", "contiguous", "expanded"])
def test_instance_norm_and_its_gradients_are_pytorch_s(size, layout, grad_layout):
    """Mixed layouts too: PyTorch's own batch norm kernels give wrong values for some of them."""
    x, grad = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    layer = InstanceNorm(size[1])
    nn.init.normal_(layer.weight)
    wanted = [
        x.double().requires_grad_(),
        *(p.detach().double().requires_grad_() for p in layer.parameters()),
    ]
    if grad_layout == "expanded":
        grad = torch.ones(()).expand(size)
    F.instance_norm(wanted[0], weight=wanted[1], bias=wanted[2]).backward(grad.double().contiguous())

    x = {
        "channels_last": x.contiguous(memory_format=torch.channels_last),
        "contiguous": x,
        "strided": F.pad(x, (1, 1, 1, 1))[..., 1:-1, 1:-1],
    }[layout].requires_grad_()
    if grad_layout == "channels_last":
        grad = grad.contiguous(memory_format=torch.channels_last)
    layer(x).backward(grad)
    for mine, theirs in zip((x, *layer.parameters()), wanted, strict=True):
        # A constant gradient gives the input and the weight none: rounding alone is left.
        assert (mine.grad - theirs.grad).norm() < 1e-4 * max(theirs.grad.norm(), grad.norm())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 2])
def test_beside_the_cpu_s_way_the_general_one_gives_the_same(count, layout, monkeypatch):
    """As an export or a GPU computes it."""
    layer, x = normal(InstanceNorm(3)), pictures(count, 3, 9, 7).contiguous(memory_format=layout)
    with torch.no_grad():
        mine = layer(x)
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        assert torch.allclose(layer(x), mine, atol=1e-6)
        assert layer(x).is_contiguous(memory_format=layout)
    assert layer(x).requires_grad and torch.allclose(layer(x), mine, atol=1e-6)


def test_a_large_picture_is_added_up_in_bands(monkeypatch):
    monkeypatch.setattr(norm, "BAND", 70)
    layer, x = normal(InstanceNorm(3)), 100 + pictures(2, 3, 23, 20)
    wanted = F.instance_norm(x.double(), weight=layer.weight.double(), bias=layer.bias.double())
    assert torch.allclose(layer(x).double(), wanted, atol=1e-4)
    x = x.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(layer(x).double(), wanted, atol=1e-4)


def test_pooled_statistics_are_those_of_all_together():
    rng = np.random.default_rng(0)
    parts = [rng.normal(n, n + 1, (3, count)) for n, count in enumerate((1, 5, 40))]
    whole = np.concatenate(parts, axis=1)
    each = [(part.shape[1], torch.tensor(part.var(1)), torch.tensor(part.mean(1))) for part in parts]
    variance, mean = pooled(each)
    assert variance.numpy() == pytest.approx(whole.var(1), rel=1e-6)
    assert mean.numpy() == pytest.approx(whole.mean(1), rel=1e-6)


def test_reflection_padding_keeps_the_precision_under_autocast(monkeypatch):
    pad, padded = F.pad, []
    monkeypatch.setattr(F, "pad", lambda *args: padded.append(pad(*args)) or padded[-1])
    convolution = PaddedConv2d(3, 4, 7, padding=3, padding_mode="reflect")
    with torch.autocast("cpu", torch.bfloat16):
        convolution(torch.ones(1, 3, 8, 8, dtype=torch.bfloat16))
    assert [(x.dtype, x.shape) for x in padded] == [(torch.bfloat16, (1, 3, 14, 14))]


@pytest.mark.parametrize("mode", ["reflect", "zeros"])
def test_a_padded_convolution_is_pytorch_s(mode):
    mine = PaddedConv2d(3, 4, 7, padding=3, padding_mode=mode)
    theirs = nn.Conv2d(3, 4, 7, padding=3, padding_mode=mode)
    theirs.load_state_dict(mine.state_dict())
    x = pictures(2, 3, 9, 8)
    assert torch.allclose(mine(x), theirs(x), atol=1e-6)
