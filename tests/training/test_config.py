"""The options of training, what settings.json records, and what resuming accepts of it."""

import json
import re
import subprocess
import types
from pathlib import Path

import pytest
import torch

from support.arguments import PYTHON
from survey.cyclegan_options import CYCLEGAN
from training import config, options
from training.options import CARTOONGAN
from utils import WrongUse

DATA = {
    "photographs": {"count": 6, "left out": 0, "fingerprint": "a1"},
    "drawings": {"count": 9, "left out": 1, "fingerprint": "b2"},
}


def refusal(*argv, method=CARTOONGAN):
    """The one-line error for a command line."""
    with pytest.raises(WrongUse) as error:
        method.parse(argv)
    assert str(error.value).isprintable()
    return str(error.value)


def settings(*argv, earlier=None, data=DATA, precision="fp32", place=(1, 1, 0), method=CARTOONGAN):
    parsed = method.parse(argv, earlier["options"] if earlier else None)
    run = config.RunConfig([*argv], *parsed, Path("results/P_results"), earlier, method)
    return config.make_settings(run, torch.device("cpu"), precision, data, place)


def test_the_options_of_the_public_script_keep_their_names_and_defaults():
    args, given = options.parse([])
    values = "project_name None 3 3 3 1 8 64 32 8 256 100 10 0.0002 0.0002 10 0.5 0.999 None None"
    names = "name vgg_model in_ngc out_ngc in_ndc out_ndc batch_size ngf ndf nb input_size train_epoch "
    names += (
        "pre_train_epoch lrD lrG con_lambda beta1 beta2 latest_generator_model latest_discriminator_model"
    )
    assert [str(vars(args)[name]) for name in names.split()] == values.split()
    assert given == []


@pytest.mark.parametrize("method", [CARTOONGAN, CYCLEGAN])
def test_help_explains_every_option_and_its_default(method, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    text = method.parser().format_help()
    for name, default in method.defaults().items():
        line = re.search(rf"^  --{name}\b.*?(?: {{2,}}|\n {{10,}})(\w.*)", text, re.MULTILINE)
        shown = isinstance(default, bool) or default is None or line[1].endswith(f"({default})")
        assert line and shown, name


def test_given_names_what_was_typed_even_if_it_equals_the_default(tmp_path):
    assert options.parse(["--ngf", "64", "--resume"])[1] == ["ngf", "resume"]
    (tmp_path / "experiment.txt").write_text("--ngf 64\n--independent_edges\n")
    assert options.parse([f"@{tmp_path}/experiment.txt", "--nb=3"])[1] == ["independent_edges", "nb", "ngf"]


def test_saved_settings_replace_the_defaults():
    saved = {"name": "Paprika", "ngf": 16, "resume": None, "train_epoch": 400}
    args, given = options.parse(["--resume", "folder", "--train_epoch", "1000"], saved)
    assert (args.name, args.ngf, args.resume, args.train_epoch) == ("Paprika", 16, "folder", 1000)
    assert given == ["resume", "train_epoch"]


@pytest.mark.parametrize(
    "argv",
    """--input_size 30|--input_size 12|--input_size 64.0|--load_size 0|--batch_size 0|--ngf 1000000|--ndf -32
    --nb -1|--in_ngc 2|--out_ndc 0|--norm batch|--train_epoch -1|--pre_train_epoch ten|--lrG 0|--lrD nan
    --pre_lr inf|--con_lambda -1|--adv_lambda inf|--beta1 1|--beta2 -0.5|--pool_size -1|--precision fp8
    --seed 18446744073709551616|--sample_every 0|--workers -1|--name Paprika/1|--name ..|--name=|--tag a/b
    --ngf""".replace("\n    ", "|").split("|"),
)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(argv):
    argv = argv.split(" ")
    assert f"argument {argv[0].rstrip('=')}: " in refusal(*argv)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--input_sise 64", "unrecognized arguments: --input_sise"),
        ("--input 64", "unrecognized arguments: --input"),
        ("photographs", "unrecognized arguments: photographs"),
        ("--content_norm", "unrecognized arguments: --content_norm"),
        ("--in_ndc 1", "--in_ndc 1 but --out_ngc 3"),
        ("--load_size 255", "--load_size 255 is smaller than --input_size 256"),
        ("--predict change --in_ngc 1", "--in_ngc 1 and --out_ngc 3: predict change"),
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


def test_options_are_checked_together_with_those_of_the_resumed_folder():
    """Options that contradict the defaults may agree with the saved ones."""
    argv = ["--resume", "folder", "--out_ngc", "1"]
    assert options.parse(argv)[0].out_ngc == 1
    assert options.parse(argv, {"in_ndc": 1})[0].in_ndc == 1
    with pytest.raises(WrongUse, match="--in_ndc 3 but --out_ngc 1"):
        options.parse(argv, {"in_ndc": 3})
    assert "--in_ndc 3 but --out_ngc 1" in refusal("--resume", "--out_ngc", "1")


@pytest.mark.parametrize(
    ("text", "discriminator", "vgg", "drawings"),
    [
        ("--batch_size 5", True, True, 5),
        ("--adv_lambda 0", False, True, 0),
        ("--adv_lambda 0 --style_lambda 1", False, True, 1),
        ("--train_epoch 0 --style_lambda 1", False, True, 0),
        ("--con_lambda 0 --pre_train_epoch 0", True, False, 8),
    ],
)
def test_what_a_run_needs(text, discriminator, vgg, drawings):
    args, _ = options.parse(text.split())
    assert (options.has_discriminator(args), options.needs_vgg(args)) == (discriminator, vgg)
    assert options.fewest_drawings(args) == drawings


# settings.json


def test_settings_record_all_that_a_result_depends_on(tmp_path):
    config.write_settings(tmp_path, settings("--name", "Paprika", "--ngf", "16", "--vgg_model", "random"))
    record = json.loads((tmp_path / "settings.json").read_text())
    assert config.read_settings(tmp_path) == record
    own = {"name": "Paprika", "ngf": 16, "vgg_model": "random"}
    assert record["options"] == CARTOONGAN.defaults() | own
    assert record["given"] == ["name", "ngf", "vgg_model"]
    assert record["commands"] == [f"{PYTHON} CartoonGAN.py --name Paprika --ngf 16 --vgg_model random"]
    assert (record["method"], record["vgg"], record["precision"]) == ("CartoonGAN", "random", "fp32")
    assert record["data"] == DATA and record["data before"] == [] and record["changes"] == []
    assert record["versions"].keys() >= {"python", "torch", "torchvision", "opencv", "numpy"}
    assert record["device"].startswith("cpu")
    assert record.keys() >= {"code", "host", "started", "launcher"}
    assert record["losses"]["tv"] == "total variation, phase two"
    assert settings()["vgg"] == "torchvision, IMAGENET1K_V1"
    assert settings("--con_lambda", "0", "--pre_train_epoch", "0")["vgg"] is None


def test_another_method_is_recorded_by_its_name():
    record = settings("--name", "P", method=CYCLEGAN)
    assert (record["method"], record["vgg"]) == ("survey.cyclegan", None)
    assert record["commands"] == [f"{PYTHON} -m survey.cyclegan --name P"]
    assert record["losses"].keys() == {"cycle", "idt"}


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"method": "survey.cut", "commands": ["python CartoonGAN.py"]}, "survey.cut"),
        ({"commands": ["python CartoonGAN.py --name P"]}, "CartoonGAN"),
        (
            {"commands": ["python x.py", "a/python -m survey.cyclegan --resume x"]},
            "survey.cyclegan",
        ),
        ({"commands": ["python -m"]}, "CartoonGAN"),
        ({"commands": None}, "CartoonGAN"),
        ({"commands": [3], "method": 3}, "CartoonGAN"),
        ({}, "CartoonGAN"),
    ],
)
def test_the_method_of_a_run_and_of_an_older_one_without_its_name(record, name):
    assert config.method_name(record) == name


def test_the_commit_of_the_code_is_recorded_if_git_knows_it(monkeypatch):
    output = {"rev-parse": "1a2b\n"}
    git = lambda command, **_: types.SimpleNamespace(stdout=output[command[3]])
    monkeypatch.setattr(subprocess, "run", git)
    for output["status"], code in (("", "1a2b"), (" M utils.py\n", "1a2b+changes")):
        assert settings()["code"] == code

    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert settings()["code"] is None


def test_a_resumed_run_keeps_what_was_recorded_before(capsys):
    before = settings("--name", "P", "--nb", "4") | {"started": "2030-01-02 03:04:05 +0000"}
    record = settings("--resume", "results/P_results", "--workers", "2", earlier=before)
    again = f"{PYTHON} CartoonGAN.py --resume results/P_results --workers 2"
    assert record["commands"] == [*before["commands"], again]
    assert record["options"] == before["options"] | {"workers": 2}
    assert record["given"] == ["name", "nb", "workers"]
    assert record["started"] == before["started"]
    assert record["data before"] == [] and capsys.readouterr() == ("", "")


def test_other_data_than_before_are_reported_and_recorded(capsys):
    before = settings("--name", "P")
    now = {"photographs": {"count": 5, "left out": 0, "fingerprint": "c3"}}
    record = settings("--resume", "results/P_results", earlier=before, data=now)
    assert record["data"] == now and record["data before"] == [DATA]
    assert capsys.readouterr().err.splitlines() == [
        "warning: the photographs changed since this run stopped: 6 (a1) then, 5 (c3) now",
        "warning: the drawings changed since this run stopped: 9 (b2) then, none (None) now",
    ]
    assert settings("--resume", "results/P_results", earlier=record, data=now)["data before"] == [DATA]
    third = settings("--resume", "results/P_results", earlier=record, data=DATA)
    assert third["data before"] == [DATA, now]


def test_changed_options_are_reported_and_recorded_with_the_place_of_the_change(capsys):
    before = settings("--name", "P", "--precision", "auto")
    more = ["--resume", "results/P_results", "--lrG", "1e-5", "--tv_lambda", "2", "--workers", "1"]
    record = settings(*more, earlier=before, precision="bf16", place=(2, 7, 30))
    changes = {item["option"]: item for item in record["changes"]}
    where = {"phase": 2, "epoch": 7, "step": 30}
    assert changes == {
        "lrG": {"option": "lrG", "from": 2e-4, "to": 1e-5, **where},
        "tv_lambda": {"option": "tv_lambda", "from": 0, "to": 2.0, **where},
        "precision": {"option": "precision", "from": "fp32", "to": "bf16", **where},
    }
    message = capsys.readouterr().err
    assert message.startswith("changed from phase 2, epoch 7, after step 30 on: ")
    for text in ("lrG is 1e-05, was 0.0002", "tv_lambda is 2.0, was 0", "precision is bf16, was fp32"):
        assert text in message
    again = settings("--resume", "results/P_results", earlier=record, precision="bf16", place=(2, 9, 0))
    assert again["changes"] == record["changes"] and capsys.readouterr().err == ""
    more = ["--resume", "results/P_results", "--train_epoch", "400"]
    longer = settings(*more, earlier=again, precision="bf16")
    assert [change["option"] for change in longer["changes"]] == [*changes, "train_epoch"]


@pytest.mark.parametrize(
    ("saved", "fault"),
    [
        ({"ngff": 64}, "'ngff' is not an option"),
        ({"x" * 100: 64}, f"'{'x' * 40}' is not an option"),
        ({"ngf": -1}, "argument --ngf: '-1'"),
        ({"ngf": True}, "argument --ngf: 'True'"),
        ({"ngf": "64"}, "ngf cannot be of the type str"),
        ({"name": "../a"}, "argument --name: '../a'"),
        ({"lrG": [1]}, "argument --lrG: '[1]'"),
        ({"independent_edges": "yes"}, "argument --independent_edges/--no-independent_edges: "),
        ({"gan_mode": {"a": 1}}, "argument --gan_mode: "),
        ({"content_norm": True}, "'content_norm' is not an option of this version"),
        ({"seed": 3, "independent_edges": True, "pre_lr": 1.0, "tag": None, "content_norm": False}, ""),
    ],
)
def test_options_in_a_file_are_checked_as_if_typed(saved, fault):
    assert fault in options.fault(saved) and bool(fault) == bool(options.fault(saved))
    assert config.settings_fault(settings() | {"options": saved}, CARTOONGAN) == options.fault(saved)


def test_an_option_that_was_removed_is_not_recorded_again():
    before = settings("--name", "P")
    before["options"]["content_norm"] = False
    assert "content_norm" not in settings("--resume", "results/P_results", earlier=before)["options"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"given": None}, "its given are not a list of texts"),
        ({"commands": ["a", 1]}, "its commands are not a list of texts"),
        ({"data": []}, "its data are not a record"),
        ({"data": {"photographs": 6}}, "its data are not a record"),
        ({"data before": {}}, "its data before are not a list of records"),
        ({"changes": {}}, "its changes are not a list of records"),
        ({"changes": ["lrG"]}, "its changes are not a list of records"),
    ],
)
def test_settings_that_cannot_be_resumed(change, fault):
    assert config.settings_fault(settings() | change, CARTOONGAN) == fault


def test_what_is_printed_of_a_run(capsys):
    run = types.SimpleNamespace(folder=Path("results/P_results"), method=CARTOONGAN)
    config.print_settings(run, settings("--name", "Paprika", "--ngf", "64", "--nb", "4"), None)
    config.print_settings(run, settings(), (2, 6, 3))
    lines = capsys.readouterr().out.splitlines()
    assert "".join(lines[3]).startswith("device:  cpu, ") and lines[3].endswith(", fp32")
    assert lines[:3] + lines[5:6] + lines[8:] == [
        "run:     results/P_results",
        "options: name Paprika, nb 4",
        "data:    6 photographs, 9 drawings",
        "options: the defaults",
        "resumed: phase 2, epoch 6, after step 3",
    ]
