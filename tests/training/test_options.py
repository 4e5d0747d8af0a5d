"""The options of training: the old names and defaults, what is refused and how, what a file may hold."""

import re

import pytest

from training import options
from utils import WrongUse

OLD_NAMES = {
    "name": "project_name",
    "vgg_model": None,
    "in_ngc": 3,
    "out_ngc": 3,
    "in_ndc": 3,
    "out_ndc": 1,
    "batch_size": 8,
    "ngf": 64,
    "ndf": 32,
    "nb": 8,
    "input_size": 256,
    "train_epoch": 100,
    "pre_train_epoch": 10,
    "lrD": 2e-4,
    "lrG": 2e-4,
    "con_lambda": 10,
    "beta1": 0.5,
    "beta2": 0.999,
    "latest_generator_model": None,
    "latest_discriminator_model": None,
}
NEW_NAMES = {
    "adv_lambda": 1,
    "style_lambda": 0,
    "tv_lambda": 0,
    "upsample": "deconv",
    "res_convs": 2,
    "norm": "instance",
    "predict": "image",
    "conv_bias": "learned",
    "norm_init": "one",
    "gan_mode": "bce",
    "lr_policy": "step",
    "pre_lr": None,
    "pool_size": 0,
    "independent_edges": False,
    "resize": "crop",
    "precision": "auto",
    "device": "auto",
    "tag": None,
    "sample_every": 1,
    "sample_format": "png",
    "sample_keep": None,
    "checkpoint_every": None,
    "eval_every": 0,
    "save_minutes": 5,
    "workers": None,
    "resume": None,
    "pair_dir": None,
    "results_dir": "results",
    "seed": 0,
    "src_data": "data/src_data",
    "tgt_data": "data/tgt_data",
}


def refusal(*argv):
    """The one line with which the options are refused."""
    with pytest.raises(WrongUse) as error:
        options.parse(argv)
    assert str(error.value).isprintable()
    return str(error.value)


def test_defaults():
    args, given = options.parse([])
    # An option that was added since is welcome; one whose default changed is not.
    assert vars(args).items() >= (OLD_NAMES | NEW_NAMES).items()
    assert given == []


def test_help_explains_every_option(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = options.training_parser().format_help()
    for name in vars(options.parse([])[0]):
        assert re.search(rf"^  --{name}\b.*?(?: {{2,}}|\n {{10,}})\w", text, re.MULTILINE), name


def test_given_names_what_was_typed_even_where_it_equals_the_default(tmp_path):
    assert options.parse(["--ngf", "64", "--resume"])[1] == ["ngf", "resume"]
    (tmp_path / "experiment.txt").write_text("--ngf 64\n--independent_edges\n")
    assert options.parse([f"@{tmp_path}/experiment.txt", "--nb=3"])[1] == ["independent_edges", "nb", "ngf"]


def test_saved_settings_take_the_place_of_defaults():
    saved = {"name": "Paprika", "ngf": 16, "resume": None, "train_epoch": 400}
    args, given = options.parse(["--resume", "folder", "--train_epoch", "1000"], saved)
    assert (args.name, args.ngf, args.resume, args.train_epoch) == ("Paprika", 16, "folder", 1000)
    assert given == ["resume", "train_epoch"]


@pytest.mark.parametrize(
    "argv",
    [
        "--input_size -64",
        "--input_size 30",
        "--input_size 12",
        "--input_size 64.0",
        "--load_size 0",
        "--batch_size 0",
        "--batch_size -1",
        "--ngf 0",
        f"--ngf {10**6}",
        f"--nb {10**9}",
        f"--input_size {2**40}",
        f"--workers {2**40}",
        "--ndf -32",
        "--nb -1",
        "--in_ngc 2",
        "--out_ndc 0",
        "--res_convs 4",
        "--upsample bilinear",
        "--norm batch",
        "--predict nothing",
        "--conv_bias 0",
        "--norm_init zero",
        "--gan_mode wgan",
        "--resize pad",
        "--train_epoch -1",
        "--pre_train_epoch ten",
        "--lrG 0",
        "--lrG -0.1",
        "--lrD nan",
        "--pre_lr inf",
        "--con_lambda -1",
        "--con_lambda nan",
        "--adv_lambda inf",
        "--style_lambda -1",
        "--tv_lambda nan",
        "--beta1 1",
        "--beta2 -0.5",
        "--pool_size -1",
        "--precision fp8",
        "--lr_policy cosine",
        "--seed -1",
        f"--seed {2**64}",
        f"--nb -{10**400}",
        "--sample_every 0",
        "--sample_format gif",
        "--checkpoint_every 0",
        "--eval_every -1",
        "--save_minutes -1",
        "--workers -1",
        "--name Paprika/1",
        "--name ..",
        "--name=",
        "--tag a/b",
        "--ngf",
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(argv):
    argv = argv.split(" ")
    assert f"argument {argv[0].rstrip('=')}: " in refusal(*argv)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ("--input_sise 64", "unrecognized arguments: --input_sise"),
        ("--input 64", "unrecognized arguments: --input"),
        ("photographs", "unrecognized arguments: photographs"),
        ("@no/such/file.txt", "no/such/file.txt"),
        ("--in_ndc 1", "--in_ndc 1 but --out_ngc 3"),
        ("--load_size 255", "--load_size 255 but --input_size 256: at least that needed"),
        ("--predict change --in_ngc 1", "--predict change with --in_ngc 1 and --out_ngc 3"),
        ("--pre_train_epoch 0 --train_epoch 0", "nothing to train"),
        ("--con_lambda 0 --adv_lambda 0", "nothing to train"),
        ("--con_lambda 0 --adv_lambda 0 --tv_lambda 1", "nothing to train"),
        ("--con_lambda 0 --adv_lambda 0 --style_lambda 1", "--con_lambda 0 needs --pre_train_epoch 0"),
        ("--con_lambda 0", "--con_lambda 0 needs --pre_train_epoch 0"),
        ("--latest_generator_model g.pth --train_epoch 0", "skips phase one"),
    ],
)
def test_wrong_options_are_told(argv, told):
    assert told in refusal(*argv.split())


def test_options_are_checked_against_those_of_the_folder_that_is_resumed():
    """What alone makes no sense may do so with the saved options."""
    argv = ["--resume", "folder", "--out_ngc", "1"]
    assert options.parse(argv)[0].out_ngc == 1
    assert options.parse(argv, {"in_ndc": 1})[0].in_ndc == 1
    with pytest.raises(WrongUse, match="--in_ndc 3 but --out_ngc 1"):
        options.parse(argv, {"in_ndc": 3})
    assert "--in_ndc 3 but --out_ngc 1" in refusal("--resume", "--out_ngc", "1")


def test_a_large_whole_number_is_a_number():
    assert options.parse(["--pool_size", str(10**400)])[0].pool_size == 10**400


@pytest.mark.parametrize(
    ("text", "discriminator", "drawings"),
    [
        ("", True, True),
        ("--adv_lambda 0", False, False),
        ("--adv_lambda 0 --style_lambda 1", False, True),
        ("--train_epoch 0 --style_lambda 1", False, False),
    ],
)
def test_what_a_run_needs(text, discriminator, drawings):
    args, _ = options.parse(text.split())
    assert (options.has_discriminator(args), options.fewest_drawings(args) > 0) == (discriminator, drawings)


@pytest.mark.parametrize("argv", ["", "--seed 3 --independent_edges --lrG 1e-3 --tag a --pre_lr 1"])
def test_options_of_a_run_are_no_fault(argv):
    assert options.fault(vars(options.parse(argv.split())[0])) == ""
    assert options.fault({}) == ""


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        ({"ngff": 64}, "'ngff' is no option of this program"),
        ({"x" * 100: 64}, f"'{'x' * 40}' is no option of this program"),
        ({"ngf": -1}, "argument --ngf: '-1'"),
        ({"ngf": True}, "argument --ngf: 'True'"),
        ({"ngf": "64"}, "ngf cannot be of the kind str"),
        ({"name": 7}, "name cannot be of the kind int"),
        ({"name": "../a"}, "argument --name: '../a'"),
        ({"lrG": [1]}, "argument --lrG: '[1]'"),
        ({"independent_edges": "yes"}, "argument --independent_edges/--no-independent_edges: "),
        ({"gan_mode": {"a": 1}}, "argument --gan_mode: "),
    ],
)
def test_a_fault_in_saved_options_is_told(saved, told):
    assert told in options.fault(saved)
