"""The networks of CartoonGAN (Chen, Lai, Liu, CVPR 2018, Figure 2) and the VGG19 layers of its losses.

Tensors are N,C,H,W; pictures lie in [-1, 1], RGB (or one grey channel). Nothing here reads or writes files.
"""

import types

import torch
import torch.nn.functional as F
from torch import nn

from support import architecture
from support.filters import Flatten, at_least_float32, guided_filter
from support.norm import InstanceNorm, LayerNorm, PaddedConv2d

# The norm before the upsampling half, and the norm in it
NORMS = {"instance": (InstanceNorm, InstanceNorm), "layer": (LayerNorm, LayerNorm)}
NORMS["mixed"] = (InstanceNorm, LayerNorm)
KEPT = 0.9  # predict "change" adds to atanh(KEPT * photo), because atanh of white, 1, is infinite
STRIDE = 4  # total downsampling factor
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
# Indices in VGG19.features: relu1_1, relu2_1, relu3_1 and relu4_1 (Gatys et al., CVPR 2016); conv4_4.
STYLE, CONTENT = (1, 6, 11, 20), (25,)
RELU5_1 = 29
SMALLEST = 16  # pixels a side: room for reflection padding in all layers


class Generator(nn.Module):
    """Photo (N,in_ngc,H,W) to cartoon (N,out_ngc,H,W), float32, both in [-1, 1]; H and W at least 16.

    Two pairs of convolutions downsample, `nb` residual blocks follow, two pairs upsample. The arguments and
    their values are in support/architecture.py; others raise TypeError or ValueError. Not in the paper:

    - `upsample` "resize": nearest neighbour and a convolution instead of a transposed one, which causes
      checkerboard artefacts (Odena et al., Distill 2016).
    - `norm` "layer": one mean and deviation for all channels (Ba et al., 2016); "mixed": layer norm in the
      upsampling half only.
    - `predict` "change": the last layer's output is added to the photo (docs/colour.md).
    - `flatten`, `outline`: passes and darkness of filters.Flatten, which is applied to the photo first. The
      layers then see no texture, and "change" adds to a flat, outlined picture.
    - `guide`: radius in pixels of a guided filter, which makes the result follow the edges of that picture.
    - `padding` (reflection in the paper), `eps` of the norms and `res_convs` per block, which differ in other
      programs; `conv_bias` "none", as in the authors' code, which sets all biases to 0.
    """

    def __init__(self, **arguments):
        super().__init__()
        self.architecture = architecture.check(architecture.DEFAULTS | arguments)
        form = types.SimpleNamespace(**self.architecture)
        ngf = form.ngf
        self.flatten = Flatten(form.flatten, form.outline)
        before, after = NORMS[form.norm]
        norm_relu = lambda channels, kind=before: (kind(channels, form.eps), nn.ReLU(inplace=True))
        self.down = nn.Sequential(
            PaddedConv2d(form.in_ngc, ngf, 7, padding=3, padding_mode=form.padding),
            *norm_relu(ngf),
            nn.Conv2d(ngf, 2 * ngf, 3, stride=2, padding=1),
            nn.Conv2d(2 * ngf, 2 * ngf, 3, padding=1),
            *norm_relu(2 * ngf),
            nn.Conv2d(2 * ngf, 4 * ngf, 3, stride=2, padding=1),
            nn.Conv2d(4 * ngf, 4 * ngf, 3, padding=1),
            *norm_relu(4 * ngf),
        )
        self.blocks = nn.Sequential(
            *(ResidualBlock(4 * ngf, form.res_convs, form.padding, norm_relu) for _ in range(form.nb))
        )
        self.up = nn.Sequential(
            *doubling(4 * ngf, 2 * ngf, form.upsample),
            nn.Conv2d(2 * ngf, 2 * ngf, 3, padding=1),
            *norm_relu(2 * ngf, after),
            *doubling(2 * ngf, ngf, form.upsample),
            nn.Conv2d(ngf, ngf, 3, padding=1),
            *norm_relu(ngf, after),
            PaddedConv2d(ngf, form.out_ngc, 7, padding=3, padding_mode=form.padding),
        )
        initialise(self, form.conv_bias)

    def forward(self, photo, flat=False):
        """With `flat`, self.flatten has been applied to the photo already."""
        photo = photo if flat else self.flatten(photo)
        x = photo.to(self.down[0].weight.dtype)
        # Layer by layer: a call of self.up would keep its input in memory (0.5 GB at 3840x2160).
        for layer in (*self.down, *self.blocks, *self.up):
            x = layer(x)
        return self.to_picture(x, photo)

    def to_picture(self, x, photo):
        """The result, float32, from the last layer's output, which can be up to three pixels larger."""
        x = at_least_float32(x[..., : photo.shape[2], : photo.shape[3]])
        if self.architecture["predict"] == "change":
            x = x + torch.atanh(KEPT * at_least_float32(photo))
        result, radius = torch.tanh(x), self.architecture["guide"]
        return guided_filter(photo, result, radius) if radius else result


class ResidualBlock(nn.Module):
    """x + f(x), where f is `convs` padded 3x3 convolutions, each with a norm and, except the last, a ReLU."""

    def __init__(self, channels, convs, padding, norm_relu):
        super().__init__()
        layers = []
        for _ in range(convs):
            convolution = PaddedConv2d(channels, channels, 3, padding=1, padding_mode=padding)
            layers += [convolution, *norm_relu(channels)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return x + self.layers(x)


class Discriminator(nn.Module):
    """Picture (N,in_ndc,H,W) to logits (N,out_ndc,ceil(H/4),ceil(W/4)), high for drawings."""

    def __init__(self, in_ndc=3, out_ndc=1, ndf=32, conv_bias="learned"):
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
        initialise(self, conv_bias)

    def forward(self, picture):
        return self.layers(picture)


class VGG19(nn.Module):
    """Picture (N,1 or 3,H,W) in [-1, 1] to conv4_4's feature map (N,8 width,H/8,W/8), before its ReLU.

    The first author confirms "before relu" (Yijunmaverick/CartoonGAN-Test-Pytorch-Torch, issue 5).
    Keys are torchvision's, `features.0` to `features.25`; weights are frozen. Grey is fed as three equal
    channels. `width`: channels of the first block. `deeper`: up to relu5_1, for survey/.
    """

    def __init__(self, width=64, deeper=False):
        super().__init__()
        layers, channels = [], 3
        for wider, convs in ((1, 2), (2, 2), (4, 4), (8, 4), (8, 1)):
            for _ in range(convs):
                layers += [nn.Conv2d(channels, wider * width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = wider * width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[: RELU5_1 + 1 if deeper else CONTENT[0] + 1])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def normalise(self, picture):
        """[-1, 1] to the input of torchvision's ImageNet weights: ((x + 1) / 2 - mean) / std, RGB."""
        return ((picture + 1) / 2 - self.mean) / self.std

    def forward(self, picture):
        return self.features(self.normalise(picture))

    def maps(self, picture, layers):
        """The outputs of the layers of `features` with these indices, in one pass that ends at the last.

        ReLUs work in place: the output of a convolution is correct only if it is the last.
        """
        x, maps = self.normalise(picture), []
        for index, layer in enumerate(self.features[: max(layers, default=-1) + 1]):
            x = layer(x)
            if index in layers:
                maps.append(x)
        return maps


def gram(maps):
    """Gram matrices (N,C,C) of feature maps (N,C,H,W), divided by C H W (Johnson et al., ECCV 2016)."""
    with torch.autocast(maps.device.type, enabled=False):  # it would multiply in half precision
        flat = at_least_float32(maps).flatten(2)
        return flat @ flat.mT / flat[0].numel()


def stylise(generator, photo):
    """Apply the generator to photos (N,C,H,W) of any size; sides below 16 are padded with the edge."""
    height, width = photo.shape[2:]
    around = (0, missing(width), 0, missing(height))
    return generator(F.pad(photo, around, mode="replicate"))[..., :height, :width]


def missing(side):
    """How many pixels must be added to a side of a photo for the generator."""
    return max(0, SMALLEST - side)


def doubling(channels, out, how):
    """Layers from `channels` to `out` channels that double the sides; `how` is Generator's `upsample`."""
    if how == "deconv":
        return (nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1),)
    return nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(channels, out, 3, padding=1)


def draw_scales(network):
    """Draw the scales of a network's norms uniformly between 0 and 1, as the first author's code does."""
    for layer in network.modules():
        if isinstance(layer, (InstanceNorm, LayerNorm)):
            nn.init.uniform_(layer.weight)


def initialise(network, conv_bias="learned"):
    """Draw convolution weights from N(0, 0.02) and set biases to 0, or remove them with conv_bias "none".

    Learned biases before an instance norm change nothing, but earlier checkpoints and states have them.
    """
    for layer in network.modules():
        if isinstance(layer, CONVOLUTIONS):
            # On the meta device PyTorch would import its compiler, which takes seconds.
            if not layer.weight.is_meta:
                nn.init.normal_(layer.weight, 0, 0.02)
                nn.init.zeros_(layer.bias)
            if conv_bias == "none":  # only now: a seed draws the same weights with and without biases
                layer.bias = None
