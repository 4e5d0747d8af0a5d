"""Memory, open files, threads and temporary files do not grow during a long run."""

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers import SLOW, tiny_run

import CartoonGAN
from training.journal import Journal

OPTIONS = "--batch_size 6 --pool_size 2 --pre_train_epoch 0 --workers 1 --save_minutes 0.005"
OPTIONS += " --sample_format jpg --sample_every 25 --sample_keep 2"


def resources(place):
    """What this process and its files use: numbers by name."""
    gc.collect()
    temporary = [*Path(tempfile.gettempdir()).iterdir(), *place.rglob("*.part")]
    return {
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        "open files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "objects": len(gc.get_objects()),
        "temporary files": len(temporary),
    }


@pytest.mark.parametrize(
    "epochs", [100, pytest.param(max(100, round(2000 * SLOW)), marks=pytest.mark.slow, id="long")]
)
def test_nothing_grows_over_many_epochs(epochs, data, tmp_path, tmp_path_factory, monkeypatch):
    """Epochs of one step; the resources are measured every 5 of them."""
    short = str(tmp_path_factory.mktemp("t"))  # in which a worker's socket, of at most 107 bytes, fits
    monkeypatch.setattr(tempfile, "tempdir", short)
    monkeypatch.setenv("TMPDIR", short)
    measured, epoch = [], Journal.record_epoch
    gc.collect()
    gc.freeze()  # objects from earlier tests are not counted

    def watched(journal, epochs):
        epoch(journal, epochs)
        if journal.run.epoch % 5 == 0:
            measured.append({"epoch": journal.run.epoch, **resources(tmp_path)})

    monkeypatch.setattr(Journal, "record_epoch", watched)
    CartoonGAN.main(tiny_run(data, tmp_path / "results", *OPTIONS.split(), "--train_epoch", epochs))
    gc.unfreeze()
    later = measured[len(measured) // 2 :]
    for name in ("open files", "threads", "temporary files"):
        before, after = np.array_split([each[name] for each in later], 2)
        assert after.min() <= before.max(), (name, [each[name] for each in measured])
    grown = later[-1]["objects"] - later[0]["objects"]
    assert grown < epochs, f"{grown} more objects after {epochs // 2} epochs"
    memory = np.array_split([each["memory"] for each in later], 2)
    assert memory[1].min() - memory[0].max() < 20e6, [each["memory"] for each in measured]
