"""settings.json: every option of a run, and all else that a result may depend on."""

import json
import platform
import time

from support.arguments import command_line
from support.files import write_text
from support.version import commit
from training.log import TIME
from utils import launcher, print_line, report

FILE = "settings.json"
STATE = "state_latest.pth"  # which holds the settings too


def read_settings(folder):
    """settings.json of a run as a dictionary; None if it is missing or damaged."""
    try:
        record = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("options"), dict) else None


def write_settings(folder, record):
    """Write settings.json whole."""
    write_text(folder / FILE, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def program_of(record):
    """The words after "python" that a run was started with; CartoonGAN.py if its settings do not tell."""
    commands = record.get("commands")
    words = str(commands[-1]).split() if isinstance(commands, list) and commands else []
    return (*words[1:3],) if words[1:2] == ["-m"] else ("CartoonGAN.py",)


def settings_fault(record, method):
    """What keeps a run from going on with settings that were read from a file; "" if nothing does."""
    for key in ("given", "commands"):
        if not isinstance(record.get(key), list) or {*map(type, record[key])} - {str}:
            return f"its {key} are no list of texts"
    data, before = record.get("data", {}), record.get("data before", [])
    if not isinstance(data, dict) or {*map(type, data.values())} - {dict} or not isinstance(before, list):
        return "its data are no record"
    changes = record.get("changes", [])
    if not isinstance(changes, list) or {*map(type, changes)} - {dict}:
        return "its changes are no list of records"
    return method.fault(record["options"])


def make_settings(config, device, precision, data, place):
    """What settings.json records of a run: `config` is a folders.RunConfig, `data` the record of data.Data.

    `place`, (phase, epoch, step), is where it begins or goes on. Says what changed since it stopped.
    """
    import cv2
    import numpy
    import torch
    import torchvision

    args, now = config.args, time.strftime(TIME)
    earlier = config.earlier or {"given": [], "commands": [], "started": now}
    gpu, parts = device.type == "cuda", config.method.parts
    looks_through_vgg = "VGG19" in parts and parts["VGG19"](args)
    return {
        "options": {**vars(args), "resume": None},
        "given": sorted({*config.given, *earlier["given"]} - {"resume"}),
        "commands": [*earlier["commands"], command_line(config.method.program, config.argv)],
        "started": earlier.get("started", now),
        "host": platform.node(),
        "launcher": launcher(),
        "device": torch.cuda.get_device_name(device) if gpu else f"cpu, {torch.get_num_threads()} threads",
        "precision": precision,
        "vgg": (args.vgg_model or "torchvision, IMAGENET1K_V1") if looks_through_vgg else None,
        "data": data,
        "data before": _data_before(data, config.earlier) if config.earlier else [],
        "changes": _changes(config, precision, place) if config.earlier else [],
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),  # a class of its own, which no state could hold
            "torchvision": torchvision.__version__,
            "opencv": cv2.__version__,
            "numpy": numpy.__version__,
        },
        "code": commit(),
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
            report(f"warning: the {kind} changed since this run stopped: {then} then, {now} now")
    return [*before, last]


def _changes(config, precision, place):
    """The record of the options that a resumed run changed, of before and of now; says the latter.

    A precision is the one that "auto" stood for, which another processor may change too.
    """
    method, earlier = config.method, config.earlier
    known = method.defaults() | earlier["options"]
    then = {key: known[key] for key in (*method.changeable, "train_epoch")}
    then["precision"] = earlier.get("precision", precision)
    now = {**vars(config.args), "precision": precision}
    where = dict(zip(("phase", "epoch", "step"), place, strict=True))
    changes = [
        {"option": key, "from": was, "to": now[key], **where} for key, was in then.items() if now[key] != was
    ]
    if changes:
        told = "; ".join("{option} is {to}, was {from}".format_map(change) for change in changes)
        report("changed from phase {}, epoch {}, after step {} on: ".format(*place) + told)
    return [*earlier.get("changes", []), *changes]


def print_settings(config, settings, place):
    """Print what a run is: its folder, what differs from the defaults, its data, device and precision.

    `place` is the (phase, epoch, step) after which a resumed run continues; None for a new one.
    """
    defaults = config.method.defaults()
    given = [f"{key} {value}" for key, value in settings["options"].items() if value != defaults.get(key)]
    counts = [f"{kind['count']} {name}" for name, kind in settings["data"].items()]
    print_line(f"run:     {config.folder}")
    print_line(f"options: {', '.join(given) or 'the defaults'}")
    print_line(f"data:    {', '.join(counts)}")
    print_line(f"device:  {settings['device']}, {settings['precision']}")
    if place:
        print_line("resumed: phase {}, epoch {}, after step {}".format(*place))
