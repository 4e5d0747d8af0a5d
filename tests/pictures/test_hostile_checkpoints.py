"""Checkpoints that were made to do harm: each is refused in one line, before it takes memory or time."""

import math
import os
import pickle
import struct
import zipfile

import pytest
import torch

from networks import Generator
from pictures import checkpoints
from utils import exit_status


@pytest.fixture
def refusal(tmp_path, capsys):
    """refusal(call): the one line in which call(tmp_path / "g.pth") is refused, as a person reads it."""

    def read(call):
        assert exit_status(lambda: call(tmp_path / "g.pth")) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.isprintable() and len(line) < 1000 and f"{tmp_path}/g.pth" in line
        return line

    return read


# Files that would take the memory, the processor, or more


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def deflated(path):
    """A checkpoint of a few kilobytes with 64 MB of zeros in it."""
    torch.save({"a": torch.zeros(2**24)}, path)
    with zipfile.ZipFile(path) as whole:
        records = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as small:
        for name, record in records.items():
            small.writestr(name, record)
    assert path.stat().st_size < 100_000


def overlapping(path):
    """A checkpoint with records that lie in one another: its directory names each nine times."""
    torch.save({"a": torch.zeros(2**16)}, path)
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    size, start = struct.unpack("<II", content[end + 12 : end + 20])
    directory = content[start : start + size] * 9
    counts = struct.pack(
        "<4sHHHHIIH", b"PK\5\6", 0, 0, *[directory.count(b"PK\1\2")] * 2, len(directory), start, 0
    )
    path.write_bytes(content[:start] + directory + counts)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (deflated, "would grow in memory"),
        (overlapping, "would grow in memory"),
        (lambda path: torch.save({"a": Calls(bytearray, 10**13)}, path), "would grow in memory"),
        (lambda path: path.write_bytes(pickle.dumps(Calls(bytearray, 10**13), 2)), "would grow in memory"),
        (lambda path: torch.save({"a": Calls(os.system, "true")}, path), "which could run code"),
        (lambda path: os.mkfifo(path), "is not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a file"),
        (lambda path: path.symlink_to(path), "cannot read"),
    ],
    ids=["deflated", "overlapping", "bytearray", "pickle", "code", "fifo", "zero", "loop"],
)
def test_a_file_that_would_never_end_or_grow_is_refused(tmp_path, refusal, make, told):
    make(tmp_path / "g.pth")
    assert told in refusal(checkpoints.load)


def test_a_run_may_be_called_what_a_bomb_is_called(tmp_path):
    content = {"settings": {"options": {"name": "bytearray"}}}
    checkpoints.save(tmp_path / "a.pth", content)
    assert checkpoints.load(tmp_path / "a.pth") == content


# Generators


def architecture(**values):
    return lambda file: file["architecture"].update(values)


def weight(value, key="down.0.weight"):
    return lambda file: file["state_dict"].update({key: value})


def itself(file):
    """A file within itself, without end."""
    file.clear()
    file["state_dict"] = file


WEIGHT = (4, 3, 7, 7)
ENORMOUS = {key: torch.zeros(1).expand(value.shape) for key, value in Generator(nb=1).state_dict().items()}
UNKNOWN, LARGER = "a generator that is unknown here", "its weights are larger than the file"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (architecture(ngf=4096), "does not fit this network"),
        (architecture(nb=1000), "does not fit this network"),
        *((architecture(ngf=value), "its ngf is") for value in (0, 10**6, 10**600, "4", [4], None, math.nan)),
        *((architecture(ngf=value), UNKNOWN) for value in (4.0, torch.ones(2))),
        *((architecture(nb=value), "its nb is") for value in (-1, 10**9, {}, None)),
        (architecture(res_convs=10**9), "its res_convs is"),
        (architecture(in_ngc=2), "its in_ngc is '2'"),
        (architecture(out_ngc=1, predict="change"), UNKNOWN),
        *((architecture(padding=value), "its padding is") for value in ("circular", ["zeros"], None)),
        *((architecture(eps=value), "its eps is") for value in (math.nan, 0, 10**5)),
        *((architecture(eps=value), UNKNOWN) for value in ("1", None, torch.ones(2))),
        (architecture(**{"a\nb": 1}), UNKNOWN),
        (lambda file: file.update(architecture=[file["architecture"]]), UNKNOWN),
        (lambda file: file.update(architecture={1: 2}), UNKNOWN),
        (weight(torch.full(WEIGHT, math.nan)), "down.0.weight is not finite"),
        (weight(torch.full(WEIGHT, 1e300, dtype=torch.float64)), "down.0.weight is not finite"),
        (weight(torch.zeros(1).expand(10**6, 3, 7, 10**6)), LARGER),
        (weight(torch.zeros(WEIGHT, device="meta")), LARGER),
        (weight(torch.zeros(WEIGHT).to_sparse()), LARGER),
        (weight(torch.zeros(5), "down.1.weight"), "size mismatch for down.1.weight"),
        (weight(torch.zeros(1), "a\n\x1b[2Jb"), "does not fit this network"),
        (weight([0.0] * 4), "holds no weights by name"),
        (lambda file: file.update(architecture={"nb": 1}, state_dict=ENORMOUS), LARGER),
        (lambda file: file.update(state_dict=[torch.zeros(1)]), "holds no weights by name"),
        (itself, "holds no weights by name"),
    ],
)
def test_a_hostile_generator_is_refused_in_one_line(tmp_path, refusal, change, told):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    change(file)
    torch.save(file, tmp_path / "g.pth")
    assert told in refusal(checkpoints.load_generator)


@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_complex_weights_are_no_harm(tmp_path):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    weight(torch.zeros(WEIGHT, dtype=torch.complex64))(file)
    torch.save(file, tmp_path / "g.pth")
    loaded = checkpoints.load_generator(tmp_path / "g.pth")
    assert all(value.dtype == torch.float32 for value in loaded.state_dict().values())


@pytest.mark.parametrize("shape", [(10**8, 3, 0, 0), (10**9, 0, 7, 7), (10**15, 3, 0), (0, 3, 7, 7), ()])
@pytest.mark.parametrize("mark", ["down_convs.0", "conv01_1"])
def test_a_first_layer_that_says_it_is_enormous_is_refused(tmp_path, refusal, mark, shape):
    last = "up_convs.8" if mark == "down_convs.0" else "deconv03_1"
    torch.save({f"{mark}.weight": torch.zeros(shape), f"{last}.bias": torch.zeros(3)}, tmp_path / "g.pth")
    assert refusal(checkpoints.load_generator)
