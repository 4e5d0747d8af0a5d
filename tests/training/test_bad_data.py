"""Images that disappear while a run trains: each is reported once, and another image replaces it."""

import shutil
import types

import numpy as np
import pytest
import torch
from helpers import TINY, VGG

import edge_promoting
import networks
from evaluation import judge
from pictures import checkpoints, images
from training import batches, options
from training.data import Data
from utils import RunFailed, WrongUse

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes decoding.py's filter

CPU = torch.device("cpu")


@pytest.fixture
def trained(data):
    """The tiny data with its pairs, as batches.TrainingImages."""
    edge_promoting.make_pairs(data / "tgt_data/train", data / "pairs", 16)
    photos, pairs = sorted((data / "src_data/train").iterdir()), sorted((data / "pairs").iterdir())
    return batches.TrainingImages(photos, pairs, 16, "crop", 3, 3)


def replace_by_pixels(file, *shape):
    images.write(file.with_suffix(".png"), np.zeros((*shape, 3), np.uint8))
    file.with_suffix(".png").replace(file)


DAMAGE = {
    "gone": lambda file: file.unlink(),
    "garbage": lambda file: file.write_bytes(b"\xff\xd8 no image"),
    "too long": lambda file: replace_by_pixels(file, 1, 500),
    "too narrow": lambda file: replace_by_pixels(file, 500, 1),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a circle": lambda file: (file.unlink(), file.symlink_to(file)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_the_next_image_replaces_a_lost_one(trained, damage):
    draw = lambda photo, pair: [(photo, (7,)), (pair, (8,)), (pair, (8,))]
    expected = trained[draw(0, 3)]
    for path in (trained.photos[4], trained.photos[5], trained.pairs[2]):
        damage(path)
    assert all(torch.equal(*both) for both in zip(trained[draw(4, 2)], expected, strict=True))
    instead = {path: where for path, (_, where) in trained.lost.items()}
    photos, pairs = trained.photos, trained.pairs
    assert instead == {photos[4]: photos[0], photos[5]: photos[0], pairs[2]: pairs[3]}


def test_a_lost_image_is_reported_once_in_both_phases(trained, capsys):
    trained.photos[1].unlink()
    trained.pairs[5].write_bytes(b"")
    for epoch in (1, 9):  # a second stream, as the second phase has its own
        loaded = batches.load_batches(trained, batches.draws(6, 6, 2, 0, 2, epoch, 0), 2, CPU)
        for _ in range(9):
            assert [len(part) for part in next(loaded)] == [2, 2, 2]
        loaded.close()
    photo, pair = sorted(capsys.readouterr().err.splitlines(), key=lambda line: "pairs" in line)
    assert photo.startswith(f"lost {trained.photos[1]} (No such file or directory): {trained.photos[2]} ")
    assert pair.startswith(f"lost {trained.pairs[5]} (the file is empty): {trained.pairs[0]} ")


def test_as_many_as_are_allowed_may_be_lost_in_a_row(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(30)]
    images.write(paths[9], np.zeros((16, 16, 3), np.uint8))
    image, lost = batches.first_readable(paths, 0, images.read)
    assert image.shape == (16, 16, 3) and len(lost) == batches.IN_A_ROW - 1
    with pytest.raises(RunFailed, match="10 in a row"):
        batches.first_readable(paths, 10, images.read)


def test_lost_test_photographs_are_not_measured(data, capsys):
    args = options.parse([*TINY.split(), "--tgt_data", f"{data}/tgt_data"])[0]
    torch.manual_seed(0)
    model = types.SimpleNamespace(generator=networks.Generator(ngf=4, nb=1), ema=None)
    model.vgg = checkpoints.load_vgg(VGG)
    tests = sorted((data / "src_data/test").iterdir())
    run = types.SimpleNamespace(args=args, data=Data([], tests, [], {}), model=model)
    run.device, run.precision = CPU, "fp32"
    measure = judge.measure_of(run)
    before = measure()
    tests[0].write_text("no image")
    shutil.rmtree(data / "tgt_data")  # the drawings were read once
    rows = measure(), measure()
    assert rows[0] == rows[1] and rows[0].keys() == before.keys() and rows[0]["ssim"] != before["ssim"]
    assert capsys.readouterr().err == f"left out {tests[0]}: not an image\n"
    for path in tests:
        path.unlink()
    assert measure() == measure() == {}
    assert capsys.readouterr().err.count("warning: nothing is measured") == 1


def test_a_judge_needs_one_picture_that_can_be_read(data):
    drawings = sorted((data / "tgt_data/train").iterdir())
    for path in drawings:
        path.write_bytes(b"")
    with pytest.raises(WrongUse, match="none of the 6 drawings can be read"):
        judge.Judge([], drawings, checkpoints.load_vgg(VGG), CPU, "fp32", 16)
