"""The content network of --vgg_model small: how it is trained, and the file in the tree."""

import numpy as np
import torch
from helpers import VGG

from networks import VGG19
from pictures import checkpoints, images
from training import small_vgg


def test_training_learns_to_redraw_and_to_predict(tmp_path, monkeypatch, capsys):
    """Forty pictures, each of one colour, at 16 pixels."""
    for name, value in {"SIDE": 16, "SMALLEST": 32, "LARGEST": 48, "REPORT_EVERY": 20}.items():
        monkeypatch.setattr(small_vgg, name, value)
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        image = np.full((48, 64, 3), rng.integers(256, size=3), np.uint8)
        images.write(tmp_path / "pictures" / f"{number}.png", image)
    argv = [tmp_path / "pictures", "--teacher", VGG, "--out", tmp_path / "small.pth"]
    small_vgg.main([*map(str, argv), *["--width", "4", "--steps", "120", "--device", "cpu"]])
    words = capsys.readouterr().out.replace(",", "").split()
    figures = [float(word) for word in words if "." in word]
    redraw, predict = figures[::2], figures[1::2]
    assert len(redraw) == 6 and predict[-1] < 0.6 * predict[0]
    assert small_vgg.REDRAW * redraw[-1] + predict[-1] < 0.9 * (small_vgg.REDRAW * redraw[0] + predict[0])
    weights = checkpoints.load(tmp_path / "small.pth")
    assert weights.keys() == VGG19(4).state_dict().keys()
    assert all(value.dtype == torch.float16 and value.isfinite().all() for value in weights.values())


def test_the_network_in_the_tree(capsys):
    vgg = checkpoints.load_vgg("small")
    assert capsys.readouterr().err.count("content network") == 1
    assert vgg.features[25].weight.shape == (128, 128, 3, 3)
