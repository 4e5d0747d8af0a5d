"""The networks of CartoonGAN (Chen, Lai, Liu, CVPR 2018, Figure 2) and the VGG19 layers of its losses.

Tensors are N,C,H,W; pictures lie in [-1, 1], RGB (or one grey channel). Nothing here reads or writes files.
"""

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-5
STRIDE = 4  # the generator halves a picture twice
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
BAND = 2**16  # pixels that batch norm may add up in float32
# Places in VGG19.features: relu1_1, relu2_1, relu3_1 and relu4_1 (Gatys et al., CVPR 2016); conv4_4.
STYLE, CONTENT = (1, 6, 11, 20), (25,)
SMALLEST = 16  # pixels a side: room for the reflection of 3 before the first layer and of 1 in the blocks


class Generator(nn.Module):
    """Photo (N,in_ngc,H,W) to cartoon (N,out_ngc,H,W), both in [-1, 1]; H and W multiples of 4, at least 16.

    Two strided pairs of convolutions down, `nb` residual blocks, two pairs up. `res_convs` is the number of
    convolutions in a residual block (2 in the paper). `upsample` is "deconv", the paper's transposed
    convolution, or "resize", nearest neighbour and a convolution, which paints no checkerboard
    (Odena et al., Distill 2016). `padding`, of the first and last convolution and of the blocks, is "reflect"
    or "zeros", and `eps` the norms': other programs' checkpoints differ in both (layouts.py). The result is
    float32 whatever the precision before the last tanh.
    """

    def __init__(
        self, in_ngc=3, out_ngc=3, ngf=64, nb=8, res_convs=2, upsample="deconv", padding="reflect", eps=EPS
    ):
        super().__init__()
        self.architecture = {"in_ngc": in_ngc, "out_ngc": out_ngc, "ngf": ngf, "nb": nb}
        self.architecture |= {"res_convs": res_convs, "upsample": upsample, "padding": padding, "eps": eps}
        self.down = nn.Sequential(
            Conv2d(in_ngc, ngf, 7, padding=3, padding_mode=padding),
            *_norm_relu(ngf),
            nn.Conv2d(ngf, 2 * ngf, 3, stride=2, padding=1),
            nn.Conv2d(2 * ngf, 2 * ngf, 3, padding=1),
            *_norm_relu(2 * ngf),
            nn.Conv2d(2 * ngf, 4 * ngf, 3, stride=2, padding=1),
            nn.Conv2d(4 * ngf, 4 * ngf, 3, padding=1),
            *_norm_relu(4 * ngf),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(4 * ngf, res_convs, padding) for _ in range(nb)))
        self.up = nn.Sequential(
            *_double(4 * ngf, 2 * ngf, upsample),
            nn.Conv2d(2 * ngf, 2 * ngf, 3, padding=1),
            *_norm_relu(2 * ngf),
            *_double(2 * ngf, ngf, upsample),
            nn.Conv2d(ngf, ngf, 3, padding=1),
            *_norm_relu(ngf),
            Conv2d(ngf, out_ngc, 7, padding=3, padding_mode=padding),
        )
        for layer in self.modules():
            if isinstance(layer, InstanceNorm):
                layer.eps = eps
        _initialise(self)

    def forward(self, photo):
        x = photo
        # Layer by layer: a call of self.up as a whole would hold its input to the end (0.5 GB at 3840x2160).
        for layer in (*self.down, *self.blocks, *self.up):
            x = layer(x)
        return torch.tanh(at_least_float32(x))


class ResidualBlock(nn.Module):
    """x + f(x), f being `convs` padded 3x3 convolutions; norm alone before the sum."""

    def __init__(self, channels, convs, padding):
        super().__init__()
        layers = []
        for _ in range(convs):
            layers += [
                Conv2d(channels, channels, 3, padding=1, padding_mode=padding),
                *_norm_relu(channels),
            ]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return x + self.layers(x)


class Discriminator(nn.Module):
    """Picture (N,in_ndc,H,W) to logits (N,out_ndc,ceil(H/4),ceil(W/4)): a clear drawing, or not."""

    def __init__(self, in_ndc=3, out_ndc=1, ndf=32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_ndc, ndf, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, 2 * ndf, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * ndf, 4 * ndf, 3, padding=1),
            InstanceNorm(4 * ndf),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(4 * ndf, 4 * ndf, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(4 * ndf, 8 * ndf, 3, padding=1),
            InstanceNorm(8 * ndf),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(8 * ndf, 8 * ndf, 3, padding=1),
            InstanceNorm(8 * ndf),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(8 * ndf, out_ndc, 3, padding=1),
        )
        _initialise(self)

    def forward(self, picture):
        return self.layers(picture)


class Conv2d(nn.Conv2d):
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

    def __init__(self, channels):
        super().__init__(channels, EPS, affine=True)

    def forward(self, x):
        if self.running_mean is not None:
            mean, variance = self.running_mean, self.running_var
            return F.batch_norm(x, mean, variance, self.weight, self.bias, False, 0, self.eps)
        if x.device.type == "cpu" and not torch.compiler.is_compiling():  # nor being exported
            return _NormPictureByPicture.apply(x, self.weight, self.bias, self.eps)
        if len(x) == 1 and not torch.is_grad_enabled():
            # Of one picture batch norm is the same; forward it is faster, and keeps the layout by itself.
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0, self.eps)
        last = x.is_contiguous(memory_format=torch.channels_last)
        y = super().forward(x)
        return y.contiguous(memory_format=torch.channels_last) if last else y


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


class VGG19(nn.Module):
    """Picture (N,1 or 3,H,W) in [-1, 1] to conv4_4's feature map (N,512,H/8,W/8), before its ReLU.

    The first author says "before relu" of this layer (Yijunmaverick/CartoonGAN-Test-Pytorch-Torch, issue 5).
    Keys are torchvision's, `features.0` to `features.25`; weights are frozen. Grey is fed as three equal
    channels. The input is normalised as torchvision's ImageNet weights want it.
    """

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for width, convs in ((64, 2), (128, 2), (256, 4), (512, 4)):
            for _ in range(convs):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-2])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def normalise(self, picture):
        """[-1, 1] to what the ImageNet weights were trained on: ((x + 1) / 2 - mean) / std, RGB."""
        return ((picture + 1) / 2 - self.mean) / self.std

    def forward(self, picture):
        return self.features(self.normalise(picture))

    def maps(self, picture, places):
        """The outputs of some layers of `features`, in one pass that ends at the last of them.

        ReLUs work in place: a convolution's own output is there to be had only where the pass ends.
        """
        x, maps = self.normalise(picture), []
        for place, layer in enumerate(self.features[: max(places, default=-1) + 1]):
            x = layer(x)
            if place in places:
                maps.append(x)
        return maps


def stylise(generator, photo):
    """Apply the generator to photos (N,C,H,W) of any size: padded by repeating the edge, and cropped back."""
    height, width = photo.shape[2:]
    around = (0, missing(width), 0, missing(height))
    return generator(F.pad(photo, around, mode="replicate"))[..., :height, :width]


def missing(side):
    """How many pixels a side of a photo lacks to be one that the generator takes."""
    return max(SMALLEST, -(-side // STRIDE) * STRIDE) - side


def at_least_float32(x):
    """float16 and bfloat16 become float32; wider types stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _norm_relu(channels):
    return InstanceNorm(channels), nn.ReLU(inplace=True)


def _double(channels, out, how):
    if how == "deconv":
        return (nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1),)
    return nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(channels, out, 3, padding=1)


def _initialise(network):
    """Convolution weights from N(0, 0.02), biases 0; norms stay at weight 1, bias 0."""
    for layer in network.modules():
        if isinstance(layer, CONVOLUTIONS):
            nn.init.normal_(layer.weight, 0, 0.02)
            nn.init.zeros_(layer.bias)
