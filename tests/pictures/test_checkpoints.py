"""Weight files, also VGG19's: written completely, read without running code, refused with one line."""

import io
import os
import sys
import urllib.error
import zipfile
from unittest import mock

import pytest
import torch
from helpers import VGG

from networks import VGG19, Generator
from pictures import checkpoints
from utils import exit_status


def saved(content, legacy=False):
    """The bytes of torch.save, in its present format or that of before PyTorch 1.6."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def refusal(tmp_path, capsys):
    """refusal(call): the one line in which call(tmp_path / "g.pth") is refused, as the user reads it."""

    def read(call, path=tmp_path / "g.pth"):
        assert exit_status(lambda: call(path)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.isprintable() and len(line) < 1000 and str(path) in line
        return line

    return read


def equal(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# Files


class Calls:
    """Calls a function when it is unpickled without restrictions."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_not_run(tmp_path, legacy, refusal):
    data = saved({"weight": Calls(os.mkdir, str(tmp_path / "made"))}, legacy)
    (tmp_path / "g.pth").write_bytes(data)
    assert "holds more than weights (posix.mkdir), which could run code" in refusal(checkpoints.load)
    assert not (tmp_path / "made").exists()
    torch.load(io.BytesIO(data), weights_only=False)
    assert (tmp_path / "made").exists(), "the file was harmless: the test shows nothing"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "is empty: copy or download it again"),
        (lambda: saved(torch.nn.Sequential(torch.nn.ReLU())), "is a whole model of torch.save(model)"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (lambda: b"\n<!DOCTYPE html><html><title>Virus scan warning</title>", "is a web page: "),
        (lambda: zipped("models/net.pth", b"weights"), "is a ZIP archive: unpack it"),
        (lambda: zipped("net/constants.pkl", b""), "is TorchScript, which could run code"),
        (lambda: b"results/\n__pycache__/\n", "is not a file of weights"),
        (lambda: saved({"weight": torch.zeros(50, 50)})[:-2000], "is damaged or cut short"),
        (lambda: zipped("net/data.pkl", bytes(2**24)), "would take more memory"),
        (lambda: saved({"a": Calls(bytearray, 10**13)}), "would take more memory"),
    ],
)
def test_a_file_that_is_not_a_whole_checkpoint_is_refused(tmp_path, refusal, make, message):
    (tmp_path / "g.pth").write_bytes(make())
    assert f"g.pth {message}" in refusal(checkpoints.load)


def test_what_is_not_a_file_of_pytorch_is_named(tmp_path, monkeypatch, refusal):
    assert "no file" in refusal(checkpoints.load)
    (tmp_path / "g.pth").symlink_to("g.pth")
    assert "cannot read" in refusal(checkpoints.load)
    assert "is a folder without a generator_latest.pth" in refusal(checkpoints.load, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "it is not a file" in refusal(checkpoints.load, tmp_path / "pipe")
    (tmp_path / "net_G.t7").write_bytes(b"\4\0\0\0\1\0\0\0")
    assert "is a model of Lua Torch" in refusal(checkpoints.load, tmp_path / "net_G.t7")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    (tmp_path / "a").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    assert "is a safetensors file: pip install safetensors" in refusal(checkpoints.load, tmp_path / "a")


# Generators


def test_a_file_records_how_to_build_its_generator(tmp_path):
    given = {"ngf": 4, "nb": 2, "res_convs": 3, "out_ngc": 1, "norm": "layer", "conv_bias": "none"}
    generator = Generator(**given)
    file = checkpoints.generator_file(generator)
    checkpoints.save(tmp_path / "g.pth", file | {"epoch": 3, "a measure": 0.1})  # as generator_best.pth
    loaded = checkpoints.load_generator(tmp_path / "g.pth")
    assert loaded.architecture == generator.architecture and loaded.architecture.items() >= given.items()
    photo = torch.rand(1, 3, 16, 20)
    assert torch.equal(loaded(photo), generator(photo))
    assert all(weight.requires_grad for weight in loaded.parameters())
    # A file from before an argument existed gets the default.
    halved = {key: value.half() for key, value in file["state_dict"].items()}
    checkpoints.save(tmp_path / "old.pth", {"architecture": given, "state_dict": halved})
    loaded = checkpoints.load_generator(tmp_path / "old.pth")
    assert loaded.architecture == generator.architecture
    assert all(torch.equal(value, halved[key].float()) for key, value in loaded.state_dict().items())


def architecture(**values):
    return lambda file: file["architecture"].update(values)


def weight(value, key="down.0.weight"):
    return lambda file: file["state_dict"].update({key: value})


def become_a_state(file):
    file.update(generator=file.pop("state_dict"), settings=file.pop("architecture"))


WEIGHT = (4, 3, 7, 7)
LARGER = "its weights are larger than the file"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (architecture(ngf=8), "size mismatch for down.0.weight"),
        (architecture(network="Newer"), "a generator that is not supported: 'Newer'"),
        (architecture(ngf=10**600), "its ngf is"),
        (architecture(**{"a\nb": 1}), "a generator that is not supported"),
        (weight(torch.full(WEIGHT, 1e300, dtype=torch.float64)), "down.0.weight is not finite"),
        (weight(torch.zeros(1).expand(10**6, 3, 7, 10**6)), LARGER),
        (weight(torch.zeros(WEIGHT).to_sparse()), LARGER),
        (weight(torch.zeros(1), "a\n\x1b[2Jb"), "does not fit this network"),
        (lambda file: file["state_dict"].pop("down.0.bias"), 'Missing key(s) in state_dict: "down.0.bias"'),
        (weight([0.0] * 4), "holds no weights by name"),
        (become_a_state, "it looks like the state of a run"),
    ],
)
def test_a_generator_file_that_does_not_fit_is_refused_in_one_line(tmp_path, refusal, change, message):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    change(file)
    torch.save(file, tmp_path / "g.pth")
    assert message in refusal(checkpoints.load_generator)


# VGG19


def whole(vgg):
    """A state dict in torchvision's layout, with layers that are not needed."""
    more = {"features.28.weight": torch.zeros(1), "classifier.0.weight": torch.zeros(1)}
    return {**vgg.state_dict(), **more}


def test_random_weights_are_he_initialised_from_their_own_seed(tmp_path):
    torch.manual_seed(0)
    vgg, after = checkpoints.load_vgg("random", 1), torch.rand(1)
    torch.manual_seed(0)
    assert equal(vgg, checkpoints.load_vgg("random", 1))
    assert torch.equal(torch.rand(1), after)  # no other random number depends on it
    assert not equal(vgg, checkpoints.load_vgg("random", 2))
    for key, value in vgg.state_dict().items():
        if key.endswith("bias"):
            assert not value.any()
        else:
            assert value.std().item() == pytest.approx((2 / value[0].numel()) ** 0.5, rel=0.1)
    torch.save(whole(vgg), tmp_path / "vgg.pth")  # a file of full width
    loaded = checkpoints.load_vgg(str(tmp_path / "vgg.pth"))
    assert equal(loaded, vgg) and not any(weight.requires_grad for weight in loaded.parameters())


def test_a_file_may_have_the_layers_of_a_deeper_vgg(tmp_path, refusal):
    deep = VGG19(width=4, deeper=True)
    torch.save(deep.state_dict(), tmp_path / "g.pth")
    assert equal(checkpoints.load_vgg(tmp_path / "g.pth", deeper=True), deep)
    assert len(checkpoints.load_vgg(VGG, deeper=True).features) == 26
    torch.save(whole(deep) | {"features.0.weight": torch.zeros(10**12, 3, 0)}, tmp_path / "g.pth")
    assert "size mismatch" in refusal(checkpoints.load_vgg)


def test_torchvisions_weights_come_from_its_cache_without_running_code(tmp_path, monkeypatch, refusal):
    unreachable = mock.Mock(side_effect=urllib.error.URLError("Name or service not known"))
    cache = tmp_path / "hub/checkpoints/vgg19-dcbb9e9d.pth"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    line = refusal(lambda _: checkpoints.load_vgg(None), cache)
    assert "Name or service not known" in line and "--vgg_model FILE" in line
    vgg = VGG19(width=8)
    torch.save(whole(vgg), cache)
    assert equal(checkpoints.load_vgg(None), vgg)
    torch.save({"weight": Calls(os.mkdir, str(tmp_path / "made"))}, cache)
    refusal(lambda _: checkpoints.load_vgg(None), cache)
    assert not (tmp_path / "made").exists()
