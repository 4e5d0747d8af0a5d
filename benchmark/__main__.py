"""Measure speed and memory, each beside a baseline that is measured in the same run.

    python bench.py training --batch_size 4
    python bench.py inference --size 448
    python bench.py edge --count 1000
    python bench.py loading --batch_size 4

Timings on a shared machine drift, so the ways to be compared take turns, and the ratio is what counts.
"""

import argparse
import concurrent.futures
import contextlib
import copy
import functools
import multiprocessing
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import CartoonGAN
import edge_promoting
import networks
import test
import utils
from benchmark import baselines
from pictures import checkpoints, images, inference
from pictures.images import cv2
from support import arguments
from training import datasets, model, options
from utils import exit_status

DRAWING = (992, 1401)  # width and height, pixels
FRAME = (1920, 1080)
DISTINCT = 8  # drawings or frames that are made; more files hold the same ones again


def ways(generator, device):
    """{name: function of photos} of the baseline and of test.py's way in each precision."""
    found = {"baseline: plain fp32": functools.partial(baselines.apply_plain, baselines.plain(generator))}
    for precision in dict.fromkeys(("fp32", utils.choose_precision("auto", device))):
        ready = inference.prepare(copy.deepcopy(generator), device, precision)
        found[f"test.py --precision {precision}"] = functools.partial(inference.stylise, ready)
    return found


def one_way(generator, name, photos):
    """The work of one of `ways` on the CPU."""
    return functools.partial(ways(generator, torch.device("cpu"))[name], photos)


def measure(functions, rounds):
    """{name: seconds}: the median of `rounds` in which the functions take turns, after one to warm up."""
    seconds = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def peak_memory(make, *args):
    """MiB by which a process of its own grows at most while it does, twice, what make(*args) returns."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grow, (torch.get_num_threads(), make, *args))


def _grow(threads, make, *args):
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


def psnr(one, other):
    """Peak signal-to-noise ratio of two lists of uint8 images, in dB."""
    error = np.mean([np.square(a.astype(float) - b).mean() for a, b in zip(one, other, strict=True)])
    return 10 * np.log10(255**2 / error) if error else np.inf


def photographs(folder, count, size):
    """`count` photographs of size x size, uint8: squashed from a folder's, or noise where there is none."""
    if folder:
        paths = [folder / name for name in images.find(folder)]
        return [images.resize(images.read(paths[n % len(paths)]), size, size) for n in range(count)]
    rng = np.random.default_rng(0)
    return [images.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), size, size) for _ in range(count)]


def bench_inference(args):
    """Print the table of `inference`: seconds a batch, pictures/s, ratio, PSNR to the baseline, memory."""
    torch.manual_seed(0)
    device = utils.choose_device("auto")
    if args.checkpoint:
        generator = checkpoints.load_generator(args.checkpoint)
    else:
        generator = networks.Generator(ngf=args.ngf)
    photos = photographs(args.photos, args.batch_size, args.size)
    compared = ways(generator, device)
    seconds = measure({name: functools.partial(way, photos) for name, way in compared.items()}, args.rounds)
    baseline, *_ = compared
    wanted = compared[baseline](photos)
    print(f"{args.batch_size} x {args.size}x{args.size}, ngf {generator.architecture['ngf']}, {device}")
    print("| way | seconds | pictures/s | ratio | PSNR to fp32 | peak memory |")
    print("|---|---|---|---|---|---|")
    for name, way in compared.items():
        memory = peak_memory(one_way, generator, name, photos) if device.type == "cpu" else 0
        ratio = seconds[baseline] / seconds[name]
        same = "-" if name == baseline else f"{psnr(way(photos), wanted):.1f} dB"
        speed = args.batch_size / seconds[name]
        print(f"| {name} | {seconds[name]:.3f} | {speed:.2f} | {ratio:.2f} | {same} | {memory:.0f} MiB |")
    print(f"\nmedian of {args.rounds} rounds; PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    bench_folder(compared[name], name, photos[0], args)


def bench_folder(way, name, photo, args):
    """Print the throughput of a folder of JPEGs, decoded and encoded, as a share of the network's alone."""
    count = max(8, args.rounds)
    with tempfile.TemporaryDirectory() as temporary:
        source, out = Path(temporary, "in"), Path(temporary, "out")
        source.mkdir()
        for number in range(count):
            images.write(source / f"{number}.jpg", photo, quality=95)
        plain_copy = argparse.Namespace(size=None, side_by_side=False)

        def folder():
            pictures = test.plan(test.find_pictures([str(source)], out), out, None)
            test.run_pictures(pictures, way, plain_copy, lambda height, width: 1)

        seconds = measure({"alone": lambda: [way([photo]) for _ in range(count)], "folder": folder}, 3)
    print(
        f"a folder of {count} JPEGs, {name}: {seconds['alone'] / seconds['folder']:.0%} of the network alone"
    )


def drawings(folder, count, width, height):
    """`count` drawings, uint8: mosaics of a folder's, or shapes with an ink outline where there is none.

    The folder's keep their scale, since enlarging them would leave softer and fewer edges than drawings have.
    """
    rng = np.random.default_rng(0)
    if folder:
        paths = [folder / name for name in images.find(folder)]
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


def print_table(seconds, pictures, size):
    """Print {way: seconds} of a number of pictures of `size` (width, height), each beside the first."""
    print("| way | seconds | pictures/s | MB/s of pixels | ratio |")
    print("|---|---|---|---|---|")
    baseline = next(iter(seconds.values()))
    for name, value in seconds.items():
        megabytes = pictures * 3 * size[0] * size[1] / 1e6 / value
        print(f"| {name} | {value:.4g} | {pictures / value:.4g} | {megabytes:.4g} | {baseline / value:.4g} |")


def bench_training(args):
    """Print the table of `training`: a step of phase two in each precision beside the public one."""
    device = utils.choose_device("auto")
    functions = {name: training_step(name, args) for name in steps(device)}
    flops = {}
    for name, function in functions.items():
        with FlopCounterMode(display=False) as counter:
            function()
        flops[name] = counter.get_total_flops()
    peaks = {f"peak {name}": convolution(name, args, device) for name in steps(device).values()}
    seconds = measure(functions | peaks, args.rounds)
    baseline, *_ = functions
    print(f"phase two, {args.batch_size} x {args.input_size}x{args.input_size}, ngf {args.ngf}, {device}")
    print("| step | seconds | images/s | ratio | GFLOP an image | GFLOP/s | of the peak | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    for name, precision in steps(device).items():
        speed = flops[name] / seconds[name] / 1e9
        peak = CONVOLUTION_FLOPS * args.batch_size / seconds[f"peak {precision}"] / 1e9
        memory = (
            peak_memory(training_step, name, args) if device.type == "cpu" else gpu_memory(functions[name])
        )
        print(
            f"| {name} | {seconds[name]:.3f} | {args.batch_size / seconds[name]:.2f} "
            f"| {seconds[baseline] / seconds[name]:.2f} | {flops[name] / args.batch_size / 1e9:.1f} "
            f"| {speed:.0f} | {speed / peak:.0%} of {peak:.0f} | {memory:.0f} MiB |"
        )
    print(f"\nmedian of {args.rounds} rounds; PyTorch {torch.__version__}, {torch.get_num_threads()} threads")


def steps(device):
    """{name of a training step: precision}; the baseline first."""
    fast = {f"--precision {name}": name for name in ("fp32", utils.choose_precision("auto", device))}
    return {"baseline: public scripts": "fp32", **fast}


def training_step(name, args):
    """A function without arguments that does one of `steps` on a kept batch of smooth noise."""
    text = (
        f"--vgg_model random --ngf {args.ngf} --input_size {args.input_size} --batch_size {args.batch_size}"
    )
    args_given, _ = options.parse_training(text.split())
    device = utils.choose_device("auto")
    t = model.build(args_given, device, steps(device)[name])
    t.phase = 2
    pictures = np.stack(photographs(None, 3 * args.batch_size, args.input_size))
    batch = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).chunk(3)
    if name.startswith("baseline"):
        return functools.partial(baselines.public_step(t, args_given)[0], *batch)
    return functools.partial(CartoonGAN.one_step, t, args_given, batch)


CONVOLUTION_FLOPS = 3 * 2 * 256 * 256 * 9 * 64 * 64  # of one picture, forward and backward


def convolution(precision, args, device):
    """Forward and backward of the convolution that stands for the peak: 256 channels, 3x3, 64x64."""
    layout = {"device": device, "dtype": utils.dtype(precision), "memory_format": torch.channels_last}
    layer = nn.Conv2d(256, 256, 3, padding=1).to(**layout)
    x = torch.randn(args.batch_size, 256, 64, 64).to(**layout).requires_grad_()

    def work():
        y = layer(x)
        y.backward(torch.ones_like(y))

    return work


def gpu_memory(work):
    """MiB that `work` takes at most on the GPU."""
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() / 2**20


def bench_edge(args):
    """Print the tables of `edge`: the smoothing of one drawing, then making the pairs of a folder."""
    cv2.setNumThreads(1)
    pages = drawings(args.drawings, min(args.count, DISTINCT), *DRAWING)
    ways = {
        "baseline: loop over pixels": lambda: baselines.smooth_by_loop(pages[0]),
        "smooth_edges": lambda: [edge_promoting.smooth_edges(page) for page in pages],
    }
    seconds = measure(ways, args.rounds)
    seconds["smooth_edges"] /= len(pages)  # the mean: one call right after the long loop is slower
    changed = (edge_promoting.smooth_edges(pages[0]) != pages[0]).any(2).mean()
    kind = f"mosaics of {args.drawings}" if args.drawings else "shapes with outlines"
    print(
        f"smoothing one drawing of {DRAWING[0]}x{DRAWING[1]} ({kind}; {changed:.0%} of it changes), one core"
    )
    print_table(seconds, 1, DRAWING)
    rounds = min(args.rounds, 3)
    print(f"\nmedian of {args.rounds} rounds, below of {rounds}; OpenCV {cv2.__version__}\n")
    bench_pairs(pages, rounds, args)


def bench_pairs(pages, rounds, args):
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
            images.decode((source / f"{number}.jpg").read_bytes(), at_least=args.input_size)
            images.write(out / f"{number}.png", pairs[number % len(pairs)], compress_level=1)

        def command():
            with tempfile.TemporaryDirectory(dir=temporary) as out:
                edge_promoting.make_pairs(source, Path(out), args.input_size)

        seconds = measure(
            {"baseline: decode and encode": copy_all, "edge_promoting.make_pairs": command}, rounds
        )
    baseline, whole = seconds.values()
    print(f"{args.count} drawings, pairs with a shorter side of {args.input_size}, on all cores")
    print_table(seconds, args.count, DRAWING)
    print(f"\nmaking the pairs takes {whole / baseline:.2f} times as long as only decoding and encoding")


def bench_loading(args):
    """Print the tables of `loading`: what a picture takes, then how long training waits for its data."""
    with tempfile.TemporaryDirectory() as temporary:
        data = training_data(Path(temporary), args)
        bench_items(data, args)
        bench_waiting(data, args)


def training_data(folder, args):
    """Frames as JPEGs and pairs of drawings below `folder`, at least a batch of each, as datasets.Data."""
    count = max(DISTINCT, args.batch_size)
    for name in ("photos", "drawings"):
        (folder / name).mkdir()
    frames = [images.resize(photo, *FRAME) for photo in photographs(args.photos, count, FRAME[1])]
    for number, frame in enumerate(frames):
        images.write(folder / f"photos/{number}.jpg", frame, quality=92)
    for number, page in enumerate(drawings(args.drawings, count, *DRAWING)):
        images.write(folder / f"drawings/{number}.jpg", page, quality=95)
    pairs = edge_promoting.make_pairs(folder / "drawings", folder / "pairs", args.input_size)
    return datasets.Data(sorted((folder / "photos").iterdir()), [], pairs.paths, {})


def bench_items(data, args):
    """Print what the parts of loading take for one picture, in one thread."""
    cv2.setNumThreads(1)
    path, size = data.photos[0], args.input_size
    reduced = images.read(path, at_least=size)
    dataset = datasets.TrainingImages(data.photos, data.pairs, size, "crop", 3, 3)
    draw = (0, (0,))
    parts = {
        "baseline: decode at full size": lambda: images.read(path),
        f"decode, reduced to {reduced.shape[1]}x{reduced.shape[0]}": lambda: images.read(path, at_least=size),
        "resize that": lambda: images.fit_training(reduced, size, "crop"),
        "phase one's item: decode, resize, crop": lambda: dataset[(draw,)],
        "phase two's item: the same and a pair": lambda: dataset[(draw, draw, draw)],
    }
    print(f"{FRAME[0]}x{FRAME[1]} JPEGs of {path.stat().st_size / 1e6:.1f} MB to {size}x{size}, one core")
    print_table(measure(parts, args.rounds), 1, FRAME)


def bench_waiting(data, args):
    """Print what a training step of phase two takes with batches of the loader and with one kept batch."""
    options_given = f"--vgg_model random --input_size {args.input_size} --ngf {args.ngf}"
    args_given, _ = options.parse_training(f"{options_given} --batch_size {args.batch_size}".split())
    device = utils.choose_device("auto")
    precision = utils.choose_precision("auto", device)
    t = model.build(args_given, device, precision)
    t.phase = 2
    waits = []
    with contextlib.closing(CartoonGAN.training_batches(t, args_given, data, device)) as batches:

        def wait():
            began = time.perf_counter()
            batch = next(batches)
            waits.append(time.perf_counter() - began)
            return batch

        kept = wait()
        step = functools.partial(CartoonGAN.one_step, t, args_given)
        ways = {
            "baseline: one batch again": lambda: step(kept),
            "batches of the loader": lambda: step(wait()),
        }
        seconds = measure(ways, args.rounds)
        taken = seconds["batches of the loader"]
        alone = images_per_second(batches, args.batch_size, lambda: time.sleep(taken))
        beside = images_per_second(batches, args.batch_size, lambda: step(kept))
    workers = datasets.default_workers(device)
    first, _, *others = waits
    print(
        f"\nphase two, {args.batch_size} x {args.input_size}x{args.input_size}, ngf {args.ngf}, {precision}"
    )
    print_table(seconds, args.batch_size, FRAME)
    print(
        f"\nmedian of {args.rounds} rounds; PyTorch {torch.__version__}, {torch.get_num_threads()} threads\n"
        f"waiting for data: {statistics.median(others) / taken:.2%} of the step "
        f"(at most {max(others) / taken:.2%}); the first batch came after {first:.1f} s\n"
        f"{workers} worker(s) of the loader: {alone:.3g} images/s alone, {beside:.3g} while "
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


MODES = {
    "training": bench_training,
    "inference": bench_inference,
    "edge": bench_edge,
    "loading": bench_loading,
}


def main(argv=None):
    parser = arguments.Parser("Measure speed and memory, beside a baseline measured in the same run.")
    parser.add_argument("what", choices=MODES, help="what is measured")
    parser.add_argument(
        "--size", type=arguments.image_size, default=448, help="inference: side of a picture (%(default)s)"
    )
    parser.add_argument(
        "--input_size",
        type=arguments.image_size,
        default=256,
        help="training, edge, loading: side of the training images (%(default)s)",
    )
    parser.add_argument(
        "--batch_size", type=arguments.number(int, 1), default=1, help="pictures at once (%(default)s)"
    )
    parser.add_argument(
        "--ngf", type=arguments.number(int, 1), default=64, help="filters, without a checkpoint (64)"
    )
    parser.add_argument("--checkpoint", help="a generator (one with random weights)")
    parser.add_argument("--photos", type=Path, help="a folder of photographs (smooth noise)")
    parser.add_argument("--drawings", type=Path, help="a folder of drawings (shapes with outlines)")
    parser.add_argument(
        "--count",
        type=arguments.number(int, 1),
        default=200,
        help="edge: drawings of the folder (%(default)s)",
    )
    parser.add_argument(
        "--rounds", type=arguments.number(int, 1), default=7, help="timed rounds (%(default)s)"
    )
    args = parser.parse_args(argv)
    MODES[args.what](args)


if __name__ == "__main__":
    sys.exit(exit_status(main))
