"""A small pair of pictures and a small VGG19 for all methods."""

import pytest
from helpers import VGG, make_data, small_vgg

from survey import command


@pytest.fixture(scope="package")
def vgg():
    """A small VGG19 up to relu5_1."""
    return small_vgg(4, deeper=True)


@pytest.fixture(scope="package")
def pair(tmp_path_factory):
    """The files of a photograph and of a drawing."""
    folder = make_data(tmp_path_factory.mktemp("pair"))
    return folder / "src_data/train/0.jpg", folder / "tgt_data/train/1.jpg"


@pytest.fixture(scope="package")
def pictures(pair):
    """The same as tensors (1,3,H,W), 64 pixels at most."""
    return tuple(command.read(file, 64, "cpu") for file in pair)


@pytest.fixture
def training_words(data, tmp_path):
    """The arguments of a tiny run of a method that trains a network, without steps."""
    photo, drawing = data / "src_data/test/0.jpg", data / "tgt_data/train/0.jpg"
    places = [photo, drawing, tmp_path / "out.png", "--photos", data / "src_data/train"]
    return [*map(str, places), "--vgg_model", str(VGG), "--device", "cpu", "--size", "64"]
