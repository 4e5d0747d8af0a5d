"""The speed and memory of a training step of phase two."""

import contextlib
import functools
import io

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import CartoonGAN
import utils
from benchmark import baselines, measuring
from support import gpu
from training import options

# The layer that stands for the machine's peak speed, a 3x3 convolution: its channels, and pixels a side.
CHANNELS, SIDE = 256, 64
BASELINE = "baseline: public scripts"


def print_tables(args):
    """Print the table of `training`: a step in each precision beside the step of the public scripts."""
    device = utils.choose_device("auto")
    precisions = step_precisions(device)
    flops = {name: count_flops(make_step(name, args)) for name in precisions}
    makes = {name: functools.partial(make_step, name, args) for name in precisions}
    for precision in precisions.values():
        makes[f"peak {precision}"] = functools.partial(make_convolution, precision, args, device)
    measured = measuring.measure(makes, args.rounds, device, memory_of=precisions)
    print(f"phase two, {args.batch_size} x {args.input_size}x{args.input_size}, ngf {args.ngf}, {device}")
    print("| step | seconds | images/s | ratio | GFLOP an image | GFLOP/s | of the peak | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    for name, precision in precisions.items():
        seconds, memory = measured[name]
        speed = flops[name] / seconds / 1e9
        peak = convolution_flops(args.batch_size, device) / measured[f"peak {precision}"][0] / 1e9
        print(
            f"| {name} | {seconds:.3f} | {args.batch_size / seconds:.2f} "
            f"| {measured[BASELINE][0] / seconds:.2f} | {flops[name] / args.batch_size / 1e9:.1f} "
            f"| {speed:.0f} | {speed / peak:.0%} of {peak:.0f} | {memory:.0f} MiB |"
        )
    print(f"\n{measuring.conditions(args.rounds)}")


def step_precisions(device):
    """{name of a training step: its precision}; the baseline comes first."""
    names = "fp32", utils.choose_precision("auto", device)
    return {BASELINE: "fp32", **{f"--precision {name}": name for name in names}}


def make_step(name, args):
    """A function without arguments that does the step of that name on a kept batch of smooth noise."""
    device = utils.choose_device("auto")
    model, options_given = build_model(args, device, step_precisions(device)[name])
    if name == BASELINE:
        step, *_ = baselines.public_step(model, options_given)
    else:
        step = own_step(model, options_given)
    pictures = np.stack(measuring.photographs(None, 3 * args.batch_size, args.input_size))
    batch = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).chunk(3)
    return lambda: step(*map(utils.to_range, batch))


def build_model(args, device, precision):
    """(CartoonGAN.Model, options of training) of a benchmark's options, with a VGG19 of random weights."""
    text = (
        f"--vgg_model random --ngf {args.ngf} --input_size {args.input_size} --batch_size {args.batch_size}"
    )
    options_given, _ = options.parse(text.split())
    with contextlib.redirect_stderr(io.StringIO()):  # that VGG19 has random weights is no news here
        return CartoonGAN.build(options_given, device, precision), options_given


def own_step(model, args):
    """This program's step of phase two, a function of photo, drawing and smoothed drawing in [-1, 1]."""
    return functools.partial(CartoonGAN.adversarial_step, model, args, place=(2, 1, 0))


def count_flops(work):
    """How many floating point operations `work()` takes."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def make_convolution(precision, args, device):
    """A function that goes forward and backward through the layer that stands for the peak speed."""
    layout = gpu.for_training(device, precision) | {"dtype": utils.dtype(precision)}
    layer = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(**layout)
    x = torch.randn(args.batch_size, CHANNELS, SIDE, SIDE).to(**layout).requires_grad_()

    ones = torch.ones_like(layer(x))

    def work():
        for _ in range(_passes(device)):
            x.grad = layer.weight.grad = layer.bias.grad = None  # else they are added up
            layer(x).backward(ones)

    return work


def convolution_flops(batch, device):
    """Floating point operations of that function for a batch: a pass forward, and two as large backward."""
    return _passes(device) * 3 * 2 * CHANNELS**2 * 9 * SIDE**2 * batch


def _passes(device):
    """How often that function goes: a single time takes a GPU less than the CPU takes to ask for it."""
    return 20 if device.type == "cuda" else 1
