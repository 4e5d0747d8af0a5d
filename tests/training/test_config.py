"""The options of training, what settings.json records, and what resuming accepts of it."""

import functools
import json
from pathlib import Path

import helpers
import pytest
import torch

from support.arguments import PYTHON
from training import config, options
from training.options import CARTOONGAN

DATA = {
    "photographs": {"count": 6, "left out": 0, "fingerprint": "a1"},
    "drawings": {"count": 9, "left out": 1, "fingerprint": "b2"},
}
RESUME = ["--resume", "results/P_results"]
refusal = functools.partial(helpers.refusal, options.parse)


def settings(*argv, earlier=None, data=DATA, precision="fp32", place=(1, 1, 0)):
    parsed = options.parse(argv, earlier["options"] if earlier else None)
    run = config.RunConfig([*argv], *parsed, Path("results/P_results"), earlier, CARTOONGAN)
    return config.make_settings(run, torch.device("cpu"), precision, data, place)


def test_the_options_of_the_public_script_keep_their_names_and_defaults():
    values = "project_name None 3 3 3 1 8 64 32 8 256 100 10 0.0002 0.0002 10 0.5 0.999 None None"
    names = "name vgg_model in_ngc out_ngc in_ndc out_ndc batch_size ngf ndf nb input_size train_epoch "
    names += "pre_train_epoch lrD lrG con_lambda beta1 beta2 "
    names += "latest_generator_model latest_discriminator_model"
    args, given = options.parse([])
    assert [str(vars(args)[name]) for name in names.split()] == values.split() and given == []


def test_a_wrong_value_is_refused_by_the_name_of_its_option():
    wrong = """--input_size 30|--input_size 12|--load_size 0|--batch_size 0|--ngf 1000000|--in_ngc 2
        --train_epoch -1|--lrG 0|--con_lambda -1|--beta1 1|--precision fp8|--seed 18446744073709551616"""
    for argv in wrong.replace("\n        ", "|").split("|"):
        assert f"argument {argv.split()[0]}: " in refusal(*argv.split())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--in_ndc 1", "--in_ndc 1 but --out_ngc 3"),
        ("--load_size 255", "--load_size 255 is smaller than --input_size 256"),
        ("--guide 2 --out_ngc 1 --in_ndc 1", "--in_ngc 3 and --out_ngc 1: predict change and guide"),
        ("--pixel_lambda 1 --in_ngc 1", "--pixel_lambda with --in_ngc 1 and --out_ngc 3"),
        ("--colour_lambda 1 --in_ngc 1", "--colour_lambda needs --in_ngc 3 and --out_ngc 3"),
        ("--pre_train_epoch 0 --train_epoch 0", "nothing to train"),
        ("--con_lambda 0 --adv_lambda 0 --tv_lambda 1", "nothing to train"),
        ("--con_lambda 0 --adv_lambda 0 --style_lambda 1", "--con_lambda 0 needs --pre_train_epoch 0"),
        ("--latest_generator_model g.pth --train_epoch 0", "skips phase one"),
    ],
)
def test_options_that_contradict_each_other_are_refused(argv, message):
    assert message in refusal(*argv.split())


def test_settings_record_all_that_a_result_depends_on(tmp_path):
    config.write_settings(tmp_path, settings("--name", "Paprika", "--ngf", "16", "--vgg_model", "random"))
    record = json.loads((tmp_path / "settings.json").read_text())
    assert config.read_settings(tmp_path) == record
    assert record["options"] == CARTOONGAN.defaults() | {"name": "Paprika", "ngf": 16, "vgg_model": "random"}
    assert record["given"] == ["name", "ngf", "vgg_model"]
    assert record["commands"] == [f"{PYTHON} CartoonGAN.py --name Paprika --ngf 16 --vgg_model random"]
    assert (record["method"], record["vgg"], record["precision"]) == ("CartoonGAN", "random", "fp32")
    assert record["data"] == DATA and record["data before"] == record["changes"] == []
    assert record.keys() >= {"code", "device", "host", "launcher", "started", "versions"}
    assert record["losses"]["tv"] == "total variation, phase two"
    assert settings()["vgg"] == "torchvision, IMAGENET1K_V1"
    assert settings("--con_lambda", "0", "--pre_train_epoch", "0")["vgg"] is None


def test_the_method_of_a_run_and_of_an_older_one_without_its_name():
    for record, name in (
        ({"method": "survey.cut", "commands": ["python CartoonGAN.py"]}, "survey.cut"),
        ({"commands": ["python x.py", "a/python -m survey.cyclegan --resume x"]}, "survey.cyclegan"),
    ):
        assert config.method_name(record) == name


def test_other_data_than_before_are_reported_and_recorded(capsys):
    now = {"photographs": {"count": 5, "left out": 0, "fingerprint": "c3"}}
    record = settings(*RESUME, earlier=settings("--name", "P"), data=now)
    assert record["data"] == now and record["data before"] == [DATA]
    assert capsys.readouterr().err.splitlines() == [
        "warning: the photographs changed since this run stopped: 6 (a1) then, 5 (c3) now",
        "warning: the drawings changed since this run stopped: 9 (b2) then, none now",
    ]
    assert settings(*RESUME, earlier=record, data=now)["data before"] == [DATA]
    assert settings(*RESUME, earlier=record, data=DATA)["data before"] == [DATA, now]


def test_a_resumed_run_adds_its_command_and_the_changed_options(capsys):
    before = settings("--name", "P", "--precision", "auto") | {"started": "2030-01-02 03:04:05 +0000"}
    more = ["--lrG", "1e-5", "--tv_lambda", "2", "--workers", "1"]
    record = settings(*RESUME, *more, earlier=before, precision="bf16", place=(2, 7, 30))
    again = f"{PYTHON} CartoonGAN.py --resume results/P_results --lrG 1e-5 --tv_lambda 2 --workers 1"
    assert record["commands"] == [*before["commands"], again]
    assert record["options"] == before["options"] | {"lrG": 1e-5, "tv_lambda": 2.0, "workers": 1}
    assert record["given"] == ["lrG", "name", "precision", "tv_lambda", "workers"]
    assert (record["started"], record["data before"]) == (before["started"], [])
    where = {"phase": 2, "epoch": 7, "step": 30}
    changes = {item["option"]: item for item in record["changes"]}
    assert changes == {
        "lrG": {"option": "lrG", "from": 2e-4, "to": 1e-5, **where},
        "tv_lambda": {"option": "tv_lambda", "from": 0, "to": 2.0, **where},
        "precision": {"option": "precision", "from": "fp32", "to": "bf16", **where},
    }
    assert " epoch 7, after step 30: tv_lambda is 2.0, was 0; lrG is" in capsys.readouterr().err
    longer = settings(*RESUME, "--train_epoch", "400", earlier=record, precision="bf16")
    assert [change["option"] for change in longer["changes"]] == [*changes, "train_epoch"]
