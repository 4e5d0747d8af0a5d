"""What holds for every method of one picture: the smallest pictures, each device."""

import importlib

import numpy as np
import pytest
from helpers import GPU
from PIL import Image

from survey import command

TRAINED = ("multimodal", "video")


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("name", ["texture", "gatys", "mrf", "analogy", *TRAINED])
def test_the_smallest_picture_on_each_device(name, device, data, tmp_path, vgg):
    """With all of VGG19's layers; the last sees one place."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    files = [tmp_path / "photo.png", tmp_path / "drawing.png"]
    for file, image in zip(files, noise, strict=True):
        Image.fromarray(image).save(file)
    method = importlib.import_module(f"survey.{name}")
    words = [*files[name == "texture" :], tmp_path / "out.png", "--size=16", "--steps=2", "--device", device]
    words += ["--photos", data / "src_data/train"] if name in TRAINED else []
    args = method.parse([*map(str, words)])
    on = command.choose_device(args)
    record = command.perform(name, args, method.paint, vgg.to(on), on, "")
    vgg.to("cpu")  # other tests have it too
    assert record["losses"] and all(np.isfinite([*record["losses"].values()]))
    made = np.asarray(Image.open(tmp_path / "out.png"))
    assert made.shape == (16, 16, 3) and made.std() > 1
