"""`python -m survey`: all methods on a pair, the sheet, the table, the page; and what its README says."""

import json
import re
import shlex
from pathlib import Path

import pytest
from helpers import ROOT, VGG, leave_run
from PIL import Image

from pages import writing
from survey import __main__ as survey
from survey.methods import METHODS
from utils import RunFailed, WrongUse

QUICK = ["--size", "16", "--steps", "1", "--vgg_model", str(VGG), "--device", "cpu"]
FILES = {"photo.png", "drawing.png", "survey.json", "sheet.png", "table.md", "index.html"}


@pytest.fixture
def squares(tmp_path):
    """A photograph and a drawing that are 16 pixels a side after --size 16."""
    for name, colour in (("photo", "teal"), ("drawing", "orange")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{name}.png")
    return [f"{tmp_path}/photo.png", f"{tmp_path}/drawing.png"]


def test_every_method_leaves_its_picture_and_all_are_shown(squares, tmp_path, capsys):
    results = tmp_path / "results"
    leave_run(results, "Hayao")
    writing.write(results)
    assert survey.main([*squares, f"{results}/My survey", *QUICK]) is None
    folder = results / "My survey"
    names = [method.name for method in METHODS]
    assert {path.name for path in folder.iterdir()} == FILES | {
        f"{name}.{ending}" for name in names for ending in ("png", "json")
    }
    record = json.loads((folder / "survey.json").read_text())
    assert [each["name"] for each in record["methods"]] == names and record["size"] == 16
    for each in record["methods"]:
        assert each["failed"] is None and each["losses"] and "--steps 1" in each["command"]
        assert json.loads((folder / f"{each['name']}.json").read_text())["command"] == each["command"]
    page, table = (folder / "index.html").read_text(), (folder / "table.md").read_text()
    for method in METHODS:
        assert f'src="{method.name}.png"' in page and f"![]({method.name}.png)" in table
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width > 1000
    overview = (results / "index.html").read_text()
    assert 'href="My%20survey/index.html"' in overview and 'src="My%20survey/sheet.png"' in overview
    assert 'href="../index.html"' in page
    assert f"open {folder}/index.html" in capsys.readouterr().out


def test_the_others_go_on_when_one_fails(squares, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise ValueError("a fault\nin two lines")

    monkeypatch.setattr("survey.texture.paint", fail)
    (tmp_path / "out").mkdir()
    for ending in ("png", "json"):
        (tmp_path / f"out/texture.{ending}").touch()  # of an earlier run
    with pytest.raises(RunFailed, match=rf"1 of {len(METHODS)} methods failed: texture"):
        survey.main([*squares, f"{tmp_path}/out", *QUICK])
    assert "texture failed: ValueError: a fault\n" in capsys.readouterr().err
    assert not [*(tmp_path / "out").glob("texture.*")] and (tmp_path / "out/gatys.png").exists()
    assert "failed: a fault" in (tmp_path / "out/index.html").read_text()
    assert "| failed |" in (tmp_path / "out/table.md").read_text()


def test_wrong_use_is_told(squares, tmp_path):
    with pytest.raises(WrongUse, match=r"no file no\.jpg"):
        survey.main(["no.jpg", squares[1], f"{tmp_path}/out", *QUICK])
    with pytest.raises(WrongUse, match="is no folder"):
        survey.main([*squares, squares[0], *QUICK])
    with pytest.raises(WrongUse, match=r"photo\.png lies in .*, where pictures are written"):
        survey.main([*squares, str(tmp_path), *QUICK])
    assert not (tmp_path / "out").exists()
    run = leave_run(tmp_path, "Paprika")
    with pytest.raises(WrongUse, match="folder of a training run"):
        survey.main([*squares, str(run), *QUICK])
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("my own")
    with pytest.raises(WrongUse, match="was not written by this program"):
        survey.main([*squares, f"{tmp_path}/site", *QUICK])
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["index.html"]


def test_the_methods_commands_are_those_of_the_readme(monkeypatch, tmp_path, capsys):
    """Its first command as it stands but for size and steps; the others are parsed."""
    readme = (ROOT / "survey/README.md").read_text()
    first, *others = re.findall(r"^python -m survey(\S*) (.+)$", readme, re.M)
    monkeypatch.chdir(ROOT)
    words = shlex.split(first[1])
    words[2] = f"{tmp_path}/out"
    assert first[0] == "" and survey.main([*words, "--size", "32", "--steps", "1", *QUICK[4:]]) is None
    assert "open" in capsys.readouterr().out
    assert {name for name, _ in others} >= {".texture", ".gatys"}
    for name, words in others:
        module = survey.importlib.import_module(f"survey{name}")
        assert module.parse(shlex.split(words))


def test_every_method_is_in_the_readme():
    readme = (ROOT / "survey/README.md").read_text()
    for method in METHODS:
        assert f"| {method.title} | {method.year} | {method.optimises} |" in readme
        assert Path(ROOT / f"survey/{method.words.split()[0]}.py").exists()
