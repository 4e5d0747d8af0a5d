"""The command of a method of one picture: what it writes and what it refuses; the smallest pictures."""

import importlib
import json
import shutil

import numpy as np
import pytest
import torch
from helpers import GPU, VGG, refusal
from PIL import Image

from support.arguments import PYTHON
from survey import gatys

QUICK = ["--size", "32", "--steps", "2", "--vgg_model", str(VGG), "--device", "cpu"]


def test_a_picture_and_its_record_are_written(pair, tmp_path):
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


def test_wrong_use_is_a_one_line_error(pair, tmp_path):
    text, thin, link, drawing = (tmp_path / f"{name}.jpg" for name in ("text", "thin", "link", "drawing"))
    text.write_text("not a picture")
    Image.new("RGB", (40, 8)).save(thin)
    shutil.copy(pair[1], drawing)
    link.symlink_to(drawing)
    for style, out, message in (
        ("no.jpg", "out.jpg", "no file no.jpg"),
        (drawing, "out.gif", "out.gif must end in .png, .jpg, .webp"),
        (text, "out.jpg", f"cannot read {text}"),
        (thin, "out.jpg", f"{thin} is 32 x 6 pixels at --size 32: each side needs at least 16"),
        (drawing, link, f"{link} would overwrite {drawing}: name another file"),
    ):
        error = refusal(gatys.main, pair[0], style, tmp_path / out, *QUICK)
        assert message in error and "\n" not in error
    assert not (tmp_path / "out.jpg").exists() and drawing.read_bytes() == pair[1].read_bytes()


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("name", ["gatys", "mrf", "analogy", "multimodal", "video"])
def test_the_smallest_picture_on_each_device(name, device, data, tmp_path, vgg):
    """With all of VGG19's layers; the last sees one place."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    files = [tmp_path / "photo.png", tmp_path / "drawing.png"]
    for file, image in zip(files, noise, strict=True):
        Image.fromarray(image).save(file)
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    words = [*files, tmp_path / "out.png", "--size=16", "--steps=2", "--device", device]
    words += ["--photos", data / "src_data/train"] if name in ("multimodal", "video") else []
    method = importlib.import_module(f"survey.{name}")
    method.main([*map(str, words), "--vgg_model", f"{tmp_path}/vgg.pth"])
    losses = json.loads((tmp_path / "out.json").read_text())["losses"]
    assert losses and all(np.isfinite([*losses.values()]))
    made = np.asarray(Image.open(tmp_path / "out.png"))
    assert made.shape == (16, 16, 3) and made.std() > 1
