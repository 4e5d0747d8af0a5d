"""What a method's command leaves, and what it refuses."""

import json

import numpy as np
import pytest
import torch
from helpers import VGG
from PIL import Image

from survey import command, gatys, texture
from utils import RunFailed, WrongUse

QUICK = ["--size", "32", "--steps", "2", "--vgg_model", str(VGG), "--device", "cpu"]


def test_a_picture_and_its_record_are_left_and_told(pair, tmp_path, capsys):
    photo, drawing = map(str, pair)
    words = [photo, drawing, drawing, f"{tmp_path}/new folder/x.png", *QUICK]
    gatys.main(words)
    with Image.open(tmp_path / "new folder/x.png") as made, Image.open(photo) as given:
        assert max(made.size) == 32 and (made.width > made.height) == (given.width > given.height)
    record = json.loads((tmp_path / "new folder/x.json").read_text())
    assert record["method"] == "gatys" and record["device"] == "cpu"
    assert record["command"].startswith(f"python -m survey.gatys {photo} {drawing}")
    assert record["options"]["drawing"] == [drawing, drawing] and record["options"]["steps"] == 2
    assert record["losses"].keys() == {"content", "style", "tv"} and record["seconds"] >= 0
    *_, last = capsys.readouterr().err.splitlines()
    assert f"x.png: {record['seconds']} s; content {record['losses']['content']:.4g}, style" in last


def test_the_seed_and_the_settings_make_the_picture(pair, tmp_path):
    made = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        texture.main([str(pair[1]), f"{tmp_path}/{name}.png", *QUICK, "--seed", str(seed)])
        made[name] = (tmp_path / f"{name}.png").read_bytes()
    assert made["a"] == made["b"] != made["c"]


def test_the_drawing_has_its_own_size(pair, tmp_path, monkeypatch, vgg):
    seen = []
    monkeypatch.setattr(command, "read", lambda file, size, device: seen.append(size) or torch.zeros(1))
    args = gatys.parse([*map(str, pair), f"{tmp_path}/x.png", "--size", "50", "--style_scale", "0.5"])
    command.perform("gatys", args, lambda *_: (torch.zeros(1, 3, 16, 16), {}), vgg, "")
    assert seen == [50, 25]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["no/such.jpg", "{drawing}", "{out}"], "no file no/such.jpg"),
        (["{photo}", "{folder}", "{out}"], "no file {folder}"),
        (["{photo}", "{drawing}", "{folder}/x.txt"], "must end in .png"),
        (["{photo}", "{text}", "{out}"], "cannot read {text}"),
        (["{photo}", "{thin}", "{out}"], "{thin} is 40 x 8 pixels at --size 64: at least 16"),
        (["{photo}", "{drawing}", "{out}", "--vgg_model", "no.pth"], "no file no.pth"),
        (["{photo}", "{drawing}", "{out}", "--device", "abacus"], "--device abacus cannot be used"),
    ],
)
def test_wrong_use_is_one_line(pair, tmp_path, words, told):
    names = {"photo": pair[0], "drawing": pair[1], "out": tmp_path / "x.png", "folder": tmp_path}
    names |= {"text": tmp_path / "text.jpg", "thin": tmp_path / "thin.png"}
    names["text"].write_text("no picture")
    Image.new("RGB", (40, 8)).save(names["thin"])
    more = ["--size", "64", "--steps", "1", "--device", "cpu", "--vgg_model", str(VGG)]
    with pytest.raises(WrongUse) as error:
        gatys.main([*[word.format_map(names) for word in words[:3]], *more, *words[3:]])
    assert told.format_map(names) in str(error.value) and "\n" not in str(error.value)
    assert not names["out"].exists()


def test_no_memory_is_told_and_other_faults_are_not_hidden(pair, tmp_path, vgg):
    args = texture.parse([str(pair[1]), f"{tmp_path}/x.png"])

    def fail(error):
        raise error

    with pytest.raises(RunFailed, match="out of memory at --size 256"):
        command.perform(
            "texture", args, lambda *_: fail(torch.OutOfMemoryError("CUDA out of memory")), vgg, ""
        )
    with pytest.raises(RuntimeError, match="a fault"):
        command.perform("texture", args, lambda *_: fail(RuntimeError("a fault")), vgg, "")


def test_pictures_come_and_go_as_they_are(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    picture = command.read(tmp_path / "a.png", 64, "cpu")
    assert picture.shape == (1, 3, 16, 20) and picture.min() >= -1 and picture.max() <= 1
    command.write(tmp_path / "b.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), image)
