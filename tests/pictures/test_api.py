"""The two functions for users' own code, and the README's example of them."""

import re
import runpy
import shutil
import subprocess
import sys

import numpy as np
import pytest
from bad_data import noise
from helpers import ROOT
from PIL import Image

from networks import Generator
from pictures import checkpoints
from pictures.api import apply_model, load_model
from utils import WrongUse

PHOTO = np.asarray(noise(45, 30))


@pytest.fixture
def run(tmp_path):
    """A run's folder with two small generators: the moving average and the latest."""
    folder = tmp_path / "results/Paprika_20_200_16_results"
    folder.mkdir(parents=True)
    for name in ("generator_ema.pth", "generator_latest.pth"):
        checkpoints.save(folder / name, checkpoints.generator_file(Generator(ngf=2, nb=1)))
    return folder


def test_a_run_folder_gives_its_moving_average_or_else_the_latest(run):
    made = lambda path: apply_model(load_model(path, "cpu", "fp32"), PHOTO)
    mean, latest = made(run / "generator_ema.pth"), made(str(run / "generator_latest.pth"))
    assert not np.array_equal(mean, latest) and np.array_equal(made(run), mean)
    (run / "generator_ema.pth").unlink()
    assert np.array_equal(made(run), latest)
    (run / "generator_latest.pth").rename(run / "generator_best.pth")
    with pytest.raises(WrongUse, match=r"a folder without a generator_latest.pth"):
        load_model(run)


def test_arrays_pictures_and_lists_give_the_same_kind(run):
    model = load_model(run, "cpu", "fp32")
    made = apply_model(model, PHOTO)
    assert (made.dtype, made.shape) == (np.uint8, PHOTO.shape) and not np.array_equal(made, PHOTO)
    array, image = apply_model(model, [PHOTO, Image.fromarray(PHOTO)])
    assert np.array_equal(array, made) and np.array_equal(np.asarray(image), made)
    assert np.array_equal(apply_model(model, PHOTO, strength=0), PHOTO)
    assert not np.array_equal(apply_model(model, PHOTO, keep_colour="chroma"), made)
    lying = Image.fromarray(np.rot90(PHOTO).copy())
    lying.getexif()[0x0112] = 6  # show it turned by 90 degrees clockwise
    assert np.array_equal(np.asarray(apply_model(model, lying)), made)
    assert lying.size == PHOTO.shape[:2] and lying.getexif()[0x0112] == 6  # the caller's object is unchanged
    with pytest.raises(TypeError, match=r"height x width x 3, RGB; not float64 of shape \(30,"):
        apply_model(model, PHOTO / 255)
    for wrong in ({"keep_colour": "croma"}, {"strength": 2}):
        with pytest.raises(ValueError, match=r"croma|strength 2"):
            apply_model(model, PHOTO, **wrong)


@pytest.mark.parametrize("installed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_code_in_the_readme(run, tmp_path, monkeypatch, installed):
    (lines,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    (tmp_path / "lines.py").write_text(lines)
    Image.fromarray(PHOTO).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    if installed:
        pytest.importorskip("setuptools")
        ignored = shutil.ignore_patterns(".*", "data", "docs", "results", "tests", "build")
        shutil.copytree(ROOT, "copy", ignore=ignored)  # a build leaves files in its folder
        pip = "-m pip install --quiet --no-deps --no-build-isolation --target installed ./copy"
        subprocess.run([sys.executable, *pip.split()], check=True)
        shutil.rmtree("copy")
        monkeypatch.setenv("PYTHONPATH", "installed")
        subprocess.run([sys.executable, "lines.py"], check=True)
    else:
        runpy.run_path("lines.py")
    assert Image.open("cartoon.png").size == (45, 30)
