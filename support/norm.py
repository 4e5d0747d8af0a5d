"""Instance norm and reflection padding, as fast as each processor allows, and exact for large pictures."""

import contextlib
import functools

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-5
BAND = 2**16  # pixels that batch norm may add up in float32
GPU = ("cuda", "meta")  # meta tensors go a GPU's way, so that it can be looked into without one

# How a GPU computes the norm and the padding of channels_last. PyTorch's own give back contiguous channels,
# which the next layer copies. Chosen by counted bytes (docs/gpu.md); python -m benchmark gpu times them all.
FORMS = {"norm": ("pictures", "compiled", "pytorch"), "padding": ("joined", "pytorch")}
_chosen = {}


@contextlib.contextmanager
def forms(**chosen):
    """In this context the norm and the padding of channels_last take these forms: forms(norm="pytorch")."""
    before = dict(_chosen)
    _chosen.update(chosen)
    try:
        yield
    finally:
        _chosen.clear()
        _chosen.update(before)


def _form(part, x):
    """The form of "norm" or "padding" for x: PyTorch's own where channels lie one after the other."""
    if not _is_last(x):
        return "pytorch"
    return _chosen.get(part) or (FORMS[part][0] if x.device.type in GPU else "pytorch")


class PaddedConv2d(nn.Conv2d):
    """A convolution whose reflection padding keeps the precision, and the memory layout on a GPU."""

    def forward(self, x):
        if self.padding_mode == "zeros":
            return super().forward(x)
        if _form("padding", x) == "joined":
            x = _Reflect.apply(x, self.padding[0])
        else:
            with torch.autocast("cpu", enabled=False):  # it would pad in float32
                x = F.pad(x, self.padding * 2, self.padding_mode)
        return F.conv2d(x, self.weight, self.bias, self.stride)


class _Reflect(torch.autograd.Function):
    """Reflection padding by two concatenations, and back by adding what was reflected."""

    @staticmethod
    def forward(ctx, x, width):
        ctx.width = width
        for dim in (2, 3):
            before, after = x.narrow(dim, 1, width), x.narrow(dim, x.shape[dim] - width - 1, width)
            x = torch.cat([before.flip(dim), x, after.flip(dim)], dim)
        return x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        width = ctx.width
        for dim in (3, 2):
            size = grad.shape[dim] - 2 * width
            inner = grad.narrow(dim, width, size).clone()
            inner.narrow(dim, 1, width).add_(grad.narrow(dim, 0, width).flip(dim))
            inner.narrow(dim, size - width - 1, width).add_(grad.narrow(dim, size + width, width).flip(dim))
            grad = inner
        return grad, None


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm (Ulyanov et al., 2016) that keeps the memory layout of its input.

    PyTorch's own always gives back contiguous channels; a convolution of channels_last is two to five times
    faster on the CPU (measured in bfloat16), and every layer between must then agree. Given a running_mean
    and running_var (inference.py's tiles), it uses those in place of the picture's own.
    """

    def __init__(self, channels, eps=EPS, affine=True):
        super().__init__(channels, eps, affine=affine)

    def forward(self, x):
        weight, bias = self.weight, self.bias
        if self.running_mean is not None:
            mean, variance = self.running_mean, self.running_var
            return F.batch_norm(x, mean, variance, weight, bias, False, 0, self.eps)
        if weight is None:
            wide = torch.promote_types(x.dtype, torch.float32)
            weight, bias = (
                make(x.shape[1], dtype=wide, device=x.device) for make in (torch.ones, torch.zeros)
            )
        compiling = torch.compiler.is_compiling()  # or being exported
        if x.device.type == "cpu" and not compiling and "norm" not in _chosen:
            return _NormPictureByPicture.apply(x, weight, bias, self.eps)
        if compiling and x.shape[0] == 1 and not torch.is_grad_enabled():  # len(x) would be a constant there
            # Of one picture batch norm is the same. A GPU must not take it: it would be cuDNN's, which for
            # channels_last limits the range of values (cuDNN's header, CUDNN_BATCHNORM_SPATIAL_PERSISTENT).
            return F.batch_norm(x, None, None, weight, bias, True, 0, self.eps)
        form, layout = _form("norm", x), torch.channels_last if _is_last(x) else torch.contiguous_format
        if compiling and x.device.type in GPU:
            return _written_out(x, weight, bias, self.eps)
        if form == "pictures" and not compiling:
            return _NormPictureByPicture.apply(x, weight, bias, self.eps)
        if form == "compiled":
            return _compiled()(x, weight, bias, self.eps)
        return super().forward(x).contiguous(memory_format=layout)


class LayerNorm(nn.GroupNorm):
    """Affine layer norm over channels, height and width. `running_mean` and `running_var` as InstanceNorm."""

    def __init__(self, channels, eps=EPS):
        super().__init__(1, channels, eps)
        self.running_mean = self.running_var = None

    def forward(self, x):
        if self.running_mean is not None:
            mean, variance = self.running_mean, self.running_var
            return F.batch_norm(x, mean, variance, self.weight, self.bias, False, 0, self.eps)
        if x.device.type not in GPU:
            return super().forward(x)
        # A GPU's group norm takes no half precision beside float32 weights, and contiguous channels alone.
        wide = x.to(torch.promote_types(x.dtype, torch.float32), memory_format=torch.contiguous_format)
        layout = torch.channels_last if _is_last(x) else torch.contiguous_format
        return super().forward(wide).to(x.dtype, memory_format=layout)


def _is_last(x):
    return x.is_contiguous(memory_format=torch.channels_last)


@functools.cache
def _compiled():
    return torch.compile(_written_out, dynamic=True)


def _written_out(x, weight, bias, eps):
    """Instance norm as its definition has it, in float32: compiled, it is a few passes in any layout."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, (2, 3), correction=0, keepdim=True)
    scale = (variance + eps).rsqrt() * weight[:, None, None]
    return ((wide - mean) * scale + bias[:, None, None]).to(x.dtype)


class _NormPictureByPicture(torch.autograd.Function):
    """Instance norm as batch norm of one picture after the other, which is the same.

    Batch norm reads and writes channels_last as it is, where instance norm copies: on the CPU 2 to 6 times as
    fast forward, 1.3 to 3 times backward (docs/performance.md).
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        ctx.layout = torch.channels_last if _is_last(x) else torch.contiguous_format
        x = x.contiguous(memory_format=ctx.layout)
        y = torch.empty_like(x)
        means, scales = (weight.new_empty(x.shape[:2]) for _ in range(2))
        for n, picture in enumerate(x.split(1)):
            out = y[n : n + 1], means[n], scales[n]
            variance, mean = _statistics(picture, weight, bias, eps)
            torch.native_batch_norm(picture, weight, bias, mean, variance, mean is None, 0, eps, out=out)
            if mean is not None:
                means[n], scales[n] = mean, (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, means, scales)
        ctx.eps = eps
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, weight, means, scales = ctx.saved_tensors
        grad = grad.contiguous(memory_format=ctx.layout)
        grads = torch.empty_like(x), torch.empty_like(means), torch.empty_like(means)
        for n in range(len(x)):
            one = slice(n, n + 1)
            torch.ops.aten.native_batch_norm_backward.out(
                *(grad[one], x[one], weight, None, None, means[n], scales[n], True, ctx.eps, [True] * 3),
                **{f"out{i}": part for i, part in enumerate((grads[0][one], grads[1][n], grads[2][n]))},
            )
        return grads[0], grads[1].sum(0), grads[2].sum(0), None


def _statistics(x, weight, bias, eps):
    """Variances and means of one large picture, band by band; of a smaller one (None, None).

    PyTorch's channels_last batch norm on the CPU adds all pixels up in float32: the result was off by
    4e-5 for 448x448 pixels, and by 0.01 for 3840x2160 (measured, 2.14.1). A GPU's adds in a tree.
    """
    rows = max(1, BAND // x.shape[3])
    if x.device.type in GPU or x.shape[2] <= rows:
        return None, None
    parts = []
    for band in x.split(rows, dim=2):
        made = torch.native_batch_norm(band, weight, bias, None, None, True, 0, eps)
        parts.append((band[0, 0].numel(), made[2].double() ** -2 - eps, made[1]))
    return (value.to(weight.dtype) for value in pooled(parts))


def pooled(parts):
    """Variances and means of pixels together, from (count, variances, means) of each part of them."""
    counts, variances, means = (
        torch.stack([torch.as_tensor(value, dtype=torch.double) for value in values])
        for values in zip(*parts, strict=True)
    )
    share = (counts / counts.sum())[:, None].to(means.device)
    mean = (share * means).sum(0)
    variance = (share * (variances + (means - mean) ** 2)).sum(0)
    return variance.float(), mean.float()
