"""The one-line errors of the commands that make data: wrong arguments and input that cannot be used."""

import films
import numpy as np
import pytest
from PIL import Image

import edge_promoting
from data import frames, haze, pairs
from utils import RunFailed, WrongUse


@pytest.mark.parametrize(
    ("main", "arguments", "error", "message"),
    [
        (frames.main, "no.mp4 out", WrongUse, "no file no.mp4"),
        (frames.main, "text.mp4 out", RunFailed, "cannot read text.mp4 as a film"),
        (frames.main, "dark.mp4 out", RunFailed, "dark.mp4 is left: 1 black, .*out_dark_sheet_1.jpg"),
        (frames.main, "dark.mp4 out --start 60", RunFailed, "no frame that can be read after 60 seconds"),
        (frames.main, "dark.mp4 out --start 5 --end 5", WrongUse, "--start 5 is not before --end 5"),
        (frames.main, "dark.mp4 out --every 2 --cuts", WrongUse, "give one of them"),
        (haze.main, "none out", WrongUse, "no folder none"),
        (haze.main, "text out", WrongUse, "no images in text: looked for "),
        (haze.main, "bad out", RunFailed, "no image in bad can be read"),
        (haze.main, "twice out", WrongUse, "1 pictures in twice differ only in extension"),
        (haze.main, "bad bad/train/hazy", WrongUse, "bad/train/hazy lies in bad: name a folder outside"),
        (haze.main, "bad twice", WrongUse, "twice is not empty: name a new folder"),
        (haze.main, "bad out --beta 2 1", WrongUse, "argument --beta: 2 is more than 1"),
        (pairs.main, "none out", WrongUse, "no folder none"),
        (pairs.main, "twice out", WrongUse, "no pairs in twice: it needs folders hazy and clear or gt"),
        (pairs.main, "alone out", WrongUse, "none of 1 hazy pictures has a clear one with its name"),
        (edge_promoting.main, "none out", WrongUse, "no folder none"),
    ],
)
def test_an_error_says_what_is_wrong(main, arguments, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    films.make(tmp_path / "dark.mp4", np.zeros((48, 64, 3), np.uint8), sound=None)
    for name in ("text.mp4", "text/a.txt", "bad/a.png", "twice/a.png", "twice/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    for name in ("alone/hazy/a.png", "alone/gt/b.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    with pytest.raises(error, match=message):
        main(arguments.split())
