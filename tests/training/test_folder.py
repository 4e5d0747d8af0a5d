"""Run folders: their names, which run a command line means, what is refused, the lock."""

import functools
from pathlib import Path

import helpers
import pytest
import torch

from pictures import checkpoints
from survey.cyclegan_options import CYCLEGAN
from training import folder as folders
from training import log, options
from training.config import STATE, make_settings, read_settings, write_settings
from training.folder import find_run
from utils import WrongUse

refusal = functools.partial(helpers.refusal, find_run)
FOLDER = "results/Paprika_10_100_8_results"


@pytest.fixture
def base(tmp_path, monkeypatch):
    """Go to a folder with empty picture files; returns the options that all command lines here share."""
    monkeypatch.chdir(tmp_path)
    for part in ("src_data/train", "src_data/test", "tgt_data/train"):
        Path("data", part).mkdir(parents=True)
        for number in range(8):
            Path("data", part, f"{number}.jpg").touch()
    return ["--name", "Paprika"]


@pytest.fixture
def earlier(base):
    """earlier(*options) makes the folder of such a run with its settings.json; returns the folder."""

    def leave(*more):
        config = find_run([*base, *more])
        config.folder.mkdir(parents=True)
        data = {"photographs": {"count": 8}}
        write_settings(config.folder, make_settings(config, torch.device("cpu"), "fp32", data, (1, 1, 0)))
        return config.folder

    return leave


def test_the_name_of_the_folder():
    for argv, name in (
        ("--name HayaoBig --pre_train_epoch 20 --train_epoch 200", "HayaoBig_20_200_8"),
        ("--name P --lrG 0.0005 --lrD 0.0005 --batch_size 32", "P_10_100_32_0.0005"),
        ("--name P --lrD 1e-5 --tag res8", "P_10_100_8_0.0002-1e-05_res8"),
        ("--name P --lrG 0.00020 --pre_lr 1e-3 --ngf 16 --seed 3", "P_10_100_8"),
        ("--name P --latest_generator_model g.pth", "P_0_100_8"),
    ):
        args, _ = options.parse([*argv.split(), "--results_dir", "out"])
        assert folders.run_folder(args) == Path("out", f"{name}_results")


# New runs


def test_a_new_run(base):
    Path(FOLDER).mkdir(parents=True)
    for name in (".settings.json.part", "log.txt"):  # of runs that ended before or at their start
        Path(FOLDER, name).touch()
    config = find_run([*base, "--ngf", "16"])
    assert (config.args.ngf, config.given, config.earlier) == (16, ["name", "ngf"], None)
    assert config.folder == Path(FOLDER)


def test_a_new_run_that_cannot_start_leaves_no_folder(base):
    for argv, message in (
        (["--tag", "t" * 200], "run's name is too long"),
        (["--tgt_data", "nowhere"], "no folder nowhere/train"),
        (["--latest_generator_model", "g.pth"], "no file g.pth: --latest_gen"),
        (["--preview", "--resume"], "leave out --resume"),
    ):
        assert message in refusal(*base, *argv)
    without_drawings = find_run([*base, "--tgt_data", "nowhere", "--adv_lambda", "0"])
    assert not without_drawings.folder.exists() and not Path("results").exists()
    Path("results").touch()
    assert "results is not a folder" in refusal(*base)


def test_no_run_is_overwritten_or_resumed_with_other_settings(earlier, base):
    folder = earlier("--ngf", "16")
    same = refusal(*base, "--ngf", "16", "--workers", "0")
    assert same == f"{folder} already holds this run: add --resume, or name another run with --tag"
    other = refusal(*base, "--upsample", "resize")
    assert "other settings (ngf is 64, was 16; upsample is resize, was deconv): name this one with" in other
    resumed = refusal("--resume", folder, "--ndf", 8, "--con_lambda", 3, "--seed", 1)
    assert resumed.endswith("(ndf is 8, was 32; seed is 1, was 0): start a new run with --tag")
    assert "ngf is 64, was 16" in refusal(*base, "--con_lambda", "3", "--resume")


def test_a_folder_without_readable_settings_is_not_overwritten(earlier, base):
    folder = earlier()
    for content in (b"{", b"[]", b'{"options": 1}', b"\xff\xfe", b"[" * 100_000, None):
        if content is None:
            (folder / "settings.json").rename(folder / "thesis.tex")
        else:
            (folder / "settings.json").write_bytes(content)
        assert read_settings(folder) is None
        assert "(its settings cannot be read): name this one with --tag" in refusal(*base)
        assert "no settings.json and no state_latest.pth" in refusal(*base, "--resume")


# Resuming


def test_resume_takes_the_settings_of_the_folder(earlier, base):
    folder = earlier("--ngf", "16", "--tag", "b")
    by_settings = [*base, "--ngf", "16", "--tag", "b", "--resume"]
    free = ["--train_epoch", "1000", "--workers", "3", "--device", "cpu", "--sample_every", "5"]
    for argv in (by_settings, ["--resume", str(folder)]):
        config = find_run([*argv, *free])
        args = config.args
        assert (args.name, args.ngf, args.tag, config.folder) == ("Paprika", 16, "b", folder)
        assert (args.train_epoch, args.workers, args.device, args.sample_every) == (1000, 3, "cpu", 5)
        assert config.earlier["options"]["ngf"] == 16 and config.earlier["options"]["train_epoch"] == 100
    longer = earlier("--ngf", "16", "--tag", "b", "--train_epoch", "1000")
    assert find_run([*by_settings, "--train_epoch", "1000"]).folder == longer  # not the one of 100 epochs


def test_which_options_may_change_if_the_folder_is_named(earlier, base):
    folder = earlier("--ngf", "16")
    Path("data").rename("away")
    assert "no folder data/src_data/train" in refusal("--resume", folder)
    changed = {"con_lambda": 3.0, "src_data": "away/src_data", "tgt_data": "away/tgt_data"}
    changed |= {"pre_lr": 1e-3, "lr_policy": "linear", "precision": "fp32", "save_minutes": 1.0}
    more = [word for key, value in changed.items() for word in (f"--{key}", str(value))]
    by_name = f"name --resume {folder} to change them, or start a new run"
    assert by_name in refusal(*base, "--ngf", "16", *more, "--resume")
    changed |= {"lrG": 1e-5, "lrD": 3e-5, "batch_size": 4}  # which are part of the folder's name
    more += ["--lrG", "1e-5", "--lrD", "3e-5", "--batch_size", "4"]
    config = find_run(["--resume", str(folder), *more])
    assert {key: vars(config.args)[key] for key in changed} == changed
    assert config.args.ngf == 16 and config.folder == folder


def test_a_weight_that_adds_or_drops_a_network_is_refused(earlier):
    folder = earlier("--adv_lambda", "0")
    assert "would add the discriminator" in refusal("--resume", folder, "--adv_lambda", 1)
    folder = earlier("--pre_train_epoch", "0")
    assert "would drop the VGG19" in refusal("--resume", folder, "--con_lambda", 0)
    longer = ["--resume", str(earlier("--train_epoch", "0")), "--train_epoch", "5"]
    assert find_run(longer).args.train_epoch == 5  # which adds the discriminator


def test_resume_finds_a_run_by_its_name(earlier, base):
    assert "results/none does not exist" in refusal("--resume", "results/none")
    assert f"{FOLDER} does not exist" in refusal(*base, "--resume")
    folder = earlier()
    for name in ("Paprika", "Paprika_10", "results/Paprika", "Paprika_10_100_8_results"):
        assert find_run(["--resume", name]).folder == folder
    second = earlier("--tag", "a")
    assert f"can mean {second}, {folder}: name one of them" in refusal("--resume", "Paprika")


def test_a_run_of_another_program_is_refused_with_the_command_that_resumes_it(earlier, base):
    folder = earlier()
    assert f"CartoonGAN.py --resume {folder}" in refusal("--resume", folder, method=CYCLEGAN)
    write_settings(folder, read_settings(folder) | {"method": "survey.cut"})
    assert f"-m survey.cut --resume {folder}" in refusal("--resume", folder)
    assert "its program is " in refusal(*base)


def test_a_slimmed_run_cannot_be_resumed(earlier):
    folder = earlier()
    log.log_event(folder, "slimmed", "state_latest.pth removed")
    assert "--latest_generator_model" in refusal("--resume", folder)
    (folder / STATE).touch()
    assert find_run(["--resume", str(folder)]).folder == folder


def test_the_state_alone_is_enough_to_resume(earlier):
    folder = earlier("--ngf", "16")
    record = read_settings(folder)
    checkpoints.save(folder / STATE, {"settings": record})
    for content in ("", "{", '{"options": {}}'):
        (folder / "settings.json").write_text(content)
        config = find_run(["--resume", str(folder)])
        assert config.args.ngf == 16 and config.earlier == record
    for content in ({}, [1], {"settings": {"options": 1}}):
        checkpoints.save(folder / STATE, content)
        assert "state_latest.pth of this program" in refusal("--resume", folder)


def test_settings_of_an_earlier_version_may_lack_an_option_or_have_another(earlier, base):
    folder = earlier()
    record = read_settings(folder)
    del record["options"]["pixel_lambda"], record["options"]["guide"], record["method"]
    record["options"]["content_norm"] = False
    write_settings(folder, record)
    config = find_run(["--resume", str(folder)])
    assert config.args.guide == 0 and "content_norm" not in config.args
    assert "guide is 2, was 0" in refusal(*base, "--guide", "2", "--resume")
    record["options"]["content_norm"] = True
    write_settings(folder, record)
    assert "'content_norm' is not an option of this version" in refusal("--resume", folder)


def test_a_restart_by_torchrun_resumes_only_its_own_run(earlier, base, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "this launch")
    folder = earlier()
    assert "already holds this run" in refusal(*base)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert find_run(base).earlier == read_settings(folder)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a later launch")
    assert "already holds this run" in refusal(*base)


# The lock


def test_one_process_per_folder(tmp_path):
    folder = tmp_path / "results/run"
    refused = pytest.raises(WrongUse, match=f"{folder} is in use by another run")
    with folders.lock_run(folder), refused, folders.lock_run(folder):
        pass
    assert not folder.exists()  # as it is empty
    (folder / "Transfer").mkdir(parents=True)
    (folder / "Transfer/.1.png.part").touch()
    with folders.lock_run(folder):
        assert [path.name for path in folder.rglob("*")] == ["Transfer"]
