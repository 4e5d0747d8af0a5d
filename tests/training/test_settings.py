"""settings.json: all that a result depends on, what a resumed run keeps of before, what is printed of it."""

import json
import subprocess
import types
from pathlib import Path

import pytest
import torch

from support.arguments import PYTHON
from training import options
from training.folders import RunConfig
from training.options import CARTOONGAN
from training.settings import (
    make_settings,
    print_settings,
    program_of,
    read_settings,
    settings_fault,
    write_settings,
)

CPU = torch.device("cpu")
ASKED = types.SimpleNamespace(folder=Path("results/P_results"), method=CARTOONGAN)
DATA = {
    "photographs": {"count": 6, "left out": 0, "fingerprint": "a1"},
    "drawings": {"count": 9, "left out": 1, "fingerprint": "b2"},
}


def settings(*argv, earlier=None, data=DATA, precision="fp32", place=(1, 1, 0)):
    saved = earlier["options"] if earlier else None
    config = RunConfig([*argv], *options.parse(argv, saved), Path("results/P_results"), earlier)
    return make_settings(config, CPU, precision, data, place)


def test_settings_record_all_that_a_result_depends_on(tmp_path):
    write_settings(tmp_path, settings("--name", "Paprika", "--ngf", "16", "--vgg_model", "random"))
    text = (tmp_path / "settings.json").read_text()
    record = json.loads(text)
    assert text.startswith("{\n")
    assert read_settings(tmp_path) == record
    assert record["options"] == {**vars(options.parse([])[0]), "name": "Paprika"} | {
        "ngf": 16,
        "vgg_model": "random",
    }
    assert record["given"] == ["name", "ngf", "vgg_model"]
    assert record["commands"] == [f"{PYTHON} CartoonGAN.py --name Paprika --ngf 16 --vgg_model random"]
    assert record["vgg"] == "random" and record["precision"] == "fp32"
    assert record["data"] == DATA and record["data before"] == []
    assert record["versions"].keys() >= {"python", "torch", "torchvision", "opencv", "numpy"}
    assert record["device"].startswith("cpu")
    assert record.keys() >= {"code", "host", "started", "launcher"}


def test_the_commit_of_the_code_is_recorded_where_git_knows_it(monkeypatch):
    told = {"rev-parse": "1a2b\n"}
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: types.SimpleNamespace(stdout=told[command[3]])
    )
    for told["status"], code in (("", "1a2b"), (" M utils.py\n", "1a2b+changes")):
        assert settings()["code"] == code

    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert settings()["code"] is None


@pytest.mark.parametrize(
    ("argv", "vgg"),
    [("", "torchvision, IMAGENET1K_V1"), ("--con_lambda 0 --pre_train_epoch 0", None)],
)
def test_the_vgg_is_recorded_where_a_loss_looks_through_it(argv, vgg):
    assert settings(*argv.split())["vgg"] == vgg


def test_settings_of_a_resumed_run_keep_what_was_asked_before(capsys):
    before = settings("--name", "P", "--nb", "4") | {"started": "2030-01-02 03:04:05 +0000"}
    record = settings("--resume", "results/P_results", "--workers", "2", earlier=before)
    again = f"{PYTHON} CartoonGAN.py --resume results/P_results --workers 2"
    assert record["commands"] == [*before["commands"], again]
    assert record["options"] == before["options"] | {"workers": 2}
    assert record["given"] == ["name", "nb", "workers"]
    assert record["started"] == before["started"]  # the log has the later starts
    assert record["data before"] == [] and capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("commands", "program"),
    [
        (["python CartoonGAN.py --name P"], ("CartoonGAN.py",)),
        (
            ["python -m survey.cyclegan --name P", ".venv/bin/python -m survey.cyclegan --resume x"],
            ("-m", "survey.cyclegan"),
        ),
        ([], ("CartoonGAN.py",)),
        (None, ("CartoonGAN.py",)),
        ([3], ("CartoonGAN.py",)),
    ],
)
def test_which_program_made_a_run(commands, program):
    assert program_of({"commands": commands}) == program


def test_other_data_than_before_are_told_and_recorded(capsys):
    before = settings("--name", "P")
    now = {"photographs": {"count": 5, "left out": 0, "fingerprint": "c3"}}
    record = settings("--resume", "results/P_results", earlier=before, data=now)
    assert record["data"] == now and record["data before"] == [DATA]
    assert capsys.readouterr().err.splitlines() == [
        "warning: the photographs changed since this run stopped: 6 (a1) then, 5 (c3) now",
        "warning: the drawings changed since this run stopped: 9 (b2) then, none (None) now",
    ]
    assert settings("--resume", "results/P_results", earlier=record, data=now)["data before"] == [DATA]


def test_changed_options_are_said_and_recorded_with_the_place_from_which_they_hold(capsys):
    before = settings("--name", "P", "--precision", "auto")
    assert before["changes"] == []
    more = ["--resume", "results/P_results", "--lrG", "1e-5", "--tv_lambda", "2", "--workers", "1"]
    record = settings(*more, earlier=before, precision="bf16", place=(2, 7, 30))
    where = {"phase": 2, "epoch": 7, "step": 30}
    assert record["changes"] == [
        {"option": "lrG", "from": 2e-4, "to": 1e-5, **where},
        {"option": "tv_lambda", "from": 0, "to": 2.0, **where},
        {"option": "precision", "from": "fp32", "to": "bf16", **where},
    ]
    assert capsys.readouterr().err == (
        "changed from phase 2, epoch 7, after step 30 on: lrG is 1e-05, was 0.0002; tv_lambda is 2.0, was 0; "
        "precision is bf16, was fp32\n"
    )
    again = settings("--resume", "results/P_results", earlier=record, precision="bf16", place=(2, 9, 0))
    assert again["changes"] == record["changes"] and capsys.readouterr().err == ""
    longer = settings(
        "--resume", "results/P_results", "--train_epoch", "400", earlier=again, precision="bf16"
    )
    assert [change["option"] for change in longer["changes"]] == [
        "lrG",
        "tv_lambda",
        "precision",
        "train_epoch",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"given": None}, "its given are no list of texts"),
        ({"commands": ["a", 1]}, "its commands are no list of texts"),
        ({"data": []}, "its data are no record"),
        ({"data": {"photographs": 6}}, "its data are no record"),
        ({"data before": {}}, "its data are no record"),
        ({"changes": {}}, "its changes are no list of records"),
        ({"changes": ["lrG"]}, "its changes are no list of records"),
        ({"options": {"ngf": "64"}}, "ngf cannot be of the kind str"),
    ],
)
def test_what_keeps_a_run_from_going_on(change, told):
    assert settings_fault(settings(), CARTOONGAN) == ""
    assert settings_fault(settings() | change, CARTOONGAN) == told


def test_what_is_printed_of_a_run(capsys):
    print_settings(ASKED, settings("--name", "Paprika", "--ngf", "64", "--nb", "4"), None)
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "run:     results/P_results",
        "options: name Paprika, nb 4",
        "data:    6 photographs, 9 drawings",
    ]
    assert len(said) == 4 and said[3].startswith("device:  cpu, ") and said[3].endswith(", fp32")
    print_settings(ASKED, settings(), (2, 6, 3))
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "options: the defaults" and said[-1] == "resumed: phase 2, epoch 6, after step 3"
