"""A method as its run knows it before PyTorch is loaded, and the options that all methods have."""

import argparse
import dataclasses
import math
from collections.abc import Callable

from support.arguments import Parser, add_device, image_size, number, one_line, or_none, place
from utils import WrongUse

WHOLE, REAL = number(int, 0), number(float, 0)
FILTERS = number(int, 1, 4096)  # more is a typo, and would fail with no message
RATE, BETA = number(float, 0, above=True), number(float, 0, math.nextafter(1, 0))


@dataclasses.dataclass(frozen=True)
class Method:
    """What a run must know of the method that it trains by: the program, its options, what they ask for."""

    program: tuple  # the words after "python" that start it
    parser: Callable[[], Parser]  # makes the parser of its options
    check: Callable  # check(parser, options) compares options with each other; raises WrongUse
    fewest_drawings: Callable  # of the options: how many drawings the losses need, 0 for none
    changeable: tuple  # options that `--resume FOLDER` may change; from where on is recorded
    # {a network that options may leave out: a function of them that tells whether it is there}
    parts: dict = dataclasses.field(default_factory=dict)

    def parse(self, argv=None, saved=None):
        """Parse the options of training and check them against each other. Raises WrongUse.

        `saved`, the options of an earlier run, take the place of the defaults. Returns (options, names of the
        options given on the command line).
        """
        parser = self.parser()
        parser.set_defaults(**(saved or {}))
        args = parser.parse_args(argv)
        if saved or not isinstance(args.resume, str):  # else the settings in that folder come first
            _check_pictures(parser, args)
            self.check(parser, args)
        absent = object()
        seen = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(vars(args), absent)))
        return args, sorted(key for key, value in vars(seen).items() if value is not absent)

    def defaults(self):
        """{name of an option: its default}."""
        return vars(self.parser().parse_args([]))

    def fault(self, saved):
        """What is wrong with options that were read from a file, as if they had been typed; "" if nothing."""
        parser, defaults = self.parser(), self.defaults()
        for key, value in saved.items():
            if key not in defaults:
                return f"{str(key)[:40]!r} is no option of this program"
            if type(value) is type(defaults[key]) in (type(None), bool):
                continue
            try:
                typed = vars(parser.parse_args([f"--{key}={value}"]))[key]
            except WrongUse as error:
                return str(error)
            if typed != value:
                return f"{key} cannot be of the kind {type(value).__name__}"
        return ""


def file_name_part(text):
    """An argparse type: a text that can be part of a folder's name."""
    if not text or "/" in text or text.startswith("."):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be part of a folder's name")
    return one_line(text)


def add_places(parser):
    """Add the names of a run and of its folders; returns the group's `add_argument`."""
    add = parser.add_argument_group("data and results").add_argument
    add("--name", type=file_name_part, default="project_name", help="name of the experiment (%(default)s)")
    add("--tag", type=or_none(file_name_part), help="appended to the run folder's name")
    add(
        "--src_data",
        type=place,
        default="data/src_data",
        help="folder with train/ and test/ photographs, or trainA/ and testA/ (%(default)s)",
    )
    add(
        "--tgt_data",
        type=place,
        default="data/tgt_data",
        help="folder with train/ drawings, or trainB/ (%(default)s)",
    )
    add("--results_dir", type=place, default="results", help="where run folders are made (%(default)s)")
    add(
        "--vgg_model",
        type=or_none(place),
        help="VGG19 weights: a file, or to try the program 'small' or 'random' (torchvision's of ImageNet)",
    )
    return add


def add_pictures(add):
    """Add how large training images are, through a parser's `add_argument`."""
    add(
        "--input_size", type=image_size, default=256, help="side of the training images, pixels (%(default)s)"
    )
    add(
        "--load_size",
        type=or_none(number(int, 16, 2**14)),
        help="shorter side that pictures get before a training image is cut out of them (input_size)",
    )
    add(
        "--resize",
        choices=("crop", "squash"),
        default="crop",
        help="random square of the image, or the whole image made square (%(default)s)",
    )


def _check_pictures(parser, args):
    """Raises WrongUse where a training image would be larger than the picture that it is cut out of."""
    if load_size(args) < args.input_size:
        parser.error(f"--load_size {args.load_size} but --input_size {args.input_size}: at least that needed")


def load_size(args):
    """The shorter side that pictures get before a square of `input_size` is cut, pixels."""
    return args.load_size or args.input_size


def add_rates(parser):
    """Add what the optimisers are given; returns the group's `add_argument`."""
    add = parser.add_argument_group("optimiser").add_argument
    add("--lrG", type=RATE, default=2e-4, help="learning rate of the generator (%(default)s)")
    add("--lrD", type=RATE, default=2e-4, help="learning rate of the discriminator (%(default)s)")
    add("--beta1", type=BETA, default=0.5, help="Adam's beta 1 (%(default)s)")
    add("--beta2", type=BETA, default=0.999, help="Adam's beta 2 (%(default)s)")
    return add


def add_running(parser):
    """Add how a run goes, whatever its method; returns the group's `add_argument`."""
    add = parser.add_argument_group("running").add_argument
    add("--seed", type=number(int, 0, 2**64 - 1), default=0, help="seed of everything random (%(default)s)")
    add_device(add)
    add(
        "--workers",
        type=or_none(number(int, 0, 1000)),
        help="processes that load images (1 on the CPU, up to 8 with a GPU)",
    )
    add("--sample_every", type=number(int, 1), default=1, help="epochs between sample images (%(default)s)")
    add("--sample_format", choices=("png", "jpg", "webp"), default="png", help="of them (%(default)s)")
    add(
        "--sample_keep",
        type=or_none(number(int, 1)),
        metavar="N",
        help="keep the samples of the epochs 1, 2, 4, 8, … and the last N (all)",
    )
    add(
        "--checkpoint_every",
        type=or_none(number(int, 1)),
        metavar="N",
        help="also keep the generator of every N epochs of phase two (the latest alone)",
    )
    add(
        "--eval_every",
        type=WHOLE,
        default=0,
        help="epochs between measures of the test photographs (python -m evaluation); 0: none (%(default)s)",
    )
    add(
        "--save_minutes",
        type=REAL,
        default=5,
        help="minutes between saved states; 0: every step (%(default)s)",
    )
    add(
        "--preview",
        action="store_true",
        help="try some steps of each phase, report seconds, memory and hours, and keep nothing",
    )
    add(
        "--resume",
        type=place,
        nargs="?",
        const=True,
        metavar="RUN",
        help="resume the run of these settings, or the run of this folder or name",
    )
    return add
