"""The norms and the padded convolution beside their definitions and PyTorch's own, in any memory layout."""

import types

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


# A GPU's forms, which compute the same on any device


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("compute", [norm._written_out, norm._NormPictureByPicture.apply])
def test_a_form_of_instance_norm_is_its_definition(compute, dtype, layout):
    layer, x = normal(InstanceNorm(3)), pictures(2, 3, 9, 7).to(dtype).contiguous(memory_format=layout)
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    x.requires_grad_()
    wanted = [value.detach().double().requires_grad_() for value in (x, layer.weight, layer.bias)]
    y = F.instance_norm(wanted[0], weight=wanted[1], bias=wanted[2])
    y.backward(grad.double())
    made = compute(x, layer.weight, layer.bias, layer.eps)
    made.backward(grad)
    assert made.dtype == dtype and made.is_contiguous(memory_format=layout)
    near = 1e-5 if dtype == torch.float32 else 2e-2
    pairs = [
        (made, y),
        *((mine.grad, one.grad) for mine, one in zip((x, *layer.parameters()), wanted, strict=True)),
    ]
    for mine, one in pairs:
        assert (mine.double() - one).norm() < near * one.norm()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("width", "size"), [(3, (9, 8)), (1, (5, 4)), (3, (4, 4)), (1, (2, 2))])
def test_joined_padding_and_its_gradient_are_pytorch_s(width, size, layout):
    x = pictures(2, 5, *size).double().contiguous(memory_format=layout).requires_grad_()
    mine = norm._Reflect.apply(x, width)
    wanted = F.pad(x, (width,) * 4, "reflect")
    assert torch.equal(mine, wanted) and mine.is_contiguous(memory_format=layout)
    grad = torch.randn(mine.shape, generator=torch.Generator().manual_seed(1)).double()
    grads = [
        torch.autograd.grad(made, x, grad.contiguous(memory_format=layout))[0] for made in (mine, wanted)
    ]
    assert torch.allclose(*grads, atol=1e-12) and grads[0].is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("kind", ["instance", "layer", "padding"])
def test_on_a_gpu_a_layer_keeps_the_layout_forward_and_backward(kind, dtype, monkeypatch):
    """Of meta tensors, which go a GPU's way; of a meta convolution, which has no layout, the padding."""
    monkeypatch.setattr(F, "conv2d", lambda x, *_: x)
    with torch.device("meta"):
        layer = PaddedConv2d(4, 4, 3, padding=1, padding_mode="reflect").to(dtype)
        layer = {"instance": InstanceNorm(4), "layer": LayerNorm(4), "padding": layer}[kind]
        layer = layer.to(memory_format=torch.channels_last)
        x = torch.empty(2, 4, 8, 6, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
        y = layer(x)
        assert y.dtype == dtype and y.is_contiguous(memory_format=torch.channels_last)
        y.backward(torch.empty_like(y))
        assert x.grad.is_contiguous(memory_format=torch.channels_last)


def test_one_picture_on_a_gpu_does_not_go_through_cudnn(monkeypatch):
    """F.batch_norm would hand it to cuDNN, which limits the range of values."""
    monkeypatch.setattr(F, "batch_norm", None)
    with torch.device("meta"), torch.inference_mode():
        x = torch.empty(1, 4, 8, 6).to(memory_format=torch.channels_last)
        assert InstanceNorm(4)(x).is_contiguous(memory_format=torch.channels_last)


def test_the_forms_can_be_chosen(monkeypatch):
    called = []
    for name in ("_written_out", "_Reflect", "_NormPictureByPicture"):
        took = lambda *_, name=name: called.append(name) or _[0]
        monkeypatch.setattr(norm, name, took if name == "_written_out" else types.SimpleNamespace(apply=took))
    monkeypatch.setattr(norm, "_compiled", lambda: norm._written_out)
    with torch.device("meta"):
        layers = InstanceNorm(4), PaddedConv2d(4, 4, 3, padding=1, padding_mode="reflect")
        x = torch.empty(2, 4, 8, 6).to(memory_format=torch.channels_last)
        for chosen in ({}, {"norm": "compiled"}, {"norm": "pytorch", "padding": "pytorch"}, {}):
            called.append(chosen)
            with norm.forms(**chosen):
                assert [layer(x).shape[1] for layer in layers] == [4, 4]
        layers[0](x.contiguous())  # of contiguous channels PyTorch's own is a view
    default = ["_NormPictureByPicture", "_Reflect"]
    wanted = [{}, *default, {"norm": "compiled"}, "_written_out", "_Reflect"]
    assert called == [*wanted, {"norm": "pytorch", "padding": "pytorch"}, {}, *default]


def test_layer_norm_on_a_gpu_is_given_no_half_precision(monkeypatch):
    """Its group norm refuses it beside weights of float32."""
    given, group_norm = [], F.group_norm
    monkeypatch.setattr(F, "group_norm", lambda x, *a, **k: given.append(x.dtype) or group_norm(x, *a, **k))
    with torch.device("meta"):
        assert LayerNorm(4)(torch.empty(2, 4, 8, 6, dtype=torch.float16)).dtype == torch.float16
    assert set(given) == {torch.float32}


@pytest.mark.parametrize("mode", ["reflect", "zeros"])
def test_a_padded_convolution_is_pytorch_s(mode):
    mine = PaddedConv2d(3, 4, 7, padding=3, padding_mode=mode)
    theirs = nn.Conv2d(3, 4, 7, padding=3, padding_mode=mode)
    theirs.load_state_dict(mine.state_dict())
    x = pictures(2, 3, 9, 8)
    assert torch.allclose(mine(x), theirs(x), atol=1e-6)
