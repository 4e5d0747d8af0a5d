"""The speed and memory of a generator that is applied to photographs."""

import argparse
import copy
import functools
import tempfile
from pathlib import Path

import numpy as np
import torch

import networks
import utils
from benchmark import baselines, measuring
from evaluation import measures
from pictures import checkpoints, images, inference, stream
from pictures.listing import find_pictures, plan_results

BASELINE = "baseline: plain fp32"


def print_tables(args):
    """Print the table of `inference`: seconds a batch, pictures/s, ratio, PSNR to the baseline, memory."""
    torch.manual_seed(0)
    device = utils.choose_device("auto")
    if args.checkpoint:
        generator = checkpoints.load_generator(args.checkpoint, "the benchmark is of CartoonGAN's")
    else:
        generator = networks.Generator(ngf=args.ngf)
    photos = measuring.photographs(args.photos, args.batch_size, args.size)
    makes = {name: functools.partial(make_work, generator, name, device, photos) for name in ways(device)}
    measured = measuring.measure(makes, args.rounds, device, memory_of=makes)
    results = {name: np.stack(make()()) for name, make in makes.items()}
    print(f"{args.batch_size} x {args.size}x{args.size}, ngf {generator.architecture['ngf']}, {device}")
    print("| way | seconds | pictures/s | ratio | PSNR to fp32 | peak memory |")
    print("|---|---|---|---|---|---|")
    for name, (seconds, memory) in measured.items():
        ratio, speed = measured[BASELINE][0] / seconds, args.batch_size / seconds
        same = "-" if name == BASELINE else f"{measures.psnr(results[name], results[BASELINE]):.1f} dB"
        print(f"| {name} | {seconds:.3f} | {speed:.2f} | {ratio:.2f} | {same} | {memory:.0f} MiB |")
    print(f"\n{measuring.conditions(args.rounds)}")
    print_folder(name, make_way(generator, name, device), photos[0], args.rounds)


def ways(device):
    """{name: precision} of the baseline, and of test.py in each precision."""
    precisions = dict.fromkeys(("fp32", utils.choose_precision("auto", device)))
    return {BASELINE: "fp32", **{f"test.py --precision {name}": name for name in precisions}}


def make_way(generator, name, device):
    """A function of photos that applies a copy of the generator in the way of that name."""
    if name == BASELINE:
        return functools.partial(baselines.apply_plain, baselines.plain(generator).to(device))
    ready = inference.prepare(copy.deepcopy(generator), device, ways(device)[name])
    return functools.partial(inference.stylise, ready)


def make_work(generator, name, device, photos):
    """A function without arguments that applies the generator to the photos in the way of that name."""
    return functools.partial(make_way(generator, name, device), photos)


def print_folder(name, way, photo, rounds):
    """Print the speed of a folder of JPEGs, decoded and encoded, as a share of the network's alone."""
    count = max(8, rounds)
    with tempfile.TemporaryDirectory() as temporary:
        source, out = Path(temporary, "in"), Path(temporary, "out")
        source.mkdir()
        for number in range(count):
            images.write(source / f"{number}.jpg", photo, quality=95)
        as_they_are = argparse.Namespace(size=None, side_by_side=False)

        def folder():
            pictures = plan_results(find_pictures([str(source)], out), out)
            stream.run_pictures(pictures, way, as_they_are, lambda height, width: 1)

        def alone():
            for _ in range(count):
                way([photo])

        seconds = measuring.median_seconds({"alone": alone, "folder": folder}, 3)
    share = seconds["alone"] / seconds["folder"]
    print(f"a folder of {count} JPEGs, {name}: {share:.0%} of the network alone")
