"""Measure speed and memory, each beside a baseline that is measured in the same run.

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

import CartoonGAN
import checkpoints
import datasets
import edge_promoting
import images
import inference
import networks
import options
import test
import utils
from errors import exit_status
from images import cv2

DRAWING = (992, 1401)  # width and height, pixels
FRAME = (1920, 1080)
DISTINCT = 8  # drawings or frames that are made; more files hold the same ones again


class PlainInstanceNorm(nn.Module):
    """Instance norm by hand, as the public test scripts of the authors' models have it."""

    def __init__(self, norm):
        super().__init__()
        self.scale, self.shift, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x):
        flat = x.view(x.shape[0], x.shape[1], -1)
        mean, variance = flat.mean(2)[..., None, None], flat.var(2, correction=0)[..., None, None]
        return (x - mean) / (variance + self.eps).sqrt() * self.scale[:, None, None] + self.shift[
            :, None, None
        ]


def plain(generator):
    """The baseline: a copy of the generator in float32, contiguous, with the norm written by hand."""
    generator = copy.deepcopy(generator).eval()
    for parent in list(generator.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, networks.InstanceNorm):
                setattr(parent, name, PlainInstanceNorm(layer))
    return generator


@torch.no_grad()
def apply_plain(generator, photos):
    """What a public test script does with photos (uint8 H,W,C): to [-1, 1], through the network, and back."""
    batch = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).contiguous()
    return [utils.to_image(result) for result in generator(utils.to_range(batch))]


def ways(generator, device):
    """{name: function of photos} of the baseline and of test.py's way in each precision."""
    found = {"baseline: plain fp32": functools.partial(apply_plain, plain(generator))}
    for precision in dict.fromkeys(("fp32", utils.choose_precision("auto", device))):
        ready = inference.prepare(copy.deepcopy(generator), device, precision)
        found[f"test.py --precision {precision}"] = functools.partial(inference.stylise, ready)
    return found


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


def peak_memory(*task):
    """MiB by which a process of its own grows at most while it does `task` (see `_grow`)."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grow, task)


def _grow(generator, name, photos, threads):
    torch.set_num_threads(threads)
    work = ways(generator, torch.device("cpu"))[name]
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _resident("VmRSS")
    work(photos)
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
        memory = peak_memory(generator, name, photos, torch.get_num_threads()) if device.type == "cpu" else 0
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


def smooth_by_loop(drawing):
    """The baseline: Canny, dilation, then pixel by pixel a 5x5 weighted sum a channel."""
    edges = cv2.Canny(cv2.cvtColor(drawing, cv2.COLOR_RGB2GRAY), 100, 200)
    weights = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    around = np.pad(drawing, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    smoothed = drawing.copy()
    for y, x in zip(*cv2.dilate(edges, np.ones((5, 5), np.uint8)).nonzero(), strict=True):
        for channel in range(3):
            mean = np.sum(around[y : y + 5, x : x + 5, channel] * weights)
            smoothed[y, x, channel] = mean + 0.5  # to the nearest, since a uint8 cuts off
    return smoothed


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


def bench_edge(args):
    """Print the tables of `edge`: the smoothing of one drawing, then making the pairs of a folder."""
    cv2.setNumThreads(1)
    pages = drawings(args.drawings, min(args.count, DISTINCT), *DRAWING)
    ways = {
        "baseline: loop over pixels": lambda: smooth_by_loop(pages[0]),
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
    training, _ = options.parse_training(f"{options_given} --batch_size {args.batch_size}".split())
    device = utils.choose_device("auto")
    precision = utils.choose_precision("auto", device)
    t = CartoonGAN.build(training, device, precision)
    t.phase = 2
    waits = []
    with contextlib.closing(CartoonGAN.training_batches(t, training, data, device)) as batches:

        def wait():
            began = time.perf_counter()
            batch = next(batches)
            waits.append(time.perf_counter() - began)
            return batch

        kept = wait()
        step = functools.partial(CartoonGAN.one_step, t, training)
        ways = {
            "baseline: one batch again": lambda: step(kept),
            "batches of the loader": lambda: step(wait()),
        }
        seconds = measure(ways, args.rounds)
        taken = seconds["batches of the loader"]
        alone = images_per_second(batches, args.batch_size, lambda: time.sleep(taken))
        beside = images_per_second(batches, args.batch_size, lambda: step(kept))
    workers = utils.default_workers(device)
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


MODES = {"inference": bench_inference, "edge": bench_edge, "loading": bench_loading}


def main(argv=None):
    parser = options.Parser("Measure speed and memory, beside a baseline measured in the same run.")
    parser.add_argument("what", choices=MODES, help="what is measured")
    parser.add_argument(
        "--size", type=options.image_size, default=448, help="inference: side of a picture (%(default)s)"
    )
    parser.add_argument(
        "--input_size",
        type=options.image_size,
        default=256,
        help="edge, loading: side of the training images (%(default)s)",
    )
    parser.add_argument(
        "--batch_size", type=options.number(int, 1), default=1, help="pictures at once (%(default)s)"
    )
    parser.add_argument(
        "--ngf", type=options.number(int, 1), default=64, help="filters, without a checkpoint (64)"
    )
    parser.add_argument("--checkpoint", help="a generator (one with random weights)")
    parser.add_argument("--photos", type=Path, help="a folder of photographs (smooth noise)")
    parser.add_argument("--drawings", type=Path, help="a folder of drawings (shapes with outlines)")
    parser.add_argument(
        "--count", type=options.number(int, 1), default=200, help="edge: drawings of the folder (%(default)s)"
    )
    parser.add_argument("--rounds", type=options.number(int, 1), default=7, help="timed rounds (%(default)s)")
    args = parser.parse_args(argv)
    MODES[args.what](args)


if __name__ == "__main__":
    sys.exit(exit_status(main))
