"""Other programs' generators written out plainly, with weights in their layouts (pictures/foreign.py)."""

import itertools

import torch
import torch.nn.functional as F


def instance_norm(x, scale, shift, eps):
    mean = x.mean((2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((2, 3), keepdim=True)
    return (x - mean) / (variance + eps).sqrt() * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


def authors(weights, x, blocks=8):
    """The authors' definition: BGR (N,3,H,W) in [-1, 1], in and out."""

    def conv(name, x, stride=1, reflect=0, **zeros):
        x = F.pad(x, (reflect,) * 4, mode="reflect") if reflect else x
        return F.conv2d(x, weights[f"conv{name}.weight"], weights[f"conv{name}.bias"], stride, **zeros)

    def up(name, x):
        w, b = weights[f"deconv{name}.weight"], weights[f"deconv{name}.bias"]
        return F.conv_transpose2d(x, w, b, stride=2, padding=1, output_padding=1)

    def norm(name, x):
        return instance_norm(x, weights[f"in{name}.scale"], weights[f"in{name}.shift"], 1e-9)

    x = norm("01_1", conv("01_1", x, reflect=3)).relu()
    x = norm("02_1", conv("02_2", conv("02_1", x, 2, padding=1), padding=1)).relu()
    x = norm("03_1", conv("03_2", conv("03_1", x, 2, padding=1), padding=1)).relu()
    for block in range(4, 4 + blocks):
        f = norm(f"{block:02}_1", conv(f"{block:02}_1", x, reflect=1)).relu()
        x = x + norm(f"{block:02}_2", conv(f"{block:02}_2", f, reflect=1))
    for number, norm_number in ((1, 4 + blocks), (2, 5 + blocks)):
        w, b = (weights[f"deconv{number:02}_2.{kind}"] for kind in ("weight", "bias"))
        x = norm(f"{norm_number:02}_1", F.conv2d(up(f"{number:02}_1", x), w, b, padding=1)).relu()
    x = F.pad(x, (3,) * 4, mode="reflect")
    return F.conv2d(x, weights["deconv03_1.weight"], weights["deconv03_1.bias"]).tanh()


def old_script(weights, x, blocks):
    """The old public script's definition: RGB (N,3,H,W) in [-1, 1], zero padding, norms without weights."""

    def conv(name, x, stride=1, padding=1):
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding)

    def up(name, x):
        return F.conv_transpose2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], 2, 1, 1)

    def norm(x):
        return instance_norm(x, torch.ones(1), torch.zeros(1), 1e-5)

    x = norm(conv("down_convs.0", x, padding=3)).relu()
    x = norm(conv("down_convs.4", conv("down_convs.3", x, 2))).relu()
    x = norm(conv("down_convs.8", conv("down_convs.7", x, 2))).relu()
    for block in range(blocks):
        f = norm(conv(f"resnet_blocks.{block}.conv1", x)).relu()
        x = x + norm(conv(f"resnet_blocks.{block}.conv2", f))
    x = norm(conv("up_convs.1", up("up_convs.0", x))).relu()
    x = norm(conv("up_convs.5", up("up_convs.4", x))).relu()
    return conv("up_convs.8", x, padding=3).tanh()


def animegan(weights, x):
    """The definition of bryandlee/animegan2-pytorch: RGB (N,3,H,W) in [-1, 1], layer norms, 2.1 M weights."""

    def conv(name, x, pad=(0, 0, 0, 0), stride=1, groups=1):
        x = F.pad(x, pad, mode="reflect")
        return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride, groups=groups)

    def norm(name, x):
        mean = x.mean((1, 2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean((1, 2, 3), keepdim=True)
        scale, shift = (weights[f"{name}.{kind}"].reshape(1, -1, 1, 1) for kind in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

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


def cyclegan(weights, x):
    """The definition of junyanz/pytorch-CycleGAN-and-pix2pix's generator: RGB (N,3,H,W) in [-1, 1]."""
    blocks = sorted({int(name.split(".")[1]) for name in weights if "conv_block" in name})

    def conv(name, x, pad=0, **more):
        x = F.pad(x, [pad] * 4, mode="reflect")
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **more)

    def up(name, x):
        more = {"stride": 2, "padding": 1, "output_padding": 1}
        return norm(F.conv_transpose2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **more)).relu()

    def norm(x):
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()

    x = norm(conv("model.1", x, 3)).relu()
    for name in ("model.4", "model.7"):
        x = norm(conv(name, x, stride=2, padding=1)).relu()
    for block in blocks:
        second = 6 if f"model.{block}.conv_block.6.weight" in weights else 5
        y = norm(conv(f"model.{block}.conv_block.1", x, 1)).relu()
        x = x + norm(conv(f"model.{block}.conv_block.{second}", y, 1))
    after = blocks[-1] + 1
    x = up(f"model.{after + 3}", up(f"model.{after}", x))
    return conv(f"model.{after + 7}", x, 3).tanh()


def random_weights(shapes):
    seed = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=seed) * 0.1 for name, shape in shapes.items()}


def shapes_of(layers):
    """{name: (out, in, kernel)} as shapes of weights and biases; a name with "up" is transposed."""
    shapes = {}
    for name, (out, into, kernel) in layers.items():
        transposed = name in ("deconv01_1", "deconv02_1", "up_convs.0", "up_convs.4")
        shapes[f"{name}.weight"] = (*((into, out) if transposed else (out, into)), kernel, kernel)
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
    return random_weights(
        shapes_of(layers) | {f"in{n}.{kind}": (w,) for n, w in norms.items() for kind in ("scale", "shift")}
    )


def script_weights(ngf=4, blocks=6):
    a, b, c = ngf, 2 * ngf, 4 * ngf
    layers = {"down_convs.0": (a, 3, 7), "down_convs.3": (b, a, 3), "down_convs.4": (b, b, 3)}
    layers |= {"down_convs.7": (c, b, 3), "down_convs.8": (c, c, 3)}
    layers |= {f"resnet_blocks.{n}.conv{half}": (c, c, 3) for n in range(blocks) for half in (1, 2)}
    layers |= {"up_convs.0": (b, c, 3), "up_convs.1": (b, b, 3), "up_convs.4": (a, b, 3)}
    return random_weights(shapes_of(layers | {"up_convs.5": (a, a, 3), "up_convs.8": (3, a, 7)}))


def animegan_weights():
    shapes = {"out_layer.0.weight": (3, 32, 1, 1)}

    def unit(name, into, out, kernel=3, group=None, norm="2", conv="1"):
        shapes[f"{name}.{conv}.weight"] = (out, group or into, kernel, kernel)
        shapes.update({f"{name}.{norm}.{kind}": (out,) for kind in ("weight", "bias")})

    for block, widths in (("a", (3, 32, 64, 64)), ("b", (64, 128, 128)), ("d", (128, 128, 128))):
        for number, (into, out) in enumerate(itertools.pairwise(widths)):
            unit(f"block_{block}.{number}", into, out, 7 if into == 3 else 3)
    for number, (into, out) in enumerate(((128, 64), (64, 64), (64, 32))):
        unit(f"block_e.{number}", into, out, 7 if out == 32 else 3)
    unit("block_c.0", 128, 128)
    unit("block_c.5", 256, 128)
    for number, into in enumerate((128, 256, 256, 256), 1):
        name, wide = f"block_c.{number}.layers", 2 * into
        unit(f"{name}.0", into, wide, 1)
        unit(f"{name}.1", wide, wide, group=1)
        shapes[f"{name}.1.1.bias"] = (wide,)
        unit(name, wide, 256, 1, norm="3", conv="2")
    scales = {name for name, shape in shapes.items() if name.endswith("weight") and len(shape) == 1}
    return {name: value + (name in scales) for name, value in random_weights(shapes).items()}


def cyclegan_weights(ngf=4, blocks=9, second=5):
    a, b, c, after = ngf, 2 * ngf, 4 * ngf, 10 + blocks
    layers = {"model.1": (a, 3, 7), "model.4": (b, a, 3), "model.7": (c, b, 3)}
    layers |= {f"model.{10 + n}.conv_block.{half}": (c, c, 3) for n in range(blocks) for half in (1, second)}
    layers |= {f"model.{after}": (c, b, 3), f"model.{after + 3}": (b, a, 3), f"model.{after + 7}": (3, a, 7)}
    shapes = shapes_of(layers)
    shapes |= {
        f"model.{after}.bias": (b,),
        f"model.{after + 3}.bias": (a,),
    }  # transposed: (in, out, side, side)
    return random_weights(shapes)
