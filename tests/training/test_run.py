"""Runs as they are made, killed and resumed."""

import csv
import functools
import json
import math
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, VGG, at_step, make_data, tiny_run
from states import same

import CartoonGAN
import networks
import test
import utils
from pictures import checkpoints, images
from support import architecture
from survey.cyclegan_options import CYCLEGAN
from training import history, state
from training import run as runs
from training.options import CARTOONGAN
from utils import RunFailed, Stopped, WrongUse

NAME = "Tiny_2_3_2_results"
SHORT = ["--pre_train_epoch", 1, "--train_epoch", 1]
TIMES = ("seconds", "images_per_second")  # the columns that no two runs share


def train(data, results, *more):
    """Run it to its end; the folder."""
    CartoonGAN.main(tiny_run(data, results, *more))
    (folder,) = results.glob("*_results")
    return folder


def rows(folder, without=()):
    with open(folder / "metrics.csv", newline="") as file:
        return [{key: row[key] for key in row if key not in without} for row in csv.DictReader(file)]


def places(folder):
    return [(int(row["phase"]), int(row["epoch"])) for row in rows(folder)]


def settings(folder):
    return json.loads((folder / "settings.json").read_text())


def weights(folder):
    return {name: checkpoints.load(folder / f"{name}_latest.pth") for name in ("generator", "discriminator")}


def saved_place(folder):
    return state.load_state(folder / "state_latest.pth")["place"]


class Killed(BaseException):
    """Ends a run at once, as SIGKILL does: nothing on the way out catches it."""


def die(_):
    raise Killed


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """They are most of the time of a tiny run, and only `undisturbed` is looked at for one."""
    monkeypatch.setattr(history, "plot_losses", lambda *_: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(data, folder) of a run with a pool, for looking at only."""
    utils.unlogged.clear()
    data = make_data(tmp_path_factory.mktemp("data"))
    return data, train(data, tmp_path_factory.mktemp("whole"), "--pool_size", 4, "--sample_every", 1)


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A copy of the folder of an undisturbed run."""
    return Path(shutil.copytree(undisturbed[1], tmp_path / "whole" / NAME))


# What a run leaves


def test_what_a_run_leaves(undisturbed):
    data, folder = undisturbed
    (events,) = folder.glob("events.out.tfevents.*")
    assert {path.name for path in folder.iterdir()} == {
        *("Reconstruction", "Transfer", "metrics.csv", "losses.png", "settings.json", "log.txt"),
        *("generator_latest.pth", "discriminator_latest.pth", "state_latest.pth"),
        *("index.html", "page.js", events.name),
    }
    names = {f"train_{n}" for n in range(1, 6)} | {f"test_{n}" for n in range(1, 4)}
    transfer = {f"{epoch}_epoch_Tiny_2_3_2_{name}.png" for epoch in (1, 2, 3) for name in names}
    assert {path.name for path in (folder / "Transfer").iterdir()} == transfer
    recon = {"Tiny_2_3_2_{}_recon_{}.png".format(*name.split("_")) for name in names}
    assert {path.name for path in (folder / "Reconstruction").iterdir()} == recon
    photo = images.fit_within(images.read(data / "src_data" / "test" / "0.jpg"), 32)
    sample = images.read(folder / "Transfer" / "3_epoch_Tiny_2_3_2_test_1.png")
    assert sample.shape == (photo.shape[0], 2 * photo.shape[1], 3)
    assert (sample[:, : photo.shape[1]] == photo).all()
    assert checkpoints.load_generator(folder / "generator_latest.pth").architecture["ngf"] == 4


def test_what_a_run_records(undisturbed):
    _, folder = undisturbed
    assert places(folder) == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
    rates = [float(row["learning_rate"]) for row in rows(folder)]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 2e-4, 2e-5])
    assert all(float(row["content"]) > 0 for row in rows(folder))
    assert [bool(row["discriminator"]) for row in rows(folder)] == [False, False, True, True, True]
    record = settings(folder)
    assert record["options"]["ngf"] == 4 and record["vgg"] == str(VGG)
    assert "pool_size" in record["given"] and "lrG" not in record["given"]
    assert record["data"]["photographs"]["count"] == 6
    assert "warning: the" not in (folder / "log.txt").read_text()  # a healthy run


def test_a_run_of_content_style_and_total_variation(data, tmp_path):
    """Feed-forward style transfer: drawings, but no discriminator."""
    more = ["--adv_lambda", 0, "--con_lambda", 1, "--style_lambda", 10, "--tv_lambda", 1]
    folder = train(data, tmp_path, *SHORT, *more)
    assert not (folder / "discriminator_latest.pth").exists()
    first, last = rows(folder, without=(*TIMES, "phase", "epoch", "learning_rate"))
    assert list(last) == ["content", "style", "total_variation", "change_from_photo"]
    assert [bool(value) for value in first.values()] == [True, False, False, False]
    assert all(float(value) > 0 for value in last.values())
    assert settings(folder)["data"]["drawings"]["count"] == 6


MEASURES = ("kid_drawings", "kid_photos", "ssim", "content_change", "checkerboard", "flat", "new_lines")


def test_measures_stand_in_the_metrics(data, tmp_path):
    folder = train(data, tmp_path, "--eval_every", 2, "--pre_train_epoch", 1)
    found = rows(folder)
    assert [bool(row["kid_drawings"]) for row in found] == [False, False, True, False]
    assert all(np.isfinite(float(found[2][name])) for name in MEASURES)
    assert -1 <= float(found[2]["ssim"]) <= 1 and float(found[2]["content_change"]) > 0
    assert (folder / "generator_best.pth").exists()


@pytest.mark.parametrize("adv_lambda", [0, 1])
def test_one_channel_is_trained_measured_and_applied(adv_lambda, data, tmp_path):
    grey = ["--in_ngc", 1, "--out_ngc", 1, "--in_ndc", 1, "--style_lambda", 1, "--adv_lambda", adv_lambda]
    folder = train(data, tmp_path / "results", *SHORT, *grey, "--eval_every", 1)
    assert all(np.isfinite(float(row[name])) for name in MEASURES for row in rows(folder))
    sample = images.read(folder / "Transfer" / "1_epoch_Tiny_1_1_2_test_1.png")
    assert (sample == sample[..., :1]).all()
    where = ["--image_dir", data / "src_data" / "test", "--output_image_dir", tmp_path / "out"]
    argv = ["--pre_trained_model", folder / "generator_latest.pth", *where, "--format", "png"]
    test.main([str(word) for word in [*argv, "--device", "cpu"]])
    photo, result = (images.read(path) for path in (data / "src_data/test/0.jpg", tmp_path / "out/0.png"))
    assert (result == images.with_luminance(photo, images.luminance(result))).mean() > 0.5
    assert np.abs(result.astype(int) - photo).max() > 5


def test_a_run_without_biases_goes_on_is_measured_and_applied(data, tmp_path):
    more = ["--conv_bias", "none", "--norm_init", "uniform", "--eval_every", 1]
    folder = train(data, tmp_path / "results", *SHORT, *more)
    CartoonGAN.main(["--resume", str(folder), "--train_epoch", "2"])
    assert places(folder) == [(1, 1), (2, 1), (2, 2)]
    assert all(np.isfinite(float(row["kid_drawings"])) for row in rows(folder))
    held, discriminator = weights(folder)["generator"]["state_dict"], weights(folder)["discriminator"]
    scales = held["blocks.0.layers.1.weight"]
    assert "blocks.0.layers.0.bias" not in held and 0 < scales.min() < scales.max() < 1
    assert [key for key in discriminator if key.endswith("bias")] == [
        f"layers.{norm}.bias" for norm in (5, 10, 13)
    ]
    where = ["--image_dir", data / "src_data" / "test", "--output_image_dir", tmp_path / "out"]
    argv = ["--pre_trained_model", folder / "generator_latest.pth", *where, "--format", "png"]
    test.main([str(word) for word in [*argv, "--device", "cpu", "--precision", "fp32"]])
    generator = checkpoints.load_generator(folder / "generator_latest.pth")
    photo = utils.to_batch(images.read(data / "src_data/test/0.jpg"), "cpu")
    with torch.inference_mode():
        wanted = utils.to_image(networks.stylise(generator, photo)[0])
    assert np.abs(images.read(tmp_path / "out/0.png").astype(int) - wanted).max() <= 1


def test_float16_writes_the_skipped_steps(data, tmp_path, monkeypatch):
    """Gradients that overflow are planted after the second step: the third leaves out G's update."""
    spoil = lambda run: run.model.generator.down[0].weight.register_hook(
        lambda gradient: gradient * (math.inf if len(steps) == 2 else 1)
    )
    monkeypatch.setattr(CartoonGAN, "Scaler", functools.partial(CartoonGAN.Scaler, init_scale=1.0))
    steps = at_step(monkeypatch, 2, spoil)
    found = rows(train(data, tmp_path, *SHORT, "--precision", "fp16"))
    assert [row["skipped_steps"] for row in found] == ["1", "0"]


def spoiled(monkeypatch, steps):
    """Plant a content loss of nan in these steps, counted from 1; the scale fits from the start."""
    monkeypatch.setattr(CartoonGAN, "Scaler", functools.partial(CartoonGAN.Scaler, init_scale=1.0))
    real, calls = CartoonGAN.content_loss, []

    def plant(*maps):
        calls.append(maps)
        return real(*maps) * (math.nan if len(calls) in steps else 1)

    monkeypatch.setattr(CartoonGAN, "content_loss", plant)


def test_float16_goes_on_after_a_loss_that_is_not_finite(data, tmp_path, monkeypatch):
    spoiled(monkeypatch, {2, 6})
    more = ["--precision", "fp16", "--pre_train_epoch", 1, "--train_epoch", 1]
    found = rows(train(data, tmp_path, *more))
    assert [row["skipped_steps"] for row in found] == ["1", "1"]
    assert all(0 < float(row["content"]) < math.inf for row in found)


def test_float16_ends_after_25_such_losses_in_a_row(data, tmp_path, monkeypatch):
    spoiled(monkeypatch, {*range(2, 26), *range(27, 52)})
    more = ["--precision", "fp16", "--pre_train_epoch", 30, "--train_epoch", 0, "--save_minutes", 0]
    told = (
        "the content loss is nan in phase 1, epoch 17, step 3, the 25th in a row: .* or with --precision fp32"
    )
    with pytest.raises(RunFailed, match=told):
        train(data, tmp_path, *more)
    (folder,) = tmp_path.glob("*_results")
    assert saved_place(folder) == (1, 17, 2)


def test_float16_ends_at_once_where_a_weight_is_not_finite(data, tmp_path, monkeypatch):
    def spoil(run):
        run.model.generator.down[0].weight.data[0, 0, 0, 0] = math.nan

    at_step(monkeypatch, 2, spoil)
    with pytest.raises(
        RunFailed, match="a weight of the generator is not finite in phase 1, epoch 1, step 3"
    ):
        train(data, tmp_path, *SHORT, "--precision", "fp16")


def test_the_usual_two_faults_are_told_once(data, tmp_path, monkeypatch, capsys):
    """A generator that gives back the photo, and a discriminator that is surer of what comes first."""
    stuck = lambda self, photo, flat=False: photo + 0 * sum(weight.sum() for weight in self.parameters())
    sure = lambda self, x: (
        x.mean((1, 2, 3)) * 0 - torch.arange(len(x)) + 0 * sum(w.sum() for w in self.parameters())
    )
    monkeypatch.setattr(networks.Generator, "forward", stuck)
    monkeypatch.setattr(networks.Discriminator, "forward", sure)
    folder = train(data, tmp_path, "--pre_train_epoch", 1, "--train_epoch", 2)
    said, log = capsys.readouterr().err, (folder / "log.txt").read_text()
    for words in (
        "distinguished over 99% of the patches of results",
        "differ from their photographs by less than",
    ):
        assert said.count(words) == log.count(words) == 1
    assert [row["auc_result"] for row in rows(folder)] == ["", "1.0", "1.0"]
    assert [row["change_from_photo"] for row in rows(folder)] == ["", "0.0", "0.0"]


@pytest.mark.parametrize("method", [CARTOONGAN, CYCLEGAN])
def test_every_option_is_read(method):
    """An option that nothing reads is a defect."""
    files = [ROOT / "evaluation/judge.py", *ROOT.glob("training/*.py")]
    files += [ROOT / "CartoonGAN.py"] if method is CARTOONGAN else ROOT.glob("survey/cyclegan*.py")
    code = "".join(path.read_text() for path in files)
    read = {name for name in method.defaults() if f"args.{name}" in code}
    assert method.defaults().keys() - read - {*architecture.OPTIONS} == set()


# Killed and resumed


@pytest.mark.parametrize(
    "at", [3, 4, 9, 15], ids=["in phase one", "between epochs", "in phase two", "after a learning-rate step"]
)
def test_a_killed_run_resumes_to_the_same_weights(at, undisturbed, tmp_path, monkeypatch):
    data, whole = undisturbed
    argv = tiny_run(data, tmp_path, "--pool_size", 4, "--workers", 1, "--save_minutes", 0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_step(patch, at, die)
        CartoonGAN.main(argv)
    folder = tmp_path / NAME
    CartoonGAN.main([*argv, "--resume"])
    assert same(weights(folder), weights(whole))
    assert rows(folder, without=TIMES) == rows(whole, without=TIMES)
    assert not list(folder.rglob("*.part"))


def test_a_kill_inside_a_long_epoch_loses_what_save_minutes_says(data, tmp_path, monkeypatch):
    """By a clock on which a step takes a minute: killed in its ninth, saved every 5 minutes, it loses 3."""
    steps = at_step(monkeypatch, 9, die)
    clock = types.SimpleNamespace(monotonic=lambda: 60.0 * len(steps))
    monkeypatch.setattr(runs, "time", clock)
    with pytest.raises(Killed):
        CartoonGAN.main(tiny_run(data, tmp_path, "--save_minutes", 5, "--batch_size", 1))
    assert saved_place(tmp_path / "Tiny_2_3_1_results") == (1, 1, 5)


def test_a_run_goes_on_to_more_epochs(finished):
    CartoonGAN.main(["--resume", str(finished), "--train_epoch", "4", "--sample_every", "4"])
    assert places(finished)[-2:] == [(2, 3), (2, 4)]
    assert (finished / "Transfer" / "4_epoch_Tiny_2_3_2_test_1.png").exists()
    assert len(settings(finished)["commands"]) == 2


def test_a_run_goes_on_with_another_kind_of_processor(finished, monkeypatch, capsys):
    """One whose --precision auto is another; the options stay the same."""
    record = settings(finished)
    record["options"]["precision"] = "auto"
    (finished / "settings.json").write_text(json.dumps(record))
    monkeypatch.setattr(utils, "choose_precision", lambda *_: "fp16")
    CartoonGAN.main(["--resume", str(finished), "--train_epoch", "4"])
    assert (
        "changed from phase 2, epoch 4, after step 0 on: precision is fp16, was fp32"
        in capsys.readouterr().err
    )
    assert [change["option"] for change in settings(finished)["changes"]] == ["precision", "train_epoch"]
    assert places(finished)[-1] == (2, 4)


def test_a_finished_run_is_left_as_it_is(finished):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(
        Stopped,
        match=r"already finished \(3 epochs\); train longer",
    ) as told:
        CartoonGAN.main(["--resume", str(finished)])
    assert told.value.status == 0
    with pytest.raises(WrongUse, match="3 epochs of phase two are done, more than --train_epoch 2"):
        CartoonGAN.main(["--resume", str(finished), "--train_epoch", "2"])
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_phase_one_alone_can_go_on_to_phase_two(data, tmp_path):
    folder = train(data, tmp_path, "--pre_train_epoch", 1, "--train_epoch", 0)
    assert not (folder / "Transfer").exists()
    CartoonGAN.main(["--resume", str(folder), "--train_epoch", "1"])
    assert places(folder) == [(1, 1), (2, 1)]


def test_start_from_weights_skips_phase_one(undisturbed, tmp_path):
    data, whole = undisturbed
    start = ["--latest_generator_model", whole / "generator_latest.pth", "--train_epoch", 1, "--tag", "more"]
    start += [
        "--latest_discriminator_model",
        whole / "discriminator_latest.pth",
        "--lrG",
        1e-9,
        "--lrD",
        1e-9,
    ]
    folder = train(data, tmp_path / "more", *start)
    assert folder.name == "Tiny_0_1_2_1e-09_more_results" and places(folder) == [(2, 1)]
    one, two = (weights(where)["generator"]["state_dict"] for where in (folder, whole))
    assert all(torch.allclose(one[key], two[key], atol=1e-6) for key in one)
    with pytest.raises(WrongUse, match="has ngf 4, but --ngf is 8"):
        CartoonGAN.main(tiny_run(data, tmp_path / "other", *start, "--ngf", 8))
    assert not (tmp_path / "other").exists()


def test_changed_data_are_told_and_recorded(data, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_step(patch, 3, die)
        CartoonGAN.main(tiny_run(data, tmp_path, *SHORT, "--save_minutes", 0))
    folder = tmp_path / "Tiny_1_1_2_results"
    then = settings(folder)["data"]
    (data / "src_data/train/0.jpg").unlink()
    moved = (data / "src_data").rename(data / "moved")  # another place is not other data
    capsys.readouterr()
    with pytest.raises(WrongUse, match="src_data is"):
        CartoonGAN.main([*tiny_run(data, tmp_path, *SHORT, "--src_data", moved), "--resume"])
    CartoonGAN.main(["--resume", str(folder), "--src_data", str(moved)])
    prints = [of["photographs"]["fingerprint"] for of in (then, settings(folder)["data"])]
    assert [line for line in capsys.readouterr().err.splitlines() if "changed since" in line] == [
        f"warning: the photographs changed since this run stopped: 6 ({prints[0]}) then, 5 ({prints[1]}) now"
    ]
    assert settings(folder)["data before"] == [then]
    assert "changed since this run stopped" in (folder / "log.txt").read_text()
