"""CycleGAN's generator (Zhu, Park, Isola, Efros, ICCV 2017, Section 7.2), to apply its released checkpoints.

Those are of junyanz/pytorch-CycleGAN-and-pix2pix (`netG`): norms without scale and shift, convolutions with
biases.
"""

import functools
import re

import torch
from torch import nn

from networks import CONVOLUTIONS, ResidualBlock, at_least_float32, doubling
from support.architecture import check
from support.norm import InstanceNorm, PaddedConv2d

NETWORK = "CycleGAN"  # what an architecture says, for it to be this one
MARK = "model.10.conv_block.1.weight"
BLOCK = re.compile(r"model\.(\d+)\.conv_block\.1\.weight")
# Buffers that instance norm had before PyTorch 0.4 and never used.
UNUSED = re.compile(r".*\.(running_mean|running_var|num_batches_tracked)")


class CycleGenerator(nn.Module):
    """Photo (N,in_ngc,H,W) to picture (N,out_ngc,H,W), in [-1, 1]; H and W at least 16.

    The result is float32. Its layers are
    c7s1-ngf, d2ngf, d4ngf, `nb` residual blocks (9 in the paper, 6 below 256 pixels), u2ngf, ungf,
    c7s1-out_ngc. `upsample` is as networks.Generator's.
    """

    def __init__(self, in_ngc=3, out_ngc=3, ngf=64, nb=9, upsample="deconv", network=NETWORK):
        super().__init__()
        self.architecture = {"network": network, "in_ngc": in_ngc, "out_ngc": out_ngc, "ngf": ngf, "nb": nb}
        self.architecture |= {"upsample": upsample}
        if network != NETWORK:
            raise ValueError(f"its network is {str(network)[:20]!r}")
        check({key: value for key, value in self.architecture.items() if key != "network"})
        norm_relu = lambda channels: (InstanceNorm(channels, affine=False), nn.ReLU(inplace=True))
        padded = functools.partial(PaddedConv2d, padding_mode="reflect")
        self.flatten = nn.Identity()  # a networks.Generator can flatten photos; this one never does
        self.down = nn.Sequential(
            padded(in_ngc, ngf, 7, padding=3),
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
            padded(ngf, out_ngc, 7, padding=3),
        )

    def forward(self, photo):
        x = photo
        for layer in (*self.down, *self.blocks, *self.up):
            x = layer(x)
        return self.to_picture(x, photo)

    def to_picture(self, x, photo):
        """The result (N,out_ngc,H,W), float32, of what the last layer gives (N,out_ngc,≥H,≥W)."""
        return torch.tanh(at_least_float32(x[..., : photo.shape[2], : photo.shape[3]]))


def to_ours(weights):
    """(architecture, state dict of CycleGenerator) of a released generator's weights by name.

    Raises KeyError where one is missing, ValueError for one too many.
    """
    weights = {key: value for key, value in weights.items() if not UNUSED.fullmatch(key)}
    nb = sum(BLOCK.fullmatch(key) is not None for key in weights)
    # Dropout, which has no weights, moves the second convolution of a block.
    second = 6 if "model.10.conv_block.6.weight" in weights else 5
    theirs = [f"model.{place}" for place in (1, 4, 7)]
    theirs += [f"model.{10 + block}.conv_block.{half}" for block in range(nb) for half in (1, second)]
    theirs += [f"model.{place + nb}" for place in (10, 13, 17)]
    first, last = weights[f"{theirs[0]}.weight"], weights[f"{theirs[-1]}.weight"]
    ngf, in_ngc, *_ = first.shape
    architecture = {"network": NETWORK, "in_ngc": in_ngc, "out_ngc": len(last), "ngf": ngf, "nb": nb}
    with torch.device("meta"):
        layers = CycleGenerator(**architecture).named_modules()
    ours = [name for name, layer in layers if isinstance(layer, CONVOLUTIONS)]
    kinds = ("weight", "bias")
    found = {
        f"{our}.{kind}": weights.pop(f"{name}.{kind}")
        for our, name in zip(ours, theirs, strict=True)
        for kind in kinds
    }
    if weights:
        raise ValueError(f"it holds {min(weights)} too")
    return architecture, found
