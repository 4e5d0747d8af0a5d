"""Run folders: their names, which run a command line means, what is refused, one process a folder."""

import contextlib
from pathlib import Path

import pytest
import torch

from pictures import checkpoints
from training import folders, log, options
from training.folders import find_run
from training.settings import STATE, make_settings, read_settings, write_settings
from utils import WrongUse


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Go to a folder with data that nobody opens; returns what every command line here has in common."""
    monkeypatch.chdir(tmp_path)
    for part, count in (("src_data/train", 8), ("src_data/test", 1), ("tgt_data/train", 8)):
        folder = tmp_path / "data" / part
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.jpg").touch()
    return ["--name", "Paprika"]


def settings(config):
    return make_settings(config, torch.device("cpu"), "fp32", {"photographs": {"count": 8}}, (1, 1, 0))


@pytest.fixture
def earlier(typed):
    """Leave a run folder with its settings.json, as a run with these options does; returns the folder."""

    def leave(*more):
        config = find_run([*typed, *more])
        config.folder.mkdir(parents=True)
        write_settings(config.folder, settings(config))
        return config.folder

    return leave


# The folder's name


@pytest.mark.parametrize(
    ("name", "pre", "epochs", "batch", "more", "folder"),
    [
        ("Paprika", 20, 400, 16, "", "Paprika_20_400_16_results"),
        ("HayaoBig", 20, 200, 32, "--lrG 0.0005 --lrD 0.0005", "HayaoBig_20_200_32_0.0005_results"),
        ("Paprika", 15, 200, 32, "--lrG 0.001 --lrD 1e-3", "Paprika_15_200_32_0.001_results"),
        ("HAZE", 30, 2000, 16, "", "HAZE_30_2000_16_results"),
        ("Paprika", 20, 400, 16, "--tag res8", "Paprika_20_400_16_res8_results"),
        ("P", 1, 2, 3, "--lrD 1e-5", "P_1_2_3_0.0002-1e-05_results"),
        ("P", 1, 2, 3, "--lrG 1e-5 --lrD 1e-5 --tag a", "P_1_2_3_1e-05_a_results"),
        ("P", 1, 2, 3, "--lrG 0.00020 --pre_lr 1e-3 --ngf 16 --seed 3", "P_1_2_3_results"),
        ("P", 1, 2, 3, "--latest_generator_model g.pth", "P_0_2_3_results"),
    ],
)
def test_the_name_of_the_folder(name, pre, epochs, batch, more, folder):
    argv = f"--name {name} --pre_train_epoch {pre} --train_epoch {epochs} --batch_size {batch} {more}"
    args, _ = options.parse([*argv.split(), "--results_dir", "out"])
    assert folders.run_folder(args) == Path("out", folder)


def test_a_name_too_long_for_the_files_of_the_run(typed):
    with pytest.raises(WrongUse, match=r"the run's name is too long \(Paprika_10_100_8_ttt.*…\): shorten"):
        find_run([*typed, "--tag", "t" * 200])


# New runs and old ones


def test_a_new_run(typed):
    Path("results/Paprika_10_100_8_results").mkdir(parents=True)
    config = find_run([*typed, "--ngf", "16"])
    assert (config.args.ngf, config.given, config.earlier) == (16, ["name", "ngf"], None)
    assert config.folder == Path("results/Paprika_10_100_8_results")


def test_data_that_are_missing_are_told_before_a_folder_is_made(typed):
    with pytest.raises(WrongUse, match="no folder nowhere/train"):
        find_run([*typed, "--tgt_data", "nowhere"])
    config = find_run([*typed, "--tgt_data", "nowhere", "--adv_lambda", "0"])
    assert not config.folder.exists() and not Path("results").exists()


def test_the_same_run_is_not_done_twice(earlier, typed):
    folder = earlier("--ngf", "16")
    with pytest.raises(WrongUse, match=f"{folder} holds this run already: add --resume, or .* --tag"):
        find_run([*typed, "--ngf", "16", "--workers", "0"])


def test_another_run_of_the_same_name_is_not_written_over(earlier, typed):
    folder = earlier("--ngf", "16")
    with pytest.raises(WrongUse, match=r"\(ngf is 64, was 16; upsample is resize, was deconv\): .* --tag"):
        find_run([*typed, "--upsample", "resize"])
    tagged = find_run([*typed, "--upsample", "resize", "--tag", "b"])
    assert tagged.folder == folder.parent / "Paprika_10_100_8_b_results"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"options": 1}', b"\xff\xfe", "[" * 100_000])
def test_a_folder_with_damaged_settings_is_not_written_over(earlier, typed, content):
    folder = earlier()
    (folder / "settings.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_settings(folder) is None
    with pytest.raises(WrongUse, match=r"\(its settings cannot be read\): name this one with --tag"):
        find_run(typed)
    with pytest.raises(WrongUse, match=r"no settings.json and no state_latest.pth: nothing to resume"):
        find_run([*typed, "--resume"])


def test_a_folder_of_something_else_is_not_written_over(typed):
    Path("results/Paprika_10_100_8_results").mkdir(parents=True)
    Path("results/Paprika_10_100_8_results/thesis.tex").touch()
    with pytest.raises(WrongUse, match="its settings cannot be read"):
        find_run(typed)


def test_a_run_that_was_killed_at_its_start_may_begin_again(typed):
    Path("results/Paprika_10_100_8_results").mkdir(parents=True)
    Path("results/Paprika_10_100_8_results/.settings.json.part").touch()
    assert find_run(typed).earlier is None


@pytest.mark.parametrize("file", ["results", "results/Paprika_10_100_8_results"])
def test_a_file_in_the_place_of_a_folder(typed, file):
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).touch()
    with pytest.raises(WrongUse, match=f"{file} is no folder: name another with --results_dir or --name"):
        find_run(typed)


# Going on


@pytest.mark.parametrize("by_name", [True, False])
def test_resume_takes_the_settings_of_the_folder(earlier, typed, by_name):
    folder = earlier("--ngf", "16", "--tag", "b")
    argv = [*typed, "--ngf", "16", "--tag", "b", "--resume"] if by_name else ["--resume", str(folder)]
    config = find_run(argv)
    assert (config.args.name, config.args.ngf, config.args.tag) == ("Paprika", 16, "b")
    assert config.folder == folder
    assert config.earlier["options"]["ngf"] == 16


def test_resume_may_change_what_leaves_the_method_alone(earlier):
    folder = earlier("--ngf", "16")
    changed = "--train_epoch 1000 --workers 3 --device cpu --sample_every 5"
    config = find_run(["--resume", str(folder), *changed.split()])
    args = config.args
    assert (args.train_epoch, args.workers, args.device, args.sample_every) == (1000, 3, "cpu", 5)
    assert args.ngf == 16 and config.folder == folder


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ("--ngf 32", "ngf is 32, was 16"),
        ("--ngf 64", "ngf is 64, was 16"),
        ("--con_lambda 3 --seed 1", "seed is 1, was 0"),
        ("--ndf 8 --seed 1", "ndf is 8, was 32; seed is 1, was 0"),
        ("--adv_lambda 0", "the weights of its losses would drop the discriminator"),
        ("--pre_train_epoch 1", "pre_train_epoch is 1, was 10"),
        ("--tag b", "tag is b, was None"),
    ],
)
def test_resume_refuses_other_differences_by_name(earlier, argv, told):
    folder = earlier("--ngf", "16")
    with pytest.raises(WrongUse) as error:
        find_run(["--resume", str(folder), *argv.split()])
    assert str(error.value) == (
        f"{folder} cannot be resumed with other settings ({told}): start a new run with --tag"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"lrG": 1e-5, "lrD": 3e-5, "pre_lr": 1e-3, "lr_policy": "linear"},
        {"con_lambda": 3.0, "adv_lambda": 2.0, "style_lambda": 1.0, "tv_lambda": 4.0, "colour_lambda": 1.0},
        {"precision": "fp32", "save_minutes": 1.0, "vgg_model": "moved.pth"},
        {"batch_size": 4},
    ],
)
def test_what_helps_a_run_on_may_change_where_its_folder_is_named(earlier, typed, changed):
    folder = earlier("--ngf", "16")
    more = [word for key, value in changed.items() for word in (f"--{key}", str(value))]
    config = find_run(["--resume", str(folder), *more])
    assert {key: vars(config.args)[key] for key in changed} == changed
    assert config.args.ngf == 16 and config.folder == folder
    if not {"lrG", "batch_size"} & changed.keys():  # which are part of the folder's name
        with pytest.raises(WrongUse, match=f"name --resume {folder} to change them, or start a new run"):
            find_run([*typed, "--ngf", "16", *more, "--resume"])
        with pytest.raises(WrongUse, match="holds a run with other settings"):
            find_run([*typed, "--ngf", "16", *more])


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        ("--adv_lambda 0", "--adv_lambda 1", "would build the discriminator"),
        ("--con_lambda 0 --pre_train_epoch 0", "--con_lambda 1", "would build the VGG19"),
        ("--pre_train_epoch 0", "--con_lambda 0", "would drop the VGG19"),
        ("--pre_train_epoch 0", "--con_lambda 0 --style_lambda 1", None),
        ("--adv_lambda 0", "--style_lambda 1", None),
        ("--train_epoch 0", "--train_epoch 5", None),
    ],
)
def test_a_weight_that_builds_or_drops_a_network_is_refused(earlier, first, then, told):
    folder = earlier(*first.split())
    argv = ["--resume", str(folder), *then.split()]
    if not told:
        assert find_run(argv).folder == folder
        return
    with pytest.raises(WrongUse, match=told):
        find_run(argv)


def test_the_data_of_a_named_run_may_move(earlier):
    folder = earlier("--ngf", "16")
    Path("data").rename("away")
    moved = ["--src_data", "away/src_data", "--tgt_data", "away/tgt_data", "--pair_dir", "pairs"]
    args = find_run(["--resume", str(folder), *moved]).args
    assert (args.src_data, args.pair_dir, args.ngf) == ("away/src_data", "pairs", 16)
    with pytest.raises(WrongUse, match="no folder data/src_data/train"):
        find_run(["--resume", str(folder)])


def test_resume_by_name_compares_the_defaults_too(earlier, typed):
    earlier("--ngf", "16")
    with pytest.raises(WrongUse, match=r"ngf is 64, was 16"):
        find_run([*typed, "--resume"])


def test_resume_by_name_finds_the_folder_when_the_epochs_were_raised(earlier, typed):
    folder = earlier("--ngf", "16")
    config = find_run([*typed, "--ngf", "16", "--train_epoch", "1000", "--resume"])
    assert config.folder == folder and config.args.train_epoch == 1000


def test_resume_of_a_folder_may_repeat_an_option_that_needs_another(earlier):
    folder = earlier("--in_ngc", "1", "--out_ngc", "1", "--in_ndc", "1")
    assert find_run(["--resume", str(folder), "--out_ngc", "1"]).args.in_ndc == 1


@pytest.mark.parametrize("argv", [["--resume", "results/none"], ["--resume"]])
def test_resume_without_a_run(typed, argv):
    with pytest.raises(WrongUse, match=r"no run to resume in results/\w+: no such folder"):
        find_run([*typed, *argv])


@pytest.mark.parametrize(
    "named", ["Paprika", "Paprika_10_100_8", "results/Paprika", "Paprika_10_100_8_results"]
)
def test_resume_finds_a_run_by_its_name(earlier, named):
    folder = earlier()
    assert find_run(["--resume", named]).folder == folder


def test_a_name_that_several_runs_have_is_refused(earlier):
    first, second = earlier("--tag", "a"), earlier("--tag", "b")
    with pytest.raises(WrongUse, match=f"--resume Paprika can mean {first}, {second}: name one of them"):
        find_run(["--resume", "Paprika"])


def test_data_one_folder_up_are_suggested(typed):
    with pytest.raises(WrongUse, match=r"no folder src_data/train: did you mean data/src_data\?"):
        find_run([*typed, "--src_data", "src_data"])


def test_a_slimmed_run_cannot_be_resumed(earlier):
    folder = earlier()
    log.log_event(folder, "slimmed", "state_latest.pth removed")
    with pytest.raises(WrongUse, match=r"was slimmed and cannot be resumed: .*--latest_generator_model"):
        find_run(["--resume", str(folder)])
    (folder / STATE).touch()
    assert find_run(["--resume", str(folder)]).folder == folder


def test_the_state_alone_is_enough_to_resume(earlier):
    folder = earlier("--ngf", "16")
    record = read_settings(folder)
    checkpoints.save(folder / STATE, {"settings": record})
    for content in (None, "{", '{"options": {}}'):
        (folder / "settings.json").unlink()
        if content:
            (folder / "settings.json").write_text(content)
        config = find_run(["--resume", str(folder)])
        assert config.args.ngf == 16 and config.earlier == record
        (folder / "settings.json").touch()


@pytest.mark.parametrize("content", [{}, [1], {"weight": torch.zeros(1)}, {"settings": {"options": 1}}])
def test_resume_from_something_else_than_a_state(earlier, content):
    folder = earlier()
    (folder / "settings.json").unlink()
    checkpoints.save(folder / STATE, content)
    with pytest.raises(WrongUse, match=r"is no state_latest\.pth of this program"):
        find_run(["--resume", str(folder)])


@pytest.mark.parametrize("with_state", [True, False])
def test_settings_that_no_run_can_have_are_refused(earlier, with_state):
    folder = earlier()
    record = read_settings(folder)
    record["options"]["ngf"] = -1
    write_settings(folder, record)
    if with_state:
        checkpoints.save(folder / STATE, {"settings": record})
    named = STATE if with_state else "settings.json"
    with pytest.raises(WrongUse, match=f"{named} is damaged: argument --ngf: '-1' .*; start a new run"):
        find_run(["--resume", str(folder)])


def test_an_option_that_did_not_exist_yet_had_its_default():
    config = {"name": "a", "style_lambda": 0}
    assert folders.differences(config, {"name": "a"}, options.CARTOONGAN) == {}
    changed = folders.differences(config | {"style_lambda": 2.0}, {"name": "a"}, options.CARTOONGAN)
    assert changed == {"style_lambda": "style_lambda is 2.0, was 0"}


def test_a_restart_by_torchrun_goes_on_with_its_own_run_alone(earlier, typed, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "this launch")
    folder = earlier()
    with pytest.raises(WrongUse, match="holds this run already"):
        find_run(typed)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    config = find_run(typed)
    assert config.earlier == read_settings(folder)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a later launch")
    with pytest.raises(WrongUse, match="holds this run already"):
        find_run(typed)


# The lock


def test_one_process_a_folder(tmp_path):
    folder = tmp_path / "results/run"
    told = pytest.raises(WrongUse, match=f"{folder} is being written by another run")
    with folders.lock_run(folder), told, folders.lock_run(folder):
        pass
    (folder / "Transfer").mkdir(parents=True)
    (folder / "Transfer/.1.png.part").touch()
    with folders.lock_run(folder):
        assert [path.name for path in folder.rglob("*")] == ["Transfer"]


def test_a_run_that_ends_during_its_start_leaves_no_empty_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt), folders.lock_run(tmp_path / "results/run"):
        raise KeyboardInterrupt
    assert not [*(tmp_path / "results").iterdir()]


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    told = pytest.raises(WrongUse, match=r"cannot make .*/run \(Permission denied\): name another --")
    with told, folders.lock_run(tmp_path / "run"):
        pass


def test_a_restart_waits_for_the_process_of_before(tmp_path, monkeypatch):
    waits = []

    def locked(_, wait):
        waits.append(wait)
        return contextlib.nullcontext(True)

    monkeypatch.setattr(folders, "locked", locked)
    for count in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
        with folders.lock_run(tmp_path):
            pass
    assert waits == [False, True]
