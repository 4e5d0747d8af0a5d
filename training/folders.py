"""Run folders: their names, what a command line asks for, and the lock. None is ever overwritten."""

import argparse
import contextlib
import glob
from pathlib import Path
from typing import NamedTuple

from support.arguments import PYTHON, command_line
from support.files import locked, sweep
from training import data
from training.log import LOG, read_log
from training.method import Method
from training.options import CARTOONGAN
from training.settings import FILE, STATE, program_of, read_settings, settings_fault
from utils import WrongUse, launcher, restarts

# What may differ when a run is resumed, however. `results_dir` and `resume` only say where the folder is.
MAY_CHANGE = {"train_epoch", "workers", "device", "results_dir", "resume"}
MAY_CHANGE |= {"eval_every", "sample_every", "sample_format", "sample_keep", "checkpoint_every"}
# If its folder is named, also the method's `changeable`, and where the data lie: both are recorded, and told
# if they changed.
PLACES = {"src_data", "tgt_data", "pair_dir"}


class RunConfig(NamedTuple):
    """What a command line asks for."""

    argv: list | None  # the command line; None is sys.argv's
    args: argparse.Namespace  # every option
    given: list  # the names of those on the command line
    folder: Path  # of the run
    earlier: dict | None  # the settings of the run that goes on; None for a new one
    method: Method = CARTOONGAN
    preview: bool = False  # whether the run is to be tried only


def find_run(argv=None, method=CARTOONGAN):
    """What a command line asks for, checked: options, the run folder, the data folders.

    A resumed run takes its options from its settings. Nothing here is slow, or needs PyTorch (but where
    settings.json is damaged, and the state is looked into). Raises WrongUse if an option is wrong, data are
    missing, a new run would overwrite one, or there is nothing to resume with these options.
    """
    args, given = method.parse(argv)
    if args.preview and args.resume:
        raise WrongUse("--preview begins a run anew: leave out --resume")
    saved = read_settings(run_folder(args)) if restarts() else None
    if saved and saved.get("launcher") == launcher():  # else it is an older run of this name
        args.resume = args.resume or True
    folder, earlier = run_folder(args), None
    if args.resume:
        folder = _folder_to_resume(args)
        earlier = _settings_to_resume(folder, method)
        may_change = {*method.changeable} | PLACES
        names = {key: getattr(args, key) for key in {*given} - may_change}
        changed = differences(vars(args) if args.resume is True else names, earlier["options"], method)
        if not changed:
            args, given = method.parse(argv, earlier["options"])
            changed = _networks_changed(args, earlier["options"], method)
        if changed:
            named = f"name --resume {folder} to change them, or " if changed.keys() <= may_change else ""
            raise WrongUse(
                f"{folder} cannot be resumed with other settings ({'; '.join(changed.values())}): "
                f"{named}start a new run with --tag"
            )
    elif not args.preview:
        _refuse_overwriting(folder, vars(args), method)
        for key in ("latest_generator_model", "latest_discriminator_model"):
            if (weights := vars(args).get(key)) and not Path(weights).exists():
                raise WrongUse(f"no file {weights}: --{key} names the weights to start from")
    data.find_data(args, method.fewest_drawings(args))
    # It is no setting, so it is not recorded.
    return RunConfig(argv, args, given, folder, earlier, method, preview=vars(args).pop("preview"))


def run_name(args):
    """NAME_PRE_EPOCHS_BATCH, then the learning rates where they are not 2e-4, then the tag.

    PRE is 0 where a generator to start from skips phase one, and left out where the method has none.
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
    """{option that differs from the saved run's and may not: text}, as "ngf is 64, was 32".

    An option that did not exist yet when the run was saved had its default.
    """
    known = method.defaults() | saved
    changed = {key: known[key] for key in sorted(options.keys() - MAY_CHANGE)}
    return {key: f"{key} is {options[key]}, was {old}" for key, old in changed.items() if options[key] != old}


def _networks_changed(args, saved, method):
    """{network: text} of those that a resumed run with these options would build anew, or drop.

    More epochs alone may begin phase two, and its discriminator with it.
    """
    before = argparse.Namespace(**method.defaults() | saved | {"train_epoch": args.train_epoch})
    return {
        part: f"the weights of its losses would {'build' if has(args) else 'drop'} the {part}"
        for part, has in method.parts.items()
        if has(args) != has(before)
    }


def _folder_to_resume(args):
    if args.resume is not True:
        return _folder_named(args)
    folder = run_folder(args)
    # The number of epochs may have been raised; the folder keeps the name that it began with.
    pattern = glob.escape(run_name(argparse.Namespace(**{**vars(args), "train_epoch": "EPOCHS"})))
    others = list(folder.parent.glob(f"{pattern.replace('_EPOCHS_', '_[0-9]*_')}_results"))
    return others[0] if len(others) == 1 and not folder.is_dir() else folder


def _folder_named(args):
    """The folder that --resume names: itself, or the one run in --results_dir whose name begins so."""
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
    """The settings of a run that is to go on: settings.json, or where it is damaged those in the state."""
    if not folder.is_dir():
        what = "a file, and no run's folder" if folder.exists() else "no such folder"
        raise WrongUse(f"no run to resume in {folder}: {what}; {PYTHON} -m pages --list shows the runs")
    path = folder / STATE
    if not path.exists() and any(event == "slimmed" for _, event, _ in read_log(folder)):
        weights = "from its weights with --latest_generator_model and --latest_discriminator_model"
        how = weights if "latest_generator_model" in method.defaults() else "with --tag"
        raise WrongUse(f"{folder} was slimmed and cannot be resumed: start a new run {how}")
    earlier = read_settings(folder)
    if earlier and program_of(earlier) != method.program:
        command = command_line(program_of(earlier), ["--resume", str(folder)])
        raise WrongUse(f"{folder} is another program's run: resume it with {command}")
    if path.exists() and (not earlier or settings_fault(earlier, method)):
        from training.state import load_state  # PyTorch, only here

        earlier = load_state(path)["settings"]
    if not earlier:
        raise WrongUse(f"{folder} holds no {FILE} and no {STATE}: nothing to resume")
    if fault := settings_fault(earlier, method):
        raise WrongUse(f"{path if path.exists() else folder / FILE} is damaged: {fault}; start a new run")
    return earlier


def _refuse_overwriting(folder, options, method):
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise WrongUse(f"{path} is no folder: name another with --results_dir or --name")
    if not folder.exists() or all(path.name[0] == "." or path.name == LOG for path in folder.iterdir()):
        return  # a run that ended before its start leaves at most a log and a hidden part of a file
    earlier = read_settings(folder)
    if earlier and program_of(earlier) != method.program:
        changed = [f"it is one of {PYTHON} {' '.join(program_of(earlier))}"]
    elif earlier and not settings_fault(earlier, method):
        changed = differences(options, earlier["options"], method).values()
    else:
        changed = ["its settings cannot be read"]
    if changed:
        raise WrongUse(
            f"{folder} holds a run with other settings ({'; '.join(changed)}): name this one with --tag"
        )
    raise WrongUse(f"{folder} holds this run already: add --resume, or name another run with --tag")


@contextlib.contextmanager
def lock_run(folder):
    """Make the run folder and keep other processes out of it. Raises WrongUse if one is in it.

    A folder that is empty at the end of the block, as of a run that ended during its start, is removed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise WrongUse(f"cannot make {folder} ({error.strerror}): name another --results_dir") from None
    # After a restart by torchrun the first process of before may not be gone yet.
    with locked(folder, wait=restarts() > 0) as free:
        if free is False:
            raise WrongUse(f"{folder} is being written by another run: stop that one, or wait for its end")
        sweep(folder)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()
