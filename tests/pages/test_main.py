"""`python -m pages`: which folders get pages, the list in the terminal, slimming."""

import shutil
import subprocess
from unittest import mock

import pytest
from helpers import leave_run

from pages.__main__ import main
from training.log import log_event
from utils import WrongUse


def files_in(results):
    """{path: content} of all files in a folder."""
    paths = [path for path in results.rglob("*") if path.is_file()]
    return {str(path.relative_to(results)): path.read_bytes() for path in paths}


def test_nothing_but_pages_is_written(tmp_path):
    leave_run(tmp_path, "One")
    leave_run(tmp_path, "Two")
    (tmp_path / "notes").mkdir()
    before = files_in(tmp_path)
    assert main([str(tmp_path)]) is None
    after = files_in(tmp_path)
    pages = {f"{name}_results/{page}" for name in ("One", "Two") for page in ("index.html", "page.js")}
    assert after.keys() - before.keys() == {"index.html", "runs.js", "plotly.min.js", *pages}
    assert after.items() >= before.items()


def test_one_run_gets_a_page_and_nothing_is_written_beside_it(tmp_path):
    folder = leave_run(tmp_path, "P")
    main([str(folder)])
    assert [path.name for path in tmp_path.iterdir()] == ["P_results"]
    assert (folder / "index.html").exists() and (folder / "plotly.min.js").exists()
    assert 'const PLOTLY = "" +' in (folder / "index.html").read_text()


def test_a_folder_with_only_surveys_gets_its_overview(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/survey.json").write_text("{}")
    assert main([str(tmp_path)]) is None
    assert 'href="one/index.html"' in (tmp_path / "index.html").read_text()
    with pytest.raises(WrongUse, match="no run in"):
        main([str(tmp_path), "--list"])


def test_the_list_in_the_terminal(tmp_path, capsys):
    leave_run(tmp_path, "One", epochs=4)
    leave_run(tmp_path, "画像\x1b[31m")
    before = files_in(tmp_path)
    main([str(tmp_path), "--list"])
    head, *lines = capsys.readouterr().out.splitlines()
    one, other = sorted(lines)  # the newest comes first, and both may have started in the same second
    assert head.split() == ["run", "state", "epoch", "train_epoch", "size"]
    assert one.split()[:6] == ["One", "finished", "4", "of", "4", "4"]
    assert other.startswith("画像?[31m  finished")
    assert head.index("state") == one.index("finished")
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(("answer", "kept"), [("y", False), ("n", True), (EOFError, True)])
def test_slimming_asks_and_removes_only_the_state(tmp_path, monkeypatch, capsys, answer, kept):
    folder = leave_run(tmp_path, "P")
    (folder / "state_latest.pth").write_bytes(bytes(2_500_000))
    names = files_in(tmp_path).keys()
    ask = mock.Mock(side_effect=[answer])
    monkeypatch.setattr("builtins.input", ask)
    main(["--slim", str(folder)])
    assert "2.5 MB" in ask.call_args.args[0]
    assert names - files_in(tmp_path).keys() == (set() if kept else {"P_results/state_latest.pth"})
    assert ("2.5 MB freed" in capsys.readouterr().out) != kept


def test_several_runs_are_slimmed_of_the_named_parts(tmp_path, monkeypatch):
    runs = [leave_run(tmp_path, name, epochs=7) for name in ("One", "Two")]
    for folder in runs:
        (folder / "state_latest.pth").write_bytes(bytes(1000))
        (folder / "events.out.tfevents.1.host").write_bytes(bytes(1000))
    main([str(tmp_path)])
    ask = mock.Mock(return_value="y")
    monkeypatch.setattr("builtins.input", ask)
    main(["--slim", *map(str, runs), "--remove", "samples", "events"])
    assert ask.call_args.args[0].startswith("remove samples, events of 2 runs (")
    for folder in runs:
        assert {path.name.split("_")[0] for path in (folder / "Transfer").iterdir()} == {*"1247"}
        assert (folder / "state_latest.pth").exists() and not list(folder.glob("events.*"))
        assert '["1","2","4","7"]' in (folder / "page.js").read_text()
    with pytest.raises(WrongUse, match="nothing to remove of samples"):
        main(["--slim", *map(str, runs), "--remove", "samples"])


def test_slimming_refuses_an_unfinished_run_and_a_slim_one(tmp_path):
    folder = leave_run(tmp_path, "P")
    with pytest.raises(WrongUse, match="nothing to remove"):
        main(["--slim", str(folder)])
    shutil.rmtree(folder / "Transfer")
    with pytest.raises(WrongUse, match="nothing to remove of samples"):
        main(["--slim", str(folder), "--remove", "samples"])
    (folder / "state_latest.pth").write_bytes(b"state")
    log_event(folder, "stopped")
    with pytest.raises(WrongUse, match="is not finished"):
        main(["--slim", str(folder)])
    assert (folder / "state_latest.pth").exists()


def test_the_commands_as_processes(tmp_path, run_cli):
    """The list loads nothing slow; without a terminal nothing is confirmed; an error is one line."""
    folder = leave_run(tmp_path, "P")
    (folder / "state_latest.pth").write_bytes(b"state")
    done = run_cli("-X", "importtime", "-m", "pages", tmp_path, "--list")
    assert done.returncode == 0 and "finished" in done.stdout
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "training.history" in loaded
    assert not loaded & {"torch", "torchvision", "matplotlib", "jinja2", "plotly"}
    done = run_cli("-m", "pages", "--slim", folder, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "") and "nothing removed" in done.stdout
    done = run_cli("-m", "pages", tmp_path / "none")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "error: no folder" in done.stderr
