"""What the methods that paint one picture share: their command line, what goes in, what they leave.

Such a method is a file with `parse(argv)`, which returns its options, and `paint(args, vgg, photo,
drawings)`, which returns a picture and its losses; all pictures are float32 (1,3,H,W) in [-1, 1].
"""

import json
import platform
import time
from pathlib import Path

import torch

import utils
from pictures import checkpoints, images
from support import gpu
from support.arguments import Parser, command_line, number, one_line, path
from utils import WrongUse, say

SMALLEST = 16  # pixels a side


def parser(description, steps, photo=True, drawings="+"):
    """A parser with the options that all methods have; `drawings` is argparse's nargs of the drawings."""
    made = Parser(description)
    if photo:
        made.add_argument("photo", type=path, help="the photograph, whose content is kept")
    made.add_argument("drawing", type=path, nargs=drawings, help="whose style is taken")
    made.add_argument(
        "output", type=path, help="the picture to write, as a .png; a .json is written beside it"
    )
    add = made.add_argument_group("work").add_argument
    add("--size", type=number(int, SMALLEST, 4096), default=256, help="longer side, pixels (%(default)s)")
    add("--steps", type=number(int, 1), default=steps, help="evaluations of the objective (%(default)s)")
    add("--seed", type=number(int, 0, 2**32 - 1), default=0, help="of all that is random (%(default)s)")
    add("--vgg_model", type=one_line, help="a file, 'small' or 'random' (torchvision's ImageNet weights)")
    add("--device", type=one_line, default="auto", help="auto, cpu, cuda, cuda:1, … (%(default)s)")
    return made


def run(program, args, paint, argv=None):
    """Do a method's whole command: read, paint, write the picture and its record."""
    if args.output.suffix.lower() not in (".png", ".jpg", ".webp"):
        raise WrongUse(f"{args.output} has no ending of a picture: name it .png, .jpg or .webp")
    device = utils.choose_device(args.device)
    gpu.choose_arithmetic(device, "fp32")
    photo = read(args.photo, args.size, device) if hasattr(args, "photo") else None
    drawings = [read(each, args.size, device) for each in _listed(args.drawing)]
    vgg = checkpoints.load_vgg(args.vgg_model, args.seed, deeper=True).to(device)
    began = time.monotonic()
    torch.manual_seed(args.seed)
    picture, losses = paint(args, vgg, photo, drawings)
    seconds = time.monotonic() - began
    write(args.output, picture)
    record = {
        "method": program,
        "command": command_line(f"-m survey.{program}", argv),
        "options": {key: _plain(value) for key, value in vars(args).items()},
        "seconds": round(seconds, 1),
        "losses": losses,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }
    utils.write_text(
        args.output.with_suffix(".json"), json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    )
    told = ", ".join(f"{name} {loss:.4g}" for name, loss in losses.items())
    say(f"{args.output}: {seconds:.1f} s{'; ' if told else ''}{told}")


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


def _listed(drawing):
    return drawing if isinstance(drawing, list) else [drawing]


def _plain(value):
    """An option as JSON takes it."""
    if isinstance(value, list):
        return [*map(_plain, value)]
    return str(value) if isinstance(value, Path) else value
