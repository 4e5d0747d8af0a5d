"""Weights in files: saved, loaded and checked. Nothing read from one is run as code."""

import io
import mmap
import os
import re
import textwrap
import warnings
import zipfile
from pathlib import Path

import torch

from networks import RELU5_1, VGG19, Generator
from pictures import layouts
from support.files import replacing
from utils import WrongUse, first_line, report

# What a run folder holds, as its samples show it: the first of these that is there.
OF_RUN = ("generator_ema.pth", "generator_latest.pth")
# How files begin that are taken for weights, and what they are.
BEGINNINGS = {
    rb"version https://git-lfs": "a Git LFS pointer in place of the weights: run `git lfs pull` in its "
    "repository, or download the file itself",
    rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)": "a web page in place of the weights: open its address in a "
    "browser, and download the file itself",
    rb"\x1f\x8b|BZh|7z\xbc\xaf|Rar!|\xfd7zXZ": "a packed file: unpack it, and name the file of weights in it",
}
OF_OTHERS = {".t7": "Lua Torch", ".onnx": "ONNX", ".h5": "Keras", ".pb": "TensorFlow"}
ZIP, PICKLE = b"PK\3\4", b"\x80\2"  # how files of torch.save begin, of now and of before PyTorch 1.6
# VGG19 up to conv4_4 with a quarter of the channels, made by training/small_vgg.py.
SMALL_VGG = Path(__file__).parents[1] / "training" / "small_vgg.pth"


def save(path, content):
    """Write a dictionary of tensors and plain values whole, synced to the disk. Raises OSError."""
    serialised = io.BytesIO()  # PyTorch's own writer does not say what is wrong with a disk
    torch.save(content, serialised)
    with replacing(Path(path)) as part:
        part.write_bytes(serialised.getbuffer())


def load(path):
    """Read what `save`, or torch.save, wrote: tensors on the CPU and plain values. Raises WrongUse.

    A safetensors file gives a dictionary of tensors; it needs the package of that name.
    """
    try:
        _refuse_by_content(path)
        if _is_safetensors(path):
            return _load_safetensors(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a refused file one line is enough
            return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except WrongUse:
        raise
    except FileNotFoundError:
        raise WrongUse(f"no file {path}") from None
    except OSError as error:
        raise WrongUse(f"cannot read {path}: {first_line(error)}") from None
    except Exception as error:  # a damaged file can fail anywhere in the reading, in any way
        raise WrongUse(f"{path} {_fault(path, error)}") from None


def _refuse_by_content(path):
    """Raise WrongUse for a file that is no file of weights, or would take more memory than its own size."""
    if os.path.isdir(path):
        raise WrongUse(f"{path} is a folder without a generator_latest.pth: name a run's folder, or a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise WrongUse(f"cannot read {path}: it is no file")
    if not os.path.getsize(path):
        raise WrongUse(f"{path} is empty: copy or download it again")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for beginning, kind in BEGINNINGS.items():
            if re.match(beginning, content, re.IGNORECASE):
                raise WrongUse(f"{path} is {kind}")
        # The one name that lets a pickle ask PyTorch for any amount; no checkpoint has use for it.
        larger = content.find(b"\nbytearray\n") >= 0
        if content[:4] == ZIP:
            records = zipfile.ZipFile(file).infolist()
            names = [record.filename for record in records]
            if any(name.endswith("/constants.pkl") for name in names):
                raise _is_program(path, "TorchScript")
            if not any(name.endswith("/data.pkl") for name in names):
                raise WrongUse(f"{path} is a ZIP archive: unpack it, and name the file of weights in it")
            # torch.save stores its records as they are, one after the other.
            larger |= any(record.compress_type for record in records)
            larger |= sum(record.file_size for record in records) > len(content)
        if re.search(rb"ctorch\.nn\.modules\.[\w.]+\n", content):  # a pickle's word for a class
            raise _is_program(path, "a whole model of torch.save(model)")
    if larger:
        raise WrongUse(f"{path} would grow in memory, as no file of torch.save does: refused")


def _is_safetensors(path):
    """Whether a file begins as safetensors do: the length of a header, and the header in JSON."""
    with open(path, "rb") as file:
        length, first = file.read(8), file.read(1)
    return first == b"{" and int.from_bytes(length, "little") < os.path.getsize(path)


def _load_safetensors(path):
    try:
        from safetensors.torch import load_file
    except ModuleNotFoundError:
        raise WrongUse(f"{path} is a safetensors file: pip install safetensors to read it") from None
    return load_file(path)


def _fault(path, error):
    """Why a file could not be read, as what follows its name in a sentence; `error` is what was raised."""
    if code := re.search(r"GLOBAL ([\w.]+)", str(error)):  # a name that PyTorch does not let a file use
        return (
            f"holds more than weights ({code[1]}), which could run code: refused; where it comes from, save "
            "model.state_dict() alone"
        )
    if kind := OF_OTHERS.get(Path(path).suffix.lower()):
        return f"is a model of {kind}, which is not read here: take one in PyTorch's format"
    with open(path, "rb") as file:
        start = file.read(4)
    if start == ZIP or start[:2] == PICKLE or _is_safetensors(path):
        return "is damaged or cut short: copy or download it again"
    return "is not a file of weights"


def _is_program(path, kind):
    return WrongUse(
        f"{path} is {kind}, which is code and not weights alone: refused; where it comes from, save "
        "model.state_dict() in its place"
    )


def in_run(path):
    """`path`, or where it is a run's folder, the path of the generator in it that its samples show."""
    found = (Path(path, name) for name in OF_RUN)
    return next((file for file in found if file.is_file()), path)


def generator_file(generator):
    """What generator_latest.pth holds: the weights and the architecture that they fit."""
    return {"architecture": generator.architecture, "state_dict": weights_of(generator)}


def weights_of(network):
    """A network's state dict on the CPU: a plain torch.load of the file needs no GPU then."""
    return {key: value.cpu() for key, value in network.state_dict().items()}


def load_generator(path, unless_ours=None, ours=Generator):
    """The generator in a run's folder, or in a checkpoint of any layout that layouts.py knows.

    It may be another network than Generator; with `unless_ours`, the words to refuse it with, it is one of
    the classes `ours`. Raises WrongUse.
    """
    path = in_run(path)
    architecture, weights = layouts.to_ours(load(path), path)
    generator = layouts.build(architecture, path)
    fill(generator, weights, path)
    if unless_ours and not isinstance(generator, ours):
        raise WrongUse(f"{path} holds {generator.architecture['network']}'s network: {unless_ours}")
    return generator


def fill(network, weights, path):
    """Load a state dict into a network, as float32. Raises WrongUse if it does not fit or is not finite."""
    weights = layouts.by_name(weights, path)
    try:
        weights = {key: value.float() for key, value in weights.items()}
        network.load_state_dict(weights, assign=next(network.parameters()).is_meta)
    except RuntimeError as error:
        # PyTorch names each misfit in a line of its own, below a title.
        reason = textwrap.shorten((str(error).splitlines()[1:] or [first_line(error)])[0], 200)
        raise WrongUse(f"{path} does not fit this network: {reason}{layouts.likeness(weights)}") from None
    for name, value in network.state_dict().items():
        if not value.isfinite().all():
            raise WrongUse(f"{path} is damaged: {name} is not finite")


def load_vgg(source, seed=0, deeper=False):
    """VGG19 up to conv4_4; with `deeper` up to relu5_1, where the file has it.

    `source` is a file in torchvision's layout (`vgg19-dcbb9e9d.pth`, or any with its `features.N` keys, also
    of fewer channels), None for torchvision's own ImageNet weights through its cache and download, "small"
    for those in SMALL_VGG, or "random" for He-initialised weights (He et al., ICCV 2015) from `seed`. Raises
    WrongUse.
    """
    if source == "small":
        report("this program's small network replaces VGG19, for which another --con_lambda may be right")
        source = SMALL_VGG
    if source == "random":
        report("warning: VGG19 has random weights: good for trying the program, not for results")
        vgg, generator = VGG19(deeper=deeper), torch.Generator().manual_seed(seed)
        for key, value in vgg.state_dict().items():
            if key.endswith("bias"):
                value.zero_()
            else:
                torch.nn.init.kaiming_normal_(value, generator=generator)
        return vgg
    weights = load(source) if source else _imagenet_vgg19()
    source = source or "torchvision's file of VGG19"
    weights = layouts.by_name(weights, source)
    first = weights.get("features.0.weight", torch.empty(0))
    vgg = VGG19(min(first.numel() // 3**3, 64) or 64, deeper and f"features.{RELU5_1 - 1}.weight" in weights)
    # The layers past its last and the classifier are left out: they are never run.
    fill(vgg, {key: weights[key] for key in vgg.state_dict() if key in weights}, source)
    return vgg


def _imagenet_vgg19():
    from torchvision.models import VGG19_Weights  # takes a second, which only the download needs

    weights = VGG19_Weights.IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # no network, a full disk, a download that was cut, …
        file = f"{torch.hub.get_dir()}/checkpoints/{weights.url.rsplit('/', 1)[1]}"
        raise WrongUse(
            f"torchvision could not get VGG19's weights ({first_line(error)}): put them at {file}, "
            "or name a file with --vgg_model FILE, or try the program with --vgg_model small"
        ) from None
