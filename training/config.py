"""The configuration of a run: its method, the options that all methods share, and settings.json."""

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from support.arguments import Parser, add_device, command_line, image_size, number, one_line, pathname
from support.files import write_text
from training.log import TIME
from utils import WrongUse, code_commit, launcher, print_line, report

FILE = "settings.json"
STATE = "state_latest.pth"  # which holds the settings too

WHOLE, REAL = number(int, 0), number(float, 0)
FILTERS = number(int, 1, 4096)  # more is almost certainly a typo, and would run out of memory
RATE, BETA = number(float, 0, above=True), number(float, 0, math.nextafter(1, 0))

# Options that may always differ when a run is resumed; the last two only say where its folder is.
ALWAYS_CHANGEABLE = {"train_epoch", "workers", "device", "eval_every", "checkpoint_every"}
ALWAYS_CHANGEABLE |= {"sample_every", "sample_format", "sample_keep", "results_dir", "resume"}
# Options that may differ if --resume names the folder, as every NAME_lambda may; the change is recorded.
CHANGEABLE_BY_NAME = {"lrG", "lrD", "pre_lr", "lr_policy", "batch_size", "precision", "save_minutes"}
CHANGEABLE_BY_NAME |= {"vgg_model", "src_data", "tgt_data", "pair_dir"}
# Options of earlier versions, with the only value that this version can resume.
REMOVED = {"content_norm": False}


def changeable_by_name(option):
    """Whether --resume FOLDER may change an option: the weight of a loss, or one of CHANGEABLE_BY_NAME."""
    return option in CHANGEABLE_BY_NAME or option.endswith("_lambda")


class Method(NamedTuple):
    """A training method, described without loading PyTorch."""

    name: str  # the module that starts it, as "survey.cyclegan"; settings.json records it
    # Makes the parser of its options: batch_size, train_epoch, in_ngc, out_ngc, and those of add_… below.
    parser: Callable[[], Parser]
    check: Callable  # check(parser, options) compares options with each other; raises WrongUse
    fewest_drawings: Callable  # of the options: how many drawings the losses need, 0 for none
    parts: dict  # {network that options may leave out: function of the options, whether a run has it}

    def parse(self, argv=None, saved=None):
        """Parse and check the options of training. Raises WrongUse.

        `saved`, the options of an earlier run, replace the defaults. Returns (options, names of the options
        given on the command line).
        """
        parser = self.parser()
        parser.set_defaults(**{key: value for key, value in (saved or {}).items() if key not in REMOVED})
        args = parser.parse_args(argv)
        if saved or not isinstance(args.resume, str):  # else the settings in that folder come first
            if load_size(args) < args.input_size:
                parser.error(f"--load_size {args.load_size} is smaller than --input_size {args.input_size}")
            self.check(parser, args)
        absent = object()
        seen = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(vars(args), absent)))
        return args, sorted(key for key, value in vars(seen).items() if value is not absent)

    def defaults(self):
        """{name of an option: its default}."""
        return vars(self.parser().parse_args([]))

    def losses(self):
        """{NAME: its meaning} of each loss with an option NAME_lambda, from the help of the option."""
        weights = {key: text for key, text in self.parser().meanings.items() if key.endswith("_lambda")}
        return {key.removesuffix("_lambda"): text.removeprefix("weight of ") for key, text in weights.items()}

    def fault(self, saved):
        """What is wrong with options read from a file, each parsed as if typed; "" if nothing."""
        parser, defaults = self.parser(), self.defaults()
        for key, value in saved.items():
            if key in REMOVED and value == REMOVED[key]:
                continue
            if key not in defaults:
                return f"{str(key)[:40]!r} is not an option of this version"
            if type(value) is type(defaults[key]) in (type(None), bool):
                continue
            try:
                parsed = vars(parser.parse_args([f"--{key}={value}"]))[key]
            except WrongUse as error:
                return str(error)
            if parsed != value:
                return f"{key} cannot be of the type {type(value).__name__}"
        return ""


class RunConfig(NamedTuple):
    """A command line and the run that it starts or resumes."""

    argv: list | None  # the command line; None is sys.argv's
    args: argparse.Namespace  # every option
    given: list  # the names of those on the command line
    folder: Path  # of the run
    earlier: dict | None  # the settings of the run that is resumed; None for a new one
    method: Method
    preview: bool = False


# The options that all methods have


def file_name_part(text):
    """An argparse type: a text that can be part of a folder's name."""
    if not text or "/" in text or text.startswith("."):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be part of a folder's name")
    return one_line(text)


def add_places(parser):
    """Add the options that name a run and its folders; returns the function that adds to their group."""
    add = parser.group("data and results")
    add("name", "project_name", file_name_part, "name of the experiment")
    add("tag", None, file_name_part, "appended to the run folder's name")
    add("src_data", "data/src_data", pathname, "folder of photographs: train/ and test/ (or trainA/, testA/)")
    add("tgt_data", "data/tgt_data", pathname, "folder of drawings: train/ (or trainB/)")
    add("results_dir", "results", pathname, "where run folders are made")
    add("vgg_model", None, pathname, "VGG19 weights: a file; small or random for trials", "torchvision's")
    return add


def add_pictures(add):
    """Add the size of training images."""
    add("input_size", 256, image_size, "side of the training images, pixels")
    add("load_size", None, number(int, 16, 2**14), "shorter side of pictures before cropping", "input_size")
    add("resize", "crop", ("crop", "squash"), "a random square of the picture, or the whole picture squashed")


def load_size(args):
    """The shorter side to which pictures are resized before a square of `input_size` is cropped, pixels."""
    return args.load_size or args.input_size


def add_rates(parser):
    """Add the options of the optimisers; returns the function that adds to their group."""
    add = parser.group("optimiser")
    add("lrG", 2e-4, RATE, "learning rate of the generator")
    add("lrD", 2e-4, RATE, "learning rate of the discriminator")
    add("beta1", 0.5, BETA, "Adam's beta 1")
    add("beta2", 0.999, BETA, "Adam's beta 2")
    return add


def add_running(parser):
    """Add the options that do not depend on the method; returns the function that adds to its group."""
    add, count = parser.group("running"), number(int, 1)
    add("seed", 0, number(int, 0, 2**64 - 1), "seed of everything random")
    add_device(add)
    add("workers", None, number(int, 0, 1000), "processes that load images", "1, or up to 8 with a GPU")
    add("sample_every", 1, count, "epochs between sample images")
    add("sample_format", "png", ("png", "jpg", "webp"), "file format of sample images")
    add("sample_keep", None, count, "how many last epochs keep their samples, besides 1, 2, 4, 8, …", "all")
    add("checkpoint_every", None, count, "epochs of phase two between kept generators", "only the latest")
    add("eval_every", 0, WHOLE, "epochs between measurements on the test photographs; 0: none")
    add("save_minutes", 5, REAL, "minutes between saved states; 0: every step")
    add("preview", False, bool, "run a few steps of each phase, report time and memory, and keep nothing")
    text = "resume the run with these settings, or the run with this folder or name"
    add("resume", None, pathname, text, nargs="?", const=True, metavar="RUN")
    return add


# settings.json


def read_settings(folder):
    """settings.json of a run as a dictionary; None if it is missing or damaged."""
    try:
        record = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("options"), dict) else None


def write_settings(folder, record):
    """Write settings.json atomically."""
    write_text(folder / FILE, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def method_name(record):
    """The Method.name of a run from its settings; in older ones it is in the command that started the run."""
    if isinstance(record.get("method"), str):
        return record["method"]
    commands = record.get("commands")
    words = str(commands[-1]).split() if isinstance(commands, list) and commands else []
    return words[2] if words[1:2] == ["-m"] and words[2:] else "CartoonGAN"


def settings_fault(record, method):
    """Why a run cannot be resumed with settings that were read from a file; "" if it can."""
    record = {"data": {}, "data before": [], "changes": [], **record}
    for key, kind in {"given": str, "commands": str, "data before": dict, "changes": dict}.items():
        if not isinstance(record.get(key), list) or not all(isinstance(each, kind) for each in record[key]):
            return f"its field {key!r} is not a list of {'texts' if kind is str else 'records'}"
    data = record["data"]
    if not isinstance(data, dict) or not all(isinstance(each, dict) for each in data.values()):
        return "its field 'data' is not a record"
    return method.fault(record["options"])


def make_settings(config, device, precision, data, place):
    """What settings.json records of a run: `config` is a RunConfig, `data` the record of data.Data.

    `place`, (phase, epoch, step), is where it begins or resumes. Reports what changed since it stopped.
    """
    import cv2
    import numpy
    import torch
    import torchvision

    args, method = config.args, config.method
    earlier = config.earlier or {"given": [], "commands": []}
    gpu, has_vgg = device.type == "cuda", method.parts.get("VGG19", lambda args: False)
    return {
        "method": method.name,
        "options": {**vars(args), "resume": None},
        "given": sorted({*config.given, *earlier["given"]} - {"resume"}),
        "commands": [*earlier["commands"], command_line(method.name, config.argv)],
        "started": earlier.get("started", time.strftime(TIME)),
        "host": platform.node(),
        "launcher": launcher(),
        "device": torch.cuda.get_device_name(device) if gpu else f"cpu, {torch.get_num_threads()} threads",
        "precision": precision,
        "vgg": (args.vgg_model or "torchvision, IMAGENET1K_V1") if has_vgg(args) else None,
        "losses": method.losses(),
        "data": data,
        "data before": _data_before(data, config.earlier) if config.earlier else [],
        "changes": _changes(config, precision, place) if config.earlier else [],
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),  # not its class TorchVersion, which a state may not hold
            "torchvision": torchvision.__version__,
            "opencv": cv2.__version__,
            "numpy": numpy.__version__,
        },
        "code": code_commit(),
    }


def _data_before(data, earlier):
    """The records of other data that a resumed run was trained on before; reports what is new."""
    before, last = earlier.get("data before", []), earlier.get("data", {})
    if last in (data, {}):
        return before
    for kind in dict.fromkeys((*last, *data)):
        parts = [of.get(kind, {}) for of in (last, data)]
        then, now = (f"{part.get('count')} ({part.get('fingerprint')})" if part else "none" for part in parts)
        if then != now:
            report(f"warning: the {kind} changed since this run stopped: {then} then, {now} now")
    return [*before, last]


def _changes(config, precision, place):
    """The record of all options that resuming has changed; reports those that change now."""
    earlier, now = config.earlier, vars(config.args) | {"precision": precision}
    then = config.method.defaults() | earlier["options"]
    then["precision"] = earlier.get("precision", precision)  # "auto" depends on the processor
    where = dict(zip(("phase", "epoch", "step"), place, strict=True))
    changes = [
        {"option": key, "from": then[key], "to": value, **where}
        for key, value in now.items()
        if (key == "train_epoch" or changeable_by_name(key)) and value != then[key]
    ]
    if changes:
        text = "; ".join("{option} is {to}, was {from}".format_map(change) for change in changes)
        report("options changed in phase {}, epoch {}, after step {}: ".format(*place) + text)
    return [*earlier.get("changes", []), *changes]


def print_settings(config, settings, place):
    """Print a run's folder, the options that differ from the defaults, its data, device and precision.

    `place` is the (phase, epoch, step) after which a resumed run continues; None for a new one.
    """
    defaults = config.method.defaults()
    given = [f"{key} {value}" for key, value in settings["options"].items() if value != defaults.get(key)]
    counts = [f"{kind['count']} {name}" for name, kind in settings["data"].items()]
    preview = "a preview, of which nothing is kept"
    print_line(f"run:     {preview if config.preview else config.folder}")
    print_line(f"options: {', '.join(given) or 'the defaults'}")
    print_line(f"data:    {', '.join(counts)}")
    print_line(f"device:  {settings['device']}, {settings['precision']}")
    if place:
        print_line("resumed: phase {}, epoch {}, after step {}".format(*place))
