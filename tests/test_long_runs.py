"""Memory, open files, threads and temporary files of a run that lasts: they stay as they are."""

import gc
import json
import multiprocessing
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

import CartoonGAN
from training import journal

OPTIONS = "--vgg_model random --ngf 4 --ndf 4 --nb 1 --input_size 16 --batch_size 6 --pool_size 2 --name Long"
OPTIONS += (
    " --device cpu --precision fp32 --pre_train_epoch 0 --workers 1 --save_minutes 0 --sample_format jpg"
)


def look(place):
    """What this process and its files take: numbers by name."""
    temporary = [*Path(tempfile.gettempdir()).iterdir(), *place.rglob("*.part")]
    return {
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        "open files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "objects": len(gc.get_objects()),
        "temporary files": len(temporary),
    }


def train(data, place, epochs):
    """Train so many epochs of one step; a look every 10 of them goes into place/looks.json."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(place / "tmp")
    looks, epoch = [], journal.Journal.epoch

    def watched(journal, t, *args):
        epoch(journal, t, *args)
        if t.epoch % 10 == 0:
            gc.collect()
            looks.append({"epoch": t.epoch, **look(place)})

    journal.Journal.epoch = watched
    folders = [
        "--src_data",
        data / "src_data",
        "--tgt_data",
        data / "tgt_data",
        "--results_dir",
        place / "results",
    ]
    more = ["--train_epoch", epochs, "--sample_every", 10, "--sample_keep", 2]
    assert CartoonGAN.main([*map(str, [*folders, *more]), *OPTIONS.split()]) == 0
    (place / "looks.json").write_text(json.dumps(looks))


@pytest.mark.parametrize("epochs", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_nothing_grows_over_many_epochs(epochs, data, tmp_path):
    (tmp_path / "tmp").mkdir()
    process = multiprocessing.get_context("spawn").Process(target=train, args=(data, tmp_path, epochs))
    process.start()
    process.join()
    assert process.exitcode == 0
    looks = json.loads((tmp_path / "looks.json").read_text())
    settled = looks[len(looks) // 2 :]
    for name in ("open files", "threads", "temporary files"):
        assert len({each[name] for each in settled}) == 1, (name, [each[name] for each in looks])
    places = [each["epoch"] for each in settled]
    for name, unit in (("memory", 1e6), ("objects", 1)):
        slope = np.polyfit(places, [each[name] / unit for each in settled], 1)[0] * 1000
        print(
            f"{epochs} epochs: {name} {slope:+.2f} in 1000 epochs, {settled[-1][name] / unit:.0f} at the end"
        )
    grown = settled[-1]["objects"] - settled[0]["objects"]
    assert grown < epochs, f"{grown} more objects after {epochs // 2} epochs"
    memory = np.array_split([each["memory"] for each in settled], 2)
    assert memory[1].min() - memory[0].max() < 20e6, [each["memory"] for each in looks]
