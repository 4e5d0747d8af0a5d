"""The run folder: its name, its settings, its lock and its log. One folder a run, never overwritten."""

import argparse
import contextlib
import glob
import json
import platform
import re
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision

from pictures import checkpoints
from support import arguments
from training import options, processes
from utils import WrongUse, locked, say, sweep, write_text

# What may differ when a run is resumed. `results_dir` and `resume` only say where the folder is.
MAY_CHANGE = {"train_epoch", "workers", "device", "results_dir", "resume"}
# If the run is named, also where the data lie: what they hold is recorded, and told if it changed.
MAY_MOVE = {"src_data", "tgt_data", "pair_dir"}
MAY_CHANGE |= {"eval_every", "sample_every", "sample_format", "sample_keep", "checkpoint_every"}


def run_name(args):
    """NAME_PRE_EPOCHS_BATCH, then the learning rates where they are not 2e-4, then the tag."""
    rates = f"{args.lrG:g}" if args.lrG == args.lrD else f"{args.lrG:g}-{args.lrD:g}"
    parts = [args.name, args.pre_train_epoch, args.train_epoch, args.batch_size]
    parts += [rates] if rates != "0.0002" else []
    parts += [args.tag] if args.tag else []
    return "_".join(map(str, parts))


def run_folder(args):
    """RESULTS_DIR/<run name>_results. Raises WrongUse for a name too long for the files of the run."""
    if len(run_name(args).encode()) > 200:  # of 255 in a file's name; those of the samples are longer
        raise WrongUse(f"the run's name is too long ({run_name(args)[:40]}…): shorten --name or --tag")
    return Path(args.results_dir) / f"{run_name(args)}_results"


def differences(asked, saved):
    """One text for each option that differs from the saved run's and may not: "ngf is 64, was 32".

    An option that did not exist yet when the run was saved had its default.
    """
    default = options.training_parser().get_default
    changed = {key: saved.get(key, default(key)) for key in sorted(asked.keys() - MAY_CHANGE)}
    return [f"{key} is {asked[key]}, was {old}" for key, old in changed.items() if asked[key] != old]


def find(argv):
    """What a command line asks for: (options, names of those given, run folder, earlier settings, state).

    The last two are None for a new run. A resumed run takes its options from the earlier settings. Raises
    WrongUse if a new run would overwrite one, or if there is nothing to resume with these options.
    """
    args, given = options.parse_training(argv)
    saved = read_settings(run_folder(args)) if processes.restarts() else None
    if saved and saved.get("launcher") == processes.launcher():  # else it is an older run of this name
        args.resume = args.resume or True
    folder = _folder_to_resume(args) if args.resume else run_folder(args)
    if not args.resume:
        _refuse_overwriting(folder, vars(args))
        return args, given, folder, None, None
    if not folder.is_dir():
        raise WrongUse(f"no run to resume in {folder}: name its folder with --resume RUN_FOLDER")
    path = folder / "state_latest.pth"
    state = checkpoints.load_state(path) if path.exists() else None
    if not state and any(event == "slimmed" for _, event, _ in read_log(folder)):
        raise WrongUse(
            f"{folder} was slimmed and cannot go on: start a new run from its weights with "
            "--latest_generator_model and --latest_discriminator_model"
        )
    earlier = state["settings"] if state else read_settings(folder)
    if not earlier:
        raise WrongUse(f"{folder} holds no settings.json and no state_latest.pth: nothing to resume")
    if fault := _fault(earlier):
        raise WrongUse(f"{path if state else folder / 'settings.json'} is damaged: {fault}; start a new run")
    asked = vars(args) if args.resume is True else {key: getattr(args, key) for key in {*given} - MAY_MOVE}
    if changed := differences(asked, earlier["options"]):
        raise WrongUse(
            f"{folder} cannot go on with other settings ({'; '.join(changed)}): start a new run with --tag"
        )
    return *options.parse_training(argv, earlier["options"]), folder, earlier, state


def _folder_to_resume(args):
    if args.resume is not True:
        return Path(args.resume)
    folder = run_folder(args)
    # The number of epochs may have been raised; the folder keeps the name that it began with.
    pattern = glob.escape(run_name(argparse.Namespace(**{**vars(args), "train_epoch": "EPOCHS"})))
    others = list(folder.parent.glob(f"{pattern.replace('_EPOCHS_', '_[0-9]*_')}_results"))
    return others[0] if len(others) == 1 and not folder.is_dir() else folder


def _refuse_overwriting(folder, asked):
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise WrongUse(f"{path} is no folder: name another with --results_dir or --name")
    if not folder.exists() or all(path.name.startswith(".") for path in folder.iterdir()):
        return  # a run that was killed at its start leaves nothing, or a hidden part of a file
    earlier = read_settings(folder)
    whole = earlier and not _fault(earlier)
    changed = differences(asked, earlier["options"]) if whole else ["its settings cannot be read"]
    if changed:
        raise WrongUse(
            f"{folder} holds a run with other settings ({'; '.join(changed)}): name this one with --tag"
        )
    raise WrongUse(f"{folder} holds this run already: go on with --resume, or name another run with --tag")


@contextlib.contextmanager
def held(folder):
    """Make the run folder and keep other processes out of it. Raises WrongUse if one is in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise WrongUse(f"cannot make {folder} ({error.strerror}): name another --results_dir") from None
    # After a restart by torchrun the first process of before may not be gone yet.
    with locked(folder, wait=processes.restarts() > 0) as free:
        if not free:
            raise WrongUse(f"{folder} is being written by another run: stop that one, or wait for its end")
        sweep(folder)
        yield


# The log: a line an event. Its last start or end tells the run's state, so nothing else has to.
LOG = "log.txt"
TIME = "%Y-%m-%d %H:%M:%S %z"
ENDS = ("finished", "stopped", "failed")
_EVENT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}) (\w+): (.*)")


def log(folder, event, text=""):
    """Add an event to log.txt: "started", "said", "slimmed" or one of ENDS, and one line about it."""
    path = folder / LOG
    before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    line = f"{time.strftime(TIME)} {event}: {' '.join(text.split())}\n"
    write_text(path, before + line.encode("utf-8", "replace").decode())


def read_log(folder):
    """The events of log.txt as (time, event, text), oldest first; none if there is no file."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [found.groups() for line in lines if (found := _EVENT.fullmatch(line))]


def state(folder):
    """How a run stands: "running", "finished", "stopped", "failed" or "killed", and a reason.

    Both are empty where nothing tells: no log and no process at work in the folder.
    """
    marks = [(event, text) for _, event, text in read_log(folder) if event in ("started", *ENDS)]
    if marks and marks[-1][0] in ENDS:
        return marks[-1]
    try:
        with locked(folder, wait=False) as free:
            if not free:
                return "running", ""
    except OSError:  # a file system without locks
        return "", ""
    return ("killed", "it ended without a word") if marks else ("", "")


def slim(folder, confirm):
    """Remove what only resuming needs from a finished run, if confirm(question) is true.

    Returns the bytes freed. Raises WrongUse if the run is not finished or is slim already.
    """
    path = folder / "state_latest.pth"
    if not path.exists():
        raise WrongUse(f"{folder} has no {path.name}: nothing to remove")
    with held(folder):
        if state(folder)[0] != "finished":
            raise WrongUse(f"{folder} is not finished by its {LOG}: resuming needs its state")
        size = path.stat().st_size
        if not confirm(f"remove {path} ({size / 1e6:.1f} MB)? The run can then not go on to more epochs"):
            return 0
        log(folder, "slimmed", f"{path.name} removed, {size} bytes")
        path.unlink()
    return size


def read_settings(folder):
    """settings.json of a run as a dictionary; None if it is missing or damaged."""
    try:
        record = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("options"), dict) else None


def _fault(record):
    """What keeps a run from going on with settings that were read from a file; "" if nothing does."""
    for key in ("given", "commands"):
        if not isinstance(record.get(key), list) or {*map(type, record[key])} - {str}:
            return f"its {key} are no list of texts"
    data, before = record.get("data", {}), record.get("data before", [])
    if not isinstance(data, dict) or {*map(type, data.values())} - {dict} or not isinstance(before, list):
        return "its data are no record"
    return options.fault(record["options"])


def write_settings(folder, record):
    """Write settings.json whole."""
    write_text(folder / "settings.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def settings(args, given, earlier, argv, device, precision, data):
    """What settings.json records: every option, and all else that a result may depend on."""
    machine = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu, {torch.get_num_threads()} threads"
    )
    return {
        "options": {**vars(args), "resume": None},
        "given": sorted({*given, *(earlier["given"] if earlier else [])} - {"resume"}),
        "commands": [
            *(earlier["commands"] if earlier else []),
            arguments.command_line("CartoonGAN.py", argv),
        ],
        "started": time.strftime(TIME),
        "host": platform.node(),
        "launcher": processes.launcher(),
        "device": machine,
        "precision": precision,
        "vgg": args.vgg_model or "torchvision, IMAGENET1K_V1"
        if args.con_lambda + args.style_lambda
        else None,
        "data": data,
        "data before": _data_before(data, earlier) if earlier else [],
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),  # a class of its own, which no state could hold
            "torchvision": torchvision.__version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        },
        "code": _commit(),
    }


def _data_before(data, earlier):
    """The records of other data that a resumed run was trained on before; says what is new."""
    before, last = earlier.get("data before", []), earlier.get("data", {})
    if last in (data, {}):
        return before
    for kind in dict.fromkeys((*last, *data)):
        parts = [of.get(kind, {}) for of in (last, data)]
        then, now = (f"{part.get('count', 'none')} ({part.get('fingerprint')})" for part in parts)
        if then != now:
            say(f"warning: the {kind} changed since this run stopped: {then} then, {now} now")
    return [*before, last]


def introduce(folder, settings, place):
    """Print what a run is: its name, what differs from the defaults, its data, device and precision.

    `place` is the (phase, epoch, step) that a resumed run goes on after; None for a new one.
    """
    defaults = vars(options.training_parser().parse_args([]))
    asked = [f"{key} {value}" for key, value in settings["options"].items() if value != defaults.get(key)]
    counts = [f"{kind['count']} {name}" for name, kind in settings["data"].items()]
    print(f"run:     {folder}")
    print(f"options: {', '.join(asked) or 'the defaults'}")
    print(f"data:    {', '.join(counts)}")
    print(f"device:  {settings['device']}, {settings['precision']}", flush=True)
    if place:
        print("goes on: phase {}, epoch {}, after step {}".format(*place), flush=True)


def duration(seconds):
    """Seconds as a person says them: "3 h 20 min"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    )


def _commit():
    """The commit of the code, "+changes" if files differ from it; None outside a git checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changed else "")
