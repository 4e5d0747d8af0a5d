"""What a method's command leaves, and what it refuses."""

import json
import shutil
from unittest import mock

import numpy as np
import pytest
import torch
from helpers import VGG
from PIL import Image

from pictures import images
from support.arguments import PYTHON
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
    assert record["command"].startswith(f"{PYTHON} -m survey.gatys {photo} {drawing}")
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
    command.perform("gatys", args, lambda *_: (torch.zeros(1, 3, 16, 16), {}), vgg, torch.device("cpu"), "")
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


NO_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory"),
    images.cv2.error("Failed to allocate 99 bytes in function 'OutOfMemoryError'"),
    MemoryError(),
)


@pytest.mark.parametrize("error", NO_MEMORY)
@pytest.mark.parametrize("where", ["torch.nn.Module.to", "survey.command.read", "survey.texture.paint"])
def test_no_memory_is_told(pair, tmp_path, monkeypatch, where, error):
    monkeypatch.setattr(where, mock.Mock(side_effect=error))
    with pytest.raises(RunFailed, match="out of memory at --size 32"):
        texture.main([str(pair[1]), f"{tmp_path}/x.png", *QUICK])


def test_other_faults_are_not_hidden(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(texture, "paint", mock.Mock(side_effect=RuntimeError("a fault")))
    with pytest.raises(RuntimeError, match="a fault"):
        texture.main([str(pair[1]), f"{tmp_path}/x.png", *QUICK])


@pytest.mark.parametrize("which", [0, 1])
def test_an_input_is_not_written_over(pair, tmp_path, which):
    files = [shutil.copy(file, tmp_path / f"{name}.jpg") for name, file in zip("ab", pair, strict=True)]
    before = files[which].read_bytes()
    (tmp_path / "link.jpg").symlink_to(files[which])
    for output in (files[which], tmp_path / "link.jpg"):
        with pytest.raises(WrongUse, match=r"would be written over .*: name another file"):
            gatys.main([*map(str, files), str(output), *QUICK])
    assert files[which].read_bytes() == before


def test_pictures_come_and_go_as_they_are(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    picture = command.read(tmp_path / "a.png", 64, "cpu")
    assert picture.shape == (1, 3, 16, 20) and picture.min() >= -1 and picture.max() <= 1
    command.write(tmp_path / "b.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), image)
