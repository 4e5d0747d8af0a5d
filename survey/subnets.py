"""The network of multimodal.py: three subnets, each on the enlarged result of the one before.

Pictures are N,3,H,W in [-1, 1].
"""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from networks import ResidualBlock
from support.norm import InstanceNorm, PaddedConv2d
from survey import colour

SCALES = (1 / 4, 1 / 2, 1)  # of the photo, at which the subnets work
SCALES_TRAINING = (1 / 2, 1, 1)  # of photographs of half the size
STRIDE = 32  # the enhance subnet halves thrice what is half of the photo, the style subnet twice a quarter


class Multimodal(nn.Module):
    """Photos to the three results, at `scales` of their size: a multiple of STRIDE, in training of half.

    The first paints a picture; the others add to what was changed so far. It is the change that is enlarged,
    not the result: so the photo's details are kept.
    """

    def __init__(self):
        super().__init__()
        self.style_subnet = StyleSubnet()
        self.enhance_subnet = nn.Sequential(way_down(3, (32, 64, 128, 256), 6), way_up(256, 128, 64, 32))
        self.refine_subnet = nn.Sequential(way_down(3, (32, 64, 128), 3), way_up(128, 64, 32))
        for subnet in (self.enhance_subnet, self.refine_subnet):
            for weight in subnet[-1][-1].parameters():
                nn.init.zeros_(weight)  # they begin with their input

    def forward(self, photo, scales=SCALES):
        photos = [resized(photo, scale) for scale in scales]
        results = [torch.tanh(self.style_subnet(photos[0]))]
        for k, subnet in enumerate((self.enhance_subnet, self.refine_subnet)):
            change = F.interpolate(results[k] - photos[k], photos[k + 1].shape[2:], mode="bilinear")
            given = photos[k + 1] + change
            results.append(given + subnet(given))
        return results


class StyleSubnet(nn.Module):
    """A block for colour and one for luminance, joined at a quarter of the size."""

    def __init__(self):
        super().__init__()
        self.rgb_block, self.l_block = (way_down(channels, (16, 32, 64), 3) for channels in (3, 1))
        self.joined = nn.Sequential(*blocks(128, 3), way_up(128, 64, 32))

    def forward(self, x):
        return self.joined(torch.cat([self.rgb_block(x), self.l_block(colour.luminance(x))], 1))


def norm_relu(channels):
    return InstanceNorm(channels), nn.ReLU()


def convolution(channels, out, kernel=3, stride=1):
    return PaddedConv2d(channels, out, kernel, stride, kernel // 2, padding_mode="reflect")


def blocks(channels, count):
    return [ResidualBlock(channels, 2, "reflect", norm_relu) for _ in range(count)]


def way_down(channels, widths, count):
    """A convolution k9, one k3s2 for each further width, and residual blocks."""
    made = [convolution(channels, widths[0], 9), *norm_relu(widths[0])]
    for narrow, wide in itertools.pairwise(widths):
        made += [convolution(narrow, wide, stride=2), *norm_relu(wide)]
    return nn.Sequential(*made, *blocks(widths[-1], count))


def way_up(*widths):
    """An enlargement and a convolution for each width but the first, and one that makes the picture."""
    made = []
    for wide, narrow in itertools.pairwise(widths):
        made += [nn.Upsample(scale_factor=2), convolution(wide, narrow), *norm_relu(narrow)]
    return nn.Sequential(*made, convolution(widths[-1], 3))


def resized(picture, scale, least=1):
    """Pictures at a scale of their size, no side below `least`."""
    size = [max(least, round(side * scale)) for side in picture.shape[2:]]
    return F.interpolate(picture, size, mode="bilinear", antialias=True)
