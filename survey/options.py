"""The command line that the survey's methods share; it answers before PyTorch is loaded."""

import argparse

from pictures.listing import find_images, looked_for
from support.arguments import Parser, number, one_line, path, place

SMALLEST = 16  # pixels a side: VGG19 halves a picture four times before relu5_1
ENDINGS = (".png", ".jpg", ".webp")
OPTIMISERS = ("adam", "lbfgs")  # of survey/descent.py


def parser(description, steps, photo=True, drawings="+", counted="evaluations of the objective"):
    """A parser with the options that all methods have; `drawings` is argparse's nargs of the drawings.

    `counted` is what the number of `steps` counts.
    """
    made = Parser(description)
    add_inputs(made.add_argument, photo, drawings)
    made.add_argument(
        "output", type=_output, help=f"the picture to write ({', '.join(ENDINGS)}), with a .json beside it"
    )
    add_work(made.add_argument_group("work").add_argument, steps, counted)
    return made


def add_inputs(add, photo=True, drawings=None):
    """Add the photograph and the drawing through a parser's `add_argument`."""
    if photo:
        add("photo", type=existing, help="the photograph, whose content is kept")
    add("drawing", type=existing, nargs=drawings, help="whose style is taken")


def add_work(add, steps=None, counted="what each method counts"):
    """Add what all methods have; without `steps`, each method's own number is the default."""
    own = "%(default)s" if steps else "each method's own"
    add("--size", type=number(int, SMALLEST, 4096), default=256, help="longer side, pixels (%(default)s)")
    add("--steps", type=number(int, 1), default=steps, help=f"{counted} ({own})")
    add("--seed", type=number(int, 0, 2**32 - 1), default=0, help="of all that is random (%(default)s)")
    add("--vgg_model", type=place, help="a file, 'small' or 'random' (torchvision's ImageNet weights)")
    add("--device", type=one_line, default="auto", help="auto, cpu, cuda, cuda:1, … (%(default)s)")


def add_training(add):
    """Add what the methods have that train a network, through a parser's `add_argument`."""
    add("--photos", type=_folder, metavar="DIR", help="photographs to learn from; subfolders too")
    add("--batch_size", type=number(int, 1), default=1, help="photographs in a step (%(default)s)")
    weight = number(float, 0)
    add("--content", type=weight, default=2, help="weight of the photo's features (%(default)s)")
    add("--style", type=weight, default=1, help="weight of the drawing's statistics (%(default)s)")


def _folder(text):
    """An argparse type: a folder with pictures."""
    if not path(text).is_dir():
        raise argparse.ArgumentTypeError(f"no folder {text}")
    if not find_images(path(text)):
        raise argparse.ArgumentTypeError(f"no pictures in {text}; {looked_for()}")
    return path(text)


def existing(text):
    """An argparse type: a file that exists."""
    if not path(text).is_file():
        raise argparse.ArgumentTypeError(f"no file {text}")
    return path(text)


def _output(text):
    """An argparse type: a file of a format that is written."""
    if path(text).suffix.lower() not in ENDINGS:
        raise argparse.ArgumentTypeError(f"{text} must end in {', '.join(ENDINGS)}")
    return path(text)
