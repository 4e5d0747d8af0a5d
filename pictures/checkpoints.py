"""Saving and loading of weights and training states. Nothing read from a file is ever run as code."""

import io
import math
import mmap
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import torch
import torchvision

from networks import VGG19, Generator
from pictures import layouts
from training import processes
from utils import RunFailed, WrongUse, first_line, replacing


def save(path, content):
    """Write a dictionary of tensors and plain values whole, synced to the disk. Raises OSError."""
    serialised = io.BytesIO()  # PyTorch's own writer does not say what is wrong with a disk
    torch.save(content, serialised)
    with replacing(Path(path)) as part:
        part.write_bytes(serialised.getbuffer())


def load(path):
    """Read what `save`, or torch.save, wrote: tensors on the CPU and plain values. Raises WrongUse."""
    try:
        _refuse_bombs(path)
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


def _refuse_bombs(path):
    """Raise WrongUse for a file that would take more memory than its own size, or never end."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise WrongUse(f"cannot read {path}: it is no file; in a run folder, name its generator_latest.pth")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # The one name that lets a pickle ask PyTorch for any amount; no checkpoint has use for it.
        bomb = content.find(b"\nbytearray\n") >= 0
        if content[:4] == b"PK\3\4":
            records = zipfile.ZipFile(file).infolist()
            # torch.save stores its records as they are, one after the other.
            bomb |= any(record.compress_type for record in records)
            bomb |= sum(record.file_size for record in records) > len(content)
    if bomb:
        raise WrongUse(f"{path} would grow in memory, as no file of torch.save does: refused")


def generator_file(generator):
    """What generator_latest.pth holds: the weights and the architecture that they fit."""
    return {"architecture": generator.architecture, "state_dict": generator.state_dict()}


def load_generator(path):
    """The Generator in a checkpoint of any layout that layouts.py knows. Raises WrongUse."""
    architecture, weights = layouts.to_ours(load(path), path)
    generator = Generator(**architecture)
    generator.load_state_dict(weights)
    return generator


def fill(network, weights, path):
    """Load a state dict into a network. Raises WrongUse naming the first key or shape that does not fit."""
    if reason := layouts.misfit(network, weights):
        raise WrongUse(f"{path} does not fit this network: {reason}{layouts.likeness(weights)}")
    network.load_state_dict(weights)


def load_vgg(source, seed=0):
    """VGG19 up to conv4_4.

    `source` is a file in torchvision's layout (`vgg19-dcbb9e9d.pth`, or any with its `features.N` keys), None
    for torchvision's own ImageNet weights through its cache and download, or "random" for He-initialised
    weights (He et al., ICCV 2015) from `seed`. Raises WrongUse.
    """
    vgg = VGG19()
    if source == "random":
        generator = torch.Generator().manual_seed(seed)
        for key, value in vgg.state_dict().items():
            value.zero_() if key.endswith("bias") else torch.nn.init.kaiming_normal_(
                value, generator=generator
            )
        return vgg
    weights = load(source) if source else _imagenet_vgg19()
    if not isinstance(weights, dict):
        raise WrongUse(f"{source} holds no weights by name")
    # The layers past conv4_4 and the classifier are left out: they are never run.
    fill(vgg, {key: weights[key] for key in vgg.state_dict() if key in weights}, source)
    return vgg


def _imagenet_vgg19():
    weights = torchvision.models.VGG19_Weights.IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # no network, a full disk, a download that was cut, …
        file = f"{torch.hub.get_dir()}/checkpoints/{weights.url.rsplit('/', 1)[1]}"
        raise WrongUse(
            f"torchvision could not get VGG19's weights ({first_line(error)}): put them at {file}, "
            "or name a file with --vgg_model FILE, or try the program with --vgg_model random"
        ) from None


STATEFUL = ("generator", "discriminator", "adam_g", "adam_d", "scaler")


def save_run(folder, training, pool, settings):
    """Write the weights of a training.Training, then the state, which alone is enough to go on.

    `pool` holds the whole batches of training.pool, of all processes together. A weight that is not finite
    raises RunFailed before anything is written.
    """
    place = training.phase, training.epoch, training.step
    for name in ("generator", "discriminator"):
        network = getattr(training, name)
        if network and not all(value.isfinite().all() for value in network.state_dict().values()):
            where = "phase {}, epoch {}, step {}".format(*place)
            raise RunFailed(
                f"a weight of the {name} is not finite in {where}: the last saved state is untouched"
            )
    save(folder / "generator_latest.pth", generator_file(training.generator))
    if training.discriminator:
        save(folder / "discriminator_latest.pth", training.discriminator.state_dict())
    state = {name: getattr(training, name).state_dict() for name in STATEFUL if getattr(training, name)}
    state |= {"pool": pool, "place": place, "sums": dict(training.sums)}
    save(folder / "state_latest.pth", state | {"seconds": training.seconds, "settings": settings})


def load_state(path):
    """Read the state that `save_run` wrote. Raises WrongUse."""
    state = load(path)
    settings = state.get("settings") if isinstance(state, dict) else None
    if not isinstance(settings, dict) or not isinstance(settings.get("options"), dict):
        raise WrongUse(f"{path} is no state_latest.pth of this program, or holds no settings")
    return state


def restore_state(path, training, state):
    """Put `training` where it was when `state` was written. Raises WrongUse, naming `path`, on a misfit."""
    if reason := _state_fault(training, state):
        raise WrongUse(f"{path} does not fit this run: {reason}: start a new run with --tag")
    for name in STATEFUL:
        mine = getattr(training, name)
        # After --train_epoch 0 there is no discriminator yet: it starts as built.
        if mine and name in state:
            own = {"param_groups": mine.state_dict()["param_groups"]} if name in ADAMS else {}
            mine.load_state_dict({**state[name], **own})
    training.phase, training.epoch, training.step = state["place"]
    training.sums.update(state["sums"])
    training.seconds = state["seconds"]
    device = next(training.generator.parameters()).device
    training.pool.batches = [processes.share(batch).to(device) for batch in state["pool"]]


ADAMS = {"adam_g": "generator", "adam_d": "discriminator"}


def _state_fault(training, state):
    """Why a state does not fit a training.Training, in a few words; "" if it does. Changes nothing."""
    needed = {"generator", "adam_g", "scaler", "pool", "place", "sums", "seconds"}
    needed |= {"discriminator", "adam_d"} if {"discriminator", "adam_d"} & state.keys() else set()
    if missing := needed - state.keys():
        return f"it lacks {min(missing)}"
    place, options = state["place"], state["settings"]["options"]
    if not _is_place(place, state["settings"]):
        return "its place is no phase, epoch and step of this run"
    if training.discriminator and "discriminator" not in state and tuple(place) > (2, 1, 0):
        return "it lacks discriminator"
    for adam, name in ADAMS.items():
        network = getattr(training, name)
        if not network or name not in state:
            continue
        if reason := layouts.misfit(network, state[name]) or _adam_fault(network, state[adam]):
            return f"{name}: {reason}"
    own, saved = training.scaler.state_dict(), state["scaler"]
    changing = {"scale", "_growth_tracker"}
    if not isinstance(saved, dict) or (own and own.keys() != saved.keys()):
        return "its scaler is missing, or of another --precision"
    for key, value in own.items():
        known = type(saved[key]) is type(value) and saved[key] == value
        if not (_is_number(saved[key]) if key in changing else known):
            return "its scaler is damaged"
    if not _is_number(state["seconds"]):
        return "its seconds are no number"
    sums = state["sums"]
    losses = isinstance(sums, dict) and not {"phase", "epoch"} & sums.keys()
    if not losses or not all(
        str(key).isidentifier() and type(value) is float and math.isfinite(value)
        for key, value in sums.items()
    ):
        return "its sums are no losses by name"
    side, pool = options.get("input_size"), state["pool"]
    shape = (options.get("batch_size"), options.get("out_ngc"), side, side)
    if not isinstance(pool, list) or len(pool) > training.pool.size:
        return "its pool is no list of batches, or longer than --pool_size"
    if not all(layouts.is_dense(batch, shape) and layouts.is_finite(batch) for batch in pool):
        return f"its pool holds what is no batch of {list(shape)}"
    return ""


def _is_number(value):
    return type(value) in (int, float) and 0 <= value < math.inf


def _is_place(place, settings):
    """Whether (phase, epoch, step), what comes next, lies in the run that `settings` record."""
    if not isinstance(place, (tuple, list)) or len(place) != 3 or not all(type(n) is int for n in place):
        return False
    phase, epoch, step = place
    count, options = settings, settings["options"]
    for key in ("data", "photographs", "count"):
        count = count.get(key) if isinstance(count, dict) else None
    batch, epochs = (
        options.get(key) for key in ("batch_size", ["pre_train_epoch", "train_epoch"][phase > 1])
    )
    if phase not in (1, 2) or not all(type(n) is int for n in (count, batch, epochs)) or batch < 1:
        return False
    # An epoch that was saved after its last step is still to be recorded.
    return 1 <= epoch <= epochs + 1 and 0 <= step <= count // batch


def _adam_fault(network, saved):
    """Why a state of Adam does not fit a network: its own loading compares no shapes."""
    moments = saved.get("state") if isinstance(saved, dict) else None
    parameters = dict(enumerate(network.parameters()))
    if not isinstance(moments, dict) or not moments.keys() <= parameters.keys():
        return "its optimiser is damaged"
    for key, held in moments.items():
        shapes = {"step": (), "exp_avg": parameters[key].shape, "exp_avg_sq": parameters[key].shape}
        if not isinstance(held, dict) or held.keys() != shapes.keys():
            return "its optimiser is damaged"
        for name, shape in shapes.items():
            if not layouts.is_dense(held[name], shape) or not layouts.is_finite(held[name]):
                return f"its optimiser's {name} of parameter {key} is no finite tensor of {list(shape)}"
        if held["step"] < 0 or (held["exp_avg_sq"] < 0).any():
            return f"its optimiser's moments of parameter {key} are negative"
    return ""
