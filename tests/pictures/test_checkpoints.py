"""Files of weights: written whole, read without running anything in them, refused in one line."""

import contextlib
import errno
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from helpers import VGG

from networks import Discriminator, Generator
from pictures import checkpoints
from utils import WrongUse


def saved(content, legacy=False):
    """The bytes that torch.save makes, in its present form or that of before PyTorch 1.6."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def one_line(error, *told):
    text = str(error.value)
    return "\n" not in text and all(part in text for part in told)


# Files


def test_what_is_saved_is_loaded(tmp_path):
    content = {
        "weight": torch.randn(2, 3),
        "epoch": 3,
        "place": (1, 2),
        "settings": {"name": "é", "tag": None},
    }
    checkpoints.save(tmp_path / "a.pth", content)
    loaded = checkpoints.load(tmp_path / "a.pth")
    assert torch.equal(loaded.pop("weight"), content.pop("weight")) and loaded == content
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pth"]


class MakesAFolder:
    """Runs code when it is unpickled the usual way."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize(
    "dump",
    [saved, lambda content: saved(content, legacy=True), lambda content: pickle.dumps(content, protocol=2)],
    ids=["torch", "legacy", "pickle"],
)
def test_a_file_that_wants_to_run_code_is_refused(tmp_path, dump):
    data = dump({"weight": MakesAFolder(tmp_path / "made")})
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(WrongUse) as error:
        checkpoints.load(tmp_path / "a.pth")
    assert one_line(error, f"{tmp_path}/a.pth holds more than weights (posix.mkdir), which could run code")
    assert not (tmp_path / "made").exists()
    with contextlib.suppress(RuntimeError):  # a bare pickle is none of PyTorch's, which it sees afterwards
        torch.load(io.BytesIO(data), weights_only=False)
    assert (tmp_path / "made").exists(), "the file was harmless: the test shows nothing"


WEIGHTS = {"weight": torch.zeros(50, 50)}


def whole_model(path):
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1)), path)


def old_whole_model(path):
    torch.save(torch.nn.Conv2d(1, 1, 1), path, _use_new_zipfile_serialization=False)


def torch_script(path):
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2)), path)


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.touch(), "is empty: copy or download it again"),
        (whole_model, r"is a whole model of torch.save(model), which would run code: refused"),
        (old_whole_model, "is a whole model of torch.save(model)"),
        (torch_script, "is TorchScript, which would run code: refused; where it comes from, "),
    ],
)
def test_a_file_that_holds_no_weights_alone_is_called_what_it_is(tmp_path, make, told):
    make(tmp_path / "a.pt")
    for read in (checkpoints.load, checkpoints.load_generator):
        with pytest.raises(WrongUse) as error:
            read(tmp_path / "a.pt")
        assert one_line(error, f"{tmp_path}/a.pt {told}")


def test_a_run_may_be_called_like_a_layer(tmp_path):
    content = {"settings": {"options": {"name": "ctorch.nn.modules.conv"}}}
    checkpoints.save(tmp_path / "a.pth", content)
    assert checkpoints.load(tmp_path / "a.pth") == content


def archive(content):
    """A ZIP archive with a checkpoint in it, as some downloads are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("models/net.pth", content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 44547441\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><title>Virus scan warning</title>", "a web page in place of the weights"),
        (b"\x1f\x8b\x08\x00", "a packed file: unpack it"),
        (archive(saved(WEIGHTS)), "a ZIP archive: unpack it"),
        *((data, "not a file of weights") for data in (b"# a text\n", b"results/\n__pycache__/\n")),
        *(
            (data, "not a file of weights")
            for data in (b"X\x03\x00\x00\x00\xff\xff\xff", b"\x89PNG\r\n\x1a\n")
        ),
        *((saved(WEIGHTS)[:size], "damaged or cut short") for size in (-2000, 100)),
        *((saved(WEIGHTS, legacy=True)[:size], "damaged or cut short") for size in (-2000, 100, 5)),
    ],
)
def test_a_file_that_is_no_whole_checkpoint_is_called_what_it_is(tmp_path, data, told):
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(WrongUse) as error:
        checkpoints.load(tmp_path / "a.pth")
    assert one_line(error, f"{tmp_path}/a.pth is {told}") and "code" not in str(error.value)


@pytest.mark.parametrize("name", ["net_G.t7", "model.onnx"])
def test_a_model_of_another_library_is_called_what_it_is(tmp_path, name):
    (tmp_path / name).write_bytes(b"\4\0\0\0\1\0\0\0")
    with pytest.raises(WrongUse, match=f"{name} is a model of (Lua Torch|ONNX), which is not read here"):
        checkpoints.load(tmp_path / name)


def test_a_runs_folder_stands_for_the_generator_that_its_samples_show(tmp_path):
    nets = {name: Generator(ngf=4, nb=nb) for nb, name in enumerate(checkpoints.OF_RUN)}
    with pytest.raises(WrongUse, match=r"is a folder without a generator_latest\.pth"):
        checkpoints.load_generator(tmp_path)
    for name in ("generator_latest.pth", "generator_ema.pth"):
        checkpoints.save(tmp_path / name, checkpoints.generator_file(nets[name]))
        assert checkpoints.load_generator(tmp_path).architecture == nets[name].architecture


def test_a_missing_file_and_a_folder(tmp_path):
    for path, message in ((tmp_path / "none.pth", "no file {}"), (tmp_path, "{} is a folder without a gen")):
        with pytest.raises(WrongUse) as error:
            checkpoints.load(path)
        assert one_line(error, message.format(path))


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


# Networks


ARCHITECTURES = [
    {"ngf": 4, "nb": 1},
    {"in_ngc": 1, "out_ngc": 1, "ngf": 4, "nb": 2, "res_convs": 3, "upsample": "resize"},
    {"ngf": 4, "nb": 0, "norm": "layer", "predict": "change"},
    {"ngf": 4, "nb": 1, "conv_bias": "none"},
]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=["plain", "grey", "change", "no biases"])
def test_a_generator_is_built_as_its_file_tells(tmp_path, architecture):
    generator = Generator(**architecture)
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(generator))
    loaded = checkpoints.load_generator(tmp_path / "g.pth")
    assert loaded.architecture == generator.architecture
    assert loaded.architecture.items() >= architecture.items()
    photo = torch.rand(1, generator.architecture["in_ngc"], 16, 20)
    assert torch.equal(loaded(photo), generator(photo))
    assert all(weight.requires_grad for weight in loaded.parameters())


def test_the_weights_in_a_file_lie_on_the_cpu():
    """Wherever those of the network do: here each notes when it is brought there."""
    brought = []

    class Elsewhere(torch.Tensor):
        def cpu(self):
            brought.append(self)
            return self.as_subclass(torch.Tensor)

    network = Generator(ngf=2, nb=1)
    weights = {key: value.as_subclass(Elsewhere) for key, value in network.state_dict().items()}
    network.state_dict = lambda: weights
    file = checkpoints.generator_file(network)
    assert len(brought) == len(weights) == len(file["state_dict"])
    assert {*map(type, file["state_dict"].values())} == {torch.Tensor}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_file_written_on_a_gpu_is_read_without_one(tmp_path):
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(Generator(ngf=2, nb=1).cuda()))
    weights = torch.load(tmp_path / "g.pth", weights_only=True)["state_dict"]
    assert {value.device.type for value in weights.values()} == {"cpu"}


def test_weights_of_half_precision_become_float32(tmp_path):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    file["state_dict"] = {key: value.half() for key, value in file["state_dict"].items()}
    checkpoints.save(tmp_path / "g.pth", file)
    loaded = checkpoints.load_generator(tmp_path / "g.pth").state_dict()
    assert all(torch.equal(value, file["state_dict"][key].float()) for key, value in loaded.items())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda file: file["architecture"].update(ngf=8), "size mismatch for down.0.weight"),
        (lambda file: file["architecture"].update(nb=2), 'Missing key(s) in state_dict: "blocks.1.'),
        (lambda file: file["architecture"].update(colour=1), "unexpected keyword argument 'colour'"),
        (lambda file: file["architecture"].update(norm="batch"), "norm is 'batch'"),
        (lambda file: file["architecture"].update(upsample="bicubic"), "upsample is 'bicubic'"),
        (lambda file: file["architecture"].update(conv_bias="none"), "Unexpected key(s) in state_dict"),
        (lambda file: file["architecture"].update(conv_bias="some"), "conv_bias is 'some'"),
        (lambda file: file.update(architecture=None), "a generator that is unknown here"),
        (lambda file: file["state_dict"].pop("down.0.bias"), 'Missing key(s) in state_dict: "down.0.bias"'),
        (
            lambda file: file["state_dict"].update(more=torch.zeros(1)),
            'Unexpected key(s) in state_dict: "more"',
        ),
        (lambda file: file["state_dict"].update({7: torch.zeros(1)}), "holds no weights by name"),
        (lambda file: file["state_dict"].update({"down.0.bias": 1}), "holds no weights by name"),
        (lambda file: file.update(state_dict=[]), "holds no weights by name"),
        (
            lambda file: file["state_dict"]["up.8.bias"].fill_(torch.nan),
            "is damaged: up.8.bias is not finite",
        ),
    ],
)
def test_a_generator_file_that_does_not_fit_is_one_line(tmp_path, change, told):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    change(file)
    checkpoints.save(tmp_path / "g.pth", file)
    with pytest.raises(WrongUse) as error:
        checkpoints.load_generator(tmp_path / "g.pth")
    assert one_line(error, f"{tmp_path}/g.pth", told) and len(str(error.value)) < 500


def test_a_file_of_another_kind_is_told(tmp_path):
    discriminator = Discriminator(ndf=4)
    checkpoints.save(tmp_path / "d.pth", discriminator.state_dict())
    checkpoints.save(tmp_path / "state.pth", {"generator": {}, "settings": {}})
    for path, told in (
        (VGG, "VGG19"),
        (tmp_path / "d.pth", "a discriminator"),
        (tmp_path / "state.pth", "the state"),
    ):
        with pytest.raises(WrongUse) as error:
            checkpoints.load_generator(path)
        assert one_line(error, str(path), f"; it looks like {told}")
    with pytest.raises(WrongUse) as error:
        checkpoints.fill(discriminator, checkpoints.generator_file(Generator(ngf=4, nb=1)), "g.pth")
    assert one_line(error, "g.pth holds no weights by name; it looks like a generator")


def test_a_network_is_filled_with_weights_of_data_parallel():
    one, other = Discriminator(ndf=4), Discriminator(ndf=4)
    checkpoints.fill(one, {f"module.{key}": value for key, value in other.state_dict().items()}, "d.pth")
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))
    with pytest.raises(WrongUse, match=r"d.pth does not fit this network: size mismatch for layers.0.weight"):
        checkpoints.fill(one, Discriminator(ndf=8).state_dict(), "d.pth")
