import json
from pathlib import Path

import pytest
import torch

from pictures import checkpoints
from training import folders, options
from utils import WrongUse


@pytest.fixture
def earlier(tmp_path):
    """Leave a run folder with its settings.json, as a run with these options does; returns the folder."""

    def leave(*argv):
        argv = ["--name", "Paprika", "--results_dir", str(tmp_path), *argv]
        args, given, folder, _, _ = folders.find(argv)
        folder.mkdir()
        folders.write_settings(folder, settings(args, given, argv))
        return folder

    return leave


def settings(args, given, argv, earlier=None):
    return folders.settings(
        args, given, earlier, argv, torch.device("cpu"), "fp32", {"photographs": {"count": 6}}
    )


def asked(folder, *argv):
    return folders.find(["--name", "Paprika", "--results_dir", str(folder.parent), *argv])


# The folder's name


@pytest.mark.parametrize(
    ("name", "pre", "epochs", "batch", "more", "folder"),
    [
        ("Paprika", 20, 400, 16, "", "Paprika_20_400_16_results"),
        ("HayaoBig", 20, 200, 32, "--lrG 0.0005 --lrD 0.0005", "HayaoBig_20_200_32_0.0005_results"),
        ("Paprika", 15, 200, 32, "--lrG 0.001 --lrD 1e-3", "Paprika_15_200_32_0.001_results"),
        ("HAZE", 30, 2000, 16, "", "HAZE_30_2000_16_results"),
        ("deHaze", 20, 2000, 16, "", "deHaze_20_2000_16_results"),
        ("sword", 20, 400, 16, "", "sword_20_400_16_results"),
        ("Paprika", 20, 400, 16, "--tag res8", "Paprika_20_400_16_res8_results"),
        ("P", 1, 2, 3, "--lrD 1e-5", "P_1_2_3_0.0002-1e-05_results"),
        ("P", 1, 2, 3, "--lrG 1e-5 --lrD 1e-5 --tag a", "P_1_2_3_1e-05_a_results"),
        ("P", 1, 2, 3, "--lrG 0.00020 --pre_lr 1e-3 --ngf 16 --seed 3", "P_1_2_3_results"),
    ],
)
def test_the_name_of_the_folder(name, pre, epochs, batch, more, folder):
    argv = f"--name {name} --pre_train_epoch {pre} --train_epoch {epochs} --batch_size {batch} {more}"
    args, _ = options.parse_training([*argv.split(), "--results_dir", "out"])
    assert folders.run_folder(args) == Path("out", folder)


# New runs and old ones


def test_a_new_run(tmp_path):
    (tmp_path / "Paprika_10_100_8_results").mkdir()
    args, given, folder, earlier, state = asked(tmp_path / "Paprika_10_100_8_results", "--ngf", "16")
    assert (args.ngf, given) == (16, ["name", "ngf", "results_dir"])
    assert folder == tmp_path / "Paprika_10_100_8_results"
    assert earlier is state is None


def test_the_same_run_is_not_done_twice(earlier):
    folder = earlier("--ngf", "16")
    with pytest.raises(WrongUse, match=f"{folder} holds this run already: go on with --resume, or .* --tag"):
        asked(folder, "--ngf", "16", "--workers", "0")


def test_another_run_of_the_same_name_is_not_written_over(earlier):
    folder = earlier("--ngf", "16")
    with pytest.raises(WrongUse, match=r"\(ngf is 64, was 16; upsample is resize, was deconv\): .* --tag"):
        asked(folder, "--upsample", "resize")
    assert (
        asked(folder, "--upsample", "resize", "--tag", "b")[2] == folder.parent / "Paprika_10_100_8_b_results"
    )


@pytest.mark.parametrize("content", ["", "{", "[]", '{"options": 1}', b"\xff\xfe"])
def test_a_folder_with_damaged_settings_is_not_written_over(earlier, content):
    folder = earlier()
    (folder / "settings.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert folders.read_settings(folder) is None
    with pytest.raises(WrongUse, match=r"\(its settings cannot be read\): name this one with --tag"):
        asked(folder)
    with pytest.raises(WrongUse, match=r"no settings.json and no state_latest.pth: nothing to resume"):
        asked(folder, "--resume")


def test_a_folder_of_something_else_is_not_written_over(tmp_path):
    (tmp_path / "Paprika_10_100_8_results").mkdir()
    (tmp_path / "Paprika_10_100_8_results/thesis.tex").touch()
    with pytest.raises(WrongUse, match="its settings cannot be read"):
        asked(tmp_path / "Paprika_10_100_8_results")


@pytest.mark.parametrize("by_name", [True, False])
def test_resume_takes_the_settings_of_the_folder(earlier, by_name):
    folder = earlier("--ngf", "16", "--tag", "b")
    argv = ["--resume", str(folder)]
    if by_name:
        argv = [
            "--name",
            "Paprika",
            "--results_dir",
            str(folder.parent),
            "--ngf",
            "16",
            "--tag",
            "b",
            "--resume",
        ]
    args, _, found, before, state = folders.find(argv)
    assert (args.name, args.ngf, args.tag) == ("Paprika", 16, "b")
    assert found == folder and state is None
    assert before["options"]["ngf"] == 16


def test_resume_may_change_what_leaves_the_method_alone(earlier):
    folder = earlier("--ngf", "16")
    changed = "--train_epoch 1000 --workers 3 --device cpu --sample_every 5"
    args, _, found, _, _ = folders.find(["--resume", str(folder), *changed.split()])
    assert (args.train_epoch, args.workers, args.device, args.sample_every) == (1000, 3, "cpu", 5)
    assert args.ngf == 16 and found == folder


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ("--ngf 32", "ngf is 32, was 16"),
        ("--ngf 64", "ngf is 64, was 16"),
        ("--con_lambda 3 --seed 1", "con_lambda is 3.0, was 10; seed is 1, was 0"),
        ("--vgg_model random", "vgg_model is random, was None"),
        ("--pre_train_epoch 1", "pre_train_epoch is 1, was 10"),
        ("--tag b", "tag is b, was None"),
    ],
)
def test_resume_refuses_other_differences_by_name(earlier, argv, told):
    folder = earlier("--ngf", "16")
    with pytest.raises(WrongUse) as error:
        folders.find(["--resume", str(folder), *argv.split()])
    assert str(error.value) == (
        f"{folder} cannot go on with other settings ({told}): start a new run with --tag"
    )


def test_the_data_of_a_named_run_may_move(earlier):
    folder = earlier("--ngf", "16")
    args, *_ = folders.find(["--resume", str(folder), "--src_data", "elsewhere", "--pair_dir", "pairs"])
    assert (args.src_data, args.pair_dir, args.ngf) == ("elsewhere", "pairs", 16)


def test_resume_by_name_compares_the_defaults_too(earlier):
    folder = earlier("--ngf", "16")
    with pytest.raises(WrongUse, match=r"ngf is 64, was 16"):
        asked(folder, "--resume")


def test_resume_by_name_finds_the_folder_when_the_epochs_were_raised(earlier):
    folder = earlier("--ngf", "16")
    args, _, found, _, _ = asked(folder, "--ngf", "16", "--train_epoch", "1000", "--resume")
    assert found == folder and args.train_epoch == 1000


def test_resume_of_a_folder_may_repeat_an_option_that_needs_another(earlier):
    grey = ["--in_ngc", "1", "--out_ngc", "1", "--in_ndc", "1"]
    folder = earlier(*grey)
    assert folders.find(["--resume", str(folder), "--out_ngc", "1"])[0].in_ndc == 1


def test_resume_without_a_run(tmp_path):
    for argv in (["--resume", str(tmp_path / "none")], ["--results_dir", str(tmp_path), "--resume"]):
        with pytest.raises(WrongUse, match=f"no run to resume in {tmp_path}/.*--resume RUN_FOLDER"):
            folders.find(argv)


def test_the_state_alone_is_enough_to_resume(earlier):
    folder = earlier("--ngf", "16")
    (folder / "settings.json").unlink()
    record = settings(*options.parse_training(["--ngf", "16"]), ["--ngf", "16"])
    checkpoints.save(folder / "state_latest.pth", {"settings": record})
    args, _, _, before, state = folders.find(["--resume", str(folder)])
    assert args.ngf == 16 and before == record and state == {"settings": record}


@pytest.mark.parametrize("content", [{}, [1], {"weight": torch.zeros(1)}])
def test_resume_from_something_else_than_a_state(earlier, content):
    folder = earlier()
    checkpoints.save(folder / "state_latest.pth", content)
    with pytest.raises(WrongUse, match=r"is no state_latest\.pth of this program"):
        folders.find(["--resume", str(folder)])


def test_one_process_a_folder(tmp_path):
    folder = tmp_path / "results/run"
    told = pytest.raises(WrongUse, match=f"{folder} is being written by another run")
    with folders.held(folder), told, folders.held(folder):
        pass
    with folders.held(folder):
        assert list(folder.iterdir()) == []


# What is recorded


def test_settings_record_all_that_a_result_depends_on(earlier):
    folder = earlier("--ngf", "16", "--vgg_model", "random")
    text = (folder / "settings.json").read_text()
    record = json.loads(text)
    assert text.startswith("{\n")
    assert record["options"].keys() == vars(options.parse_training([])[0]).keys()
    assert record["given"] == ["name", "ngf", "results_dir", "vgg_model"]
    assert record["vgg"] == "random" and record["precision"] == "fp32"
    assert record["data"] == {"photographs": {"count": 6}}
    assert record["versions"].keys() >= {"python", "torch", "torchvision", "opencv", "numpy"}
    assert record["device"].startswith("cpu")
    assert record.keys() >= {"code", "host", "started"}
    (command,) = record["commands"]
    assert command.startswith("python CartoonGAN.py --name Paprika ")


def test_settings_of_a_resumed_run_keep_the_earlier_commands(earlier):
    argv = ["--resume", str(earlier())]
    args, given, _, before, _ = folders.find(argv)
    record = settings(args, given, argv, before)
    assert record["commands"] == [*before["commands"], f"python CartoonGAN.py --resume {argv[1]}"]
    assert record["options"] == before["options"]


# The log, the state and the size


def test_the_state_follows_from_the_log_and_the_lock(tmp_path):
    assert folders.state(tmp_path) == ("", "")
    folders.log(tmp_path, "started", "python CartoonGAN.py")
    assert folders.state(tmp_path) == ("killed", "it ended without a word")
    with folders.held(tmp_path):
        assert folders.state(tmp_path) == ("running", "")
    folders.log(tmp_path, "said", "warning: finished: not yet")
    assert folders.state(tmp_path)[0] == "killed"
    folders.log(tmp_path, "failed", "out of\nmemory")
    assert folders.state(tmp_path) == ("failed", "out of memory")
    folders.log(tmp_path, "started", "python CartoonGAN.py --resume")
    assert folders.state(tmp_path)[0] == "killed"
    folders.log(tmp_path, "finished")
    folders.log(tmp_path, "slimmed", "state_latest.pth")
    assert folders.state(tmp_path) == ("finished", "")
    assert [event for _, event, _ in folders.read_log(tmp_path)] == [
        *("started", "said", "failed", "started", "finished", "slimmed")
    ]


def test_a_folder_that_cannot_be_locked_has_a_state_as_well(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no locks here")

    monkeypatch.setattr(folders, "locked", refuse)
    assert folders.state(tmp_path) == ("", "")
    folders.log(tmp_path, "started")
    folders.log(tmp_path, "stopped", "SIGTERM")
    assert folders.state(tmp_path) == ("stopped", "SIGTERM")


def test_only_a_finished_run_can_be_slimmed_and_it_cannot_be_resumed(earlier):
    folder = earlier()
    state = folder / "state_latest.pth"
    with pytest.raises(WrongUse, match="nothing to remove"):
        folders.slim(folder, lambda question: True)
    state.write_bytes(b"12345")
    folders.log(folder, "started")
    with pytest.raises(WrongUse, match="is not finished"):
        folders.slim(folder, lambda question: True)
    folders.log(folder, "finished")
    assert folders.slim(folder, lambda question: False) == 0 and state.exists()
    with folders.held(folder), pytest.raises(WrongUse, match="another run"):
        folders.slim(folder, lambda question: True)
    assert folders.slim(folder, lambda question: True) == 5 and not state.exists()
    with pytest.raises(WrongUse, match="was slimmed"):
        asked(folder, "--resume")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (61.7, "1 min 2 s"), (3599.6, "1 h 0 min"), (90000, "25 h 0 min")]
)
def test_durations(seconds, text):
    assert folders.duration(seconds) == text


def test_the_introduction_tells_what_differs_from_the_defaults(capsys):
    argv = ["--name", "Paprika", "--ngf", "64", "--nb", "4"]
    args, given = options.parse_training(argv)
    folders.introduce(Path("results/P_results"), settings(args, given, argv), (2, 6, 3))
    said = capsys.readouterr().out
    assert "results/P_results" in said and "name Paprika, nb 4\n" in said and "6 photographs" in said
    assert "goes on: phase 2, epoch 6, after step 3\n" in said


def test_options_given_when_the_run_began_stay_given(earlier):
    folder = earlier("--nb", "4")
    args, given, _, record, _ = asked(folder, "--nb", "4", "--resume")
    assert settings(args, given, [], record)["given"] == ["name", "nb", "results_dir"]


def test_an_option_that_did_not_exist_yet_had_its_default():
    asked = {"name": "a", "style_lambda": 0}
    assert folders.differences(asked, {"name": "a"}) == []
    assert folders.differences(asked | {"style_lambda": 2.0}, {"name": "a"}) == ["style_lambda is 2.0, was 0"]
