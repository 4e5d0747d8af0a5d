"""Runs: their files and records; killed and resumed; changed between two commands."""

import functools
import math
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
from helpers import Killed, at_step, contents, die, make_data, metrics, places, rows, same, tiny_run

import CartoonGAN
import utils
from evaluation.measures import MEASURES
from pictures import checkpoints, images
from training import history, state
from training import run as runs
from training.config import read_settings, write_settings
from utils import RunFailed, Stopped, WrongUse

NAME = "Tiny_2_3_2_0.0002-0.0001_results"
MORE = ["--pool_size", 4, "--ema_decay", 0.9, "--lrD", 1e-4]
SHORT = ["--pre_train_epoch", 1, "--train_epoch", 1]


def train(data, results, *more):
    """Train to the end; returns the folder."""
    CartoonGAN.main(tiny_run(data, results, *more))
    (folder,) = results.glob("*_results")
    return folder


def meanings(folder):
    """What the pages write below the curve of each column of metrics.csv."""
    losses = read_settings(folder)["losses"]
    return [history.meaning(column, MEASURES, losses) for column in [*rows(folder)[0]][2:]]


def saved(folder):
    """The saved state without what differs between equal runs."""
    content = state.load_state(folder / "state_latest.pth")
    return {key: value for key, value in content.items() if key not in ("settings", "seconds")}


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Plots take most of the time of a tiny run; only `undisturbed` has one."""
    monkeypatch.setattr(history, "plot_losses", lambda *_: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(data, folder, the loss terms of its steps) of a run with a pool and a moving average; only to read."""
    utils.unlogged.clear()
    data = make_data(tmp_path_factory.mktemp("data"))
    with pytest.MonkeyPatch.context() as patch:
        steps = at_step(patch, 0, None)
        folder = train(data, tmp_path_factory.mktemp("whole"), *MORE, "--sample_every", 1)
    return data, folder, steps


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A copy of the folder of the undisturbed run."""
    return Path(shutil.copytree(undisturbed[1], tmp_path / "whole" / NAME))


# The files of a run


def test_the_files_of_a_run(undisturbed):
    data, folder, _ = undisturbed
    (events,) = folder.glob("events.out.tfevents.*")
    assert {path.name for path in folder.iterdir()} == {
        *("Reconstruction", "Transfer", "metrics.csv", "losses.png", "settings.json", "log.txt"),
        *("generator_latest.pth", "generator_ema.pth", "discriminator_latest.pth", "state_latest.pth"),
        *("index.html", events.name),
    }
    run = NAME.removesuffix("_results")
    names = {f"train_{n}" for n in range(1, 6)} | {f"test_{n}" for n in range(1, 4)}
    transfer = {f"{epoch}_epoch_{run}_{name}.png" for epoch in (1, 2, 3) for name in names}
    assert {path.name for path in (folder / "Transfer").iterdir()} == transfer
    recon = {"{}_{}_recon_{}.png".format(run, *name.split("_")) for name in names}
    assert {path.name for path in (folder / "Reconstruction").iterdir()} == recon
    photo = images.fit_within(images.read(data / "src_data" / "test" / "0.jpg"), 32)
    sample = images.read(folder / "Transfer" / f"3_epoch_{run}_test_1.png")
    assert sample.shape == (photo.shape[0], 2 * photo.shape[1], 3)
    assert (sample[:, : photo.shape[1]] == photo).all()


def test_what_a_run_records(undisturbed):
    _, folder, steps = undisturbed
    assert places(folder) == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
    assert len(steps) == 5 * 3
    for number, row in enumerate(metrics(folder)):
        epoch = steps[3 * number : 3 * number + 3]
        assert {key for key in row if row[key]} - {"phase", "epoch", "learning_rate"} == epoch[0].keys()
        means = {key: sum(terms[key].item() for terms in epoch) / 3 for key in epoch[0]}
        assert {key: float(row[key]) for key in means} == pytest.approx(means, rel=1e-6)
    rates = [float(row["learning_rate"]) for row in rows(folder)]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 2e-4, 2e-5])
    content = saved(folder)
    assert [content[adam]["param_groups"][0]["lr"] for adam in ("adam_g", "adam_d")] == pytest.approx(
        [2e-5, 1e-5]
    )
    steps_taken = [next(iter(content[adam]["state"].values()))["step"] for adam in ("adam_g", "adam_d")]
    assert steps_taken == [15, 9]  # G's moments carry over into phase two
    assert content["ema"]["n_averaged"] == 9 and content["place"] == (2, 4, 0)  # a mean over phase two only
    assert all(meanings(folder))
    assert read_settings(folder)["data"]["photographs"]["count"] == 6
    assert "warning: the" not in (folder / "log.txt").read_text()  # a healthy run


def test_a_grey_run_without_biases_or_discriminator_is_measured_and_resumed(data, tmp_path):
    """Feed-forward style transfer: drawings, but no discriminator."""
    more = ["--in_ngc", 1, "--out_ngc", 1, "--in_ndc", 1, "--conv_bias", "none", "--norm_init", "uniform"]
    more += ["--adv_lambda", 0, "--con_lambda", 1, "--style_lambda", 10, "--tv_lambda", 1, "--eval_every", 2]
    folder = train(data, tmp_path / "results", *SHORT, *more)
    assert not (folder / "discriminator_latest.pth").exists()
    assert read_settings(folder)["data"]["drawings"]["count"] == 6
    CartoonGAN.main(["--resume", str(folder), "--train_epoch", "2", "--sample_every", "2"])
    found = rows(folder)
    assert [bool(row["style"]) for row in found] == [False, True, True]
    assert [bool(row["kid_drawings"]) for row in found] == [False, False, True]  # every 2 epochs
    assert all(np.isfinite(float(found[2][name])) for name in ("kid_photos", "content_change", "flat"))
    assert all(meanings(folder)) and (folder / "generator_best.pth").exists()
    weights = checkpoints.load(folder / "generator_latest.pth")["state_dict"]
    scales = weights["blocks.0.layers.1.weight"]
    assert "blocks.0.layers.0.bias" not in weights and 0 < scales.min() < scales.max() < 1
    sample = images.read(folder / "Transfer" / "2_epoch_Tiny_1_1_2_test_1.png")
    assert (sample == sample[..., :1]).all()


# float16


def plant_nan(monkeypatch, steps):
    """Plant a content loss of nan in these steps, counted from 1; the scale fits from the start."""
    monkeypatch.setattr(CartoonGAN, "Scaler", functools.partial(CartoonGAN.Scaler, init_scale=1.0))
    real, calls = CartoonGAN.content_loss, []

    def plant(*maps):
        calls.append(maps)
        return real(*maps) * (math.nan if len(calls) in steps else 1)

    monkeypatch.setattr(CartoonGAN, "content_loss", plant)


def test_float16_skips_steps_that_overflow_and_records_them(data, tmp_path, monkeypatch):
    """A loss of the second and fifth steps is nan, and of the third step the gradients overflow."""
    plant_nan(monkeypatch, {2, 5})
    overflow = lambda run: run.model.generator.down[0].weight.register_hook(
        lambda gradient: gradient * (math.inf if len(steps) == 2 else 1)
    )
    steps = at_step(monkeypatch, 2, overflow)
    first, second = rows(train(data, tmp_path, *SHORT, "--precision", "fp16"))
    assert [row["skipped_steps"] for row in (first, second)] == ["2", "1"]
    counted = [[0, 2], [3, 5]]  # the steps whose losses are finite
    means = [np.mean([steps[step]["content"].item() for step in each]) for each in counted]
    assert [float(row["content"]) for row in (first, second)] == pytest.approx(means, rel=1e-6)


def test_float16_ends_after_25_overflows_in_a_row(data, tmp_path, monkeypatch):
    plant_nan(monkeypatch, {*range(2, 26), *range(27, 52)})
    more = ["--precision", "fp16", "--pre_train_epoch", 30, "--train_epoch", 0, "--save_minutes", 0]
    where = "phase 1, epoch 17, step 3, the 25th in a row"
    with pytest.raises(RunFailed, match=f"the content loss is nan in {where}: .* or with --precision fp32"):
        train(data, tmp_path, *more)
    (folder,) = tmp_path.glob("*_results")
    assert saved(folder)["place"] == (1, 17, 2)


# Killed and resumed


@pytest.mark.parametrize("at", [4, 7, 15], ids=["phase one", "phase two", "last step"])
def test_a_killed_run_resumes_to_the_same_state(at, undisturbed, tmp_path, monkeypatch):
    data, whole, terms = undisturbed
    argv = tiny_run(data, tmp_path, *MORE, "--workers", 1, "--save_minutes", 0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_step(patch, at, die)
        CartoonGAN.main(argv)
    folder = tmp_path / NAME
    with monkeypatch.context() as patch:
        resumed = at_step(patch, 0, None)
        CartoonGAN.main([*argv, "--resume"])
    assert same(resumed, terms[at - 1 :])  # none skipped, none repeated
    assert same(saved(folder), saved(whole))
    assert metrics(folder) == metrics(whole)
    assert not list(folder.rglob("*.part"))


def test_a_kill_inside_a_long_epoch_loses_at_most_save_minutes(data, tmp_path, monkeypatch):
    """With a fake clock, a step takes a minute: killed in its 15th, saved every 5 minutes, it loses 4."""
    steps = at_step(monkeypatch, 15, die)
    clock = types.SimpleNamespace(monotonic=lambda: 60.0 * len(steps))
    monkeypatch.setattr(runs, "time", clock)
    with pytest.raises(Killed):
        CartoonGAN.main(tiny_run(data, tmp_path, "--save_minutes", 5, "--batch_size", 1))
    folder = tmp_path / "Tiny_2_3_1_results"
    assert saved(folder)["place"] == (1, 2, 4)
    assert [(row["seconds"], row["images_per_second"]) for row in rows(folder)] == [("360.0", "0.017")] * 2


def test_a_run_resumes_to_more_epochs_in_another_precision(finished, monkeypatch):
    """On another processor --precision auto selects another precision; the options stay the same."""
    record = read_settings(finished)
    record["options"]["precision"] = "auto"
    write_settings(finished, record)
    monkeypatch.setattr(utils, "choose_precision", lambda *_: "fp16")
    CartoonGAN.main(["--resume", str(finished), "--train_epoch", "4", "--sample_every", "4"])
    assert {change["option"] for change in read_settings(finished)["changes"]} == {"precision", "train_epoch"}
    assert places(finished)[-2:] == [(2, 3), (2, 4)]
    assert len(list((finished / "Transfer").glob("4_epoch_*"))) == 8


def test_a_finished_run_is_not_changed(finished):
    before = contents(finished)
    with pytest.raises(Stopped, match=r"already finished \(3 epochs\); train longer") as stopped:
        CartoonGAN.main(["--resume", str(finished)])
    assert stopped.value.status == 0
    with pytest.raises(WrongUse, match="3 epochs of phase two are done, more than --train_epoch 2"):
        CartoonGAN.main(["--resume", str(finished), "--train_epoch", "2"])
    assert contents(finished) == before


def test_phase_two_can_be_added_to_phase_one(data, tmp_path):
    folder = train(data, tmp_path, "--pre_train_epoch", 1, "--train_epoch", 0)
    assert not (folder / "Transfer").exists()
    assert not (folder / "discriminator_latest.pth").exists()
    CartoonGAN.main(["--resume", str(folder), "--train_epoch", "1"])
    assert places(folder) == [(1, 1), (2, 1)]


def test_starting_from_weights_skips_phase_one(undisturbed, tmp_path):
    data, whole, _ = undisturbed
    start = ["--latest_generator_model", whole / "generator_latest.pth", "--train_epoch", 1, "--tag", "more"]
    folder = train(data, tmp_path, *start)
    assert folder.name == "Tiny_0_1_2_more_results" and places(folder) == [(2, 1)]
