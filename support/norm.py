"""Instance norm and reflection padding, as fast as each processor allows, and exact for large pictures."""

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-5
BAND = 2**16  # pixels that batch norm may add up in float32


class PaddedConv2d(nn.Conv2d):
    """A convolution whose reflection padding keeps the precision: autocast on the CPU pads in float32."""

    def forward(self, x):
        if self.padding_mode == "zeros":
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            x = F.pad(x, self.padding * 2, self.padding_mode)
        return F.conv2d(x, self.weight, self.bias, self.stride)


class InstanceNorm(nn.InstanceNorm2d):
    """Affine instance norm (Ulyanov et al., 2016) that keeps the memory layout of its input.

    PyTorch's own always gives back contiguous channels; a convolution of channels_last is two to five times
    faster on the CPU (measured in bfloat16), and every layer between must then agree. Given a running_mean
    and running_var (inference.py's tiles), it uses those in place of the picture's own.
    """

    def __init__(self, channels, eps=EPS):
        super().__init__(channels, eps, affine=True)

    def forward(self, x):
        if self.running_mean is not None:
            mean, variance = self.running_mean, self.running_var
            return F.batch_norm(x, mean, variance, self.weight, self.bias, False, 0, self.eps)
        if x.device.type == "cpu" and not torch.compiler.is_compiling():  # nor being exported
            return _NormPictureByPicture.apply(x, self.weight, self.bias, self.eps)
        if x.shape[0] == 1 and not torch.is_grad_enabled():  # len(x) would be a constant in an exported model
            # Of one picture batch norm is the same; forward it is faster, and keeps the layout by itself.
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0, self.eps)
        last = x.is_contiguous(memory_format=torch.channels_last)
        y = super().forward(x)
        return y.contiguous(memory_format=torch.channels_last) if last else y


class LayerNorm(nn.GroupNorm):
    """Affine layer norm over channels, height and width. `running_mean` and `running_var` as InstanceNorm."""

    def __init__(self, channels, eps=EPS):
        super().__init__(1, channels, eps)
        self.running_mean = self.running_var = None

    def forward(self, x):
        if self.running_mean is not None:
            mean, variance = self.running_mean, self.running_var
            return F.batch_norm(x, mean, variance, self.weight, self.bias, False, 0, self.eps)
        if x.is_cuda and x.dtype != self.weight.dtype and not torch.is_autocast_enabled("cuda"):
            return super().forward(x.to(self.weight.dtype)).to(x.dtype)  # CUDA takes one type only
        return super().forward(x)


class _NormPictureByPicture(torch.autograd.Function):
    """Instance norm on the CPU: batch norm of one picture after the other, which is the same.

    Batch norm reads and writes channels_last as it is, where instance norm copies: 2 to 6 times as fast
    forward, 1.3 to 3 times backward (docs/performance.md).
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        last = x.is_contiguous(memory_format=torch.channels_last)
        ctx.layout = torch.channels_last if last else torch.contiguous_format
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
    4e-5 for 448x448 pixels, and by 0.01 for 3840x2160 (measured, 2.14.1).
    """
    rows = max(1, BAND // x.shape[3])
    if x.shape[2] <= rows:
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
