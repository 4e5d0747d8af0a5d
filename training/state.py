"""state_latest.pth, which holds all that resuming needs; the weights beside it; weights to start from."""

import torch

from pictures import checkpoints
from training import processes
from training.config import STATE
from training.failures import advice_after_nan
from training.steps import shown_generator
from utils import RunFailed, WrongUse, first_line


def save(run, pools):
    """Write the weights of a run's model, then the state, which alone is enough to resume.

    `pools`, {name: whole batches}, is the content of the model's pools over all processes. Raises RunFailed
    before anything is written if a weight is not finite.
    """
    model, folder, networks = run.model, run.folder, _networks(run.model)
    for name, network in networks.items():
        if not all(value.isfinite().all() for value in network.state_dict().values()):
            where = "phase {}, epoch {}, step {}".format(*run.place)
            raise RunFailed(f"a weight of the {name} is not finite in {where}: {advice_after_nan(run)}")
    for name, network in networks.items():
        content = checkpoints.generator_file if name in model.generators else checkpoints.weights_of
        checkpoints.save(folder / f"{name}_latest.pth", content(network))
    if model.ema:
        checkpoints.save(folder / "generator_ema.pth", checkpoints.generator_file(shown_generator(model)))
    stateful = (*model.networks, "ema", *model.optimisers, "scaler")
    content = {name: getattr(model, name).state_dict() for name in stateful if getattr(model, name)}
    content |= pools | {"place": run.place, "sums": dict(run.sums), "counts": dict(run.counts)}
    checkpoints.save(folder / STATE, content | {"seconds": run.seconds, "settings": run.settings})


def _networks(model):
    """{name: network} of those that a model has."""
    return {name: getattr(model, name) for name in model.networks if getattr(model, name)}


def load_state(path):
    """Read the state that `save` wrote. Raises WrongUse."""
    content = checkpoints.load(path)
    settings = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(settings, dict) or not isinstance(settings.get("options"), dict):
        raise WrongUse(f"{path} is not a {STATE} of this program, or holds no settings")
    return content


def restore(run, path):
    """Restore a run and its model to the state that was saved at `path`. Raises WrongUse."""
    content, model, size = load_state(path), run.model, run.args.batch_size
    try:
        if missing := {model.networks[0], model.optimisers[0], "scaler"} - content.keys():
            raise KeyError(min(missing))
        # After --train_epoch 0 there is no discriminator yet: it starts untrained, as does its optimiser.
        for name, network in _networks(model).items():
            if name in content:
                checkpoints.fill(network, content[name], path)
        for name in model.optimisers:
            if (adam := getattr(model, name)) and name in content:
                options = {"param_groups": adam.state_dict()["param_groups"]}  # those of this command
                adam.load_state_dict({**content[name], **options})
        if content["scaler"]:  # empty if the precision needed none
            model.scaler.load_state_dict(content["scaler"])
        if model.ema and "ema" in content:
            model.ema.load_state_dict(content["ema"])
        run.phase, run.epoch, run.step = content["place"]
        if run.phase == 1 and run.epoch > run.args.pre_train_epoch:
            run.phase, run.epoch = 2, 1
        run.sums.update(dict(content["sums"]))
        run.counts.update(dict(content.get("counts") or dict.fromkeys(run.sums, run.step)))
        run.step = run.step * content["settings"]["options"]["batch_size"] // size
        run.seconds = content["seconds"]
        for name in model.pools:
            pool = getattr(model, name)
            batches = torch.cat(content[name]).split(size) if content[name] else ()
            # Whole batches of this command's size, without what float16 may have overflowed to.
            whole = [batch.nan_to_num() for batch in batches if len(batch) == size][: pool.size]
            pool.batches = [processes.share(batch).to(run.device) for batch in whole]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else first_line(error)
        raise WrongUse(f"{path} does not fit this run: {reason}; start a new run with --tag") from None


def start_from_weights(model, args):
    """Load the weights that the --latest options name; returns whether they include a generator.

    If they do, phase one is skipped. Raises WrongUse if they do not fit the model.
    """
    if path := args.latest_generator_model:
        loaded = checkpoints.load_generator(path, "a run can start from CartoonGAN's alone")
        for key, value in model.generator.architecture.items():
            # eps may differ: between 1e-9 and 1e-5 the authors' results differ by 1e-4 on average (measured).
            if key != "eps" and loaded.architecture[key] != value:
                here = f"--{key} is {value}" if key in args else f"training supports only {value}"
                raise WrongUse(f"{path} has {key} {loaded.architecture[key]}, but {here}")
        model.generator.load_state_dict(loaded.state_dict())
    if (path := args.latest_discriminator_model) and model.discriminator:
        checkpoints.fill(model.discriminator, checkpoints.load(path), path)
    return bool(args.latest_generator_model)
