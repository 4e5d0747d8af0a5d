"""Other programs' generators written out plainly, with random weights in their layouts (pictures/foreign.py).

Pictures are RGB, N,3,H,W in [-1, 1], in and out.
"""

import torch
import torch.nn.functional as F

from pictures.foreign import AnimeGAN


def normalised(x, eps=1e-5, over=(2, 3)):
    mean = x.mean(over, keepdim=True)
    variance = ((x - mean) ** 2).mean(over, keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


# CartoonGAN's and CycleGAN's networks: the names of their layers in the order in which they run

BLOCKS = [(f"{n:02}_1", f"{n:02}_2") for n in range(4, 12)]
AUTHORS = {
    "first": "conv01_1",
    "down": [("conv02_1", "conv02_2"), ("conv03_1", "conv03_2")],
    "blocks": [(f"conv{one}", f"conv{two}") for one, two in BLOCKS],
    "up": [("deconv01_1", "deconv01_2"), ("deconv02_1", "deconv02_2")],
    "last": "deconv03_1",
    "norms": ["01_1", "02_1", "03_1", *(name for block in BLOCKS for name in block), "12_1", "13_1"],
}
SCRIPT = {
    "first": "down_convs.0",
    "down": [("down_convs.3", "down_convs.4"), ("down_convs.7", "down_convs.8")],
    "blocks": [(f"resnet_blocks.{n}.conv1", f"resnet_blocks.{n}.conv2") for n in range(12)],
    "up": [("up_convs.0", "up_convs.1"), ("up_convs.4", "up_convs.5")],
    "last": "up_convs.8",
}
CYCLEGAN = {
    "first": "model.1",
    "down": [("model.4",), ("model.7",)],
    "blocks": [(f"model.{n}.conv_block.1", f"model.{n}.conv_block.5") for n in range(10, 19)],
    "up": [("model.19",), ("model.22",)],
    "last": "model.26",
}


def residual_network(weights, x, names, reflect=True, eps=1e-5):
    """The definition: with `reflect`, all convolutions but those that change the size or follow them."""
    norms = iter(names.get("norms", ()))

    def conv(name, x, padding=1, stride=1, reflect=reflect):
        x = F.pad(x, (padding,) * 4, mode="reflect" if reflect else "constant")
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride)

    def norm(x):
        x = normalised(x, eps)
        if name := next(norms, None):
            scale, shift = (weights[f"in{name}.{kind}"].reshape(1, -1, 1, 1) for kind in ("scale", "shift"))
            x = x * scale + shift
        return x

    x = norm(conv(names["first"], x, 3)).relu()
    for strided, *more in names["down"]:
        x = conv(strided, x, stride=2, reflect=False)
        for name in more:
            x = conv(name, x, reflect=False)
        x = norm(x).relu()
    for one, two in names["blocks"]:
        x = x + norm(conv(two, norm(conv(one, x)).relu()))
    for doubling, *more in names["up"]:
        parts = weights[f"{doubling}.weight"], weights[f"{doubling}.bias"]
        x = F.conv_transpose2d(x, *parts, stride=2, padding=1, output_padding=1)
        for name in more:
            x = conv(name, x, reflect=False)
        x = norm(x).relu()
    return conv(names["last"], x, 3).tanh()


def authors(weights, x):
    return residual_network(weights, x.flip(1), AUTHORS, eps=1e-9).flip(1)  # it works in BGR


def old_script(weights, x):
    return residual_network(weights, x, SCRIPT, reflect=False)


def cyclegan(weights, x):
    return residual_network(weights, x, CYCLEGAN)


def random_weights(names, ngf=4):
    seed, weights = torch.Generator().manual_seed(0), {}

    def add(name, into, out, kernel=3, transposed=False):
        shape = (*((into, out) if transposed else (out, into)), kernel, kernel)
        weights[f"{name}.weight"] = torch.randn(shape, generator=seed) * 0.1
        weights[f"{name}.bias"] = torch.randn(out, generator=seed) * 0.1
        return out

    width = add(names["first"], 3, ngf, 7)
    widths = [width]
    for strided, *more in names["down"]:
        width = add(strided, width, 2 * width)
        widths += [add(name, width, width) for name in more][-1:] or [width]
    for name in (name for block in names["blocks"] for name in block):
        widths.append(add(name, width, width))
    for doubling, *more in names["up"]:
        width = add(doubling, width, width // 2, transposed=True)
        widths += [add(name, width, width) for name in more][-1:] or [width]
    add(names["last"], width, 3, 7)
    for name, width in zip(names.get("norms", ()), widths, strict=False):
        for kind in ("scale", "shift"):
            weights[f"in{name}.{kind}"] = torch.randn(width, generator=seed) * 0.1
    return weights


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
