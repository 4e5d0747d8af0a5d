"""Generators of other programs: their networks, and the layouts of their checkpoints.

Tensors are N,C,H,W in [-1, 1], RGB.
"""

import functools
import re
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from networks import CONVOLUTIONS, Generator, ResidualBlock, at_least_float32, doubling
from support.architecture import check
from support.norm import InstanceNorm, LayerNorm, PaddedConv2d
from utils import WrongUse, first_line


class CycleGenerator(nn.Module):
    """CycleGAN's generator (Zhu, Park, Isola, Efros, ICCV 2017, Section 7.2); H, W >= 16.

    c7s1-ngf, d2ngf, d4ngf, `nb` residual blocks (9 in the paper, 6 below 256 pixels), u2ngf, ungf,
    c7s1-out_ngc; norms have no scale and shift. `upsample` is that of networks.Generator.
    """

    def __init__(self, in_ngc=3, out_ngc=3, ngf=64, nb=9, upsample="deconv", network="CycleGAN"):
        super().__init__()
        parts = {"in_ngc": in_ngc, "out_ngc": out_ngc, "ngf": ngf, "nb": nb, "upsample": upsample}
        self.architecture = {"network": network, **check(parts)}
        norm_relu = lambda channels: (InstanceNorm(channels, affine=False), nn.ReLU(inplace=True))
        padded = functools.partial(PaddedConv2d, kernel_size=7, padding=3, padding_mode="reflect")
        self.flatten = nn.Identity()  # for inference.py's tiles
        self.down = nn.Sequential(
            padded(in_ngc, ngf),
            *norm_relu(ngf),
            nn.Conv2d(ngf, 2 * ngf, 3, stride=2, padding=1),
            *norm_relu(2 * ngf),
            nn.Conv2d(2 * ngf, 4 * ngf, 3, stride=2, padding=1),
            *norm_relu(4 * ngf),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(4 * ngf, 2, "reflect", norm_relu) for _ in range(nb)))
        self.up = nn.Sequential(
            *doubling(4 * ngf, 2 * ngf, upsample),
            *norm_relu(2 * ngf),
            *doubling(2 * ngf, ngf, upsample),
            *norm_relu(ngf),
            padded(ngf, out_ngc),
        )

    def forward(self, photo):
        x = photo
        for layer in (*self.down, *self.blocks, *self.up):  # one by one, so that inputs are freed early
            x = layer(x)
        return self.to_picture(x, photo)

    def to_picture(self, x, photo):
        """The result (N,out_ngc,H,W), float32, from the last layer's output (N,out_ngc,≥H,≥W)."""
        return torch.tanh(at_least_float32(x[..., : photo.shape[2], : photo.shape[3]]))


class AnimeGAN(nn.Module):
    """AnimeGANv2's generator, as in bryandlee/animegan2-pytorch; sides of at least 8. The result is float32.

    After Chen, Liu, Chen, AnimeGAN, ISICA 2019, with layer norm. Its layers have the same names.
    """

    def __init__(self, network="AnimeGANv2", in_ngc=3, out_ngc=3):
        super().__init__()
        self.architecture = {"network": network, "in_ngc": in_ngc, "out_ngc": out_ngc}
        self.block_a = nn.Sequential(_unit(3, 32, 7), _unit(32, 64, 3, stride=2), _unit(64, 64, 3))
        self.block_b = nn.Sequential(_unit(64, 128, 3, stride=2), _unit(128, 128, 3))
        residual = (InvertedResidual(channels, 256) for channels in (128, 256, 256, 256))
        self.block_c = nn.Sequential(_unit(128, 128, 3), *residual, _unit(256, 128, 3))
        self.block_d = nn.Sequential(_unit(128, 128, 3), _unit(128, 128, 3))
        self.block_e = nn.Sequential(_unit(128, 64, 3), _unit(64, 64, 3), _unit(64, 32, 7))
        self.out_layer = nn.Sequential(nn.Conv2d(32, 3, 1, bias=False))

    def forward(self, photo):
        x = photo
        for layer in self.block_a:
            x = layer(x)
        half = x.shape[2:]
        for layer in (*self.block_b, *self.block_c):
            x = layer(x)
        for size, block in ((half, self.block_d), (photo.shape[2:], self.block_e)):
            x = F.interpolate(x, size, mode="bilinear", align_corners=True)
            for layer in block:
                x = layer(x)
        return torch.tanh(at_least_float32(self.out_layer(x)))


class InvertedResidual(nn.Module):
    """MobileNetV2's block (Sandler et al., CVPR 2018), twice as wide inside; adds x if the widths agree."""

    def __init__(self, channels, out):
        super().__init__()
        wide = 2 * channels
        self.layers = nn.Sequential(
            _unit(channels, wide, 1),
            _unit(wide, wide, 3, groups=wide, bias=True),
            nn.Conv2d(wide, out, 1, bias=False),
            LayerNorm(out),
        )
        self.adds = channels == out

    def forward(self, x):
        return x + self.layers(x) if self.adds else self.layers(x)


def _unit(channels, out, kernel, stride=1, groups=1, bias=False):
    """Reflection padding (only right and below with a stride), convolution, layer norm, leaky ReLU."""
    around = kernel // 2 if stride == 1 else (0, 1, 0, 1)
    convolution = nn.Conv2d(channels, out, kernel, stride, groups=groups, bias=bias)
    return nn.Sequential(
        nn.ReflectionPad2d(around), convolution, LayerNorm(out), nn.LeakyReLU(0.2, inplace=True)
    )


# By "network" in an architecture, which this program's generator does not have
NETWORKS = {None: Generator, "CycleGAN": CycleGenerator, "AnimeGANv2": AnimeGAN}


def build(architecture, path):
    """The network of an architecture on the meta device. Raises WrongUse that names the file at `path`."""
    try:
        with torch.device("meta"):
            return NETWORKS[architecture.get("network")](**architecture)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise WrongUse(f"{path} holds a generator that is not supported: {first_line(error)}") from None


class Layout(NamedTuple):
    """A program's layout of checkpoints, in which layers sorted by name are in the order in which they run.

    `outer` is the number of convolutions outside the residual blocks, which have two each; `norms`: norms
    have scale and shift; `bgr`: the network takes and returns BGR.
    """

    program: str
    architecture: dict
    outer: int = 10
    norms: bool = False
    bgr: bool = False


LAYOUTS = {  # by a key that no other layout has
    # Yijunmaverick/CartoonGAN-Test-Pytorch-Torch
    "conv01_1.weight": Layout("the authors'", {"padding": "reflect", "eps": 1e-9}, norms=True, bgr=True),
    # znxlwm/pytorch-CartoonGAN
    "down_convs.0.weight": Layout("the old public script's", {"padding": "zeros", "eps": 1e-5}),
    # junyanz/pytorch-CycleGAN-and-pix2pix
    "model.10.conv_block.1.weight": Layout("CycleGAN's in PyTorch", {"network": "CycleGAN"}, outer=6),
}
ANIMEGAN = "block_a.0.1.weight"  # the class AnimeGAN has the names of its checkpoints
# Buffers that instance norm had before PyTorch 0.4 and never used.
UNUSED = re.compile(r".*\.(running_mean|running_var|num_batches_tracked)")


def convert(layout, weights, path):
    """(architecture, state dict of its network) from another program's weights by name.

    Raises WrongUse if something is missing, misshapen or left over.
    """
    weights = {key: value for key, value in weights.items() if not UNUSED.fullmatch(key)}
    ordered = sorted(weights, key=lambda key: re.sub(r"\d+", lambda digits: digits[0].zfill(4), key))
    convolutions = [key.removesuffix(".weight") for key in ordered if key.endswith(".weight")]
    norms = [key.removesuffix(".scale") for key in ordered if key.endswith(".scale")]
    blocks, odd = divmod(len(convolutions) - layout.outer, 2)
    try:
        ngf, in_ngc, *_ = weights[f"{convolutions[0]}.weight"].shape
        (out_ngc,) = {len(weights[f"{convolutions[-1]}.{kind}"]) for kind in ("weight", "bias")}
        if odd or blocks < 0:
            raise ValueError
    except (KeyError, ValueError, TypeError):
        raise WrongUse(f"{path} is damaged: a convolution is missing or misshapen") from None
    architecture = {"in_ngc": in_ngc, "out_ngc": out_ngc, "ngf": ngf, "nb": blocks, **layout.architecture}

    def take(key):
        if key not in weights:
            raise WrongUse(f"{path} lacks {key}, which its layout has")
        return weights.pop(key)

    ours = {}
    for name, layer in build(architecture, path).named_modules():
        if isinstance(layer, CONVOLUTIONS):
            theirs = convolutions.pop(0)
            parts = take(f"{theirs}.weight"), take(f"{theirs}.bias")
        elif isinstance(layer, InstanceNorm) and layout.norms:
            theirs = norms.pop(0) if norms else "a norm"
            parts = take(f"{theirs}.scale").flatten(), take(f"{theirs}.shift").flatten()
        elif isinstance(layer, InstanceNorm) and layer.affine:
            parts = torch.ones(layer.num_features), torch.zeros(layer.num_features)
        else:
            continue
        ours[f"{name}.weight"], ours[f"{name}.bias"] = parts
    if weights:
        raise WrongUse(f"{path} holds {min(weights)}, which its layout does not have")
    if layout.bgr:
        first, *_, last, last_bias = ours
        for key, channels in ((first, 1), (last, 0), (last_bias, 0)):
            ours[key] = ours[key].flip(channels)
    return architecture, ours
