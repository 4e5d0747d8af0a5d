"""What the methods that paint one picture share: the command line, inputs and outputs.

Such a method is a file with `parse(argv)`, which returns its options, and `paint(args, vgg, photo,
drawings)`, which returns a picture and its losses. Pictures are float32 (1,3,H,W) in [-1, 1].
"""

import argparse
import contextlib
import json
import platform
import time
from pathlib import Path

import torch

import utils
from pictures import checkpoints, images, inference
from pictures.listing import find_images, looked_for
from support import files, gpu
from support.arguments import Parser, command_line, number, one_line, path, pathname
from utils import RunFailed, WrongUse, report

SMALLEST = 16  # pixels a side: VGG19 halves a picture four times before relu5_1
ENDINGS = (".png", ".jpg", ".webp")
WEIGHT = number(float, 0)  # an argparse type: the weight of a loss


# Options


def parser(text, steps=None, photo=True, drawings=None, counted="steps of each method", folder=False):
    """A parser with the inputs, the output and the options that all methods have.

    The first line of `text` describes the command. `steps` is the default of --steps, and `counted` what it
    counts; `drawings` is argparse's nargs of the drawings; the output is a picture, or a folder.
    """
    made = Parser(text.splitlines()[0])
    if photo:
        made.add_argument("photo", type=existing, help="the photograph that provides the content")
    made.add_argument("drawing", type=existing, nargs=drawings, help="the drawing that provides the style")
    endings = ", ".join(ENDINGS)
    output = f"the picture to write ({endings}), with a .json beside it"
    if folder:
        made.add_argument("output", type=path, help="the folder of the results")
    else:
        made.add_argument("output", type=_output, help=output)
    add = made.group("settings")
    add("size", 256, number(int, SMALLEST, 4096), "longer side in pixels")
    add("steps", steps, number(int, 1), counted, "each method's default")
    add("seed", 0, number(int, 0, 2**32 - 1), "seed of everything random")
    add("vgg_model", None, pathname, "VGG19 weights: a file, 'small' or 'random'", "torchvision's")
    add("device", "auto", one_line, "auto, cpu, cuda, cuda:1, …")
    return made


def add_training(parser):
    """Add the options of the methods that train a network; returns the function that adds to their group."""
    add = parser.group("method")
    add("photos", None, _folder, "folder with photographs to learn from; subfolders too", metavar="DIR")
    add("batch_size", 1, number(int, 1), "photographs per step")
    add("content", 2, WEIGHT, "weight of the content loss")
    add("style", 1, WEIGHT, "weight of the style loss")
    return add


def existing(text):
    """An argparse type: a file that exists."""
    if not path(text).is_file():
        raise argparse.ArgumentTypeError(f"no file {text}")
    return path(text)


def _folder(text):
    if not path(text).is_dir():
        raise argparse.ArgumentTypeError(f"no folder {text}")
    if not find_images(path(text)):
        raise argparse.ArgumentTypeError(f"no pictures in {text}; {looked_for()}")
    return path(text)


def _output(text):
    if path(text).suffix.lower() not in ENDINGS:
        raise argparse.ArgumentTypeError(f"{text} must end in {', '.join(ENDINGS)}")
    return path(text)


# The work


def run(name, args, paint, argv=None, needs_vgg=True):
    """Run the command of the method survey.`name`: read, paint, write the picture and its record."""
    device, vgg = prepare(args, needs_vgg)
    record = perform(name, args, paint, vgg, device, command_line(f"survey.{name}", argv))
    losses = ", ".join(f"{loss} {value:.4g}" for loss, value in record["losses"].items())
    report(f"{args.output}: {record['seconds']:.1f} s{'; ' if losses else ''}{losses}")


def prepare(args, needs_vgg=True):
    """(the device of the options, set up for float32; their VGG19 or None). Raises WrongUse, RunFailed."""
    device = utils.choose_device(args.device)
    gpu.choose_arithmetic(device, "fp32")
    if not needs_vgg:
        return device, None
    vgg = checkpoints.load_vgg(args.vgg_model, args.seed, deeper=True)
    with explain_memory_errors(args):
        return device, vgg.to(device)


def perform(name, args, paint, vgg, device, command):
    """Read, paint and write. Returns the record, which is written as JSON beside the picture.

    Raises WrongUse for a picture that cannot be read, is too small or would be overwritten, RunFailed if
    painting fails.
    """
    for file in (*_as_list(getattr(args, "photo", None)), *_as_list(args.drawing)):
        if args.output.exists() and args.output.samefile(file):
            raise WrongUse(f"{args.output} would overwrite {file}: name another file")
    with explain_memory_errors(args):
        photo = read(args.photo, args.size, device) if hasattr(args, "photo") else None
        drawing_size = round(args.size * getattr(args, "style_scale", 1))
        drawings = [read(file, drawing_size, device) for file in _as_list(args.drawing)]
        args.output.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        torch.manual_seed(args.seed)
        picture, losses = paint(args, vgg, photo, drawings)
        seconds = time.monotonic() - start
    images.write(args.output, utils.to_image(picture[0]))
    record = {
        "method": name,
        "command": command,
        "options": vars(args),
        "seconds": round(seconds, 1),
        "losses": losses,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }
    write_json(args.output.with_suffix(".json"), record)
    return record


@contextlib.contextmanager
def explain_memory_errors(args):
    """Turn an out-of-memory error into a RunFailed that says what to do."""
    try:
        yield
    except Exception as error:
        if not inference.is_out_of_memory(error):
            raise
        raise RunFailed(f"out of memory at --size {args.size}: try a smaller one") from None


def read(file, size, device):
    """A picture file as a tensor (1,3,H,W), the longer side at most `size`. Raises WrongUse."""
    image = images.fit_within(images.read(Path(file)), size)
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST:
        raise WrongUse(
            f"{file} is {width} x {height} pixels at --size {size}: each side needs at least {SMALLEST}"
        )
    return utils.to_batch(image, device)


def write_json(file, content):
    """Write plain values and paths as readable JSON. Raises OSError."""
    files.write_text(file, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def _as_list(files):
    """The files of an argument, of which there are one, several or none."""
    if isinstance(files, list):
        return files
    return [files] if files else []
