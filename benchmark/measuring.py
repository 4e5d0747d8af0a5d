"""The tables of the benchmarks: seconds, memory, ratios to a baseline.

A variant is named by its precision. None is the baseline: float32 as PyTorch computes it by default.
"""

import argparse
import collections
import contextlib
import copy
import functools
import io
import multiprocessing
import re
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import CartoonGAN
import utils
from benchmark import baselines
from evaluation import measures
from networks import Generator
from pictures import checkpoints, images, inference
from support import gpu
from training import options


def print_tables(args):
    """Print the table of `args.what`. Without a GPU, `gpu` prints small tables, to try the command."""
    device = utils.choose_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(f"{name}; PyTorch {torch.__version__}, {torch.get_num_threads()} threads; {args.rounds} rounds")
    batches, sizes = [args.batch_size], [(args.size, args.size)]
    if args.what == "gpu":
        batches, sizes = (8, 16), ((448, 448), (1920, 1080))
    if args.what == "gpu" and device.type != "cuda":
        print("there is no GPU: small networks and pictures, whose figures say nothing about a GPU")
        args.input_size, args.ngf, batches, sizes = 32, 4, [2], [(64, 48)]
    for batch in batches if args.what != "inference" else ():
        print_training(argparse.Namespace(**vars(args) | {"batch_size": batch}), device)
    for width, height in sizes if args.what != "training" else ():
        print_inference(args, device, width, height)


def variants(device):
    """The baseline, and the precisions that the device computes natively, the choice of "auto" first."""
    names = [utils.choose_precision("auto", device), "fp32"]
    if device.type == "cuda":
        names += ["tf32", "fp16"] if torch.cuda.get_device_capability(device) >= (8, 0) else ["fp16"]
    return [None, *dict.fromkeys(names)]


# The training step


def print_training(args, device):
    """Print the table of a step of phase two beside the step of the public scripts."""
    measured = measure(functools.partial(make_step, args, device), args.rounds, device)
    size = f"{args.batch_size} x {args.input_size}x{args.input_size}"
    print(f"\nA step of phase two, {size}, ngf {args.ngf}. The baseline is the step of the public scripts.\n")
    print_table(measured, args.batch_size)


def make_step(args, device, precision):
    """A function that does a training step on one batch of smooth noise."""
    text = f"--vgg_model random --ngf {args.ngf} --input_size {args.input_size}"
    config, _ = options.parse([*text.split(), f"--batch_size={args.batch_size}"])
    with contextlib.redirect_stderr(io.StringIO()):  # the warning that VGG19 has random weights
        model = CartoonGAN.build(config, device, precision or "fp32")
    step = functools.partial(CartoonGAN.adversarial_step, model, config, place=(2, 1, 0))
    if not precision:
        step, *_ = baselines.public_step(model, config)
    pictures = np.stack(smooth_noise(3 * args.batch_size, args.input_size, args.input_size))
    batch = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)  # channels_last, as the loader's
    return lambda: step(*map(utils.to_range, batch.chunk(3)))


# Inference


def print_inference(args, device, width, height):
    """Print the table of pictures through a generator, beside the definition of the public scripts."""
    torch.manual_seed(0)
    generator = Generator(ngf=args.ngf)
    if args.checkpoint:
        generator = checkpoints.load_generator(args.checkpoint, "the benchmark is of CartoonGAN's")
    photos = smooth_noise(args.batch_size, width, height)
    make = functools.partial(make_inference, generator, photos, device)
    with gpu.no_search():  # as in test.py
        measured = measure(make, args.rounds, device)
        results = {name: np.stack(make(name)()) for name in measured}
    print(f"\nA generator of ngf {generator.architecture['ngf']}, {args.batch_size} x {width}x{height}.\n")
    print_table(measured, args.batch_size)
    baseline = results.pop(None, None)
    psnr = {name: measures.psnr(x, baseline) for name, x in results.items() if baseline is not None}
    print("PSNR to the baseline: " + ", ".join(f"{name} {value:.1f} dB" for name, value in psnr.items()))


def make_inference(generator, photos, device, precision):
    """A function that applies a copy of the generator to the photos."""
    if not precision:
        plain = baselines.with_norms(generator, baselines.PlainInstanceNorm).eval().to(device)
        return functools.partial(baselines.apply_plain, plain, photos)
    generator = inference.prepare(copy.deepcopy(generator), device, precision)
    return functools.partial(inference.stylise, generator, photos)


# Tables, time and memory


def print_table(measured, pictures):
    """Print what `measure` returned, for functions that process so many pictures."""
    print(f"| precision | seconds | images/s | ratio | memory |\n|{'---|' * 5}")
    for name, (seconds, memory) in measured.items():
        ratio = f"{measured[None][0] / seconds:.2f}" if None in measured else "-"
        speed = pictures / seconds
        print(f"| {name or 'baseline'} | {seconds:.4f} | {speed:.2f} | {ratio} | {memory:.0f} MiB |")


def measure(make, rounds, device):
    """{name: (median seconds, MiB)} of the functions that make(name) makes for the variants.

    The functions take turns. The memory is the growth while a function runs, of a GPU or of a new process. A
    variant for which a GPU has too little memory is reported and left out.
    """
    works = {name: make(name) for name in variants(device)}
    seconds, growth = collections.defaultdict(list), {}

    def call(name):
        gpu.choose_arithmetic(device, name) if name else baselines.set_pytorch_defaults()
        return run_once(works[name], device)

    for name in [*works]:
        try:
            for _ in range(3 if device.type == "cuda" else 1):  # cuDNN searches, the allocator grows
                call(name)
        except torch.OutOfMemoryError:
            print(f"\n{name or 'baseline'}: out of memory")
            del works[name]
    for _ in range(rounds):
        for name in works:
            taken, growth[name] = call(name)
            seconds[name].append(taken)
    if device.type != "cuda":
        growth = {name: memory_of_process(make, name) for name in works}
    return {name: (statistics.median(seconds[name]), growth[name]) for name in works}


def run_once(work, device):
    """(seconds, MiB of a GPU) that work() takes. All that was launched before is finished first."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    before, began = torch.cuda.memory_allocated() if on_gpu else 0, time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    return seconds, (torch.cuda.max_memory_allocated() - before) / 2**20 if on_gpu else 0


def memory_of_process(make, name):
    """How many MiB a new process grows while it calls twice what make(name) makes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (torch.get_num_threads(), make, name))


def _growth(threads, make, name):
    torch.set_num_threads(threads)
    work, status = make(name), Path("/proc/self/status")
    kilobytes = lambda line: int(re.search(rf"{line}:\s+(\d+) kB", status.read_text())[1])
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak, VmHWM
    before = kilobytes("VmRSS")
    for _ in range(2):
        work()
    return (kilobytes("VmHWM") - before) / 1024


def smooth_noise(count, width, height):
    """`count` images, uint8 height x width x 3."""
    rng = np.random.default_rng(0)
    return [images.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), width, height) for _ in range(count)]
