"""Saving and loading of weights and training states. Nothing read from a file is ever run as code."""

import io
import pickle
from pathlib import Path

import torch
import torchvision

import layouts
import processes
from errors import RunFailed, WrongUse, first_line
from files import replacing
from networks import VGG19, Generator


def save(path, content):
    """Write a dictionary of tensors and plain values whole, synced to the disk. Raises OSError."""
    serialised = io.BytesIO()  # PyTorch's own writer does not say what is wrong with a disk
    torch.save(content, serialised)
    with replacing(Path(path)) as part:
        part.write_bytes(serialised.getbuffer())


def load(path):
    """Read what `save`, or torch.save, wrote: tensors on the CPU and plain values. Raises WrongUse."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WrongUse(f"no file {path}") from None
    except pickle.UnpicklingError:
        raise WrongUse(f"{path} is not a file of weights, or wants to run code: refused") from None
    except Exception as error:  # a damaged file can fail anywhere in the reading, in any way
        raise WrongUse(f"cannot read {path}: {first_line(error)}") from None


def generator_file(generator):
    """What generator_latest.pth holds: the weights and the architecture that they fit."""
    return {"architecture": generator.architecture, "state_dict": generator.state_dict()}


def load_generator(path):
    """The Generator in a checkpoint of any layout that layouts.py knows. Raises WrongUse."""
    architecture, weights = layouts.to_ours(load(path), path)
    try:
        generator = Generator(**architecture)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WrongUse(f"{path}: the architecture in it cannot be built: {first_line(error)}") from None
    fill(generator, weights, path)
    return generator


def fill(network, weights, path):
    """Load a state dict into a network. Raises WrongUse naming the first key or shape that does not fit."""
    own = network.state_dict()
    if not isinstance(weights, dict):
        raise WrongUse(f"{path} holds no weights by name")
    for key in sorted(own.keys() | weights.keys(), key=str):
        mine, given = own.get(key), weights.get(key)
        if mine is None or not isinstance(given, torch.Tensor) or mine.shape != given.shape:
            shapes = [list(x.shape) if isinstance(x, torch.Tensor) else "nothing" for x in (given, mine)]
            raise WrongUse(
                f"{path} does not fit this network: {key} is {shapes[0]} there and {shapes[1]} here"
            )
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
    if not isinstance(state, dict) or "settings" not in state:
        raise WrongUse(f"{path} is no state_latest.pth of this program")
    return state


def restore_state(path, training, state):
    """Put `training` where it was when `state` was written. Raises WrongUse, naming `path`, on a misfit."""
    try:
        for name in STATEFUL:
            # After --train_epoch 0 there is no discriminator yet: it starts as built.
            if getattr(training, name) and name in state:
                getattr(training, name).load_state_dict(state[name])
        training.phase, training.epoch, training.step = state["place"]
        training.sums.update(state["sums"])
        training.seconds = state["seconds"]
        device = next(training.generator.parameters()).device
        training.pool.batches = [processes.share(batch).to(device) for batch in state["pool"]]
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise WrongUse(f"{path} does not fit this run: {first_line(error)}") from None
