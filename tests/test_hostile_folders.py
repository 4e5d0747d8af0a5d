"""Run folders that were damaged by hand, and names that could lead out of the folders, in all commands."""

import json
import re

import pytest
from helpers import TINY, contents, make_data, refusal

import CartoonGAN
from pages import __main__ as pages
from pictures import checkpoints
from training import history
from training.options import CARTOONGAN

EDITS = [({"batch_size": value}, {}, "batch_size") for value in (-3, True, [8], "8")]
EDITS += [({"a\nb": 1}, {}, r"'a\nb' is not an option"), ({}, {"given": None}, "its field 'given' is not")]
EDITS += [({}, {"data": {"a": 6}}, "field 'data' is"), ({}, {"changes": ["lrG"]}, "field 'changes' is")]


@pytest.mark.parametrize(("options", "others", "message"), EDITS)
def test_settings_that_were_edited_are_refused_and_left_alone(tmp_path, options, others, message):
    folder = tmp_path / "P_10_100_8_results"
    folder.mkdir()
    options = CARTOONGAN.defaults() | {"name": "P"} | options
    record = {"options": options, "given": [], "commands": ["a"]} | others
    text = json.dumps(record)
    (folder / "settings.json").write_text(text)
    line = refusal(CartoonGAN.main, "--resume", folder)
    assert message in line and str(folder) in line
    assert "cannot be read" in refusal(CartoonGAN.main, "--name", "P", "--results_dir", tmp_path)
    checkpoints.save(folder / "state_latest.pth", {"settings": record})
    assert str(folder) in refusal(CartoonGAN.main, "--resume", folder)
    assert (folder / "settings.json").read_text() == text and len(list(folder.iterdir())) == 2


def test_cells_that_are_not_numbers_are_ignored(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("phase,epoch,kid_drawings,content\n1,1,what,1e300\n2,1,nan,x\n2,2,-inf,x\n2,3,0.5,x\n")
    history.cut(path, 3, 1)
    assert history.best(history.read(path)).epoch == 3 and len(history.read(path)) == 4
    history.plot_losses(tmp_path)


@pytest.mark.parametrize("which", ["--name", "--tag"])
def test_a_name_that_no_folder_should_have_is_refused(tmp_path, monkeypatch, which):
    monkeypatch.chdir(tmp_path)
    for name in ("..", ".a", "a/b", "/a", "a\nb", "a\0b", "\x1b[2Ja", "\udcff", "", "x" * 201, "é" * 120):
        refusal(CartoonGAN.main, f"{which}={name}")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_or_removed_outside_the_folders_of_the_results(tmp_path, monkeypatch):
    home, name = tmp_path / "above/home", "<b>$(touch x);`touch x`'\"*?[b]"
    make_data(home / "data")
    (home / "results").mkdir()
    for kept in ("above/state_latest.pth", "above/index.html", "above/home/results/notes.txt"):
        (tmp_path / kept).write_text("keep")
    before = contents(tmp_path)
    monkeypatch.chdir(home)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    argv = f"{TINY} --batch_size 3 --workers 0 --pre_train_epoch 1 --sample_every 2".split()
    argv += [f"--name={name}", "--tag=\\..\\画%2e"]
    CartoonGAN.main([*argv, "--train_epoch=1"])
    CartoonGAN.main([*argv, "--resume", "--train_epoch=2"])
    pages.main(["results"])
    (run,) = (path for path in (home / "results").iterdir() if path.is_dir())
    pages.main([f"--slim={run}"])
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    allowed = rf"results/{re.escape(run.name)}/.*|results/(index\.html|runs\.js|plotly\.min\.js)"
    allowed += r"|data/tgt_data/pair/.*"
    new = [path.removeprefix("above/home/") for path in after.keys() - before.keys()]
    assert [path for path in new if not re.fullmatch(allowed, path)] == []
