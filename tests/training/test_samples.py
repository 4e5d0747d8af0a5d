"""Sample images: which photographs, what lies left and right, and under which names."""

import types

import numpy as np
import pytest
import torch
from PIL import Image

import utils
from pictures import images
from training import options, samples
from training.data import Data
from utils import RunFailed

CPU = torch.device("cpu")


@pytest.fixture
def red(tmp_path):
    """Twelve red photographs of 24x20 pixels, as Data."""
    paths = [tmp_path / f"{number:02}.png" for number in range(12)]
    for path in paths:
        Image.new("RGB", (24, 20), "red").save(path)
    return Data(paths, paths[:2], [], {})


def run_at(phase, epoch, folder, data, extension="png"):
    """A run whose generator turns every colour over, as the drawing of samples sees it."""
    folder.mkdir()
    model = types.SimpleNamespace(
        generator=lambda photo: -photo,
        autocast=lambda: utils.autocast(CPU, "fp32"),
        ema=None,
        generators=("generator",),
    )
    args, _ = options.parse(["--sample_format", extension])
    return types.SimpleNamespace(
        phase=phase,
        epoch=epoch,
        folder=folder,
        model=model,
        args=args,
        photos=samples.choose(data, args, CPU),
    )


@pytest.mark.parametrize(
    ("phase", "name"),
    [(1, "Reconstruction/Red_1_2_3_test_recon_1.png"), (2, "Transfer/7_epoch_Red_1_2_3_test_1.png")],
)
def test_the_photo_is_left_and_the_result_right_in_their_own_colours(red, tmp_path, phase, name):
    run = run_at(phase, 7, tmp_path / "Red_1_2_3_results", red)
    samples.draw(run)
    assert len(list((run.folder / name).parent.iterdir())) == 5 + 2
    sample = images.read(run.folder / name)
    assert sample.shape == (20, 48, 3)
    assert (sample[:, :24] == [255, 0, 0]).all()
    assert (sample[:, 24:] == [0, 255, 255]).all()


def test_a_way_back_comes_last_and_is_told_by_the_name(red, tmp_path):
    run = run_at(2, 7, tmp_path / "Red_results", red)
    run.model.generators, run.model.generator_back = (
        ("generator", "generator_back"),
        lambda photo: photo * 0 - 1,
    )
    samples.draw(run)
    assert len(list((run.folder / "Transfer").iterdir())) == 5 + 2
    sample = images.read(run.folder / "Transfer/7_epoch_Red_test_2_cycle.png")
    assert [sample[0, column].tolist() for column in (0, 24, 48)] == [[255, 0, 0], [0, 255, 255], [0, 0, 0]]
    assert sample.shape == (20, 72, 3)


def test_samples_are_spread_over_the_folder_and_reduced_to_twice_the_training_size(red):
    for number, path in enumerate(red.photos):
        Image.fromarray(np.full((100, 80, 3), 20 * number, np.uint8)).save(path)
    args, _ = options.parse(["--input_size", "16"])
    chosen = samples.choose(red, args, CPU)
    assert [name for name, _ in chosen] == [*(f"train_{n}" for n in range(1, 6)), "test_1", "test_2"]
    assert chosen[0][1].shape == (1, 3, 32, 26)
    shown = [round((photo.mean().item() + 1) * 127.5 / 20) for _, photo in chosen]
    assert shown == [0, 3, 6, 8, 11, 0, 1]
    args.load_size = 20
    assert samples.choose(red, args, CPU)[0][1].shape == (1, 3, 40, 32)


def test_the_next_takes_the_place_of_a_photograph_that_got_lost(red, capsys):
    Image.new("RGB", (24, 20), "blue").save(red.photos[1])
    red.photos[0].unlink()
    args, _ = options.parse([])
    name, photo = samples.choose(red, args, CPU)[0]
    assert name == "train_1" and photo[0, :, 0, 0].tolist() == [-1, -1, 1]
    told = f"lost {red.photos[0]} (No such file or directory): {red.photos[1]} takes its place\n"
    assert capsys.readouterr().err == told
    for path in red.tests:
        path.unlink(missing_ok=True)
    with pytest.raises(RunFailed, match="training images are lost, 2 in a row"):
        samples.choose(red, args, CPU)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_formats(red, tmp_path, extension):
    run = run_at(2, 7, tmp_path / "Red_results", red, extension)
    pictures = samples.draw(run)
    written = images.read(run.folder / "Transfer" / f"7_epoch_Red_test_2.{extension}")
    assert written.shape == pictures[-1].shape == (20, 48, 3)
    assert np.abs(written.astype(int) - pictures[-1]).mean() <= (0 if extension == "png" else 4)


@pytest.mark.parametrize(
    ("every", "last", "epochs", "kept"),
    [
        (1, 2, range(1, 21), [1, 2, 4, 8, 16, 19, 20]),
        (10, 1, range(10, 101, 10), [10, 20, 40, 80, 100]),
        (1, 1, [1], [1]),
    ],
)
@pytest.mark.parametrize("cycle", [False, True])
def test_thinning_keeps_early_samples_and_the_last(tmp_path, every, last, epochs, kept, cycle):
    folder = tmp_path / "a+b_results"
    (folder / "Transfer").mkdir(parents=True)
    own = lambda epoch: f"{epoch}_epoch_a+b_test_1{'_cycle' if cycle else ''}.png"
    others = ["3_epoch_aab_test_1.png", "3_epoch_a+b_test_1.txt", "mine.png"]
    for name in (*map(own, epochs), *others):
        (folder / "Transfer" / name).touch()
    samples.thin(folder, every, last)
    assert {path.name for path in (folder / "Transfer").iterdir()} == {*map(own, kept), *others}


def test_a_grid_has_two_columns():
    wide, high = np.zeros((10, 40, 3), np.uint8), np.full((30, 20, 3), 9, np.uint8)
    shown = samples.grid([wide, wide, high], width=20)
    assert shown.shape == (40, 40, 3)
    assert shown[0, 0, 0] == 0 and shown[0, 20, 0] == 9 and (shown[30:, 20:] == 255).all()
