"""The speed of loading training images, and how long training waits for them."""

import argparse
import concurrent.futures
import contextlib
import statistics
import tempfile
import time
from pathlib import Path

import edge_promoting
import utils
from benchmark import measuring
from benchmark.training import build_model, own_step
from pictures import images
from pictures.images import cv2
from training.batches import TrainingImages, default_workers, load_batches, training_batches
from training.data import Data


def print_tables(args):
    """Print the tables of `loading`: what a picture takes, then how long training waits for its data."""
    with tempfile.TemporaryDirectory() as temporary:
        data = make_data(Path(temporary), args)
        print_parts(data, args)
        print_waiting(data, args)


def make_data(folder, args):
    """Write frames as JPEGs and pairs of drawings below `folder`, at least a batch of each; returns Data."""
    count = max(measuring.DISTINCT, args.batch_size)
    for name in ("photos", "drawings"):
        (folder / name).mkdir()
    for number, photo in enumerate(measuring.photographs(args.photos, count, measuring.FRAME[1])):
        frame = images.resize(photo, *measuring.FRAME)
        images.write(folder / f"photos/{number}.jpg", frame, quality=92)
    for number, page in enumerate(measuring.drawings(args.drawings, count, *measuring.DRAWING)):
        images.write(folder / f"drawings/{number}.jpg", page, quality=95)
    pairs = edge_promoting.make_pairs(folder / "drawings", folder / "pairs", args.input_size)
    return Data(sorted((folder / "photos").iterdir()), [], pairs.paths, {})


def print_parts(data, args):
    """Print what the parts of loading take for one picture, in one thread."""
    cv2.setNumThreads(1)
    path, size = data.photos[0], args.input_size
    reduced = images.read(path, at_least=size)
    dataset = TrainingImages(data.photos, data.pairs, size, "crop", 3, 3)
    draw = (0, (0,))
    parts = {
        "baseline: decode at full size": lambda: images.read(path),
        f"decode, reduced to {reduced.shape[1]}x{reduced.shape[0]}": lambda: images.read(path, at_least=size),
        "resize that": lambda: images.fit_training(reduced, size, "crop"),
        "phase one's item: decode, resize, crop": lambda: dataset[(draw,)],
        "phase two's item: the same and a pair": lambda: dataset[(draw, draw, draw)],
    }
    megabytes, (width, height) = path.stat().st_size / 1e6, measuring.FRAME
    print(f"{width}x{height} JPEGs of {megabytes:.1f} MB to {size}x{size}, one core")
    measuring.print_speeds(measuring.median_seconds(parts, args.rounds), 1, measuring.FRAME)


def print_waiting(data, args):
    """Print what a training step of phase two takes with batches of the loader and with one kept batch."""
    device = utils.choose_device("auto")
    precision = utils.choose_precision("auto", device)
    model, options_given = build_model(args, device, precision)
    step = own_step(model, options_given)
    train = lambda batch: step(*map(utils.to_range, batch))
    run = argparse.Namespace(args=options_given, data=data, phase=2, place=(2, 1, 0))  # what is read of a Run
    waits = []
    with contextlib.closing(load_batches(*training_batches(run), None, device)) as batches:

        def wait():
            began = time.perf_counter()
            batch = next(batches)
            waits.append(time.perf_counter() - began)
            return batch

        kept = wait()
        ways = {
            "baseline: one batch again": lambda: train(kept),
            "batches of the loader": lambda: train(wait()),
        }
        seconds = measuring.median_seconds(ways, args.rounds)
        taken = seconds["batches of the loader"]
        alone = images_per_second(batches, args.batch_size, lambda: time.sleep(taken))
        beside = images_per_second(batches, args.batch_size, lambda: measuring.timed(lambda: train(kept)))
    first, _, *others = waits
    size = f"{args.batch_size} x {args.input_size}x{args.input_size}"
    print(f"\nphase two, {size}, ngf {args.ngf}, {precision}")
    measuring.print_speeds(seconds, args.batch_size, measuring.FRAME)
    print(
        f"\n{measuring.conditions(args.rounds)}\n"
        f"waiting for data: {statistics.median(others) / taken:.2%} of the step "
        f"(at most {max(others) / taken:.2%}); the first batch came after {first:.1f} s\n"
        f"{default_workers(device)} worker(s) of the loader: {alone:.3g} images/s alone, {beside:.3g} while "
        f"steps are computed, {args.batch_size / taken:.3g} needed"
    )


def images_per_second(batches, batch_size, task):
    """How many images a second `batches` yields while `task` runs in another thread."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for _ in range(8):
            next(batches)  # what was loaded ahead would count as fast
        began, count, running = time.perf_counter(), 0, pool.submit(task)
        while not running.done() or not count:
            next(batches)
            count += 1
        running.result()
    return count * batch_size / (time.perf_counter() - began)
