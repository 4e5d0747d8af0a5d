"""Measure speed and memory, each beside a baseline that is measured in the same run.

    python -m benchmark training --batch_size 4
    python -m benchmark inference --size 448
    python -m benchmark edge --count 1000
    python -m benchmark loading --batch_size 4
    python -m benchmark gpu

Timings on a shared machine drift, so the ways that are compared take turns, and the ratio is what counts.
"""

import importlib
import sys
from pathlib import Path

from support.arguments import Parser, image_size, number
from utils import exit_status

WHAT = ("training", "inference", "edge", "loading", "gpu")  # modules beside this one


def main(argv=None):
    parser = Parser("Measure speed and memory, beside a baseline measured in the same run.")
    add, whole = parser.add_argument, number(int, 1)
    add("what", choices=WHAT, help="what is measured")
    add("--size", type=image_size, default=448, help="inference: side of a picture (%(default)s)")
    add(
        "--input_size",
        type=image_size,
        default=256,
        help="all but inference: side of the training images (%(default)s)",
    )
    add("--batch_size", type=whole, default=1, help="pictures at once (%(default)s)")
    add("--ngf", type=whole, default=64, help="filters, without a checkpoint (64)")
    add("--checkpoint", help="a generator (one with random weights)")
    add("--photos", type=Path, help="a folder of photographs (smooth noise)")
    add("--drawings", type=Path, help="a folder of drawings (shapes with outlines)")
    add("--count", type=whole, default=200, help="edge: drawings of the folder (%(default)s)")
    add("--rounds", type=whole, default=7, help="timed rounds (%(default)s)")
    args = parser.parse_args(argv)
    # Loaded only now: PyTorch takes seconds, and a wrong option is told at once.
    importlib.import_module(f"benchmark.{args.what}").print_tables(args)


if __name__ == "__main__":
    sys.exit(exit_status(main))
