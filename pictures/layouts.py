"""The layouts of generator checkpoints, told apart by their keys, and brought to this program's.

- Ours: `{"architecture": {…}, "state_dict": {…}}`, what checkpoints.generator_file makes.
- The authors' released models (Yijunmaverick/CartoonGAN-Test-Pytorch-Torch): `conv01_1.weight`, … They take
  and give BGR; the swap is folded into the first and the last convolution, so the network here is RGB.
- The old public PyTorch script's (znxlwm/pytorch-CartoonGAN): `down_convs.0.weight`, … Its norms have no
  weights, and its padding is zeros everywhere.
"""

import inspect
import os
import re

import torch

from networks import CONVOLUTIONS, Generator, InstanceNorm
from training import options
from utils import WrongUse, first_line

KNOWN = (
    "known are generators of this program, the authors' (conv01_1.weight, …) "
    "and the old public script's (down_convs.0.weight, …)"
)
OURS = {"architecture", "state_dict"}
OPENED = ("state_dict", "params")  # wrappers that other programs put around the weights
MARKS = {  # keys that tell what a file is
    "architecture": "a generator",
    "layers.0.weight": "a discriminator",
    "features.0.weight": "VGG19",
    "settings": "the state of a run",
}
# Buffers that instance norm had before PyTorch 0.4 and never used.
UNUSED = re.compile(r".*\.(running_mean|running_var|num_batches_tracked)")


def to_ours(content, path):
    """(architecture, weights) of what checkpoints.load read: the arguments of Generator, and its state dict.

    Raises WrongUse naming `path` where the layout is unknown, or something is missing or too much in it.
    """
    if isinstance(content, dict) and content.keys() == OURS:
        weights = _unprefixed(content["state_dict"], path)
        return _fitting(content["architecture"], weights, path)
    for key in OPENED * 2:  # and no deeper: a dictionary can hold itself
        if isinstance(content, dict) and key in content:
            content = content[key]
    weights = _unprefixed(content, path)
    for mark, read in (("conv01_1.weight", _authors), ("down_convs.0.weight", _old_script)):
        if mark in weights and all(isinstance(value, torch.Tensor) for value in weights.values()):
            return read(weights, path)
    raise WrongUse(
        f"{path} is no generator_latest.pth of this program, nor another known layout: {KNOWN}"
        f"{likeness(content)}"
    )


def likeness(content):
    """What a file that is not what was wanted may be instead, as the end of a sentence; "" if unknown."""
    if isinstance(content, dict):
        for mark, name in MARKS.items():
            if mark in content:
                return f"; it looks like {name}"
    return ""


def _unprefixed(weights, path):
    """Weights by name, without the `module.` of DataParallel."""
    if not isinstance(weights, dict):
        raise WrongUse(f"{path} holds no weights by name: {KNOWN}")
    tensors = [value for value in weights.values() if is_dense(value)]
    # A tensor's shape may be that of a far larger one, its few numbers repeated.
    if sum(value.numel() * value.element_size() for value in tensors) > os.path.getsize(path):
        raise WrongUse(f"{path} is damaged: its weights are larger than the file")
    return {key.removeprefix("module.") if isinstance(key, str) else key: weights[key] for key in weights}


def is_dense(value, shape=None):
    """Whether a value is a plain floating-point tensor on the CPU, of that shape if there is one."""
    return (
        isinstance(value, torch.Tensor)
        and not value.is_nested
        and (value.layout, value.device.type) == (torch.strided, "cpu")
        and value.is_floating_point()
        and (shape is None or value.shape == shape)
    )


def is_finite(tensor):
    """Whether all of a floating-point tensor is finite in float32."""
    return bool(tensor.float().isfinite().all())


def misfit(network, weights):
    """Which key of a state dict does not fit a network, in a few words; "" if all do and are finite."""
    if not isinstance(weights, dict):
        return "it holds no weights by name"
    own = network.state_dict()
    for key in sorted(own.keys() | weights.keys(), key=str):
        mine, given = own.get(key), weights.get(key)
        name = repr(str(key)[:80])[1:-1]
        if mine is None or not is_dense(given, mine.shape):
            shapes = [
                list(x.shape) if is_dense(x) or x is mine is not None else "nothing" for x in (given, mine)
            ]
            return f"{name} is {shapes[0]} there and {shapes[1]} here"
        if not is_finite(given):
            return f"{name} is not finite there"
    return ""


def _meta(architecture, weights, path):
    """The Generator of an architecture, without memory for its weights. Raises WrongUse if there is none."""
    known = {key: each.default for key, each in inspect.signature(Generator).parameters.items()}
    reason = "it is no dictionary"
    if isinstance(architecture, dict):
        asked = {key: architecture[key] for key in architecture if key not in ("padding", "eps")}
        padding, eps = (architecture.get(key, known[key]) for key in ("padding", "eps"))
        whole = known | architecture
        if more := architecture.keys() - known.keys():
            reason = f"it has {str(min(more, key=str))[:40]!r}"
        elif padding not in ("reflect", "zeros") or type(eps) is not float or not 0 < eps < 1:
            reason = "its padding or eps is none of a generator"
        elif not (reason := options.fault(asked)) and whole["nb"] * whole["res_convs"] > len(weights):
            reason = f"nb is {whole['nb']}, but there are {len(weights)} weights"
    try:
        if not reason:
            with torch.device("meta"):
                return Generator(**architecture)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        reason = first_line(error)
    raise WrongUse(f"{path}: the architecture in it cannot be built: {reason}")


def _fitting(architecture, weights, path):
    """Both, if the weights fit the architecture. Raises WrongUse."""
    if reason := misfit(_meta(architecture, weights, path), weights):
        raise WrongUse(f"{path} does not fit this network: {reason}")
    return architecture, weights


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
    weights = {key: value for key, value in weights.items() if not UNUSED.fullmatch(str(key))}
    blocks = range(_count(weights, r"resnet_blocks\.(\d+)\.conv1\.weight"))
    convs = [f"down_convs.{place}" for place in (0, 3, 4, 7, 8)]
    convs += [f"resnet_blocks.{block}.conv{half}" for block in blocks for half in (1, 2)]
    convs += [f"up_convs.{place}" for place in (0, 1, 4, 5, 8)]
    return _renamed(weights, path, convs, padding="zeros", eps=1e-5)


def _renamed(weights, path, convs, norms=(), scale="", shift="", **variant):
    """Give weights the names of this program's Generator.

    `convs` and `norms` are its layers in the order in which they run, `scale` and `shift` what its norms call
    weight and bias; without `norms` they are 1 and 0.
    """
    weights = dict(weights)

    def take(name):
        if name not in weights:
            raise WrongUse(f"{path} lacks {name}, which its layout has")
        return weights.pop(name)

    try:
        ngf, in_ngc = weights[f"{convs[0]}.weight"].shape[:2]
        out_ngc = len(weights[f"{convs[-1]}.bias"])
    except (KeyError, ValueError, TypeError):
        raise WrongUse(f"{path} is damaged: its first or last convolution is missing or misshapen") from None
    architecture = {"in_ngc": in_ngc, "out_ngc": out_ngc, "ngf": ngf, "nb": (len(convs) - 10) // 2, **variant}
    layers = dict(_meta(architecture, weights, path).named_modules())
    our_convs = [name for name, layer in layers.items() if isinstance(layer, CONVOLUTIONS)]
    our_norms = [name for name, layer in layers.items() if isinstance(layer, InstanceNorm)]
    ours = {}
    for our, name in zip(our_convs, convs, strict=True):
        ours |= {f"{our}.weight": take(f"{name}.weight"), f"{our}.bias": take(f"{name}.bias")}
    if norms:
        for our, name in zip(our_norms, norms, strict=True):
            ours[f"{our}.weight"] = take(f"{name}.{scale}").flatten()
            ours[f"{our}.bias"] = take(f"{name}.{shift}").flatten()
    else:
        for our in our_norms:
            width = layers[our].num_features
            # Expanded: how wide a first layer says that it is has not been compared yet.
            ours |= {
                f"{our}.weight": torch.ones(1).expand(width),
                f"{our}.bias": torch.zeros(1).expand(width),
            }
    if weights:
        raise WrongUse(f"{path} holds {min(weights, key=str)}, which its layout does not have")
    return _fitting(architecture, ours, path)


def _count(weights, pattern):
    return sum(re.fullmatch(pattern, str(key)) is not None for key in weights)
