"""Measure speed and memory, each beside a baseline that is measured in the same run.

    python bench.py inference --size 448

Timings on a shared machine drift, so the ways to be compared take turns, and the ratio is what counts.
"""

import argparse
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

import checkpoints
import images
import inference
import networks
import options
import test
import utils
from errors import exit_status


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


def main(argv=None):
    parser = options.Parser("Measure speed and memory, beside a baseline measured in the same run.")
    parser.add_argument("what", choices=("inference",), help="what is measured")
    parser.add_argument(
        "--size", type=options.image_size, default=448, help="side of a picture (%(default)s)"
    )
    parser.add_argument(
        "--batch_size", type=options.number(int, 1), default=1, help="pictures at once (%(default)s)"
    )
    parser.add_argument(
        "--ngf", type=options.number(int, 1), default=64, help="filters, without a checkpoint (64)"
    )
    parser.add_argument("--checkpoint", help="a generator (one with random weights)")
    parser.add_argument("--photos", type=Path, help="a folder of photographs (smooth noise)")
    parser.add_argument("--rounds", type=options.number(int, 1), default=7, help="timed rounds (%(default)s)")
    args = parser.parse_args(argv)
    bench_inference(args)


if __name__ == "__main__":
    sys.exit(exit_status(main))
