"""Measure speed and memory of a training step and of applying a generator, compared with plain baselines.

    python -m benchmark training --batch_size 4
    python -m benchmark inference --size 448
    python -m benchmark gpu

Timings on a shared machine drift, so the variants take turns; compare the ratios. `gpu` prints both tables
for batches and sizes that are common on a GPU.
"""

import sys

from support.arguments import Parser, image_size, number
from utils import exit_status


def main(argv=None):
    parser = Parser("Measure speed and memory, compared with a baseline measured in the same run.")
    add, whole = parser.add_argument, number(int, 1)
    add("what", choices=("training", "inference", "gpu"), help="what is measured")
    add("--size", type=image_size, default=448, help="inference: side of a picture (%(default)s)")
    add("--input_size", type=image_size, default=256, help="training: side of an image (%(default)s)")
    add("--batch_size", type=whole, default=1, help="pictures at once (%(default)s)")
    add("--ngf", type=whole, default=64, help="filters, without a checkpoint (%(default)s)")
    add("--checkpoint", help="inference: a generator (one with random weights)")
    add("--rounds", type=whole, default=7, help="timed rounds (%(default)s)")
    args = parser.parse_args(argv)
    from benchmark.measuring import print_tables  # only now: PyTorch takes seconds to load

    print_tables(args)


if __name__ == "__main__":
    sys.exit(exit_status(main))
