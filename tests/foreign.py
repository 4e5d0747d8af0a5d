"""Plain definitions of other programs' generators, with random weights in their layouts.

Pictures are RGB, N,3,H,W in [-1, 1], in and out.
"""

import torch
import torch.nn.functional as F

from networks import CONVOLUTIONS, Generator, InstanceNorm
from pictures.foreign import AnimeGAN, CycleGenerator


def normalised(x, eps=1e-5, over=(2, 3)):
    mean = x.mean(over, keepdim=True)
    variance = ((x - mean) ** 2).mean(over, keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


# CartoonGAN's and CycleGAN's networks: the names of convolutions and norms in the order in which they run

BLOCKS = [f"{n:02}_{half}" for n in range(4, 12) for half in (1, 2)]
AUTHORS = [f"conv{name}" for name in ("01_1", "02_1", "02_2", "03_1", "03_2", *BLOCKS)]
AUTHORS += [f"deconv{name}" for name in ("01_1", "01_2", "02_1", "02_2", "03_1")]
AUTHORS_NORMS = ["01_1", "02_1", "03_1", *BLOCKS, "12_1", "13_1"]
SCRIPT = [f"down_convs.{n}" for n in (0, 3, 4, 7, 8)]
SCRIPT += [f"resnet_blocks.{n}.conv{half}" for n in range(12) for half in (1, 2)]
SCRIPT += [f"up_convs.{n}" for n in (0, 1, 4, 5, 8)]
CYCLEGAN = [f"model.{n}" for n in (1, 4, 7)]
CYCLEGAN += [f"model.{n}.conv_block.{half}" for n in range(10, 19) for half in (1, 5)]
CYCLEGAN += [f"model.{n}" for n in (19, 22, 26)]


def residual_network(weights, x, names, blocks, norms=(), reflect=True, doubled=True, eps=1e-5):
    """The definition. If `doubled`, a convolution follows each one that changes the size."""
    names, norms = iter(names), iter(norms)

    def take():
        name = next(names)
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def conv(x, padding=1, stride=1, reflect=False):
        x = F.pad(x, (padding,) * 4, mode="reflect" if reflect else "constant")
        return F.conv2d(x, *take(), stride)

    def norm(x):
        x = normalised(x, eps)
        if name := next(norms, None):
            scale, shift = (weights[f"in{name}.{kind}"].reshape(1, -1, 1, 1) for kind in ("scale", "shift"))
            x = x * scale + shift
        return x

    x = norm(conv(x, 3, reflect=reflect)).relu()
    for _ in range(2):
        x = conv(x, stride=2)
        x = norm(conv(x) if doubled else x).relu()
    for _ in range(blocks):
        y = norm(conv(x, reflect=reflect)).relu()
        x = x + norm(conv(y, reflect=reflect))
    for _ in range(2):
        x = F.conv_transpose2d(x, *take(), stride=2, padding=1, output_padding=1)
        x = norm(conv(x) if doubled else x).relu()
    return conv(x, 3, reflect=reflect).tanh()


def authors(weights, x):
    return residual_network(weights, x.flip(1), AUTHORS, 8, AUTHORS_NORMS, eps=1e-9).flip(1)  # BGR


def old_script(weights, x):
    return residual_network(weights, x, SCRIPT, 12, reflect=False)


def cyclegan(weights, x):
    return residual_network(weights, x, CYCLEGAN, 9, doubled=False)


def random_weights(network, names, norms=()):
    """Noise in the shapes of a network of this program, under the names of another program."""
    convolutions = [layer for layer in network.modules() if isinstance(layer, CONVOLUTIONS)]
    scaled = [layer for layer in network.modules() if isinstance(layer, InstanceNorm)] if norms else []
    shapes = {}
    for name, layer in zip(names, convolutions, strict=True):
        shapes |= {f"{name}.weight": layer.weight.shape, f"{name}.bias": layer.bias.shape}
    for name, layer in zip(norms, scaled, strict=True):
        shapes |= {f"in{name}.scale": layer.weight.shape, f"in{name}.shift": layer.bias.shape}
    seed = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=seed) * 0.1 for name, shape in shapes.items()}


# AnimeGANv2


def animegan(weights, x):
    """The definition of bryandlee/animegan2-pytorch: layer norms, 2.1 M weights."""

    def conv(name, x, pad=(0, 0, 0, 0), stride=1, groups=1):
        x = F.pad(x, pad, mode="reflect")
        return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride, groups=groups)

    def norm(name, x):
        scale, shift = (weights[f"{name}.{kind}"].reshape(1, -1, 1, 1) for kind in ("weight", "bias"))
        return normalised(x, over=(1, 2, 3)) * scale + shift

    def unit(name, x, pad=(1, 1, 1, 1), stride=1, groups=1):
        return F.leaky_relu(norm(f"{name}.2", conv(f"{name}.1", x, pad, stride, groups)), 0.2)

    def residual(name, x):
        y = unit(f"{name}.layers.0", x, (0, 0, 0, 0))
        y = unit(f"{name}.layers.1", y, groups=y.shape[1])
        y = norm(f"{name}.layers.3", conv(f"{name}.layers.2", y))
        return x + y if x.shape == y.shape else y

    def enlarge(x, size):
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    a = unit("block_a.0", x, (3, 3, 3, 3))
    a = unit("block_a.2", unit("block_a.1", a, (0, 1, 0, 1), 2))
    c = unit("block_b.1", unit("block_b.0", a, (0, 1, 0, 1), 2))
    c = unit("block_c.0", c)
    for number in (1, 2, 3, 4):
        c = residual(f"block_c.{number}", c)
    d = enlarge(unit("block_c.5", c), a.shape[2:])
    e = enlarge(unit("block_d.1", unit("block_d.0", d)), x.shape[2:])
    e = unit("block_e.2", unit("block_e.1", unit("block_e.0", e)), (3, 3, 3, 3))
    return conv("out_layer.0", e).tanh()


def animegan_weights():
    seed = torch.Generator().manual_seed(0)
    weights = {}
    for name, value in AnimeGAN().state_dict().items():
        is_scale = name.endswith("weight") and value.dim() == 1
        weights[name] = torch.randn(value.shape, generator=seed) * 0.1 + is_scale
    return weights


PROGRAMS = {  # weights, and the definition: a function of weights and pictures
    "authors": (random_weights(Generator(ngf=4), AUTHORS, AUTHORS_NORMS), authors),
    "old script": (random_weights(Generator(ngf=6, nb=12), SCRIPT), old_script),
    "CycleGAN": (random_weights(CycleGenerator(ngf=4), CYCLEGAN), cyclegan),
    "AnimeGANv2": (animegan_weights(), animegan),
}
