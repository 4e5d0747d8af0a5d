"""The running mean of the generator's weights."""

import csv
import os
import signal

import pytest
import torch
from helpers import at_step, tiny_run

import CartoonGAN
from pictures import checkpoints
from training import run as runs
from training.steps import running_mean, shown_generator
from utils import Stopped

DECAY = 0.75


def weights(folder, name):
    return checkpoints.load(folder / name)["state_dict"]


def test_without_a_decay_there_is_none():
    assert running_mean(torch.nn.Linear(1, 1), 0) is None


def test_it_is_the_mean_of_the_weights_of_phase_two(data, tmp_path, monkeypatch, capsys):
    seen, took = [], runs.Run.log_step

    def note(run, terms):
        assert (shown_generator(run.model) is run.model.generator) == (not seen)
        if run.phase == 2:
            seen.append({key: value.clone() for key, value in run.model.generator.state_dict().items()})
        took(run, terms)

    monkeypatch.setattr(runs.Run, "log_step", note)
    CartoonGAN.main(tiny_run(data, tmp_path, "--ema_decay", DECAY))
    (folder,) = tmp_path.glob("Tiny*_results")
    wanted = seen[0]
    for each in seen[1:]:
        wanted = {key: DECAY * wanted[key] + (1 - DECAY) * each[key] for key in each}
    made = weights(folder, "generator_ema.pth")
    assert capsys.readouterr().out.rstrip().endswith("weights in generator_ema.pth")
    assert all(torch.allclose(made[key], wanted[key], atol=1e-6) for key in wanted)
    assert not torch.equal(made["down.0.weight"], weights(folder, "generator_latest.pth")["down.0.weight"])


@pytest.mark.parametrize("step", [4, 8])  # in phase one, and in phase two
def test_it_is_resumed_to_the_bit(step, data, tmp_path, monkeypatch):
    options = ("--ema_decay", DECAY, "--eval_every", 3)
    CartoonGAN.main(tiny_run(data, tmp_path / "whole", *options))
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped):
            CartoonGAN.main(tiny_run(data, tmp_path / "stopped", *options))
    (folder,) = (tmp_path / "stopped").glob("Tiny*_results")
    CartoonGAN.main(["--resume", str(folder)])
    (whole,) = (tmp_path / "whole").glob("Tiny*_results")
    for name in ("generator_ema.pth", "generator_best.pth"):
        mine, theirs = weights(folder, name), weights(whole, name)
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    last = [list(csv.DictReader((each / "metrics.csv").open()))[-1] for each in (folder, whole)]
    assert last[0]["kid_drawings"] == last[1]["kid_drawings"]
