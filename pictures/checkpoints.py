"""Save, load and check files of weights. Nothing in a file is run as code."""

import io
import mmap
import os
import re
import textwrap
import warnings
import zipfile
from pathlib import Path

import torch

from networks import RELU5_1, VGG19
from pictures import foreign
from support.files import replacing
from utils import WrongUse, first_line, report

# VGG19 up to conv4_4 with a quarter of the channels, made by training/small_vgg.py.
SMALL_VGG = Path(__file__).parents[1] / "training" / "small_vgg.pth"
ZIP, PICKLE = b"PK\3\4", b"\x80"  # beginnings of files of torch.save, since PyTorch 1.6 and before
# Beginnings of files that are mistaken for weights.
BEGINNINGS = {
    rb"version https://git-lfs": "a Git LFS pointer: run `git lfs pull` in its repository",
    rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)": "a web page: download the file of weights itself",
    rb"\x1f\x8b|BZh|7z\xbc\xaf|Rar!|\xfd7zXZ": "a compressed file: unpack it, and name the weights in it",
}
OTHER_LIBRARIES = {".t7": "Lua Torch", ".onnx": "ONNX", ".h5": "Keras", ".pb": "TensorFlow"}
IS_CODE = "which could run code: refused; save model.state_dict() alone, with the program that made it"
# Keys under which programs store a generator's weights, and prefixes of a generator inside another module.
WRAPPERS = ("state_dict", "model_state_dict", "generator_state_dict", "g_state_dict")
WRAPPERS += ("generator", "netG", "model", "params_ema", "params", "weights")
PREFIXES = ("generator.", "netG.", "G.", "net.")
PYTORCH_PREFIXES = ("module.", "_orig_mod.")  # prefixes of DataParallel, AveragedModel and torch.compile
CONTENTS = {  # keys that identify what a file holds
    "architecture": "a generator",
    "layers.0.weight": "a discriminator",
    "features.0.weight": "VGG19",
    "settings": "the state of a run",
}


# Files


def save(path, content):
    """Write a dictionary of tensors and plain values atomically, and sync it to the disk. Raises OSError."""
    serialised = io.BytesIO()  # PyTorch's own writer hides the system's error
    torch.save(content, serialised)
    with replacing(Path(path)) as part:
        part.write_bytes(serialised.getbuffer())


def load(path):
    """Read a file of torch.save or safetensors: tensors on the CPU, plain values. Raises WrongUse."""
    try:
        if _check_format(path) == "safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # one line about a refused file is enough
            return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except WrongUse:
        raise
    except ModuleNotFoundError:
        raise WrongUse(f"{path} is a safetensors file: pip install safetensors to read it") from None
    except FileNotFoundError:
        raise WrongUse(f"no file {path}") from None
    except OSError as error:
        raise WrongUse(f"cannot read {path}: {first_line(error)}") from None
    except Exception as error:  # reading a damaged file can fail anywhere, in any way
        code = re.search(r"GLOBAL ([\w.]+)", str(error))  # a name that PyTorch does not let a file use
        damaged = "is damaged or cut short: copy or download it again"
        reason = f"holds more than weights ({code[1]}), {IS_CODE}" if code else damaged
        raise WrongUse(f"{path} {reason}") from None


def _check_format(path):
    """The format of a file, "safetensors" or "torch".

    Raises WrongUse for a file without weights or that would take more memory than its own size.
    """
    if os.path.isdir(path):
        raise WrongUse(f"{path} is a folder without a generator_latest.pth: name a run's folder, or a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise WrongUse(f"cannot read {path}: it is not a file")
    if not os.path.getsize(path):
        raise WrongUse(f"{path} is empty: copy or download it again")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for beginning, kind in BEGINNINGS.items():
            if re.match(beginning, content, re.IGNORECASE):
                raise WrongUse(f"{path} is {kind}")
        # safetensors begins with the length of a header in JSON
        if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content):
            return "safetensors"
        if not content[:4].startswith((ZIP, PICKLE)):
            kind = OTHER_LIBRARIES.get(Path(path).suffix.lower())
            other = f"a model of {kind}, which cannot be read: use one in PyTorch's format"
            raise WrongUse(f"{path} is {other if kind else 'not a file of weights'}")
        if re.search(rb"ctorch\.nn\.modules\.[\w.]+\n", content):  # how a pickle names a class
            raise WrongUse(f"{path} is a whole model of torch.save(model), {IS_CODE}")
        # The only name that lets a pickle allocate any amount through PyTorch; no checkpoint needs it.
        larger = content.find(b"\nbytearray\n") >= 0
        if content[:4] == ZIP:
            records = zipfile.ZipFile(file).infolist()
            names = {os.path.basename(record.filename) for record in records}
            if "constants.pkl" in names:
                raise WrongUse(f"{path} is TorchScript, {IS_CODE}")
            if "data.pkl" not in names:
                raise WrongUse(f"{path} is a ZIP archive: unpack it, and name the file of weights in it")
            # torch.save stores its records uncompressed, one after the other.
            larger |= sum(record.file_size for record in records) > len(content)
    if larger:
        raise WrongUse(f"{path} would take more memory than its size, unlike torch.save's files: refused")
    return "torch"


# State dicts


def weights_of(network):
    """A network's state dict on the CPU: a plain torch.load of the file needs no GPU then."""
    return {key: value.cpu() for key, value in network.state_dict().items()}


def fill(network, weights, path):
    """Load a state dict into a network, as float32. Raises WrongUse if it does not fit or is not finite."""
    weights = _by_name(weights, path)
    try:
        weights = {key: value.float() for key, value in weights.items()}
        network.load_state_dict(weights, assign=next(network.parameters()).is_meta)
    except RuntimeError as error:
        # PyTorch lists each misfit on a line of its own, below a title.
        reason = textwrap.shorten((str(error).splitlines()[1:] or [first_line(error)])[0], 200)
        raise WrongUse(f"{path} does not fit this network: {reason}{_likeness(weights)}") from None
    for name, value in network.state_dict().items():
        if not value.isfinite().all():
            raise WrongUse(f"{path} is damaged: {name} is not finite")


def _by_name(weights, path, stored=False):
    """A state dict without the prefixes of PyTorch's wrappers. Raises WrongUse if it is not tensors by name.

    With `stored` all numbers must be in the file: a tensor can have a shape that repeats a few of them.
    """
    pairs = weights.items() if isinstance(weights, dict) else [(None, None)]
    if not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in pairs):
        raise WrongUse(f"{path} holds no weights by name{_likeness(weights)}")
    named = {}
    for key, value in pairs:
        while prefix := next(filter(key.startswith, PYTORCH_PREFIXES), ""):
            key = key.removeprefix(prefix)
        named[key] = value
    named.pop("n_averaged", None)  # AveragedModel's count
    plain = all(value.layout == torch.strided and value.device.type == "cpu" for value in named.values())
    size = sum(value.numel() * value.element_size() for value in named.values())
    if stored and (not plain or size > os.path.getsize(path)):
        raise WrongUse(f"{path} is damaged: its weights are larger than the file")
    return named


def _likeness(content):
    """What the content of an unexpected file may be, as the end of a sentence; "" if unknown."""
    kinds = [kind for key, kind in CONTENTS.items() if isinstance(content, dict) and key in content]
    return f"; it looks like {kinds[0]}" if kinds else ""


# Generators


def find_generator(path):
    """The path of the generator that a run's samples show, if `path` is the run's folder; else `path`."""
    files = (Path(path, name) for name in ("generator_ema.pth", "generator_latest.pth"))
    return next((file for file in files if file.is_file()), path)


def generator_file(generator):
    """The content of generator_latest.pth: the weights and the architecture that they fit."""
    return {"architecture": generator.architecture, "state_dict": weights_of(generator)}


def load_generator(path, only_ours=None):
    """The generator in a run's folder, or in a checkpoint of any known layout. Raises WrongUse.

    With `only_ours`, the reason, networks other than networks.Generator are refused.
    """
    path = find_generator(path)
    architecture, weights = _in_our_layout(load(path), path)
    generator = foreign.build(architecture, path)
    fill(generator, weights, path)
    if only_ours and "network" in generator.architecture:
        raise WrongUse(f"{path} holds {generator.architecture['network']}'s network: {only_ours}")
    return generator


def _in_our_layout(content, path):
    """(architecture, state dict) of the content of a generator's file. Raises WrongUse."""
    if isinstance(content, dict) and {"architecture", "state_dict"} <= content.keys():  # ours
        return content["architecture"], _by_name(content["state_dict"], path, stored=True)
    inner = content
    for key in WRAPPERS * 2:  # and no deeper: a dictionary can hold itself
        if isinstance(inner, dict) and key in inner:
            inner = inner[key]
    weights = _by_name(inner, path, stored=True)
    if prefix := next((x for x in PREFIXES if any(key.startswith(x) for key in weights)), ""):
        part = {key.removeprefix(prefix): weights[key] for key in weights if key.startswith(prefix)}
        weights = _by_name(part, path)
    for mark, layout in foreign.LAYOUTS.items():
        if mark in weights:
            return foreign.convert(layout, weights, path)
    if foreign.ANIMEGAN in weights:
        return {"network": "AnimeGANv2"}, weights
    is_state = "settings" in content  # of a run, which records the architecture in generator_latest.pth
    if "down.0.weight" in weights and not is_state:
        return _guess_architecture(weights, path), weights
    programs = [f"{layout.program} ({mark}, …)" for mark, layout in foreign.LAYOUTS.items()]
    raise WrongUse(
        f"{path} is not a generator of a known layout{_likeness(content) or _likeness(weights)}: use "
        f"generator_latest.pth of a run, or a file of {', '.join(programs)} or AnimeGANv2's in PyTorch"
    )


def _guess_architecture(weights, path):
    """The architecture of this program's weights, with defaults for what shapes do not show."""
    report(f"{path} holds only weights: --norm, --predict and others get their defaults")
    deconv = "up.0.weight" in weights
    try:
        ngf, in_ngc = weights["down.0.weight"].shape[:2]
        out_ngc = len(weights["up.8.weight" if deconv else "up.10.weight"])
    except (KeyError, ValueError, TypeError):
        raise WrongUse(f"{path} is damaged: its first or last convolution is missing or misshapen") from None
    in_block = sum(value.dim() == 4 for key, value in weights.items() if key.startswith("blocks.0."))
    return {
        "in_ngc": in_ngc,
        "out_ngc": out_ngc,
        "ngf": ngf,
        "nb": sum(re.fullmatch(r"blocks\.\d+\.layers\.0\.weight", key) is not None for key in weights),
        "res_convs": in_block or 2,
        "upsample": "deconv" if deconv else "resize",
        "conv_bias": "learned" if "down.0.bias" in weights else "none",
    }


# VGG19


def load_vgg(source, seed=0, deeper=False):
    """VGG19 up to conv4_4; with `deeper` up to relu5_1, where the file has it. Raises WrongUse.

    `source` is a file in torchvision's layout (`features.N` keys, also of fewer channels), None for
    torchvision's ImageNet weights from its cache or a download, "small" for SMALL_VGG, or "random" for
    He-initialised weights (He et al., ICCV 2015) from `seed`.
    """
    if source == "small":
        report("content network: a small one; loss weights that suit VGG19 may not suit it")
        source = SMALL_VGG
    if source == "random":
        report("warning: VGG19 has random weights: use them to try the program, not for results")
        vgg, generator = VGG19(deeper=deeper), torch.Generator().manual_seed(seed)
        for layer in filter(lambda layer: isinstance(layer, torch.nn.Conv2d), vgg.features):
            torch.nn.init.kaiming_normal_(layer.weight, generator=generator)
            torch.nn.init.zeros_(layer.bias)
        return vgg
    weights = load(source) if source else _imagenet_vgg19()
    source = source or "torchvision's file of VGG19"
    weights = _by_name(weights, source)
    first = weights.get("features.0.weight", torch.empty(0))
    vgg = VGG19(min(first.numel() // 3**3, 64) or 64, deeper and f"features.{RELU5_1 - 1}.weight" in weights)
    fill(vgg, {key: weights[key] for key in vgg.state_dict() if key in weights}, source)
    return vgg


def _imagenet_vgg19():
    from torchvision.models import VGG19_Weights  # takes a second, which only the download needs

    weights = VGG19_Weights.IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # no network, a full disk, an interrupted download, …
        file = f"{torch.hub.get_dir()}/checkpoints/{weights.url.rsplit('/', 1)[1]}"
        raise WrongUse(
            f"torchvision cannot download VGG19's weights ({first_line(error)}): put them at {file}, "
            "or use --vgg_model FILE, or try the program with --vgg_model small"
        ) from None
