"""Run folders: their names, finding the one to resume, and the lock. A run is never overwritten."""

import argparse
import contextlib
import glob
from pathlib import Path

from support.arguments import PYTHON, command_line
from support.files import locked, sweep
from training import config, data
from training.log import LOG, read_log
from training.options import CARTOONGAN
from utils import WrongUse, launcher, restarts


def find_run(argv=None, method=CARTOONGAN):
    """The config.RunConfig of a command line, checked: options, the run folder, the data folders.

    A resumed run takes its options from its settings. This is fast and does not load PyTorch, unless
    settings.json is damaged and the state is read. Raises WrongUse if an option is wrong, data are missing, a
    new run would overwrite one, or there is nothing to resume with these options.
    """
    args, given = method.parse(argv)
    if args.preview and args.resume:
        raise WrongUse("--preview begins a new run: leave out --resume")
    saved = config.read_settings(run_folder(args)) if restarts() else None
    if saved and saved.get("launcher") == launcher():  # else it is an older run of this name
        args.resume = args.resume or True
    folder, earlier = run_folder(args), None
    if args.resume:
        folder = _folder_to_resume(args)
        earlier = _settings_to_resume(folder, method)
        args, given = _options_to_resume(argv, args, given, folder, earlier["options"], method)
    elif not args.preview:
        _refuse_overwriting(folder, vars(args), method)
        for key in ("latest_generator_model", "latest_discriminator_model"):
            if (weights := vars(args).get(key)) and not Path(weights).exists():
                raise WrongUse(f"no file {weights}: --{key} names the weights to start from")
    data.find_data(args, method.fewest_drawings(args))
    # Whether this is a preview is not a setting, so it is not recorded.
    return config.RunConfig(argv, args, given, folder, earlier, method, preview=vars(args).pop("preview"))


def run_name(args):
    """NAME_PRE_EPOCHS_BATCH, then the learning rates if they are not 2e-4, then the tag.

    PRE is 0 if a generator to start from skips phase one, and left out if the method has no phase one.
    """
    rates = f"{args.lrG:g}" if args.lrG == args.lrD else f"{args.lrG:g}-{args.lrD:g}"
    skipped = vars(args).get("latest_generator_model")
    phase_one = [0 if skipped else args.pre_train_epoch] if "pre_train_epoch" in args else []
    parts = [args.name, *phase_one, args.train_epoch, args.batch_size]
    parts += [rates] if rates != "0.0002" else []
    parts += [args.tag] if args.tag else []
    return "_".join(map(str, parts))


def run_folder(args):
    """RESULTS_DIR/<run name>_results. Raises WrongUse for a name too long for the files of the run."""
    if len(run_name(args).encode()) > 200:  # of 255 in a file's name; those of the samples are longer
        raise WrongUse(f"the run's name is too long ({run_name(args)[:40]}…): shorten --name or --tag")
    return Path(args.results_dir) / f"{run_name(args)}_results"


def differences(options, saved, method):
    """{option: text} of those that must equal a saved run's but do not, as "ngf is 64, was 32".

    A run that was saved before an option existed had its default.
    """
    known = method.defaults() | saved
    changed = {key: known[key] for key in sorted(options.keys() - config.ALWAYS_CHANGEABLE)}
    return {key: f"{key} is {options[key]}, was {old}" for key, old in changed.items() if options[key] != old}


def _options_to_resume(argv, args, given, folder, saved, method):
    """(options, given names), with saved options as defaults. Raises WrongUse if one must not differ."""
    fixed = {key: vars(args)[key] for key in given if not config.changeable_by_name(key)}
    # If --resume names no folder, all options say which run is meant.
    changed = differences(vars(args) if args.resume is True else fixed, saved, method)
    if not changed:
        args, given = method.parse(argv, saved)
        changed = _networks_changed(args, saved, method)
    if not changed:
        return args, given
    advice = "start a new run with --tag"
    if all(map(config.changeable_by_name, changed)):
        advice = f"name --resume {folder} to change them, or {advice}"
    raise WrongUse(
        f"{folder} cannot be resumed with other settings ({'; '.join(changed.values())}): {advice}"
    )


def _networks_changed(args, saved, method):
    """{network: text} of those that a resumed run with these options would add or drop.

    A discriminator may be added only by more epochs, which begin phase two.
    """
    before = argparse.Namespace(**method.defaults() | saved | {"train_epoch": args.train_epoch})
    return {
        part: f"the weights of its losses would {'add' if has(args) else 'drop'} the {part}"
        for part, has in method.parts.items()
        if has(args) != has(before)
    }


def _folder_to_resume(args):
    if args.resume is not True:
        return _folder_named(args)
    folder = run_folder(args)
    # --train_epoch may have been raised; the folder keeps its first name.
    pattern = glob.escape(run_name(argparse.Namespace(**{**vars(args), "train_epoch": "EPOCHS"})))
    others = list(folder.parent.glob(f"{pattern.replace('_EPOCHS_', '_[0-9]*_')}_results"))
    return others[0] if len(others) == 1 and not folder.is_dir() else folder


def _folder_named(args):
    """The folder that --resume names, or the only run in --results_dir whose name begins with it."""
    folder = Path(args.resume)
    if folder.exists():
        return folder
    where = folder.parent if len(folder.parts) > 1 else Path(args.results_dir)
    exact = where / f"{folder.name}_results"
    found = [exact] if exact.is_dir() else sorted(where.glob(f"{glob.escape(folder.name)}_*_results"))
    found += [where / folder.name] if (where / folder.name).is_dir() else []
    if len(found) > 1:
        raise WrongUse(f"--resume {args.resume} can mean {', '.join(map(str, found))}: name one of them")
    return found[0] if found else folder


def _settings_to_resume(folder, method):
    """The settings of a run to resume: settings.json, or if it is damaged those in the state."""
    if not folder.is_dir():
        what = "is a file, not a run folder" if folder.exists() else "does not exist"
        raise WrongUse(f"no run to resume: {folder} {what}; {PYTHON} -m pages --list shows the runs")
    path = folder / config.STATE
    if not path.exists() and any(event == "slimmed" for _, event, _ in read_log(folder)):
        weights = "from its weights with --latest_generator_model and --latest_discriminator_model"
        how = weights if "latest_generator_model" in method.defaults() else "with --tag"
        raise WrongUse(f"{folder} was slimmed and cannot be resumed: start a new run {how}")
    earlier = config.read_settings(folder)
    if earlier and config.method_name(earlier) != method.name:
        command = command_line(config.method_name(earlier), ["--resume", str(folder)])
        raise WrongUse(f"{folder} is a run of another program: resume it with {command}")
    if path.exists() and (not earlier or config.settings_fault(earlier, method)):
        from training.state import load_state  # loads PyTorch, so only here

        earlier = load_state(path)["settings"]
    if not earlier:
        raise WrongUse(f"{folder} holds no {config.FILE} and no {config.STATE}: start a new run")
    if fault := config.settings_fault(earlier, method):
        file = path if path.exists() else folder / config.FILE
        raise WrongUse(f"{file} cannot be resumed: {fault}; start a new run")
    return earlier


def _refuse_overwriting(folder, options, method):
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise WrongUse(f"{path} is not a folder: name another with --results_dir or --name")
    if not folder.exists() or all(path.name[0] == "." or path.name == LOG for path in folder.iterdir()):
        return  # a run that failed to start leaves at most a log and a hidden temporary file
    earlier = config.read_settings(folder)
    if earlier and config.method_name(earlier) != method.name:
        changed = [f"its program is {command_line(config.method_name(earlier), [])}"]
    elif earlier and not config.settings_fault(earlier, method):
        changed = differences(options, earlier["options"], method).values()
    else:
        changed = ["its settings cannot be read"]
    if changed:
        raise WrongUse(
            f"{folder} holds a run with other settings ({'; '.join(changed)}): name this one with --tag"
        )
    raise WrongUse(f"{folder} already holds this run: add --resume, or name another run with --tag")


@contextlib.contextmanager
def lock_run(folder):
    """Make the run folder and lock it against other processes. Raises WrongUse if another one has it.

    A folder that is empty at the end of the block, as after a failed start, is removed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise WrongUse(f"cannot make {folder} ({error.strerror}): name another --results_dir") from None
    # After a restart by torchrun the previous first process may still be ending.
    with locked(folder, wait=restarts() > 0) as free:
        if free is False:
            raise WrongUse(f"{folder} is in use by another run: stop it, or wait until it ends")
        sweep(folder)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
