"""Instance norm, layer norm and reflection padding. On the CPU instance norm is faster than PyTorch's own."""

import torch
import torch.nn.functional as F
from torch import nn

from support.filters import at_least_float32

EPS = 1e-5
BAND = 2**16  # pixels that batch norm may sum in float32


class PaddedConv2d(nn.Conv2d):
    """A convolution with reflection padding in the input's precision: the CPU's autocast pads in float32."""

    def forward(self, x):
        if self.padding_mode == "zeros":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            x = F.pad(x, self.padding * 2, self.padding_mode)
        return F.conv2d(x, self.weight, self.bias, self.stride)


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm (Ulyanov et al., 2016). On the CPU it keeps the memory layout of its input.

    PyTorch's own returns contiguous tensors, but convolutions of channels_last are two to five times as fast
    (measured in bfloat16). If `running_mean` and `running_var` are set, as for the tiles of
    pictures/inference.py, they replace the statistics of the picture.
    """

    def __init__(self, channels, eps=EPS, affine=True):
        super().__init__(channels, eps, affine=affine)

    def forward(self, x):
        if self.running_mean is not None:
            return _norm_with_running_statistics(self, x)
        if x.device.type != "cpu" or torch.compiler.is_compiling():  # also while a model is exported
            return super().forward(x)
        weight, bias = self.weight, self.bias
        if weight is None:
            weight = at_least_float32(x.new_ones(x.shape[1]))
            bias = torch.zeros_like(weight)
        return _NormPictureByPicture.apply(x, weight, bias, self.eps)


class LayerNorm(nn.GroupNorm):
    """Affine layer norm over channels, height and width. `running_mean` and `running_var` as InstanceNorm."""

    def __init__(self, channels, eps=EPS):
        super().__init__(1, channels, eps)
        self.running_mean = self.running_var = None

    def forward(self, x):
        if self.running_mean is not None:
            return _norm_with_running_statistics(self, x)
        if x.device.type == "cpu":
            return super().forward(x)
        # A GPU's group norm does not accept half precision with float32 weights.
        return super().forward(at_least_float32(x)).to(x.dtype)


def _norm_with_running_statistics(layer, x):
    mean, variance = layer.running_mean, layer.running_var
    return F.batch_norm(x, mean, variance, layer.weight, layer.bias, False, 0, layer.eps)


class _NormPictureByPicture(torch.autograd.Function):
    """Instance norm as batch norm of one picture at a time, which is the same.

    Batch norm needs no copies in channels_last: on the CPU it is 2 to 6 times as fast as instance norm, and
    1.3 to 3 times backward (docs/performance.md).
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        last = x.is_contiguous(memory_format=torch.channels_last)
        ctx.layout, ctx.eps = torch.channels_last if last else torch.contiguous_format, eps
        x = x.contiguous(memory_format=ctx.layout)
        y = torch.empty_like(x)
        means, scales = (weight.new_empty(x.shape[:2]) for _ in range(2))
        for n, picture in enumerate(x.split(1)):
            out = y[n : n + 1], means[n], scales[n]
            large = picture[0, 0].numel() > BAND
            mean, variance = _statistics_in_bands(picture, weight, bias, eps) if large else (None, None)
            torch.native_batch_norm(picture, weight, bias, mean, variance, not large, 0, eps, out=out)
            if large:
                means[n], scales[n] = mean, (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, means, scales)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, weight, means, scales = ctx.saved_tensors
        grad = grad.contiguous(memory_format=ctx.layout)  # the kernels expect one layout
        grads = torch.empty_like(x), torch.empty_like(means), torch.empty_like(means)
        for n in range(len(x)):
            one = slice(n, n + 1)
            torch.ops.aten.native_batch_norm_backward.out(
                *(grad[one], x[one], weight, None, None, means[n], scales[n], True, ctx.eps, [True] * 3),
                **{"out0": grads[0][one], "out1": grads[1][n], "out2": grads[2][n]},
            )
        return grads[0], grads[1].sum(0), grads[2].sum(0), None


def _statistics_in_bands(x, weight, bias, eps):
    """Means and variances of the channels of one large picture.

    PyTorch's channels_last batch norm on the CPU sums all pixels in float32: the result was off by 4e-5 for
    448x448 pixels and by 0.01 for 3840x2160 (measured, 2.14.1).
    """
    parts = []
    for band in x.split(max(1, BAND // x.shape[3]), dim=2):
        made = torch.native_batch_norm(band, weight, bias, None, None, True, 0, eps)
        parts.append((band[0, 0].numel(), made[2].double() ** -2 - eps, made[1]))
    variance, mean = pooled(parts)
    return mean.to(weight.dtype), variance.to(weight.dtype)


def pooled(parts):
    """Variances and means of all pixels, from (count, variances, means) of each part of them."""
    counts, *values = zip(*parts, strict=True)
    variances, means = (torch.stack(each).double() for each in values)
    share = (torch.tensor(counts, dtype=torch.double) / sum(counts))[:, None].to(means.device)
    mean = (share * means).sum(0)
    variance = (share * (variances + (means - mean) ** 2)).sum(0)
    return variance.float(), mean.float()
