"""`--preview`: what a run would cost, from some steps of each phase, in a folder that is removed."""

import contextlib
import math
import resource
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch

from training.journal import duration

WARM, MEASURED = 5, 20  # steps of a phase: before the clock starts, and on the clock


class Phase(NamedTuple):
    """What was measured of a phase."""

    number: int
    epochs: int  # planned
    step: float  # seconds
    samples: float  # seconds that the samples and records of an epoch take


@contextlib.contextmanager
def place(config):
    """A config.RunConfig whose folder, if it asks for a preview, is a temporary one."""
    if not config.preview:
        yield config
        return
    with tempfile.TemporaryDirectory(prefix="preview-") as results:
        yield config._replace(folder=Path(results) / config.folder.name)


def memory(device):
    """The most memory that this process has held, as text: the GPU's, or without one its own."""
    if device.type != "cuda":
        return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.1f} GB"
    whole = torch.cuda.get_device_properties(device).total_memory
    return f"{torch.cuda.max_memory_reserved(device) / 1e9:.1f} GB of the GPU's {whole / 1e9:.1f} GB"


def summary(args, device, phases, steps, measures):
    """The lines that a preview prints. `steps` are those of an epoch; `measures` are seconds, or None."""
    lines, total = [], 0.0
    for phase in phases:
        epoch = steps * phase.step
        sampled = math.ceil(phase.epochs / args.sample_every)
        total += phase.epochs * epoch + sampled * phase.samples
        lines.append(
            f"phase {phase.number}: {phase.step:.3g} s a step, {duration(epoch)} an epoch of {steps} steps, "
            f"{phase.epochs} epochs; samples {phase.samples:.1f} s"
        )
        if measures:
            total += phase.epochs // args.eval_every * measures
    if measures:
        lines.append(f"measures: {measures:.1f} s, every {args.eval_every} epochs")
    return [
        *lines,
        f"memory: {memory(device)}",
        f"in all: {duration(total)}; nothing was kept of this preview",
    ]
