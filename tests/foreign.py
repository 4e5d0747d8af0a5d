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


def convolution(weights, name, x, reflect=0, **options):
    x = F.pad(x, (reflect,) * 4, mode="reflect") if reflect else x
    return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **options)


def enlarged(weights, name, x):
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)


def authors(weights, x):
    """The definition of CartoonGAN's authors, 8 blocks; it works in BGR."""
    conv = lambda name, x, **options: convolution(weights, f"conv{name}", x, **options)

    def norm(name, x):
        scale, shift = (weights[f"in{name}.{kind}"].reshape(1, -1, 1, 1) for kind in ("scale", "shift"))
        return normalised(x, 1e-9) * scale + shift

    x = norm("01_1", conv("01_1", x.flip(1), reflect=3)).relu()
    x = norm("02_1", conv("02_2", conv("02_1", x, stride=2, padding=1), padding=1)).relu()
    x = norm("03_1", conv("03_2", conv("03_1", x, stride=2, padding=1), padding=1)).relu()
    for block in range(4, 12):
        f = norm(f"{block:02}_1", conv(f"{block:02}_1", x, reflect=1)).relu()
        x = x + norm(f"{block:02}_2", conv(f"{block:02}_2", f, reflect=1))
    for name, norm_name in (("deconv01", "12_1"), ("deconv02", "13_1")):
        x = convolution(weights, f"{name}_2", enlarged(weights, f"{name}_1", x), padding=1)
        x = norm(norm_name, x).relu()
    return convolution(weights, "deconv03_1", x, reflect=3).tanh().flip(1)


def old_script(weights, x):
    """The old public script's definition, 12 blocks: zero padding, norms without weights."""
    conv = lambda name, x, padding=1, stride=1: convolution(weights, name, x, padding=padding, stride=stride)
    x = normalised(conv("down_convs.0", x, 3)).relu()
    for first, second in ((3, 4), (7, 8)):
        x = conv(f"down_convs.{first}", x, stride=2)
        x = normalised(conv(f"down_convs.{second}", x)).relu()
    for block in range(12):
        f = normalised(conv(f"resnet_blocks.{block}.conv1", x)).relu()
        x = x + normalised(conv(f"resnet_blocks.{block}.conv2", f))
    for first, second in ((0, 1), (4, 5)):
        x = normalised(conv(f"up_convs.{second}", enlarged(weights, f"up_convs.{first}", x))).relu()
    return conv("up_convs.8", x, 3).tanh()


def cyclegan(weights, x):
    """The definition of junyanz/pytorch-CycleGAN-and-pix2pix's generator."""
    conv = lambda name, x, **options: convolution(weights, name, x, **options)
    blocks = sorted({int(name.split(".")[1]) for name in weights if "conv_block" in name})
    x = normalised(conv("model.1", x, reflect=3)).relu()
    for name in ("model.4", "model.7"):
        x = normalised(conv(name, x, stride=2, padding=1)).relu()
    for block in blocks:
        second = 6 if f"model.{block}.conv_block.6.weight" in weights else 5  # with dropout
        f = normalised(conv(f"model.{block}.conv_block.1", x, reflect=1)).relu()
        x = x + normalised(conv(f"model.{block}.conv_block.{second}", f, reflect=1))
    for after in (1, 4):
        x = normalised(enlarged(weights, f"model.{blocks[-1] + after}", x)).relu()
    return conv(f"model.{blocks[-1] + 8}", x, reflect=3).tanh()


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


# Weights


def random_weights(layers, transposed=(), norms=None):
    """Weights and biases of {name: (out, in, kernel)}; scales and shifts of {name: channels}."""
    shapes = {}
    for name, (out, into, kernel) in layers.items():
        shapes[f"{name}.weight"] = (*((into, out) if name in transposed else (out, into)), kernel, kernel)
        shapes[f"{name}.bias"] = (out,)
    for name, channels in (norms or {}).items():
        shapes |= {f"in{name}.scale": (channels,), f"in{name}.shift": (channels,)}
    seed = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=seed) * 0.1 for name, shape in shapes.items()}


def authors_weights():
    layers = {"conv01_1": (4, 3, 7), "conv02_1": (8, 4, 3), "conv02_2": (8, 8, 3)}
    layers |= {"conv03_1": (16, 8, 3), "conv03_2": (16, 16, 3)}
    blocks = [f"{n:02}_{half}" for n in range(4, 12) for half in (1, 2)]
    layers |= {f"conv{name}": (16, 16, 3) for name in blocks}
    layers |= {"deconv01_1": (8, 16, 3), "deconv01_2": (8, 8, 3), "deconv02_1": (4, 8, 3)}
    layers |= {"deconv02_2": (4, 4, 3), "deconv03_1": (3, 4, 7)}
    norms = {"01_1": 4, "02_1": 8, "03_1": 16, "12_1": 8, "13_1": 4} | dict.fromkeys(blocks, 16)
    return random_weights(layers, ("deconv01_1", "deconv02_1"), norms)


def script_weights():
    layers = {"down_convs.0": (6, 3, 7), "down_convs.3": (12, 6, 3), "down_convs.4": (12, 12, 3)}
    layers |= {"down_convs.7": (24, 12, 3), "down_convs.8": (24, 24, 3)}
    layers |= {f"resnet_blocks.{n}.conv{half}": (24, 24, 3) for n in range(12) for half in (1, 2)}
    layers |= {"up_convs.0": (12, 24, 3), "up_convs.1": (12, 12, 3), "up_convs.4": (6, 12, 3)}
    layers |= {"up_convs.5": (6, 6, 3), "up_convs.8": (3, 6, 7)}
    return random_weights(layers, ("up_convs.0", "up_convs.4"))


def cyclegan_weights(blocks=9, second=5):
    up = [f"model.{10 + blocks + after}" for after in (0, 3, 7)]
    layers = {"model.1": (4, 3, 7), "model.4": (8, 4, 3), "model.7": (16, 8, 3)}
    layers |= {
        f"model.{10 + n}.conv_block.{half}": (16, 16, 3) for n in range(blocks) for half in (1, second)
    }
    layers |= dict(zip(up, ((8, 16, 3), (4, 8, 3), (3, 4, 7)), strict=True))
    return random_weights(layers, up[:2])


def animegan_weights():
    seed = torch.Generator().manual_seed(0)
    weights = {}
    for name, value in AnimeGAN().state_dict().items():
        is_scale = name.endswith("weight") and value.dim() == 1
        weights[name] = torch.randn(value.shape, generator=seed) * 0.1 + is_scale
    return weights
