"""Each layout of a checkpoint against its definition written out plainly, and what must be refused."""

import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from networks import Generator
from pictures import checkpoints
from utils import WrongUse

HAYAO = Path(__file__).parents[1].parent / "shared/pretrained/Hayao_net_G_float.pth"
CLOSE = 1e-4  # of [-1, 1], in float32
SIZES = [(16, 16), (32, 48), (68, 20)]


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


@torch.inference_mode()
def compare(path, defined, sizes=SIZES):
    """The largest difference between what a checkpoint makes of RGB noise and `defined`."""
    generator = checkpoints.load_generator(path)
    photos = [torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1 for size in sizes]
    return max((generator(photo) - defined(photo)).abs().max() for photo in photos)


@pytest.mark.parametrize("norm_shape", [(-1,), (1, -1, 1, 1)])
def test_authors_layout(tmp_path, norm_shape):
    weights = authors_weights()
    held = {k: v.reshape(norm_shape) if k.startswith("in") else v for k, v in weights.items()}
    torch.save(held, tmp_path / "net.pth")
    assert compare(tmp_path / "net.pth", lambda rgb: authors(weights, rgb.flip(1)).flip(1)) < CLOSE


@pytest.mark.skipif(not HAYAO.exists(), reason="the released weights are not here")
def test_released_weights():
    weights = torch.load(HAYAO, weights_only=True)
    assert compare(HAYAO, lambda rgb: authors(weights, rgb.flip(1)).flip(1), [(32, 48)]) < CLOSE


@pytest.mark.parametrize(("ngf", "blocks"), [(4, 6), (6, 1)])
def test_old_script_layout(tmp_path, ngf, blocks):
    weights = script_weights(ngf, blocks)
    torch.save(weights, tmp_path / "generator_param.pkl", _use_new_zipfile_serialization=False)
    assert compare(tmp_path / "generator_param.pkl", lambda rgb: old_script(weights, rgb, blocks)) < CLOSE
    made = checkpoints.load_generator(tmp_path / "generator_param.pkl").architecture
    assert (made["ngf"], made["nb"]) == (ngf, blocks)


def test_buffers_of_old_pytorch_change_nothing(tmp_path):
    weights = script_weights()
    torch.save(weights | {"down_convs.1.running_mean": torch.ones(4)}, tmp_path / "net.pkl")
    assert compare(tmp_path / "net.pkl", lambda rgb: old_script(weights, rgb, 6)) < CLOSE


def test_own_layout_with_and_without_newer_keys(tmp_path):
    generator = Generator(ngf=4, nb=2)
    held = checkpoints.generator_file(generator)
    torch.save(held, tmp_path / "new.pth")
    older = {key: value for key, value in held["architecture"].items() if key not in ("padding", "eps")}
    torch.save(held | {"architecture": older}, tmp_path / "old.pth")
    assert compare(tmp_path / "new.pth", generator) == 0
    assert compare(tmp_path / "old.pth", generator) == 0


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {f"module.{key}": value for key, value in weights.items()},
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"params": {f"module.{key}": value for key, value in weights.items()}},
    ],
)
def test_wrappers_are_opened(tmp_path, wrap):
    weights = script_weights()
    torch.save(wrap(weights), tmp_path / "net.pkl")
    assert compare(tmp_path / "net.pkl", lambda rgb: old_script(weights, rgb, 6)) < CLOSE


def damaged(change):
    weights = authors_weights()
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"features.0.weight": torch.zeros(1)}, "known layout: known are"),
        ({"state_dict": 3}, "no weights by name: known are"),
        ([1, 2], "no weights by name: known are"),
        (damaged(lambda w: w.update(epoch=3)), "known layout: known are"),
        (damaged(lambda w: w.pop("conv07_2.bias")), "lacks conv07_2.bias"),
        (damaged(lambda w: w.update(more=torch.zeros(1))), "holds more"),
        (damaged(lambda w: w.update({"conv05_1.weight": torch.zeros(1)})), "does not fit"),
        (damaged(lambda w: w.update({"conv01_1.weight": torch.zeros(1)})), "damaged"),
        ({"architecture": {"ngf": -1}, "state_dict": {}}, "cannot be built"),
    ],
)
def test_anything_else_is_told_in_one_line(tmp_path, content, says):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(WrongUse, match=says) as told:
        checkpoints.load_generator(tmp_path / "net.pth")
    assert "net.pth" in str(told.value)
    assert "\n" not in str(told.value)


class Writes:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_file_is_not_run(tmp_path, how):
    how({"conv01_1.weight": Writes(tmp_path / "written")}, tmp_path / "net.pth")
    with pytest.raises(WrongUse, match="refused"):
        checkpoints.load_generator(tmp_path / "net.pth")
    assert not (tmp_path / "written").exists()
    torch.load(tmp_path / "net.pth", weights_only=False) if how is torch.save else pickle.loads(
        (tmp_path / "net.pth").read_bytes()
    )
    assert (tmp_path / "written").exists(), "the file was harmless: the test shows nothing"
