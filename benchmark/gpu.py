"""What a GPU does, in one table: the training step in every form, pictures through a generator, the loader.

Each row is printed as it is measured, the most telling first. What 7 minutes do not suffice for is left out.
"""

import argparse
import contextlib
import functools
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import utils
from benchmark import baselines, inference, loading, measuring, training
from networks import Generator
from pictures import images
from support import norm
from support.gpu import no_search
from training.batches import default_workers, load_batches, training_batches

SECONDS = 7 * 60
COMPILING = 3 * 60  # seconds that a row with a compiler may take on a GPU (a guess)
SMALL = 32  # pixels a side of what operations are counted on: they grow with the pixels
BATCHES, SIZES = (8, 16), ((448, 448), (1920, 1080))  # of the steps, and of pictures (width, height)
EPOCH, REPORT = 2000, 300  # images, and the seconds that a report of 2020 measured for them on a V100
PUBLIC = "public scripts"
PYTORCH = {"norm": "pytorch", "padding": "pytorch"}
FORMS = {  # of the step: the forms of norm and padding, and whether channels lie one after the other
    "channels_last": ({}, False),
    "channels_last, PyTorch's norm and padding": (PYTORCH, False),
    "contiguous": (PYTORCH, True),
    "channels_last, compiled norm": ({"norm": "compiled"}, False),
    "channels_last, torch.compile": ({}, False),
}
OWN, *_, COMPILED_NORM, COMPILED = FORMS


class Step(NamedTuple):
    """A training step to be measured: how many pictures, "fp32", …, and PUBLIC or one of FORMS."""

    batch: int
    precision: str
    form: str

    def __str__(self):
        return f"step, batch {self.batch}, {self.form}" + (
            f", {self.precision}" if self.form != PUBLIC else ""
        )


class Seen(NamedTuple):
    """What rows are compared with: seconds of public steps by batch, FLOP an image, FLOP/s of the card."""

    public: dict
    flops: dict
    peaks: dict


def print_tables(args):
    """Print the table of `gpu`; without a GPU, a reduced one whose figures say nothing."""
    began, device = time.monotonic(), utils.choose_device("auto")
    gpu = device.type == "cuda"
    if not gpu:
        args = argparse.Namespace(**vars(args) | {"input_size": 32, "ngf": 4})
    batches, sizes = (BATCHES, SIZES) if gpu else ((2,), ((32, 32), (64, 48)))
    print(
        card(device)
        if gpu
        else "there is no GPU: a reduced table, to try the command; its figures say nothing"
    )
    print(f"phase two at {args.input_size} pixels, ngf {args.ngf}; median of {args.rounds} rounds\n")
    epoch = f"{EPOCH} images (report: {REPORT} s)"
    print(f"| what | seconds | images/s | ratio | of the peak | memory | {epoch} | start |\n|{'---|' * 8}")
    left_out, seen = [], Seen({}, {}, {})
    for measure in (
        lambda left: print_steps(args, device, steps(device, batches), left, seen),
        lambda left: print_pictures(args, device, sizes),
        lambda left: print_loader(args, device, 5 if gpu else 0.5),
        lambda left: print_steps(args, device, other_steps(device, batches), left, seen),
    ):
        left_out += measure(lambda: SECONDS - (time.monotonic() - began)) or []
    if left_out:
        print(f"\nleft out, because {SECONDS // 60} minutes were over: {'; '.join(map(str, left_out))}")


def card(device):
    """One line on the GPU and what drives it."""
    properties = torch.cuda.get_device_properties(device)
    versions = (
        f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    )
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB; {versions}"


def precisions(device):
    """Those that the device computes by itself, the one that "auto" chooses first."""
    names = [utils.choose_precision("auto", device), "fp32"]
    if device.type == "cuda":
        names += ["tf32"] if torch.cuda.get_device_capability(device) >= (8, 0) else []
        names += ["fp16"]
    return list(dict.fromkeys(names))


def steps(device, batches):
    """What tells most: for each batch the public step, and this program's own in every precision."""
    own = precisions(device)
    return [
        Step(batch, *kind) for batch in batches for kind in [("fp32", PUBLIC), *((name, OWN) for name in own)]
    ]


def other_steps(device, batches):
    """The other forms of this program's step, in every precision."""
    kinds = [(name, form) for name in precisions(device) for form in FORMS if form not in (OWN, COMPILED)]
    kinds.insert(len(FORMS) - 2, (precisions(device)[0], COMPILED))
    return [Step(batch, *kind) for batch in batches for kind in kinds]


def make_step(step, args):
    """A function without arguments that does a Step on a kept batch of smooth noise."""
    args = argparse.Namespace(**vars(args) | {"batch_size": step.batch})
    device, (forms, contiguous) = utils.choose_device("auto"), FORMS.get(step.form, ({}, False))
    model, given = training.build_model(args, device, step.precision)
    layout = torch.contiguous_format if contiguous else torch.channels_last
    if step.form == PUBLIC:
        take, *_ = baselines.public_step(model, given)
    else:
        for network in (model.generator, model.discriminator, model.vgg):
            network.to(memory_format=layout)
        take = training.own_step(model, given)
    if step.form == COMPILED:
        compile_networks(model)
    pictures = np.stack(measuring.photographs(None, 3 * step.batch, args.input_size))
    pictures = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def work():
        if step.form == COMPILED:
            torch.compiler.cudagraph_mark_step_begin()
        with norm.forms(**forms):
            return take(*map(utils.to_range, pictures.chunk(3)))

    return work


def compile_networks(model):
    """Let a CartoonGAN.Model run G, D and VGG19 as compiled, on a GPU as CUDA graphs."""
    compiled = functools.partial(torch.compile, mode="reduce-overhead")
    model.parallel_generator = compiled(model.parallel_generator)
    model.parallel_discriminator = compiled(model.parallel_discriminator)
    model.vgg.maps, model.vgg.forward = compiled(model.vgg.maps), compiled(model.vgg.forward)


def print_steps(args, device, wanted, left, seen):
    """Print a row for each Step while there is time left(); returns those that are left out."""
    left_out = []
    for step in wanted:
        compiles = step.form in (COMPILED_NORM, COMPILED)
        if left() <= (COMPILING if compiles and device.type == "cuda" else 0):
            left_out.append(step)
            continue
        measured = measured_or_told(str(step), functools.partial(make_step, step, args), args.rounds, device)
        if compiles:
            torch.compiler.reset()  # graphs hold memory, and of one function only 8 forms are compiled
        if not measured:
            continue
        seconds, memory, start = measured
        if step.form == PUBLIC:
            seen.public[step.batch] = seconds
        speed = step.batch / seconds
        share = speed * flops(step, args, seen) / peak(step, args, device, seen)
        ratio = seen.public.get(step.batch, float("nan")) / seconds
        row(
            str(step), seconds, speed, f"{ratio:.2f}", f"{share:.0%}", memory, f"{EPOCH / speed:.1f} s", start
        )
    return left_out


def measured_or_told(name, make, rounds, device):
    """measure_apart's result; None where it failed, which is told in its row: the others go on."""
    try:
        return measuring.measure_apart(make, rounds, device)
    except Exception as error:  # a compiler or a library that does not know the card can fail in any way
        print(f"| {name} | failed: {utils.first_line(error)[:150]} |" + " |" * 6, flush=True)
        return None


def row(name, seconds, speed, ratio="-", share="-", memory=None, epoch="-", start=None):
    """Print a row of the table; `start` are seconds from nothing to the first that counts."""
    memory = "-" if memory is None else f"{memory:.0f} MiB"
    start = "-" if start is None else f"{start:.1f} s"
    cells = name, f"{seconds:.4f}", f"{speed:.2f}", ratio, share, memory, epoch, start
    print(f"| {' | '.join(cells)} |", flush=True)


def flops(step, args, seen):
    """Floating point operations an image of a Step, counted once for the public and once for the own step."""
    public = step.form == PUBLIC
    if public not in seen.flops:
        small = argparse.Namespace(**vars(args) | {"input_size": SMALL})
        work = make_step(Step(1, "fp32", PUBLIC if public else OWN), small)
        with no_search():
            seen.flops[public] = training.count_flops(work) * (args.input_size / SMALL) ** 2
    return seen.flops[public]


def peak(step, args, device, seen):
    """Floating point operations a second of the layer that stands for the card, in the Step's precision."""
    tf32 = step.form == PUBLIC and "tf32" in precisions(device)  # as PyTorch is
    key = step.batch, "tf32" if tf32 else step.precision
    if key not in seen.peaks:
        batch = argparse.Namespace(**vars(args) | {"batch_size": step.batch})
        make = functools.partial(training.make_convolution, key[1], batch, device)
        seconds, *_ = measuring.measure_apart(make, args.rounds, device)
        seen.peaks[key] = training.convolution_flops(step.batch, device) / seconds
    return seen.peaks[key]


@no_search()
def print_pictures(args, device, sizes):
    """Print rows of one picture of each size (width, height) through a generator, beside the definition."""
    torch.manual_seed(0)
    generator = Generator(ngf=args.ngf)
    for width, height in sizes:
        photos = [images.resize(measuring.photographs(None, 1, 64)[0], width, height)]
        baseline = None
        for name in inference.ways(device):
            label = f"{width}x{height}, {name}"
            make = functools.partial(inference.make_work, generator, name, device, photos)
            if measured := measured_or_told(label, make, args.rounds, device):
                seconds, memory, start = measured
                baseline = baseline or seconds
                row(label, seconds, 1 / seconds, f"{baseline / seconds:.2f}", memory=memory, start=start)


def print_loader(args, device, seconds):
    """Print how fast the loader alone gives batches of phase two."""
    args = argparse.Namespace(**vars(args) | {"batch_size": 8, "drawings": None, "photos": None})
    text = f"--vgg_model random --input_size {args.input_size} --batch_size {args.batch_size}"
    given, _ = training.options.parse(text.split())
    with tempfile.TemporaryDirectory() as temporary:
        data = loading.make_data(Path(temporary), args)
        run = argparse.Namespace(args=given, data=data, phase=2, place=(2, 1, 0))  # what is read of a Run
        with contextlib.closing(load_batches(*training_batches(run), None, device)) as batches:
            speed = loading.images_per_second(batches, args.batch_size, lambda: time.sleep(seconds))
    row(
        f"loader, {default_workers(device)} worker(s)",
        args.batch_size / speed,
        speed,
        epoch=f"{EPOCH / speed:.1f} s",
    )
