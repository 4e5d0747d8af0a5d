"""`python -m survey`: all methods on a pair, the sheet, the table, the page."""

import json

import pytest
from helpers import VGG, make_run, refusal
from PIL import Image

from survey import __main__ as survey
from survey.__main__ import METHODS
from utils import RunFailed

QUICK = ["--size", "16", "--steps", "1", "--vgg_model", str(VGG), "--device", "cpu"]


@pytest.fixture
def squares(tmp_path):
    """A photograph and a drawing that are 16 pixels a side after --size 16."""
    for name, colour in (("photo", "teal"), ("drawing", "orange")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{name}.png")
    return [f"{tmp_path}/photo.png", f"{tmp_path}/drawing.png"]


def test_every_method_writes_its_picture_and_all_are_shown(squares, tmp_path, capsys):
    folder = tmp_path / "My survey"
    survey.main([*squares, f"{folder}", *QUICK])
    record = json.loads((folder / "survey.json").read_text())
    assert [each["name"] for each in record["methods"]] == [method.name for method in METHODS]
    page, table = (folder / "index.html").read_text(), (folder / "table.md").read_text()
    for each in record["methods"]:
        assert each["failed"] is None and each["losses"] and "--steps 1" in each["command"]
        assert json.loads((folder / f"{each['name']}.json").read_text())["command"] == each["command"]
        assert f'src="{each["name"]}.png"' in page and f"![]({each['name']}.png)" in table
        assert (folder / f"{each['name']}.png").exists()
    assert (folder / "sheet.png").exists()
    assert f"open {folder}/index.html" in capsys.readouterr().out


def test_the_other_methods_run_when_one_fails(squares, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise ValueError("a fault\nin two lines")

    monkeypatch.setattr("survey.texture.paint", fail)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/texture.png").touch()  # of an earlier run
    with pytest.raises(RunFailed, match=rf"1 of {len(METHODS)} methods failed: texture"):
        survey.main([*squares, f"{tmp_path}/out", *QUICK])
    assert "texture failed: ValueError: a fault\n" in capsys.readouterr().err
    assert not [*(tmp_path / "out").glob("texture.*")] and (tmp_path / "out/gatys.png").exists()
    assert "failed: a fault" in (tmp_path / "out/index.html").read_text()


def test_wrong_use_is_reported(squares, tmp_path):
    run = make_run(tmp_path, "Paprika")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("my own")
    for folder, message in (
        (tmp_path, f"photo.png is in {tmp_path}, where pictures are written"),
        (tmp_path / "photo.png", "photo.png is not a folder"),
        (run, "folder of a training run"),
        (tmp_path / "site", "was not written by this program"),
    ):
        assert message in refusal(survey.main, *squares, folder, *QUICK)
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["index.html"]
