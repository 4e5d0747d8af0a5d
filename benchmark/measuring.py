"""The tables of the benchmarks: seconds, memory, ratios to a baseline.

A variant is named by its precision, or BASELINE: the public scripts with PyTorch's default settings.
"""

import collections
import contextlib
import copy
import functools
import io
import multiprocessing
import re
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
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

BASELINE = "baseline"


def print_tables(args):
    """Print the tables of `args.what`."""
    device = utils.choose_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(f"{name}; PyTorch {torch.__version__}, {torch.get_num_threads()} threads; {args.rounds} rounds")
    batches, sizes = [args.batch_size], [(args.size, args.size)]
    if args.what == "gpu":
        batches, sizes = [8, 16], [(448, 448), (1920, 1080)]
    if args.what == "gpu" and device.type != "cuda":
        print("there is no GPU: small networks and pictures, to try the command")
        args.input_size, args.ngf, batches, sizes = 32, 4, [2], [(64, 48)]
    for batch_size in batches if args.what != "inference" else []:
        make = functools.partial(make_step, args.ngf, args.input_size, batch_size, device)
        title = f"A step of phase two, {batch_size} x {args.input_size}x{args.input_size}, ngf {args.ngf}"
        print_table(title, measure(make, args.rounds, device), batch_size)
    for width, height in sizes if args.what != "training" else []:
        print_inference(args, device, width, height)


def variants(device):
    """The baseline, and the precisions that the device computes natively, the choice of "auto" first."""
    names = [utils.choose_precision("auto", device), "fp32"]
    if device.type == "cuda":
        names += ["tf32", "fp16"] if torch.cuda.get_device_capability(device) >= (8, 0) else ["fp16"]
    return [BASELINE, *dict.fromkeys(names)]


def make_step(ngf, size, batch_size, device, variant):
    """A function that runs a training step on one batch of smooth noise."""
    text = f"--vgg_model random --ngf {ngf} --input_size {size} --batch_size {batch_size}"
    args, _ = options.parse(text.split())
    with contextlib.redirect_stderr(io.StringIO()):  # the warning that VGG19 has random weights
        model = CartoonGAN.build(args, device, "fp32" if variant == BASELINE else variant)
    if variant == BASELINE:
        step, *_ = baselines.public_step(model, args)
    else:
        step = functools.partial(CartoonGAN.adversarial_step, model, args, place=(2, 1, 0))
    pictures = np.stack(smooth_noise(3 * batch_size, size, size))
    batch = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)  # channels_last, as the loader's
    return lambda: step(*map(utils.to_range, batch.chunk(3)))


def print_inference(args, device, width, height):
    """Print the table of a generator on pictures, compared with the generator of the public scripts."""
    torch.manual_seed(0)
    generator = Generator(ngf=args.ngf)
    if args.checkpoint:
        generator = checkpoints.load_generator(args.checkpoint, "the benchmark is of CartoonGAN's")
    photos = smooth_noise(args.batch_size, width, height)
    make = functools.partial(make_inference, generator, photos, device)
    with gpu.no_search():  # as in test.py
        measured = measure(make, args.rounds, device)
        results = {name: np.stack(make(name)()) for name in measured}
    title = f"A generator of ngf {generator.architecture['ngf']}, {args.batch_size} x {width}x{height}"
    print_table(title, measured, args.batch_size)
    if BASELINE in results:
        baseline = results.pop(BASELINE)
        psnr = [f"{name} {measures.psnr(x, baseline):.1f} dB" for name, x in results.items()]
        print("PSNR to the baseline: " + ", ".join(psnr))


def make_inference(generator, photos, device, variant):
    """A function that applies a copy of the generator to the photos."""
    if variant == BASELINE:
        plain = baselines.with_norms(generator, baselines.PlainInstanceNorm).eval().to(device)
        return functools.partial(baselines.apply_plain, plain, photos)
    generator = inference.prepare(copy.deepcopy(generator), device, variant)
    return functools.partial(inference.convert, generator, photos)


def print_table(title, measured, pictures):
    """Print what `measure` returned. Each call processes `pictures` pictures."""
    print(f"\n{title}.\n\n| precision | seconds | images/s | ratio | memory |\n|{'---|' * 5}")
    for name, (seconds, memory) in measured.items():
        ratio = f"{measured[BASELINE][0] / seconds:.2f}" if BASELINE in measured else "-"
        print(f"| {name} | {seconds:.4f} | {pictures / seconds:.2f} | {ratio} | {memory:.0f} MiB |")


def measure(make, rounds, device):
    """{name: (median seconds, MiB)} of the function make(name) of each variant. The functions take turns.

    The memory is the growth of a GPU or of a new process while the function runs. A variant that needs more
    than a GPU has is reported and left out.
    """
    works = {name: make(name) for name in variants(device)}
    seconds, growth = collections.defaultdict(list), {}

    def call(name):
        gpu.choose_arithmetic(device, name)
        if name == BASELINE:  # PyTorch's default, which the public scripts use
            torch.backends.cudnn.allow_tf32 = True
        return run_once(works[name], device)

    for name in [*works]:
        try:
            for _ in range(3 if device.type == "cuda" else 1):  # warm up: cuDNN searches, the allocator grows
                call(name)
        except torch.OutOfMemoryError:
            print(f"\n{name}: out of memory")
            del works[name]
    for _ in range(rounds):
        for name in works:
            taken, growth[name] = call(name)
            seconds[name].append(taken)
    if device.type != "cuda":
        growth = {name: memory_of_process(make, name) for name in works}
    return {name: (statistics.median(seconds[name]), growth[name]) for name in works}


def run_once(work, device):
    """(seconds, MiB of a GPU) that work() takes, after all work that was launched before."""
    if device.type != "cuda":
        began = time.perf_counter()
        work()
        return time.perf_counter() - began, 0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, began = torch.cuda.memory_allocated(), time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began, (torch.cuda.max_memory_allocated() - before) / 2**20


def memory_of_process(make, name):
    """How many MiB a new process grows while it calls the function make(name) twice."""
    context, threads = multiprocessing.get_context("spawn"), (torch.get_num_threads(),)
    with ProcessPoolExecutor(1, context, torch.set_num_threads, threads) as pool:
        return pool.submit(_growth, make, name).result()


def _growth(make, name):
    work, status = make(name), Path("/proc/self/status")
    kilobytes = lambda line: int(re.search(rf"{line}:\s+(\d+) kB", status.read_text())[1])
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak, VmHWM
    before = kilobytes("VmRSS")
    work(), work()
    return (kilobytes("VmHWM") - before) / 1024


def smooth_noise(count, width, height):
    """`count` images of smooth noise, uint8 height x width x 3."""
    rng = np.random.default_rng(0)
    return [images.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), width, height) for _ in range(count)]
