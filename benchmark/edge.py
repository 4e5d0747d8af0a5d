"""The speed of the edge smoothing of drawings."""

import functools
import tempfile
from pathlib import Path

import edge_promoting
from benchmark import baselines, measuring
from pictures import decoding, images
from pictures.images import cv2


def print_tables(args):
    """Print the tables of `edge`: the smoothing of one drawing, then making the pairs of a folder."""
    cv2.setNumThreads(1)
    size = measuring.DRAWING
    pages = measuring.drawings(args.drawings, min(args.count, measuring.DISTINCT), *size)
    ways = {
        "baseline: loop over pixels": lambda: baselines.smooth_by_loop(pages[0]),
        "smooth_edges": lambda: [edge_promoting.smooth_edges(page) for page in pages],
    }
    seconds = measuring.median_seconds(ways, args.rounds)
    seconds["smooth_edges"] /= len(pages)  # the mean: one call right after the long loop is slower
    changed = (edge_promoting.smooth_edges(pages[0]) != pages[0]).any(2).mean()
    kind = f"mosaics of {args.drawings}" if args.drawings else "shapes with outlines"
    print(f"smoothing one drawing of {size[0]}x{size[1]} ({kind}; {changed:.0%} of it changes), one core")
    measuring.print_speeds(seconds, 1, size)
    rounds = min(args.rounds, 3)
    print(f"\nmedian of {args.rounds} rounds, below of {rounds}; OpenCV {cv2.__version__}\n")
    print_pairs(pages, rounds, args)


def print_pairs(pages, rounds, args):
    """Print what make_pairs takes on a folder, beside decoding and encoding images as large on all cores."""
    pairs = [images.fit_training(page, args.input_size, "crop") for page in pages]
    pairs = [images.side_by_side(page, edge_promoting.smooth_edges(page)) for page in pairs]
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, "drawings")
        source.mkdir()
        for number, page in enumerate(pages):
            images.write(source / f"{number}.jpg", page, quality=95)
        for number in range(len(pages), args.count):
            (source / f"{number}.jpg").write_bytes((source / f"{number % len(pages)}.jpg").read_bytes())

        def copy_all():
            with tempfile.TemporaryDirectory(dir=temporary) as out:
                images.for_each(functools.partial(copy_one, Path(out)), range(args.count), "copying")

        def copy_one(out, number):
            decoding.decode((source / f"{number}.jpg").read_bytes(), at_least=args.input_size)
            images.write(out / f"{number}.png", pairs[number % len(pairs)], compress_level=1)

        def make_pairs():
            with tempfile.TemporaryDirectory(dir=temporary) as out:
                edge_promoting.make_pairs(source, Path(out), args.input_size)

        ways = {"baseline: decode and encode": copy_all, "edge_promoting.make_pairs": make_pairs}
        seconds = measuring.median_seconds(ways, rounds)
    baseline, whole = seconds.values()
    print(f"{args.count} drawings, pairs with a shorter side of {args.input_size}, on all cores")
    measuring.print_speeds(seconds, args.count, measuring.DRAWING)
    print(f"\nmaking the pairs takes {whole / baseline:.2f} times as long as only decoding and encoding")
