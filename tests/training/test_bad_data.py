"""Images that disappear while a run trains: each is told once, another takes its place."""

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

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes what decoding.py has said of these

CPU = torch.device("cpu")


def training_images(data):
    photos, pairs = sorted((data / "src_data/train").iterdir()), sorted((data / "pairs").iterdir())
    return batches.TrainingImages(photos, pairs, 16, "crop", 3, 3)


@pytest.fixture
def trained(data):
    """The tiny data with its pairs, as batches.TrainingImages."""
    edge_promoting.make_pairs(data / "tgt_data/train", data / "pairs", 16)
    return training_images(data)


HARM = {
    "gone": lambda file: file.unlink(),
    "garbage": lambda file: file.write_bytes(b"\xff\xd8 no image"),
    "too long": lambda file: (
        images.write(file.with_suffix(".png"), np.zeros((1, 500, 3), np.uint8))
        or file.with_suffix(".png").replace(file)
    ),
    "too narrow": lambda file: (
        images.write(file.with_suffix(".png"), np.zeros((500, 1, 3), np.uint8))
        or file.with_suffix(".png").replace(file)
    ),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a circle": lambda file: (file.unlink(), file.symlink_to(file)),
}


@pytest.mark.parametrize("harm", HARM)
def test_the_next_image_takes_the_place_of_a_lost_one(trained, harm):
    draw = lambda photo, pair: [(photo, (7,)), (pair, (8,)), (pair, (8,))]
    expected = trained[draw(0, 3)]
    for path in (trained.photos[4], trained.photos[5], trained.pairs[2]):
        HARM[harm](path)
    assert all(torch.equal(*both) for both in zip(trained[draw(4, 2)], expected, strict=True))
    instead = {path: where for path, (_, where) in trained.lost.items()}
    photos, pairs = trained.photos, trained.pairs
    assert instead == {photos[4]: photos[0], photos[5]: photos[0], pairs[2]: pairs[3]}


def test_a_lost_image_is_said_once_in_both_phases(trained, capsys):
    trained.photos[1].unlink()
    trained.pairs[5].write_bytes(b"")
    for epoch in (1, 9):  # a second stream, as the second phase has its own
        draws = batches.draws(6, 6, 2, 0, 2, epoch, 0)
        loaded = batches.load_batches(trained, draws, 2, CPU)
        for _ in range(9):
            assert [len(part) for part in next(loaded)] == [2, 2, 2]
        loaded.close()
    assert sorted(capsys.readouterr().err.splitlines()) == sorted(
        [
            f"lost {trained.photos[1]} (No such file or directory): {trained.photos[2]} replaces it",
            f"lost {trained.pairs[5]} (the file is empty): {trained.pairs[0]} replaces it",
        ]
    )


def test_as_many_as_are_allowed_may_be_lost_in_a_row(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(30)]
    images.write(paths[9], np.zeros((16, 16, 3), np.uint8))
    image, lost = batches.first_readable(paths, 0, images.read)
    assert image.shape == (16, 16, 3) and len(lost) == batches.IN_A_ROW - 1
    with pytest.raises(RunFailed, match="10 in a row"):
        batches.first_readable(paths, 10, images.read)


@pytest.fixture
def measure(data):
    """(the function of judge.measure_of, the test photographs) of the tiny data, before anything is lost."""
    args = options.parse([*TINY.split(), "--tgt_data", f"{data}/tgt_data"])[0]
    torch.manual_seed(0)
    model = types.SimpleNamespace(generator=networks.Generator(ngf=4, nb=1), ema=None)
    model.vgg = checkpoints.load_vgg(VGG)
    tests = sorted((data / "src_data/test").iterdir())
    run = types.SimpleNamespace(args=args, data=Data([], tests, [], {}), model=model)
    run.device, run.precision = CPU, "fp32"
    return judge.measure_of(run), tests


def test_a_test_photograph_that_got_lost_is_not_measured(measure, capsys):
    measured, tests = measure
    before = measured()
    tests[0].write_text("no image")
    shutil.rmtree(tests[0].parents[2] / "tgt_data")  # the drawings were looked at once
    rows = measured(), measured()
    assert rows[0] == rows[1] and rows[0].keys() == before.keys() and rows[0]["ssim"] != before["ssim"]
    assert capsys.readouterr().err == f"left out {tests[0]}: not an image\n"


def test_without_a_test_photograph_nothing_is_measured_and_the_run_goes_on(measure, capsys):
    measured, tests = measure
    for path in tests:
        path.unlink()
    assert measured() == measured() == {}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "warning: nothing is measured: none of the 3 results can be read"


def test_a_judge_needs_one_picture_that_can_be_read(data):
    drawings = sorted((data / "tgt_data/train").iterdir())
    for path in drawings:
        path.write_bytes(b"")
    with pytest.raises(WrongUse, match="none of the 6 drawings can be read"):
        judge.Judge([], drawings, checkpoints.load_vgg(VGG), CPU, "fp32", 16)
