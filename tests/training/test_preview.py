"""`--preview`: what it reports, and that it leaves nothing."""

import os
import signal
import tempfile

import pytest
from helpers import at_step, make_run, new_run, tiny_run

import CartoonGAN
from training import history, preview
from utils import Stopped


@pytest.mark.parametrize("stopped", [False, True])
def test_steps_are_measured_and_nothing_is_kept(data, tmp_path, monkeypatch, capsys, stopped):
    """An existing run does not prevent it, and is not changed."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    folder = make_run(tmp_path / "results", "Tiny_2_30_2")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr(preview, "STEPS", (1, 2))
    steps = at_step(monkeypatch, 5 * stopped, lambda _: os.kill(os.getpid(), signal.SIGINT))
    options = ["--train_epoch", 30, "--eval_every", 10, "--save_minutes", 0, "--preview"]
    command = tiny_run(data, tmp_path / "results", *options)
    if stopped:
        with pytest.raises(Stopped, match="keeps nothing") as ended:
            CartoonGAN.main(command)
        assert ended.value.status == 130
    else:
        CartoonGAN.main(command)
        assert len(steps) == 6  # of each phase one to warm up and two to measure; an epoch has three
        output = capsys.readouterr().out
        assert "run:     a preview, of which nothing is kept\n" in output
        assert " an epoch (steps: 3, epochs: 2)\n" in output and " (steps: 3, epochs: 30)\n" in output
        assert "(--eval_every 10)\n" in output and "GB\ntotal: " in output
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert [*folder.parent.iterdir()] == [folder] and not [*(tmp_path / "temporary").glob("preview-*")]


def test_the_hours_are_those_of_steps_samples_and_measures(tmp_path, monkeypatch):
    for phase, epoch, seconds in ((1, 1, 9), (1, 2, 10), (2, 1, 99), (2, 2, 20)):
        history.add(tmp_path / "metrics.csv", {"phase": phase, "epoch": epoch, "seconds": seconds})
    monkeypatch.setattr(preview.timeit, "timeit", lambda work, number: work())
    monkeypatch.setattr(preview.samples, "draw", lambda _: 10.0)
    run = new_run(tmp_path, "--sample_every 5 --eval_every 4 --pre_train_epoch 2 --train_epoch 200")
    run.steps_per_epoch, run.measure = 60, lambda: 100.0
    lines = preview.summary(run)
    # 2 x 30 s + 10 s of samples; 200 x 60 s + 40 x 10 s of samples + 50 x 100 s of measures: 17,470 s
    assert lines[-1].startswith("total: 4 h 51 min;")
    assert "phase 2: 1 s a step, 1 min 0 s an epoch (steps: 60, epochs: 200)" in lines
    assert "samples: 10.0 s (--sample_every 5)" in lines and "measures: 100.0 s (--eval_every 4)" in lines
