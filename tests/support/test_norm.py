"""The norms and the padded convolution against their definitions and PyTorch's own, in any memory layout."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from support import norm
from support.norm import InstanceNorm, LayerNorm, PaddedConv2d

LAYOUTS = [torch.contiguous_format, torch.channels_last]
KINDS = [(InstanceNorm, (2, 3)), (LayerNorm, (1, 2, 3))]


def normal(layer):
    """The layer with random weights."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    return layer


def pictures(*size):
    return torch.randn(size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("kind", "over"), KINDS)
def test_a_norm_equals_its_definition(kind, over, layout):
    """Also if the variance is so small that eps matters, and with given statistics."""
    for layer, scale, eps in ((kind(3), 1, 1e-5), (kind(3), 3e-3, 1e-5), (kind(3, eps=0.5), 1, 0.5)):
        x = (scale * pictures(2, 3, 5, 7)).contiguous(memory_format=layout)
        weight, bias = (parameter.view(1, 3, 1, 1) for parameter in normal(layer).parameters())
        mean, variance = x.mean(over, keepdim=True), x.var(over, correction=0, keepdim=True)
        expected = (x - mean) / (variance + eps).sqrt() * weight + bias
        assert torch.allclose(layer(x), expected, atol=1e-6)
        assert kind is LayerNorm or layer(x).is_contiguous(memory_format=layout)
        layer.running_mean, layer.running_var = torch.tensor([1.0, 2, 3]), torch.tensor([4.0, 5, 6])
        mean, variance = (value.view(1, 3, 1, 1) for value in (layer.running_mean, layer.running_var))
        assert torch.allclose(layer(x), (x - mean) / (variance + eps).sqrt() * weight + bias, atol=1e-5)


ARRANGED = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "strided": lambda x: F.pad(x, (1, 1, 1, 1))[..., 1:-1, 1:-1],
    "expanded": lambda x: torch.ones(()).expand_as(x),
}


@pytest.mark.parametrize("size", [(3, 5, 12, 10), (1, 4, 300, 300)])
@pytest.mark.parametrize("layout", ["channels_last", "contiguous", "strided"])
@pytest.mark.parametrize("grad_layout", ["channels_last", "contiguous", "expanded"])
def test_the_gradients_of_instance_norm_are_pytorchs(size, layout, grad_layout):
    x, grad = pictures(2, *size)
    layer, x, grad = normal(InstanceNorm(size[1])), ARRANGED[layout](x), ARRANGED[grad_layout](grad)
    expected = [value.detach().double().requires_grad_() for value in (x, layer.weight, layer.bias)]
    F.instance_norm(expected[0], weight=expected[1], bias=expected[2]).backward(grad.double().contiguous())
    layer(x.requires_grad_()).backward(grad)
    for mine, theirs in zip((x, *layer.parameters()), expected, strict=True):
        # A constant gradient gives the input and the weight none: only rounding remains.
        assert (mine.grad - theirs.grad).norm() < 1e-4 * max(theirs.grad.norm(), grad.norm())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_normalised_in_float32(dtype, affine, layout):
    x = (3 + pictures(2, 3, 9, 7)).to(dtype).contiguous(memory_format=layout)
    y = InstanceNorm(3, affine=affine)(x)
    expected = F.instance_norm(x.double())
    assert y.dtype == dtype and (y.double() - expected).norm() < 5e-3 * expected.norm()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_large_picture_is_summed_in_bands(layout, monkeypatch):
    """Bands of three rows and a last one of two, with different means."""
    monkeypatch.setattr(norm, "BAND", 70)
    layer = normal(InstanceNorm(3))
    x = (100 + pictures(2, 3, 23, 20) + torch.arange(23.0)[:, None]).contiguous(memory_format=layout)
    expected = F.instance_norm(x.double(), weight=layer.weight.double(), bias=layer.bias.double())
    assert torch.allclose(layer(x).double(), expected, atol=1e-4)


@pytest.mark.parametrize("kind", [InstanceNorm, LayerNorm])
def test_on_a_gpu_a_norm_keeps_the_precision(kind, monkeypatch):
    """Meta tensors take the GPU's path. Its group norm refuses half precision with float32 weights."""
    inputs, group_norm = [], F.group_norm
    monkeypatch.setattr(F, "group_norm", lambda x, *a, **k: inputs.append(x.dtype) or group_norm(x, *a, **k))
    with torch.device("meta"):
        assert kind(4)(torch.empty(2, 4, 8, 6, dtype=torch.float16)).dtype == torch.float16
    assert {*inputs} == ({torch.float32} if kind is LayerNorm else set())


@pytest.mark.parametrize("mode", ["reflect", "zeros"])
def test_a_padded_convolution_equals_pytorchs_and_pads_in_half_precision(mode, monkeypatch):
    mine = PaddedConv2d(3, 4, 7, padding=3, padding_mode=mode)
    theirs = nn.Conv2d(3, 4, 7, padding=3, padding_mode=mode)
    theirs.load_state_dict(mine.state_dict())
    assert torch.allclose(mine(pictures(2, 3, 9, 8)), theirs(pictures(2, 3, 9, 8)), atol=1e-6)
    pad, padded = F.pad, []
    monkeypatch.setattr(F, "pad", lambda *args: padded.append(pad(*args)) or padded[-1])
    with torch.autocast("cpu", torch.bfloat16):
        mine(pictures(2, 3, 9, 8).bfloat16())
    assert {x.dtype for x in padded} == ({torch.bfloat16} if mode == "reflect" else set())
