"""Other programs' generators written out plainly, with random weights in their layouts (pictures/foreign.py).

Pictures are RGB (authors: BGR), N,3,H,W in [-1, 1], in and out.
"""

import torch
import torch.nn.functional as F

from pictures.foreign import AnimeGAN


class Layers:
    """Convolutions by the names of their weights."""

    def __init__(self, weights):
        self.weights = weights

    def conv(self, name, x, reflect=0, **options):
        x = F.pad(x, (reflect,) * 4, mode="reflect") if reflect else x
        return F.conv2d(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], **options)

    def up(self, name, x):
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)


def normalised(x, eps=1e-5, over=(2, 3)):
    mean = x.mean(over, keepdim=True)
    variance = ((x - mean) ** 2).mean(over, keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


def authors(weights, x, blocks=8):
    """The definition of CartoonGAN's authors."""
    layers = Layers(weights)
    conv = lambda name, *args, **options: layers.conv(f"conv{name}", *args, **options)

    def norm(name, x):
        scale, shift = (weights[f"in{name}.{kind}"].reshape(1, -1, 1, 1) for kind in ("scale", "shift"))
        return normalised(x, 1e-9) * scale + shift

    x = norm("01_1", conv("01_1", x, reflect=3)).relu()
    x = norm("02_1", conv("02_2", conv("02_1", x, stride=2, padding=1), padding=1)).relu()
    x = norm("03_1", conv("03_2", conv("03_1", x, stride=2, padding=1), padding=1)).relu()
    for block in range(4, 4 + blocks):
        f = norm(f"{block:02}_1", conv(f"{block:02}_1", x, reflect=1)).relu()
        x = x + norm(f"{block:02}_2", conv(f"{block:02}_2", f, reflect=1))
    for number, norm_number in ((1, 4 + blocks), (2, 5 + blocks)):
        x = layers.conv(f"deconv{number:02}_2", layers.up(f"deconv{number:02}_1", x), padding=1)
        x = norm(f"{norm_number:02}_1", x).relu()
    return layers.conv("deconv03_1", x, reflect=3).tanh()


def old_script(weights, x, blocks):
    """The old public script's definition: zero padding, norms without weights."""
    conv, up = Layers(weights).conv, Layers(weights).up
    x = normalised(conv("down_convs.0", x, padding=3)).relu()
    for first, second in ((3, 4), (7, 8)):
        x = conv(f"down_convs.{first}", x, stride=2, padding=1)
        x = normalised(conv(f"down_convs.{second}", x, padding=1)).relu()
    for block in range(blocks):
        f = normalised(conv(f"resnet_blocks.{block}.conv1", x, padding=1)).relu()
        x = x + normalised(conv(f"resnet_blocks.{block}.conv2", f, padding=1))
    for first, second in ((0, 1), (4, 5)):
        x = normalised(conv(f"up_convs.{second}", up(f"up_convs.{first}", x), padding=1)).relu()
    return conv("up_convs.8", x, padding=3).tanh()


def cyclegan(weights, x):
    """The definition of junyanz/pytorch-CycleGAN-and-pix2pix's generator."""
    conv, up = Layers(weights).conv, Layers(weights).up
    blocks = sorted({int(name.split(".")[1]) for name in weights if "conv_block" in name})
    x = normalised(conv("model.1", x, reflect=3)).relu()
    for name in ("model.4", "model.7"):
        x = normalised(conv(name, x, stride=2, padding=1)).relu()
    for block in blocks:
        second = 6 if f"model.{block}.conv_block.6.weight" in weights else 5
        f = normalised(conv(f"model.{block}.conv_block.1", x, reflect=1)).relu()
        x = x + normalised(conv(f"model.{block}.conv_block.{second}", f, reflect=1))
    for after in (1, 4):
        x = normalised(up(f"model.{blocks[-1] + after}", x)).relu()
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


def random_weights(shapes):
    seed = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=seed) * 0.1 for name, shape in shapes.items()}


def shapes_of(layers, transposed):
    """Shapes of the weights and biases of {name: (out, in, kernel)}."""
    shapes = {}
    for name, (out, into, kernel) in layers.items():
        shapes[f"{name}.weight"] = (*((into, out) if name in transposed else (out, into)), kernel, kernel)
        shapes[f"{name}.bias"] = (out,)
    return shapes


def authors_weights(ngf=4, blocks=8):
    a, b, c = ngf, 2 * ngf, 4 * ngf
    layers = {"conv01_1": (a, 3, 7), "conv02_1": (b, a, 3), "conv02_2": (b, b, 3)}
    layers |= {"conv03_1": (c, b, 3), "conv03_2": (c, c, 3)}
    layers |= {f"conv{n:02}_{half}": (c, c, 3) for n in range(4, 4 + blocks) for half in (1, 2)}
    layers |= {"deconv01_1": (b, c, 3), "deconv01_2": (b, b, 3), "deconv02_1": (a, b, 3)}
    layers |= {"deconv02_2": (a, a, 3), "deconv03_1": (3, a, 7)}
    norms = {"01_1": a, "02_1": b, "03_1": c, f"{4 + blocks:02}_1": b, f"{5 + blocks:02}_1": a}
    norms |= {f"{n:02}_{half}": c for n in range(4, 4 + blocks) for half in (1, 2)}
    shapes = shapes_of(layers, transposed=("deconv01_1", "deconv02_1"))
    shapes |= {f"in{n}.{kind}": (width,) for n, width in norms.items() for kind in ("scale", "shift")}
    return random_weights(shapes)


def script_weights(ngf=4, blocks=6):
    a, b, c = ngf, 2 * ngf, 4 * ngf
    layers = {"down_convs.0": (a, 3, 7), "down_convs.3": (b, a, 3), "down_convs.4": (b, b, 3)}
    layers |= {"down_convs.7": (c, b, 3), "down_convs.8": (c, c, 3)}
    layers |= {f"resnet_blocks.{n}.conv{half}": (c, c, 3) for n in range(blocks) for half in (1, 2)}
    layers |= {"up_convs.0": (b, c, 3), "up_convs.1": (b, b, 3), "up_convs.4": (a, b, 3)}
    layers |= {"up_convs.5": (a, a, 3), "up_convs.8": (3, a, 7)}
    return random_weights(shapes_of(layers, transposed=("up_convs.0", "up_convs.4")))


def cyclegan_weights(ngf=4, blocks=9, second=5):
    a, b, c, after = ngf, 2 * ngf, 4 * ngf, 10 + blocks
    layers = {"model.1": (a, 3, 7), "model.4": (b, a, 3), "model.7": (c, b, 3)}
    layers |= {f"model.{10 + n}.conv_block.{half}": (c, c, 3) for n in range(blocks) for half in (1, second)}
    layers |= {f"model.{after}": (b, c, 3), f"model.{after + 3}": (a, b, 3), f"model.{after + 7}": (3, a, 7)}
    return random_weights(shapes_of(layers, transposed=(f"model.{after}", f"model.{after + 3}")))


def animegan_weights():
    shapes = {name: value.shape for name, value in AnimeGAN().state_dict().items()}
    scales = {name for name, shape in shapes.items() if name.endswith("weight") and len(shape) == 1}
    return {name: value + (name in scales) for name, value in random_weights(shapes).items()}
