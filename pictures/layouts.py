"""The layouts of generator checkpoints, recognised by their keys, and converted to this program's.

- Ours: `{"architecture": {…}, "state_dict": {…}}`, what checkpoints.generator_file makes, or the weights
  alone: `down.0.weight`, …
- The authors' released models (Yijunmaverick/CartoonGAN-Test-Pytorch-Torch): `conv01_1.weight`, … They take
  and give BGR; the swap is folded into the first and the last convolution, so the network here is RGB.
- The old public PyTorch script's (znxlwm/pytorch-CartoonGAN): `down_convs.0.weight`, … Its norms have no
  weights, and its padding is zeros everywhere.
- AnimeGANv2's (bryandlee/animegan2-pytorch): `block_a.0.1.weight`, … It is another network (animegan.py).
- CycleGAN's (junyanz/pytorch-CycleGAN-and-pix2pix): `model.1.weight`, … Another one too (cyclegan.py).
"""

import os
import re

import torch

from networks import CONVOLUTIONS, Generator, InstanceNorm
from pictures import animegan, cyclegan
from utils import WrongUse, first_line, report

KNOWN = (
    "known are generators of this program, the authors' (conv01_1.weight, …), "
    "the old public script's (down_convs.0.weight, …), AnimeGANv2's in PyTorch (block_a.0.1.weight, …) "
    "and CycleGAN's in PyTorch (model.1.weight, …)"
)
OURS = {"architecture", "state_dict"}
NOTES = {"epoch", "kid_drawings", "drawn", "chosen_by"}  # what generator_best.pth holds besides
# Wrappers that other programs put around a generator's weights.
OPENED = ("state_dict", "model_state_dict", "generator_state_dict", "g_state_dict")
OPENED += ("generator", "netG", "model", "params_ema", "params", "weights")
PREFIXES = ("generator.", "netG.", "G.", "net.")  # of a generator that is a part of another module
OF_PYTORCH = ("module.", "_orig_mod.")  # of DataParallel, AveragedModel and torch.compile
MARKS = {  # keys that tell what a file is
    "architecture": "a generator",
    "layers.0.weight": "a discriminator",
    "features.0.weight": "VGG19",
    "settings": "the state of a run",
}


def to_ours(content, path):
    """(architecture, weights) of what checkpoints.load read: what `build` takes, and the state dict of that.

    Raises WrongUse naming `path` where the layout is unknown, or something is missing or too much in it.
    """
    if isinstance(content, dict) and content.keys() - NOTES == OURS:
        return content["architecture"], _no_larger_than_the_file(content["state_dict"], path)
    inner = content
    for key in OPENED * 2:  # and no deeper: a dictionary can hold itself
        if isinstance(inner, dict) and key in inner:
            inner = inner[key]
    weights = _no_larger_than_the_file(inner, path)
    if prefix := next((x for x in PREFIXES if any(key.startswith(x) for key in weights)), ""):
        part = {key.removeprefix(prefix): weights[key] for key in weights if key.startswith(prefix)}
        weights = by_name(part, path)
    known = {"conv01_1.weight": _authors, "down_convs.0.weight": _old_script, "down.0.weight": _bare}
    if "settings" in content:  # the state of a run: its generator_latest.pth says what _bare would guess
        del known["down.0.weight"]
    for mark, read in known.items():
        if mark in weights:
            return read(weights, path)
    if "block_a.0.1.weight" in weights:
        return animegan.ARCHITECTURE, weights
    if cyclegan.MARK in weights:
        try:
            return cyclegan.to_ours(weights)
        except (KeyError, ValueError, TypeError) as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else first_line(error)
            raise WrongUse(f"{path} has not the layout of CycleGAN's generator: {why}") from None
    raise WrongUse(
        f"{path} is no generator of a known layout{likeness(content) or likeness(weights)}: take a run's "
        f"generator_latest.pth; {KNOWN}"
    )


def likeness(content):
    """What a file that is not what was wanted may be instead, as the end of a sentence; "" if unknown."""
    if isinstance(content, dict):
        for mark, name in MARKS.items():
            if mark in content:
                return f"; it looks like {name}"
    return ""


def by_name(weights, path):
    """Tensors by name, without what PyTorch's wrappers of a network add to names.

    Raises WrongUse where `weights` are no tensors by name.
    """
    pairs = weights.items() if isinstance(weights, dict) else [(None, None)]
    if not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in pairs):
        raise WrongUse(f"{path} holds no weights by name{likeness(weights)}")
    named = {}
    for key, value in pairs:
        while prefix := next(filter(key.startswith, OF_PYTORCH), ""):
            key = key.removeprefix(prefix)
        named[key] = value
    named.pop("n_averaged", None)  # AveragedModel's count
    return named


def _no_larger_than_the_file(weights, path):
    """`by_name`, of tensors whose numbers are all in the file: a shape can be one that repeats a few."""
    weights = by_name(weights, path)
    stored = all(value.layout == torch.strided and value.device.type == "cpu" for value in weights.values())
    size = sum(value.numel() * value.element_size() for value in weights.values())
    if not stored or size > os.path.getsize(path):
        raise WrongUse(f"{path} is damaged: its weights are larger than the file")
    return weights


def build(architecture, path):
    """A network without memory, as `to_ours` says of the file at `path`. Raises WrongUse."""
    if architecture is animegan.ARCHITECTURE:
        with torch.device("meta"):
            return animegan.AnimeGAN()
    try:
        network = cyclegan.CycleGenerator if "network" in architecture else Generator
        with torch.device("meta"):
            return network(**architecture)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WrongUse(f"{path} holds a generator that is unknown here: {first_line(error)}") from None


def _authors(weights, path):
    blocks = [f"{number:02}" for number in range(4, 4 + _count(weights, r"conv(\d\d)_1\.weight") - 3)]
    pairs = [f"{block}_{half}" for block in blocks for half in (1, 2)]
    convs = [f"conv{name}" for name in ("01_1", "02_1", "02_2", "03_1", "03_2", *pairs)]
    convs += [f"deconv{name}" for name in ("01_1", "01_2", "02_1", "02_2", "03_1")]
    ups = [f"{4 + len(blocks) + up:02}_1" for up in (0, 1)]
    norms = [f"in{name}" for name in ("01_1", "02_1", "03_1", *pairs, *ups)]
    architecture, ours = _renamed(weights, path, convs, norms, "scale", "shift", padding="reflect", eps=1e-9)
    ours["down.0.weight"] = ours["down.0.weight"].flip(1)
    for last in (key for key in ours if key.startswith("up.8.")):
        ours[last] = ours[last].flip(0)
    return architecture, ours


def _old_script(weights, path):
    weights = {key: value for key, value in weights.items() if not cyclegan.UNUSED.fullmatch(key)}
    blocks = range(_count(weights, r"resnet_blocks\.(\d+)\.conv1\.weight"))
    convs = [f"down_convs.{place}" for place in (0, 3, 4, 7, 8)]
    convs += [f"resnet_blocks.{block}.conv{half}" for block in blocks for half in (1, 2)]
    convs += [f"up_convs.{place}" for place in (0, 1, 4, 5, 8)]
    return _renamed(weights, path, convs, padding="zeros", eps=1e-5)


def _bare(weights, path):
    """This program's weights without their architecture: what shapes do not tell is taken as the paper's."""
    report(
        f"{path} holds weights alone: taken as a generator with the default --norm and --predict; a run's "
        "generator_latest.pth says which it has"
    )
    try:
        ngf, in_ngc = weights["down.0.weight"].shape[:2]
        last = max(int(key.split(".")[1]) for key in weights if re.fullmatch(r"up\.\d+\.weight", key))
        out_ngc = len(weights[f"up.{last}.weight"])
    except (ValueError, TypeError):
        raise WrongUse(f"{path} is damaged: its first or last convolution is missing or misshapen") from None
    convolutions = sum(value.dim() == 4 for key, value in weights.items() if key.startswith("blocks.0."))
    architecture = {"in_ngc": in_ngc, "out_ngc": out_ngc, "ngf": ngf}
    architecture |= {"nb": _count(weights, r"blocks\.(\d+)\.layers\.0\.weight")}
    architecture |= {
        "res_convs": convolutions or 2,
        "upsample": "deconv" if "up.0.weight" in weights else "resize",
    }
    architecture |= {"conv_bias": "learned" if "down.0.bias" in weights else "none"}
    return architecture, weights


def _renamed(weights, path, convs, norms=(), scale="", shift="", **variant):
    """Give weights the names of this program's Generator.

    `convs` and `norms` are its layers in the order in which they run, `scale` and `shift` what its norms call
    weight and bias; without `norms` they are 1 and 0.
    """

    def take(name):
        if name not in weights:
            raise WrongUse(f"{path} lacks {name}, which its layout has")
        return weights.pop(name)

    try:
        ngf, in_ngc = weights[f"{convs[0]}.weight"].shape[:2]
        out_ngc = len(weights[f"{convs[-1]}.bias"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise WrongUse(f"{path} is damaged: its first or last convolution is missing or misshapen") from None
    architecture = {"in_ngc": in_ngc, "out_ngc": out_ngc, "ngf": ngf, "nb": (len(convs) - 10) // 2, **variant}
    layers = dict(build(architecture, path).named_modules())
    our_convs = [name for name, layer in layers.items() if isinstance(layer, CONVOLUTIONS)]
    our_norms = [name for name, layer in layers.items() if isinstance(layer, InstanceNorm)]
    ours = {}
    for our, name in zip(our_convs, convs, strict=True):
        ours |= {f"{our}.weight": take(f"{name}.weight"), f"{our}.bias": take(f"{name}.bias")}
    for our, name in zip(our_norms, norms or [None] * len(our_norms), strict=True):
        width = layers[our].num_features
        ours[f"{our}.weight"] = take(f"{name}.{scale}").flatten() if name else torch.ones(width)
        ours[f"{our}.bias"] = take(f"{name}.{shift}").flatten() if name else torch.zeros(width)
    if weights:
        raise WrongUse(f"{path} holds {min(weights)}, which its layout does not have")
    return architecture, ours


def _count(weights, pattern):
    return sum(re.fullmatch(pattern, key) is not None for key in weights)
