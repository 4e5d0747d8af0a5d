"""`--preview`: what a run would cost, from two short epochs of each phase, in a folder that is removed."""

import contextlib
import math
import resource
import tempfile
import timeit
from pathlib import Path

import torch

from training import history, samples
from training.journal import duration

STEPS = 5, 20  # at most, of the two epochs of a phase: the first warms up, the second is measured


@contextlib.contextmanager
def in_temporary_folder(config):
    """A config.RunConfig whose folder, for a preview, is a temporary one."""
    if not config.preview:
        yield config
        return
    with tempfile.TemporaryDirectory(prefix="preview-") as results:
        yield config._replace(folder=Path(results) / config.folder.name)


def summary(run):
    """The lines that the preview of a run.Run prints at its end."""
    args, lines, total = run.args, [], 0.0
    sampling = timeit.timeit(lambda: samples.draw(run), number=1)
    measuring = timeit.timeit(run.measure, number=1) if run.measure else 0
    measured = {int(row["phase"]): float(row["seconds"]) for row in history.read(run.folder / history.FILE)}
    for phase, seconds in measured.items():
        step = seconds / min(run.steps_per_epoch, STEPS[1])
        epochs = args.train_epoch if phase == 2 else args.pre_train_epoch
        total += epochs * run.steps_per_epoch * step + math.ceil(epochs / args.sample_every) * sampling
        total += epochs // args.eval_every * measuring if measuring else 0
        lines.append(
            f"phase {phase}: {step:.3g} s a step, {duration(run.steps_per_epoch * step)} an epoch "
            f"(steps: {run.steps_per_epoch}, epochs: {epochs})"
        )
    lines.append(f"samples: {sampling:.1f} s (--sample_every {args.sample_every})")
    if measuring:
        lines.append(f"measures: {measuring:.1f} s (--eval_every {args.eval_every})")
    lines.append(f"memory: {_memory(run.device)}")
    return [*lines, f"total: {duration(total)}; this preview kept nothing"]


def _memory(device):
    """The peak memory of the GPU, or without a GPU of this process, as text."""
    if device.type != "cuda":
        return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.1f} GB"
    whole = torch.cuda.get_device_properties(device).total_memory
    return f"{torch.cuda.max_memory_reserved(device) / 1e9:.1f} GB of the GPU's {whole / 1e9:.1f} GB"
