"""What the methods that paint one picture share: what goes in, what they leave.

Such a method is a file with `parse(argv)`, which returns its options, and `paint(args, vgg, photo,
drawings)`, which returns a picture and its losses; all pictures are float32 (1,3,H,W) in [-1, 1].
"""

import contextlib
import json
import platform
import time
from pathlib import Path

import torch

import utils
from pictures import checkpoints, images, inference
from support import files, gpu
from support.arguments import command_line
from survey.options import SMALLEST
from utils import RunFailed, WrongUse, report


def run(program, args, paint, argv=None, needs_vgg=True):
    """Do a method's whole command: read, paint, write the picture and its record."""
    device = choose_device(args)
    vgg = load_vgg(args, device) if needs_vgg else None
    record = perform(program, args, paint, vgg, device, typed(f"survey.{program}", argv))
    told = ", ".join(f"{name} {loss:.4g}" for name, loss in record["losses"].items())
    report(f"{args.output}: {record['seconds']:.1f} s{'; ' if told else ''}{told}")


def typed(module, argv=None):
    """The command of a module as a person would type it again."""
    return command_line(module, argv)


def choose_device(args):
    """The device that the options ask for, which then computes in float32. Raises WrongUse."""
    device = utils.choose_device(args.device)
    gpu.choose_arithmetic(device, "fp32")
    return device


def load_vgg(args, device):
    """The VGG19 that the options ask for. Raises WrongUse, or RunFailed where there is no memory for it."""
    vgg = checkpoints.load_vgg(args.vgg_model, args.seed, deeper=True)
    with no_memory_told(args):
        return vgg.to(device)


def perform(program, args, paint, vgg, device, command):
    """Read, paint and write; returns the record, which is written beside the picture as a JSON.

    Raises WrongUse for a picture that cannot be read, is too small or would be written over, RunFailed where
    the painting fails.
    """
    for file in (*_listed(getattr(args, "photo", None)), *_listed(args.drawing)):
        if args.output.exists() and args.output.samefile(file):
            raise WrongUse(f"{args.output} would be written over {file}: name another file")
    with no_memory_told(args):
        photo = read(args.photo, args.size, device) if hasattr(args, "photo") else None
        drawing_size = round(args.size * getattr(args, "style_scale", 1))
        drawings = [read(each, drawing_size, device) for each in _listed(args.drawing)]
        began = time.monotonic()
        torch.manual_seed(args.seed)
        picture, losses = paint(args, vgg, photo, drawings)
        seconds = time.monotonic() - began
    write(args.output, picture)
    record = {
        "method": program,
        "command": command,
        "options": {key: _plain(value) for key, value in vars(args).items()},
        "seconds": round(seconds, 1),
        "losses": losses,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }
    write_json(args.output.with_suffix(".json"), record)
    return record


@contextlib.contextmanager
def no_memory_told(args):
    """In this context, no memory is a RunFailed that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError, images.cv2.error) as error:
        if not inference.is_out_of_memory(error):
            raise
        raise RunFailed(f"out of memory at --size {args.size}: take a smaller one") from None


def read(file, size, device):
    """A picture file as a tensor, the longer side at most `size`. Raises WrongUse."""
    image = images.fit_within(images.read(Path(file)), size)
    if min(image.shape[:2]) < SMALLEST:
        height, width = image.shape[:2]
        raise WrongUse(
            f"{file} is {width} x {height} pixels at --size {size}: at least {SMALLEST} a side needed"
        )
    return utils.to_batch(image, device)


def write(file, picture):
    """Write a picture as the file's ending says; its folder is made. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    images.write(file, utils.to_image(picture[0]))


def write_json(file, content):
    """Write plain values as a readable JSON. Raises OSError."""
    files.write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _listed(files):
    """Files of a command as a list: some methods take several, some one or none."""
    if isinstance(files, list):
        return files
    return [files] if files else []


def _plain(value):
    """An option as JSON takes it."""
    if isinstance(value, list):
        return [*map(_plain, value)]
    return str(value) if isinstance(value, Path) else value
