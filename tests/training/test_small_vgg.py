"""The content network of --vgg_model small: how it is trained, and the file in the tree."""

import numpy as np
import pytest
import torch
from helpers import VGG

from networks import VGG19
from pictures import checkpoints, images
from training import small_vgg


@pytest.fixture
def pictures(tmp_path):
    """Forty pictures of 64 x 48 pixels, each of one colour; every twentieth is held out."""
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        image = np.full((48, 64, 3), rng.integers(256, size=3), np.uint8)
        images.write(tmp_path / "pictures" / f"{number}.png", image)
    return tmp_path / "pictures"


@pytest.fixture
def train(pictures, tmp_path, monkeypatch, capsys):
    """Train so many steps at 16 pixels; returns the figures that were printed and the file's tensors."""
    for name, value in {"SIDE": 16, "SMALLEST": 32, "LARGEST": 48, "SAVE_EVERY": 20}.items():
        monkeypatch.setattr(small_vgg, name, value)

    def run(steps, out="small.pth"):
        argv = [str(pictures), "--teacher", str(VGG), "--out", str(tmp_path / out), "--width", "4"]
        small_vgg.main([*argv, "--device", "cpu", "--steps", str(steps)])
        words = capsys.readouterr().out.replace(",", "").split()
        return [float(word) for word in words if "." in word], checkpoints.load(tmp_path / out)

    return run


def test_it_learns_to_redraw_and_to_predict(train, tmp_path):
    figures, weights = train(120)
    redraw, predict = figures[::2], figures[1::2]
    assert predict[-1] < 0.6 * predict[0]
    assert small_vgg.REDRAW * redraw[-1] + predict[-1] < 0.9 * (small_vgg.REDRAW * redraw[0] + predict[0])
    assert weights.keys() == VGG19(4).state_dict().keys()
    assert all(value.dtype == torch.float16 and value.isfinite().all() for value in weights.values())
    assert checkpoints.load_vgg(str(tmp_path / "small.pth")).features[0].weight.shape == (4, 3, 3, 3)
    assert not (tmp_path / "small.state").exists()


def test_it_goes_on_from_its_state_as_if_nothing_had_been(train, tmp_path, monkeypatch):
    _, wanted = train(40)
    save = checkpoints.save

    def stop(path, content):
        save(path, content)
        if content["step"] == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        train(40, "again.pth")
    monkeypatch.setattr(checkpoints, "save", save)
    _, got = train(40, "again.pth")
    assert all(torch.equal(got[key], value) for key, value in wanted.items())


def test_a_crop_has_all_that_is_random(monkeypatch):
    monkeypatch.setattr(small_vgg, "SHUFFLED", 1)
    red = torch.zeros(2, 3, small_vgg.LARGEST, small_vgg.LARGEST, dtype=torch.uint8)
    red[:, 0] = 255
    crops = small_vgg.crop(red, torch.Generator().manual_seed(0))
    assert crops.shape == (small_vgg.BATCH, 3, small_vgg.SIDE, small_vgg.SIDE)
    assert len(crops.mean((2, 3)).unique(dim=0)) == 3  # red, green and blue
    assert torch.equal(crops, small_vgg.crop(red, torch.Generator().manual_seed(0)))


def test_the_network_in_the_tree(capsys):
    vgg = checkpoints.load_vgg("small")
    assert capsys.readouterr().err.count("small network") == 1
    assert vgg.features[25].weight.shape == (128, 128, 3, 3)
    assert checkpoints.SMALL_VGG.stat().st_size < 1.4e6
    assert not any(weight.requires_grad for weight in vgg.parameters())
    # Its map tells pictures of one brightness, but of other shapes, apart.
    stripes = torch.ones(1, 3, 32, 32)
    stripes[..., ::8] = -1
    assert (vgg(stripes) - vgg(stripes.mT)).abs().mean() > 0.1 * vgg(stripes).abs().mean()
