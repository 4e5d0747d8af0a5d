"""Weights in files: saved, loaded and checked. Nothing read from one is run as code."""

import io
import mmap
import os
import pickle
import re
import textwrap
import warnings
import zipfile
from pathlib import Path

import torch

from networks import RELU5_1, VGG19, Generator
from pictures import layouts
from utils import WrongUse, first_line, replacing, say

# VGG19 up to conv4_4 with a quarter of the channels, made by training/small_vgg.py.
SMALL_VGG = Path(__file__).parents[1] / "training" / "small_vgg.pth"


def save(path, content):
    """Write a dictionary of tensors and plain values whole, synced to the disk. Raises OSError."""
    serialised = io.BytesIO()  # PyTorch's own writer does not say what is wrong with a disk
    torch.save(content, serialised)
    with replacing(Path(path)) as part:
        part.write_bytes(serialised.getbuffer())


def load(path):
    """Read what `save`, or torch.save, wrote: tensors on the CPU and plain values. Raises WrongUse."""
    try:
        _refuse_by_content(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a refused file one line is enough
            return torch.load(path, map_location="cpu", weights_only=True)
    except WrongUse:
        raise
    except FileNotFoundError:
        raise WrongUse(f"no file {path}") from None
    except pickle.UnpicklingError:
        raise WrongUse(f"{path} is not a file of weights, or wants to run code: refused") from None
    except Exception as error:  # a damaged file can fail anywhere in the reading, in any way
        raise WrongUse(f"cannot read {path}: {first_line(error)}") from None


def _refuse_by_content(path):
    """Raise WrongUse for a file that is empty, a program, or would take more memory than its own size."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise WrongUse(f"cannot read {path}: it is no file; in a run folder, name its generator_latest.pth")
    if not os.path.getsize(path):
        raise WrongUse(f"{path} is empty: copy or download it again")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # The one name that lets a pickle ask PyTorch for any amount; no checkpoint has use for it.
        larger = content.find(b"\nbytearray\n") >= 0
        if content[:4] == b"PK\3\4":
            records = zipfile.ZipFile(file).infolist()
            if any(record.filename.endswith("/constants.pkl") for record in records):
                raise _is_program(path, "TorchScript")
            # torch.save stores its records as they are, one after the other.
            larger |= any(record.compress_type for record in records)
            larger |= sum(record.file_size for record in records) > len(content)
        if re.search(rb"ctorch\.nn\.modules\.[\w.]+\n", content):  # a pickle's word for a class
            raise _is_program(path, "a whole model of torch.save(model)")
    if larger:
        raise WrongUse(f"{path} would grow in memory, as no file of torch.save does: refused")


def _is_program(path, kind):
    return WrongUse(
        f"{path} is {kind}, which is code and not weights alone: refused; where it comes from, save "
        "model.state_dict() in its place"
    )


def generator_file(generator):
    """What generator_latest.pth holds: the weights and the architecture that they fit."""
    return {"architecture": generator.architecture, "state_dict": weights_of(generator)}


def weights_of(network):
    """A network's state dict on the CPU: a plain torch.load of the file needs no GPU then."""
    return {key: value.cpu() for key, value in network.state_dict().items()}


def load_generator(path, unless_ours=None, ours=Generator):
    """The generator in a checkpoint of any layout that layouts.py knows. Raises WrongUse.

    It may be another network than Generator; with `unless_ours`, the words to refuse it with, it is one of
    the classes `ours`.
    """
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
        say("VGG19 is the small network of this program: for trying and choosing settings, not for results")
        source = SMALL_VGG
    if source == "random":
        say("warning: VGG19 has random weights: good for trying the program, not for results")
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
