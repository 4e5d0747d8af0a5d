"""Files of weights: written whole, read without running anything in them, refused in one line."""

import contextlib
import errno
import io
import math
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from helpers import VGG

from networks import Discriminator, Generator
from pictures import checkpoints
from utils import WrongUse, exit_status


def saved(content, legacy=False):
    """The bytes that torch.save makes, in its present form or that of before PyTorch 1.6."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@pytest.fixture
def refusal(tmp_path, capsys):
    """refusal(call): the one line in which call(tmp_path / "g.pth") is refused, as a person reads it."""

    def read(call):
        assert exit_status(lambda: call(tmp_path / "g.pth")) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.isprintable() and len(line) < 1000 and f"{tmp_path}/g.pth" in line
        return line

    return read


# Files


def test_what_is_saved_is_loaded(tmp_path):
    content = {
        "weight": torch.randn(2, 3),
        "epoch": 3,
        "place": (1, 2),
        "settings": {"name": "é", "tag": None},
    }
    # A run may have the name of a layer, or of what a harmful pickle calls.
    content["options"] = ["ctorch.nn.modules.conv", "bytearray"]
    checkpoints.save(tmp_path / "a.pth", content)
    loaded = checkpoints.load(tmp_path / "a.pth")
    assert torch.equal(loaded.pop("weight"), content.pop("weight")) and loaded == content
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pth"]


def test_a_write_that_is_cut_leaves_the_earlier_file(tmp_path, monkeypatch):
    def cut(part, content, write=Path.write_bytes):
        write(part, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpoints.save(tmp_path / "a.pth", {"epoch": 1})
    monkeypatch.setattr(Path, "write_bytes", cut)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(tmp_path / "a.pth", {"epoch": 2})
    assert checkpoints.load(tmp_path / "a.pth") == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pth"]


class Calls:
    """Calls a function when it is unpickled in the usual way."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "dump",
    [saved, lambda content: saved(content, legacy=True), lambda content: pickle.dumps(content, protocol=2)],
    ids=["torch", "legacy", "pickle"],
)
def test_code_in_a_file_is_not_run(tmp_path, dump, refusal):
    data = dump({"weight": Calls(os.mkdir, str(tmp_path / "made"))})
    (tmp_path / "g.pth").write_bytes(data)
    assert "holds more than weights (posix.mkdir), which could run code" in refusal(checkpoints.load)
    assert not (tmp_path / "made").exists()
    with contextlib.suppress(
        RuntimeError
    ):  # PyTorch notices only afterwards that a bare pickle is not its own
        torch.load(io.BytesIO(data), weights_only=False)
    assert (tmp_path / "made").exists(), "the file was harmless: the test shows nothing"


def archive(content):
    """A ZIP archive with a checkpoint in it, as some downloads are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("models/net.pth", content)
    return file.getvalue()


def torch_script():
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2)), file)
    return file.getvalue()


def deflated():
    """A checkpoint of a few kilobytes with 64 MB of zeros in it."""
    small = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(2**24)}))) as whole,
        zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    assert len(small.getvalue()) < 100_000
    return small.getvalue()


def overlapping():
    """A checkpoint with records that overlap: its directory names each nine times."""
    content = saved({"a": torch.zeros(2**16)})
    end = content.rindex(b"PK\5\6")
    size, start = struct.unpack("<II", content[end + 12 : end + 20])
    directory = content[start : start + size] * 9
    count = directory.count(b"PK\1\2")
    counts = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(directory), start, 0)
    return content[:start] + directory + counts


WEIGHTS = {"weight": torch.zeros(50, 50)}
LAYER = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))
CODE = "which could run code: refused; where it comes from, save model.state_dict() alone"


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "is empty: copy or download it again"),
        (lambda: saved(LAYER), f"is a whole model of torch.save(model), {CODE}"),
        (lambda: saved(LAYER, legacy=True), f"is a whole model of torch.save(model), {CODE}"),
        (torch_script, f"is TorchScript, {CODE}"),
        (
            lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "is a Git LFS pointer",
        ),
        (lambda: b"\n<!DOCTYPE html><html><title>Virus scan warning</title>", "is a web page instead of"),
        (lambda: b"\x1f\x8b\x08\x00", "is a packed file: unpack it"),
        (lambda: archive(saved(WEIGHTS)), "is a ZIP archive: unpack it"),
        (lambda: b"results/\n__pycache__/\n", "is not a file of weights"),
        (lambda: b"X\x03\x00\x00\x00\xff\xff\xff", "is not a file of weights"),
        *((lambda size=size: saved(WEIGHTS)[:size], "is damaged or cut short") for size in (-2000, 100)),
        *((lambda size=size: saved(WEIGHTS, legacy=True)[:size], "is damaged or cut") for size in (-2000, 5)),
        (deflated, "would grow in memory"),
        (overlapping, "would grow in memory"),
        (lambda: saved({"a": Calls(bytearray, 10**13)}), "would grow in memory"),
        (lambda: pickle.dumps(Calls(bytearray, 10**13), 2), "would grow in memory"),
    ],
)
def test_a_file_that_is_not_a_whole_checkpoint_is_named(tmp_path, refusal, make, message):
    (tmp_path / "g.pth").write_bytes(make())
    assert f"g.pth {message}" in refusal(checkpoints.load)
    assert f"g.pth {message}" in refusal(checkpoints.load_generator)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no file"),
        (lambda path: path.mkdir(), "is a folder without a generator_latest.pth"),
        (os.mkfifo, "it is not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is not a file"),
        (lambda path: path.symlink_to(path), "cannot read"),
    ],
)
def test_a_path_without_a_file_is_refused(tmp_path, refusal, make, message):
    make(tmp_path / "g.pth")
    assert message in refusal(checkpoints.load)


@pytest.mark.parametrize("name", ["net_G.t7", "model.onnx"])
def test_a_model_of_another_library_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"\4\0\0\0\1\0\0\0")
    with pytest.raises(WrongUse, match=f"{name} is a model of (Lua Torch|ONNX), which is not read here"):
        checkpoints.load(tmp_path / name)


def test_safetensors_needs_its_package(tmp_path, monkeypatch, refusal):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    (tmp_path / "g.pth").write_bytes(struct.pack("<Q", 2) + b"{}")
    assert "is a safetensors file: pip install safetensors" in refusal(checkpoints.load)


# Generators


@pytest.mark.parametrize(
    "architecture",
    [
        {"ngf": 4, "nb": 1},
        {"in_ngc": 1, "out_ngc": 1, "ngf": 4, "nb": 2, "res_convs": 3, "upsample": "resize"},
        {"ngf": 4, "nb": 0, "norm": "layer", "predict": "change"},
        {"ngf": 4, "nb": 1, "conv_bias": "none"},
    ],
)
def test_a_file_tells_how_to_build_its_generator(tmp_path, architecture):
    generator = Generator(**architecture)
    file = checkpoints.generator_file(generator)
    checkpoints.save(tmp_path / "g.pth", file | {"epoch": 3, "a measure": 0.1})  # as generator_best.pth
    loaded = checkpoints.load_generator(tmp_path / "g.pth")
    assert loaded.architecture == generator.architecture
    assert loaded.architecture.items() >= architecture.items()
    photo = torch.rand(1, generator.architecture["in_ngc"], 16, 20)
    assert torch.equal(loaded(photo), generator(photo))
    assert all(weight.requires_grad for weight in loaded.parameters())
    # A file of before an argument existed has the argument's default.
    older = {key: value for key, value in file["architecture"].items() if key in architecture}
    checkpoints.save(tmp_path / "old.pth", file | {"architecture": older})
    assert torch.equal(checkpoints.load_generator(tmp_path / "old.pth")(photo), generator(photo))


def test_weights_of_half_precision_become_float32(tmp_path):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    file["state_dict"] = {key: value.half() for key, value in file["state_dict"].items()}
    checkpoints.save(tmp_path / "g.pth", file)
    loaded = checkpoints.load_generator(tmp_path / "g.pth").state_dict()
    assert all(torch.equal(value, file["state_dict"][key].float()) for key, value in loaded.items())


def test_the_weights_in_a_file_are_on_the_cpu():
    """Wherever those of the network are: here each notes when it is copied there."""
    copied = []

    class Elsewhere(torch.Tensor):
        def cpu(self):
            copied.append(self)
            return self.as_subclass(torch.Tensor)

    network = Generator(ngf=2, nb=1)
    weights = {key: value.as_subclass(Elsewhere) for key, value in network.state_dict().items()}
    network.state_dict = lambda: weights
    file = checkpoints.generator_file(network)
    assert len(copied) == len(weights) == len(file["state_dict"])
    assert {*map(type, file["state_dict"].values())} == {torch.Tensor}


def architecture(**values):
    return lambda file: file["architecture"].update(values)


def weight(value, key="down.0.weight"):
    return lambda file: file["state_dict"].update({key: value})


def contain_itself(file):
    file.clear()
    file["state_dict"] = file


WEIGHT = (4, 3, 7, 7)
ENORMOUS = {key: torch.zeros(1).expand(value.shape) for key, value in Generator(nb=1).state_dict().items()}
UNKNOWN, LARGER = "a generator that is unknown here", "its weights are larger than the file"
NO_WEIGHTS = "holds no weights by name"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (architecture(ngf=8), "size mismatch for down.0.weight"),
        (architecture(nb=2), 'Missing key(s) in state_dict: "blocks.1.'),
        (architecture(ngf=4096), "does not fit this network"),
        (architecture(nb=1000), "does not fit this network"),
        (architecture(conv_bias="none"), "Unexpected key(s) in state_dict"),
        (architecture(colour=1), "unexpected keyword argument 'colour'"),
        (architecture(network="new"), "its network is 'new'"),
        (architecture(network=["CycleGAN"]), UNKNOWN),
        *((architecture(ngf=value), "its ngf is") for value in (0, 10**600, "4", [4], None, math.nan)),
        *((architecture(ngf=value), UNKNOWN) for value in (4.0, torch.ones(2))),
        *((architecture(nb=value), "its nb is") for value in (-1, 10**9, {})),
        (architecture(in_ngc=2), "its in_ngc is '2'"),
        (architecture(norm="batch"), "its norm is 'batch'"),
        (architecture(out_ngc=1, predict="change"), UNKNOWN),
        *((architecture(eps=value), "its eps is") for value in (math.nan, 0, 10**5)),
        *((architecture(eps=value), UNKNOWN) for value in ("1", torch.ones(2))),
        (architecture(**{"a\nb": 1}), UNKNOWN),
        *(
            (lambda file, value=value: file.update(architecture=value), UNKNOWN)
            for value in (None, [{}], {1: 2})
        ),
        (weight(torch.full(WEIGHT, math.nan)), "down.0.weight is not finite"),
        (weight(torch.full(WEIGHT, 1e300, dtype=torch.float64)), "down.0.weight is not finite"),
        (weight(torch.zeros(1).expand(10**6, 3, 7, 10**6)), LARGER),
        (weight(torch.zeros(WEIGHT, device="meta")), LARGER),
        (weight(torch.zeros(WEIGHT).to_sparse()), LARGER),
        (lambda file: file.update(architecture={"nb": 1}, state_dict=ENORMOUS), LARGER),
        (weight(torch.zeros(5), "down.1.weight"), "size mismatch for down.1.weight"),
        (weight(torch.zeros(1), "more"), 'Unexpected key(s) in state_dict: "more"'),
        (weight(torch.zeros(1), "a\n\x1b[2Jb"), "does not fit this network"),
        (lambda file: file["state_dict"].pop("down.0.bias"), 'Missing key(s) in state_dict: "down.0.bias"'),
        (weight([0.0] * 4), NO_WEIGHTS),
        (weight(torch.zeros(1), 7), NO_WEIGHTS),
        (lambda file: file.update(state_dict=[torch.zeros(1)]), NO_WEIGHTS),
        (contain_itself, NO_WEIGHTS),
    ],
)
def test_a_generator_file_that_does_not_fit_is_refused_in_one_line(tmp_path, refusal, change, message):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    change(file)
    torch.save(file, tmp_path / "g.pth")
    assert message in refusal(checkpoints.load_generator)


@pytest.mark.parametrize("shape", [(10**8, 3, 0, 0), (10**9, 0, 7, 7), (0, 3, 7, 7), ()])
@pytest.mark.parametrize(("first", "last"), [("down_convs.0", "up_convs.8"), ("conv01_1", "deconv03_1")])
def test_an_enormous_first_layer_is_refused(tmp_path, refusal, first, last, shape):
    names = [first, *(f"{first}{number}" for number in range(10)), last]  # as many as a layout has at least
    weights = {f"{name}.{kind}": torch.zeros(3, 0) for name in names for kind in ("weight", "bias")}
    torch.save(weights | {f"{first}.weight": torch.zeros(shape)}, tmp_path / "g.pth")
    assert refusal(checkpoints.load_generator)


@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_complex_weights_do_no_harm(tmp_path):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    weight(torch.zeros(WEIGHT, dtype=torch.complex64))(file)
    torch.save(file, tmp_path / "g.pth")
    loaded = checkpoints.load_generator(tmp_path / "g.pth")
    assert all(value.dtype == torch.float32 for value in loaded.state_dict().values())


# Other networks


def test_a_file_of_another_kind_is_named(tmp_path, refusal):
    discriminator = Discriminator(ndf=4)
    contents = {
        "VGG19": torch.load(VGG, weights_only=True),
        "a discriminator": discriminator.state_dict(),
        "the state of a run": {"generator": Generator(ngf=4, nb=1).state_dict(), "settings": {}},
    }
    for kind, content in contents.items():
        checkpoints.save(tmp_path / "g.pth", content)
        assert f"is not a generator of a known layout; it looks like {kind}" in refusal(
            checkpoints.load_generator
        )
    with pytest.raises(WrongUse, match=r"g.pth holds no weights by name; it looks like a generator"):
        checkpoints.fill(discriminator, checkpoints.generator_file(Generator(ngf=4, nb=1)), "g.pth")


def test_a_network_is_filled_with_weights_of_data_parallel():
    one, other = Discriminator(ndf=4), Discriminator(ndf=4)
    checkpoints.fill(one, {f"module.{key}": value for key, value in other.state_dict().items()}, "d.pth")
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))
    with pytest.raises(WrongUse, match=r"d.pth does not fit this network: size mismatch for layers.0.weight"):
        checkpoints.fill(one, Discriminator(ndf=8).state_dict(), "d.pth")
