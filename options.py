"""The options of the commands: their names, defaults, help and checks. `@file` reads options from a file."""

import argparse
import math
import os
import shlex
import sys
import unicodedata
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and whose `@file` arguments may hold comments and blank lines."""

    def __init__(self, description):
        super().__init__(description=description, fromfile_prefix_chars="@", allow_abbrev=False)

    def convert_arg_line_to_args(self, line):
        try:
            return shlex.split(line, comments=True)
        except ValueError as error:
            self.error(f"{error} in the line {line!r}")

    def _read_args_from_files(self, arg_strings, around=()):
        # argparse's own would follow a file that includes itself, or /dev/zero, without end.
        args = []
        for arg in arg_strings:
            if not arg.startswith("@"):
                args.append(arg)
                continue
            # settings.json records the command, and could not hold a name of broken bytes.
            if any(map(_breaks, arg)) or not os.path.isfile(arg[1:]):
                self.error(f"no file {arg[1:]}, or its name is not UTF-8")
            path = os.path.realpath(arg[1:])
            if path in around:
                self.error(f"{arg[1:]} includes itself")
            try:
                lines = Path(path).read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError:
                self.error(f"{arg[1:]} is no text in UTF-8")
            except OSError as error:
                self.error(f"cannot read {arg[1:]}: {error.strerror}")
            inside = [each for line in lines for each in self.convert_arg_line_to_args(line)]
            args += self._read_args_from_files(inside, (*around, path))
        return args

    def error(self, message):
        message = "".join("?" if _breaks(letter) else letter for letter in message)
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def _breaks(letter):
    """Whether a letter could break a line, a terminal or an encoding: controls, separators, broken bytes."""
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


def one_line(text):
    """An argparse type: a text of one line that settings.json can hold and that can be a file's path."""
    if any(map(_breaks, text)):
        raise argparse.ArgumentTypeError(f"{text!r} holds control characters, or is not UTF-8")
    if len(text.encode()) > PATH_BYTES or any(len(part.encode()) > NAME_BYTES for part in text.split("/")):
        raise argparse.ArgumentTypeError(f"'{text[:40]}…' is too long for a file's name")
    return text


def source(text):
    """An argparse type: as `one_line`, but of any encoding: pictures are called what they are called."""
    one_line(text.encode("utf-8", "replace").decode())
    return text


def path(text):
    """An argparse type: a path that can be told in one line."""
    return Path(one_line(text))


NAME_BYTES, PATH_BYTES = 255, 3000  # what file systems take, with room for what is added to a path


def number(kind, low, high=math.inf, above=False):
    """An argparse type: a finite int or float from `low` (above it, with `above`) to `high`."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value <= high if above else low <= value <= high) or value == math.inf:
            limits = f"{'above' if above else 'of at least'} {low}" + (
                f" and at most {high}" if high < math.inf else ""
            )
            raise argparse.ArgumentTypeError(f"{text!r} is not {_KINDS[kind]} {limits}")
        return value

    return parse


_KINDS = {int: "a whole number", float: "a number"}


def file_name_part(text):
    """An argparse type: a text that can be part of a folder's name."""
    if not text or "/" in text or text.startswith("."):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be part of a folder's name")
    return one_line(text)


def image_size(text):
    """An argparse type: the side of a training image, a multiple of 4 (the generator halves it twice)."""
    value = number(int, 16, 2**14)(text)
    if value % 4:
        raise argparse.ArgumentTypeError(f"{value} is not a multiple of 4")
    return value


def training_parser():
    """The parser of CartoonGAN.py."""
    parser = Parser("Train a CartoonGAN: photographs in one folder, drawings in another, no pairs.")
    whole, real = number(int, 0), number(float, 0)
    filters = number(int, 1, 4096)  # more is a slip of the finger, and would fail without a word of it

    group = parser.add_argument_group("data and results")
    add = group.add_argument
    add("--name", type=file_name_part, default="project_name", help="name of the experiment (%(default)s)")
    add("--tag", type=file_name_part, help="appended to the run folder's name")
    add(
        "--src_data",
        type=one_line,
        default="data/src_data",
        help="folder with train/ and test/ photographs (%(default)s)",
    )
    add(
        "--tgt_data", type=one_line, default="data/tgt_data", help="folder with train/ drawings (%(default)s)"
    )
    add("--pair_dir", type=one_line, help="where edge-smoothed drawings are kept (TGT_DATA/pair)")
    add("--results_dir", type=one_line, default="results", help="where run folders are made (%(default)s)")
    add(
        "--vgg_model",
        type=one_line,
        help="VGG19 weights: a file, or 'random' to try the program (torchvision's ImageNet weights)",
    )

    group = parser.add_argument_group("networks")
    add = group.add_argument
    channels = {"type": int, "choices": (1, 3), "default": 3}
    add("--in_ngc", **channels, help="channels of the photographs: 3 colour, 1 grey (%(default)s)")
    add("--out_ngc", **channels, help="channels of the results (%(default)s)")
    add("--in_ndc", **channels, help="channels that the discriminator sees, as many as out_ngc (%(default)s)")
    add(
        "--out_ndc",
        type=filters,
        default=1,
        help="channels of the discriminator's answer (%(default)s)",
    )
    add("--ngf", type=filters, default=64, help="filters of the generator's first layer (%(default)s)")
    add(
        "--ndf",
        type=filters,
        default=32,
        help="filters of the discriminator's first layer (%(default)s)",
    )
    add("--nb", type=number(int, 0, 1000), default=8, help="residual blocks (%(default)s)")
    add(
        "--res_convs", type=int, choices=(2, 3), default=2, help="convolutions a residual block (%(default)s)"
    )
    add(
        "--upsample",
        choices=("deconv", "resize"),
        default="deconv",
        help="transposed convolution, or nearest neighbour and convolution (%(default)s)",
    )

    group = parser.add_argument_group("method")
    add = group.add_argument
    add(
        "--input_size", type=image_size, default=256, help="side of the training images, pixels (%(default)s)"
    )
    add(
        "--resize",
        choices=("crop", "squash"),
        default="crop",
        help="random square of the image, or the whole image made square (%(default)s)",
    )
    add("--batch_size", type=number(int, 1), default=8, help="images a step (%(default)s)")
    add(
        "--pre_train_epoch",
        type=whole,
        default=10,
        help="epochs of phase one, content loss alone (%(default)s)",
    )
    add("--train_epoch", type=whole, default=100, help="epochs of phase two, adversarial (%(default)s)")
    add("--con_lambda", type=real, default=10, help="weight of the content loss (%(default)s)")
    add(
        "--adv_lambda",
        type=real,
        default=1,
        help="weight of the adversarial loss; 0: no discriminator (%(default)s)",
    )
    add(
        "--style_lambda",
        type=real,
        default=0,
        help="weight of the style loss, Gram matrices of VGG19 features, phase two (%(default)s)",
    )
    add("--tv_lambda", type=real, default=0, help="weight of total variation, phase two (%(default)s)")
    add(
        "--gan_mode",
        choices=("bce", "lsgan"),
        default="bce",
        help="adversarial loss: log loss, or least squares (%(default)s)",
    )
    add(
        "--pool_size",
        type=whole,
        default=0,
        help="older batches of fakes also shown to D; 0: none (%(default)s)",
    )
    add(
        "--independent_edges",
        action="store_true",
        help="smoothed drawings of a batch drawn apart from its drawings",
    )

    group = parser.add_argument_group("optimiser")
    add = group.add_argument
    rate = number(float, 0, above=True)
    beta = number(float, 0, math.nextafter(1, 0))
    add("--lrG", type=rate, default=2e-4, help="learning rate of the generator (%(default)s)")
    add("--lrD", type=rate, default=2e-4, help="learning rate of the discriminator (%(default)s)")
    add("--pre_lr", type=rate, help="learning rate of the generator in phase one (lrG)")
    add(
        "--lr_policy",
        choices=("step", "linear"),
        default="step",
        help="a tenth at 1/2 and 3/4 of phase two, or in both phases half constant, then to 0 (%(default)s)",
    )
    add("--beta1", type=beta, default=0.5, help="Adam's beta 1 (%(default)s)")
    add("--beta2", type=beta, default=0.999, help="Adam's beta 2 (%(default)s)")

    group = parser.add_argument_group("running")
    add = group.add_argument
    add("--seed", type=number(int, 0, 2**64 - 1), default=0, help="seed of everything random (%(default)s)")
    add_device(add)
    add(
        "--workers",
        type=number(int, 0, 1000),
        help="processes that load images (1 on the CPU, up to 8 with a GPU)",
    )
    add("--sample_every", type=number(int, 1), default=1, help="epochs between sample images (%(default)s)")
    add("--sample_format", choices=("png", "jpg", "webp"), default="png", help="of them (%(default)s)")
    add(
        "--sample_keep",
        type=number(int, 1),
        metavar="N",
        help="keep the samples of the epochs 1, 2, 4, 8, … and the last N (all)",
    )
    add(
        "--checkpoint_every",
        type=number(int, 1),
        metavar="N",
        help="also keep the generator of every N epochs of phase two (the latest alone)",
    )
    add(
        "--eval_every",
        type=whole,
        default=0,
        help="epochs between measures of the test photographs, as by evaluate.py; 0: none (%(default)s)",
    )
    add(
        "--save_minutes",
        type=real,
        default=5,
        help="minutes between saved states; 0: every step (%(default)s)",
    )
    add(
        "--resume",
        type=one_line,
        nargs="?",
        const=True,
        metavar="RUN_FOLDER",
        help="go on with the run of these settings, or with the run in this folder",
    )
    add(
        "--latest_generator_model",
        type=one_line,
        metavar="PTH",
        help="start from these generator weights and skip phase one",
    )
    add(
        "--latest_discriminator_model",
        type=one_line,
        metavar="PTH",
        help="start from these discriminator weights",
    )
    return parser


def add_device(add):
    """Add --device and --precision through a parser's `add_argument`."""
    add("--device", type=one_line, default="auto", help="auto, cpu, cuda, cuda:1, … (%(default)s)")
    add(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="auto: bf16 where the processor has it, fp16 on an older GPU, else fp32 (%(default)s)",
    )


def parse_training(argv=None, saved=None):
    """Parse CartoonGAN.py's options and check them against each other.

    `saved`, the settings of an earlier run, take the place of the defaults. Returns (options, names of the
    options given on the command line). A wrong option ends the program with one line and exit status 2.
    """
    parser = training_parser()
    parser.set_defaults(**(saved or {}))
    args = parser.parse_args(argv)
    if saved or not isinstance(args.resume, str):  # else the settings in that folder come first
        _check_training(parser, args)
    absent = object()
    seen = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(vars(args), absent)))
    return args, sorted(key for key, value in vars(seen).items() if value is not absent)


def fault(saved):
    """What is wrong with options that were read from a file, as if they had been typed; "" if nothing."""
    parser = training_parser()
    known = {action.dest: action for action in parser._actions if action.default is not argparse.SUPPRESS}
    for key, value in saved.items():
        if key not in known:
            return f"{str(key)[:40]!r} is no option of this program"
        action, kind = known[key], type(value)
        if (value is None and action.default is None) or (kind is bool and action.nargs == 0):
            continue
        try:
            # `kind` before anything else: a list may hold itself, and a tensor is not to be compared.
            fits = kind in (int, float, str) and parser._get_value(action, str(value)) == value
            if fits:
                parser._check_value(action, value)
        except (argparse.ArgumentError, ValueError) as error:  # ValueError: a number of too many digits
            return str(error)
        if action.nargs == 0 or not fits:
            return f"{key} cannot be of the kind {kind.__name__}"
    return ""


def _check_training(parser, args):
    if args.in_ndc != args.out_ngc:
        parser.error(
            f"--in_ndc {args.in_ndc} but --out_ngc {args.out_ngc}: the discriminator sees the results"
        )
    if not args.pre_train_epoch + args.train_epoch:
        parser.error("--pre_train_epoch 0 and --train_epoch 0: nothing to train")
    if not args.con_lambda + args.adv_lambda + args.style_lambda:
        parser.error("--con_lambda, --adv_lambda and --style_lambda are 0: nothing to train")
    if args.pre_train_epoch and not args.con_lambda and not args.latest_generator_model:
        parser.error("--con_lambda 0 needs --pre_train_epoch 0: phase one trains the content loss alone")
    if args.latest_generator_model and not args.train_epoch:
        parser.error("--latest_generator_model skips phase one, and --train_epoch 0 leaves nothing to train")


def testing_parser():
    """The parser of test.py."""
    parser = Parser("Apply a generator to pictures, or to a video.")
    add = parser.add_argument
    add(
        "--pre_trained_model",
        type=one_line,
        required=True,
        metavar="CKPT",
        help="a generator, of any known layout; one of a single channel changes luminance, and colour stays",
    )

    add = parser.add_argument_group("pictures").add_argument
    add(
        "--image_dir",
        type=source,
        nargs="+",
        metavar="IN",
        help="files, folders with subfolders, 'globs/**/*.jpg'",
    )
    add("--output_image_dir", type=path, metavar="OUT", help="folder for the results")
    add("--format", choices=("jpg", "png", "webp", "bmp", "tif", "gif"), help="write this (as the picture)")
    add("--skip_existing", action="store_true", help="leave out pictures whose result is there already")
    add("--batch_size", type=number(int, 1), help="pictures of one size at a time (8 on a GPU, 1 on the CPU)")

    add = parser.add_argument_group("video").add_argument
    add("--video", type=path, metavar="IN.mp4", help="a video, in place of pictures")
    add("--output", type=path, metavar="OUT.mp4", help="the result of --video")

    add = parser.add_argument_group("size").add_argument
    add("--size", type=number(int, 1), metavar="N", help="shrink so that the longer side is at most N pixels")
    add("--tile", type=image_size, metavar="N", help="work in tiles of N pixels a side: less memory")
    add("--side_by_side", action="store_true", help="the photo left, the result right")

    add = parser.add_argument_group("running").add_argument
    add_device(add)

    add = parser.add_argument_group("of the old script; the checkpoint knows them").add_argument
    for name in GENERATOR_SHAPE:
        add(f"--{name}", type=number(int, 0), help="must be what the checkpoint holds")
    add("--input_size", type=number(int, 1), help="without effect: pictures keep their size, see --size")
    return parser


GENERATOR_SHAPE = ("in_ngc", "out_ngc", "ngf", "nb")


def parse_testing(argv=None):
    """Parse test.py's options and check that there is one thing to do, whole."""
    parser = testing_parser()
    args = parser.parse_args(argv)
    pictures, video = (args.image_dir, args.output_image_dir), (args.video, args.output)
    if any(pictures) == any(video) or not (all(pictures) or all(video)):
        parser.error("give --image_dir and --output_image_dir, or --video and --output")
    return args


def command_line(program, argv):
    """The command as a person would type it again."""
    return shlex.join(["python", program, *(sys.argv[1:] if argv is None else argv)])
