"""`python -m pages`: which folders get pages, the list in the terminal, slimming."""

import subprocess

import pytest
from helpers import leave_run

from pages.__main__ import main
from pages.writing import PLOTLY
from training.log import log_event
from utils import WrongUse


def names_in(results):
    return {str(path.relative_to(results)) for path in results.rglob("*")}


def test_only_the_pages_are_written(tmp_path):
    leave_run(tmp_path, "One")
    leave_run(tmp_path, "Two")
    (tmp_path / "notes").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = names_in(tmp_path)
    assert main([str(tmp_path)]) is None
    pages = {f"{name}_results/{page}" for name in ("One", "Two") for page in ("index.html", "page.js")}
    assert names_in(tmp_path) - names == {"index.html", "runs.js", "plotly.min.js", *pages}
    assert all(path.read_bytes() == content for path, content in before.items())


def test_one_run_alone_gets_a_page_and_nothing_is_written_beside_it(tmp_path):
    folder = leave_run(tmp_path, "P")
    main([str(folder)])
    assert [path.name for path in tmp_path.iterdir()] == ["P_results"]
    assert (folder / "index.html").exists() and (folder / PLOTLY).exists()


def test_a_folder_of_surveys_alone_gets_its_overview(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/survey.json").write_text("{}")
    assert main([str(tmp_path)]) is None
    assert 'href="one/index.html"' in (tmp_path / "index.html").read_text()
    with pytest.raises(WrongUse, match="no run in"):
        main([str(tmp_path), "--list"])


def test_the_list_in_the_terminal(tmp_path, capsys):
    leave_run(tmp_path, "One", epochs=4)
    leave_run(tmp_path, "画像\x1b[31m")
    names = names_in(tmp_path)
    main([str(tmp_path), "--list"])
    head, *lines = capsys.readouterr().out.splitlines()
    one, other = sorted(lines)  # the newest comes first, and a second may have passed between the two
    assert head.split() == ["run", "state", "epoch", "train_epoch", "size"]
    assert one.split()[:6] == ["One", "finished", "4", "of", "4", "4"]
    assert other.startswith("画像?[31m  finished")
    assert head.index("state") == one.index("finished")
    assert names_in(tmp_path) == names


@pytest.mark.parametrize(("answer", "kept"), [("y", False), ("n", True), ("", True)])
def test_slimming_asks_and_removes_the_state_alone(tmp_path, monkeypatch, capsys, answer, kept):
    folder = leave_run(tmp_path, "P")
    (folder / "state_latest.pth").write_bytes(bytes(2_500_000))
    names = names_in(tmp_path)
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    main(["--slim", str(folder)])
    assert "2.5 MB" in asked[0]
    gone = set() if kept else {"P_results/state_latest.pth"}
    assert names - names_in(tmp_path) == gone
    assert ("2.5 MB freed" in capsys.readouterr().out) != kept


def test_several_runs_are_slimmed_of_what_is_named(tmp_path, monkeypatch, capsys):
    runs = [leave_run(tmp_path, name, epochs=7) for name in ("One", "Two")]
    for folder in runs:
        (folder / "state_latest.pth").write_bytes(bytes(1000))
        (folder / "events.out.tfevents.1.host").write_bytes(bytes(1000))
    main([str(tmp_path)])
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "y")
    main(["--slim", *map(str, runs), "--remove", "samples", "events"])
    assert asked[0].startswith("remove samples, events of 2 runs (")
    for folder in runs:
        epochs = {int(path.name.split("_")[0]) for path in (folder / "Transfer").iterdir()}
        assert epochs == {1, 2, 4, 7}
        assert (folder / "state_latest.pth").exists() and not list(folder.glob("events.*"))
        assert '["1","2","4","7"]' in (folder / "page.js").read_text()
    with pytest.raises(WrongUse, match="nothing to remove of samples"):
        main(["--slim", *map(str, runs), "--remove", "samples"])


def test_slimming_refuses_a_run_that_may_go_on_and_one_that_is_slim(tmp_path):
    folder = leave_run(tmp_path, "P")
    with pytest.raises(WrongUse, match="nothing to remove"):
        main(["--slim", str(folder)])
    (folder / "state_latest.pth").write_bytes(b"state")
    log_event(folder, "stopped")
    with pytest.raises(WrongUse, match="is not finished"):
        main(["--slim", str(folder)])
    assert (folder / "state_latest.pth").exists()


def test_the_commands_as_processes(tmp_path, run_cli):
    """The list loads nothing slow; without a terminal nobody confirms; a fault is one line."""
    folder = leave_run(tmp_path, "P")
    (folder / "state_latest.pth").write_bytes(b"state")
    done = run_cli("-X", "importtime", "-m", "pages", tmp_path, "--list")
    assert done.returncode == 0 and "finished" in done.stdout
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "training.history" in loaded
    assert not loaded & {"torch", "torchvision", "cv2", "numpy", "PIL", "matplotlib", "jinja2", "plotly"}
    done = run_cli("-m", "pages", "--slim", folder, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "") and "nothing removed" in done.stdout
    done = run_cli("-m", "pages", tmp_path / "none")
    assert (
        done.returncode == 2 and done.stderr.startswith("error: no folder") and done.stderr.count("\n") == 1
    )


def test_wrong_folders_are_told_in_a_line(tmp_path):
    with pytest.raises(WrongUse, match="no folder"):
        main([str(tmp_path / "none")])
    with pytest.raises(WrongUse, match="no run in"):
        main([str(tmp_path)])
