"""AnimeGANv2's generator in the form of bryandlee/animegan2-pytorch, to apply checkpoints of it.

It comes after Chen, Liu and Chen, AnimeGAN, ISICA 2019, with layer norm. Layers are named as in that form, so
that its state dicts fit as they are.
"""

import torch
import torch.nn.functional as F
from torch import nn

from networks import at_least_float32
from support.norm import LayerNorm

ARCHITECTURE = {"network": "AnimeGANv2", "in_ngc": 3, "out_ngc": 3}


class AnimeGAN(nn.Module):
    """Photo (N,3,H,W) to anime (N,3,H,W), RGB in [-1, 1]; sides of at least 8. The result is float32.

    Enlarging keeps the corners in place (align_corners), as that form does where it is not told otherwise.
    """

    def __init__(self):
        super().__init__()
        self.architecture = ARCHITECTURE
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
    """MobileNetV2's block (Sandler et al., CVPR 2018), twice as wide inside; x is added where it fits."""

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


def _unit(channels, out, kernel, stride=1, **more):
    """Reflection padding, convolution, layer norm, leaky ReLU; one that strides pads right and below only."""
    around = kernel // 2 if stride == 1 else (0, 1, 0, 1)
    convolution = nn.Conv2d(channels, out, kernel, stride, **{"bias": False} | more)
    return nn.Sequential(
        nn.ReflectionPad2d(around), convolution, LayerNorm(out), nn.LeakyReLU(0.2, inplace=True)
    )
