import pytest

from support import arguments
from training import options

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
    "save_minutes": 5,
    "workers": None,
    "resume": None,
    "pair_dir": None,
}


def refusal(capsys, *argv):
    """The one line with which the options are refused."""
    with pytest.raises(SystemExit) as end:
        options.parse_training(argv)
    out, line = capsys.readouterr()
    assert end.value.code == 2
    assert not out and line.startswith("error: ") and line.count("\n") == 1
    return line


def test_defaults():
    args, given = options.parse_training([])
    assert vars(args).items() >= (OLD_NAMES | NEW_NAMES).items()
    assert vars(args).keys() >= {"src_data", "tgt_data", "results_dir", "seed"}
    assert given == []


def test_help_explains_every_option():
    parser = options.training_parser()
    assert all(action.help for action in parser._actions)
    assert all(f"--{name}" in parser.format_help() for name in OLD_NAMES | NEW_NAMES)


def test_argument_files_hold_comments_blank_lines_and_quotes(tmp_path):
    file = tmp_path / "experiment.txt"
    file.write_text(
        '# it\'s the "haze" set\n\n--name "two words"  # why\n--ngf 16 --nb=2\n   \n--independent_edges\n'
    )
    args, given = options.parse_training([f"@{file}", "--nb", "3"])
    assert (args.name, args.ngf, args.nb, args.independent_edges) == ("two words", 16, 3, True)
    assert given == ["independent_edges", "name", "nb", "ngf"]


def test_an_open_quote_in_an_argument_file_is_told_with_its_line(tmp_path, capsys):
    (tmp_path / "experiment.txt").write_text('--ngf 16\n--name "Paprika\n')
    assert '--name "Paprika' in refusal(capsys, f"@{tmp_path}/experiment.txt")


def test_given_names_what_was_typed_even_where_it_equals_the_default():
    assert options.parse_training(["--ngf", "64", "--resume"])[1] == ["ngf", "resume"]


def test_saved_settings_take_the_place_of_defaults():
    saved = {"name": "Paprika", "ngf": 16, "resume": None, "train_epoch": 400}
    args, given = options.parse_training(["--resume", "folder", "--train_epoch", "1000"], saved)
    assert (args.name, args.ngf, args.resume, args.train_epoch) == ("Paprika", 16, "folder", 1000)
    assert given == ["resume", "train_epoch"]


@pytest.mark.parametrize(
    "argv",
    [
        "--input_size -64",
        "--input_size 30",
        "--input_size 12",
        "--input_size 64.0",
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
        "--save_minutes -1",
        "--workers -1",
        "--name Paprika/1",
        "--name ..",
        "--name=",
        "--tag a/b",
        "--ngf",
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(argv, capsys):
    argv = argv.split(" ")
    assert f"argument {argv[0].rstrip('=')}: " in refusal(capsys, *argv)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ("--input_sise 64", "unrecognized arguments: --input_sise"),
        ("--input 64", "unrecognized arguments: --input"),
        ("photographs", "unrecognized arguments: photographs"),
        ("@no/such/file.txt", "no/such/file.txt"),
        ("--in_ndc 1", "--in_ndc 1 but --out_ngc 3"),
        ("--pre_train_epoch 0 --train_epoch 0", "nothing to train"),
        ("--con_lambda 0 --adv_lambda 0", "nothing to train"),
        ("--con_lambda 0 --adv_lambda 0 --tv_lambda 1", "nothing to train"),
        ("--con_lambda 0 --adv_lambda 0 --style_lambda 1", "--con_lambda 0 needs --pre_train_epoch 0"),
        ("--con_lambda 0", "--con_lambda 0 needs --pre_train_epoch 0"),
        ("--latest_generator_model g.pth --train_epoch 0", "skips phase one"),
    ],
)
def test_wrong_options_are_told(argv, told, capsys):
    assert told in refusal(capsys, *argv.split())


def test_a_large_whole_number_is_a_number():
    assert options.parse_training(["--pool_size", str(10**400)])[0].pool_size == 10**400


def test_the_command_stops_before_anything_slow(run_cli):
    end = run_cli("CartoonGAN.py", "--batch_size", 0, "--src_data", "no/such/folder")
    assert (end.returncode, end.stdout) == (2, "")
    assert end.stderr.startswith("error: argument --batch_size: '0'") and end.stderr.count("\n") == 1


def test_command_line_can_be_typed_again():
    assert arguments.command_line("CartoonGAN.py", ["--name", "two words"]) == (
        "python CartoonGAN.py --name 'two words'"
    )
