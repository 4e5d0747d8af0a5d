"""What all benchmarks share: time and memory of a function, pictures to work on, tables."""

import gc
import multiprocessing
import re
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from pictures import images, listing
from pictures.images import cv2

DRAWING = (992, 1401)  # width and height, pixels
FRAME = (1920, 1080)
WARM_UP = 3  # calls on a GPU before the first that counts: cuDNN searches, the allocator grows
DISTINCT = 8  # drawings or frames that are made; more files repeat them

# Time and memory


def median_seconds(functions, rounds):
    """{name: seconds}: the median of `rounds` in which the functions take turns, after one to warm up."""
    seconds = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            seconds[name].append(timed(function))
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def timed(function):
    """How many seconds function() takes, with all that it asks of a GPU and nothing of before."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    began = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - began


def measure(makes, rounds, device, memory_of):
    """{name: (median seconds, MiB)} of what each of `makes`, functions without arguments, makes.

    On the CPU the ways take turns, and the memory, of those named in `memory_of`, is that of a process of its
    own. On a GPU each is made, measured and freed before the next: memory and settings are then its own.
    """
    if device.type == "cuda":
        return {name: measure_apart(make, rounds, device)[:2] for name, make in makes.items()}
    seconds = median_seconds({name: make() for name, make in makes.items()}, rounds)
    return {name: (seconds[name], peak_memory(makes[name]) if name in memory_of else None) for name in makes}


def measure_apart(make, rounds, device):
    """(median seconds, MiB, seconds of the start) of the function that make() makes.

    The memory is a GPU's, at most, what the function keeps included; None on the CPU. The start is making it
    and WARM_UP calls.
    """
    gpu = device.type == "cuda"
    gc.collect()
    if gpu:
        torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated() if gpu else None
    began = time.perf_counter()
    work = make()
    for _ in range(WARM_UP):
        timed(work)
    start = time.perf_counter() - began
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median(timed(work) for _ in range(rounds))
    return seconds, (torch.cuda.max_memory_allocated() - before) / 2**20 if gpu else None, start


def peak_memory(make, *args):
    """How many MiB a process of its own grows, at most, while it calls twice what make(*args) returns."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (torch.get_num_threads(), make, *args))


def _growth(threads, make, *args):
    torch.set_num_threads(threads)
    work = make(*args)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _resident("VmRSS")
    for _ in range(2):
        work()
    return _resident("VmHWM") - before


def _resident(line):
    """MiB of a line of /proc/self/status: VmRSS is now, VmHWM the peak."""
    return int(re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


# Pictures


def photographs(folder, count, size):
    """`count` photographs, uint8 size x size x 3: a folder's, squashed, or smooth noise without a folder."""
    if folder:
        paths = [folder / name for name in listing.find_images(folder)]
        return [images.resize(images.read(paths[n % len(paths)]), size, size) for n in range(count)]
    rng = np.random.default_rng(0)
    return [images.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), size, size) for _ in range(count)]


def drawings(folder, count, width, height):
    """`count` drawings, uint8: mosaics of a folder's, or shapes with an ink outline without a folder.

    The folder's drawings keep their scale: enlarged, they would have softer and fewer edges.
    """
    rng = np.random.default_rng(0)
    if folder:
        paths = [folder / name for name in listing.find_images(folder)]
        return [_mosaic(rng, paths, width, height) for _ in range(count)]
    return [_shapes(rng, width, height) for _ in range(count)]


def _mosaic(rng, paths, width, height):
    page, top = np.empty((height, width, 3), np.uint8), 0
    while top < height:
        left = 0
        while left < width:
            tile = images.read(paths[rng.integers(len(paths))])[: height - top, : width - left]
            page[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            left += tile.shape[1]
        top += tile.shape[0]
    return page


def _shapes(rng, width, height):
    page = images.resize(rng.integers(128, 256, (8, 8, 3), np.uint8), width, height)
    for _ in range(100):
        centre, axes = rng.integers((width, height)).tolist(), rng.integers(2, width // 6, 2).tolist()
        shape = centre, axes, float(rng.integers(180)), 0, 360
        cv2.ellipse(page, *shape, rng.integers(0, 256, 3).tolist(), cv2.FILLED, cv2.LINE_AA)
        cv2.ellipse(page, *shape, (20, 20, 20), 3, cv2.LINE_AA)
    return page


# Tables


def print_speeds(seconds, pictures, size):
    """Print {way: seconds} of a number of pictures of `size` (width, height), each way beside the first."""
    print("| way | seconds | pictures/s | MB/s of pixels | ratio |")
    print("|---|---|---|---|---|")
    baseline = next(iter(seconds.values()))
    for name, value in seconds.items():
        megabytes = pictures * 3 * size[0] * size[1] / 1e6 / value
        print(f"| {name} | {value:.4g} | {pictures / value:.4g} | {megabytes:.4g} | {baseline / value:.4g} |")


def conditions(rounds):
    """What every figure depends on, as text."""
    threads = torch.get_num_threads()
    return f"median of {rounds} rounds; PyTorch {torch.__version__}, {threads} threads"
