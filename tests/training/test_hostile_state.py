"""A state that is damaged, foreign or made to do harm: refused in one line, and nothing is changed."""

import math
import os
import shutil

import pytest
import torch
from helpers import make_data, tiny_run

import CartoonGAN
from networks import Discriminator, Generator
from pictures import checkpoints
from training.config import FILE, STATE
from utils import WrongUse


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """The folder that a tiny run left."""
    place = tmp_path_factory.mktemp("left")
    argv = tiny_run(make_data(place / "data"), place / "results", "--pre_train_epoch", 1, "--train_epoch", 1)
    CartoonGAN.main(argv)
    return next((place / "results").glob("Tiny*"))


class MakesAFolder:
    """Runs code when it is unpickled the usual way."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def changed(change):
    """A damage: what the state holds is changed."""

    def damage(path):
        content = checkpoints.load(path)
        change(content)
        torch.save(content, path)

    return damage


def wider(content):
    """The same run with other networks."""
    content["generator"] = Generator(ngf=8, nb=1).state_dict()
    content["discriminator"] = Discriminator(ndf=8).state_dict()


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut at its end": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a generator": lambda path: shutil.copy(path.with_name("generator_latest.pth"), path),
    "a discriminator": lambda path: shutil.copy(path.with_name("discriminator_latest.pth"), path),
    "a text": lambda path: shutil.copy(path.with_name(FILE), path),
    "code": lambda path: torch.save({"settings": MakesAFolder(path.parent / "made")}, path),
    "bomb": lambda path: torch.save(torch.load(path, weights_only=True) | {"pool": Bytes()}, path),
    "other networks": changed(wider),
    "no weights": changed(lambda content: content.update(generator={})),
    "NaN": changed(lambda content: content["generator"]["down.0.weight"].fill_(math.nan)),
    "no place": changed(lambda content: content.pop("place")),
    "no optimiser": changed(lambda content: content.pop("adam_g")),
}


class Bytes:
    """Takes 10 TB when it is unpickled."""

    def __reduce__(self):
        return bytearray, (10**13,)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_state_is_refused_and_changes_nothing(left, tmp_path, name):
    folder = shutil.copytree(left, tmp_path / left.name)
    DAMAGES[name](folder / STATE)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(WrongUse) as error:
        CartoonGAN.main(["--resume", str(folder), "--train_epoch", "2"])
    line = str(error.value)
    assert line.isprintable() and f"{folder}/{STATE}" in line and len(line) < 1000
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_the_whole_state_is_taken(left, tmp_path):
    """The damages above are to blame for what is told there."""
    folder = shutil.copytree(left, tmp_path / left.name)
    CartoonGAN.main(["--resume", str(folder), "--train_epoch", "2"])
    assert checkpoints.load(folder / STATE)["place"] != checkpoints.load(left / STATE)["place"]
