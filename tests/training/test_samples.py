"""Sample images: which photographs are chosen."""

import numpy as np
import pytest
import torch
from PIL import Image

from training import options, samples
from training.data import Data

CPU = torch.device("cpu")


@pytest.fixture
def red(tmp_path):
    """Twelve red photographs of 24x20 pixels, as Data."""
    paths = [tmp_path / f"{number:02}.png" for number in range(12)]
    for path in paths:
        Image.new("RGB", (24, 20), "red").save(path)
    return Data(paths, paths[:2], [], {})


def test_photographs_are_spread_over_the_folder_and_reduced_to_twice_the_training_size(red):
    for number, path in enumerate(red.photos):
        Image.fromarray(np.full((100, 80, 3), 20 * number, np.uint8)).save(path)
    args, _ = options.parse(["--input_size", "16"])
    chosen = samples.choose(red, args, CPU)
    assert [name for name, _ in chosen] == [*(f"train_{n}" for n in range(1, 6)), "test_1", "test_2"]
    assert chosen[0][1].shape == (1, 3, 32, 26)
    places = [round((photo.mean().item() + 1) * 127.5 / 20) for _, photo in chosen]
    assert places == [0, 3, 6, 8, 11, 0, 1]
    args.load_size = 20
    assert samples.choose(red, args, CPU)[0][1].shape == (1, 3, 40, 32)


def test_a_lost_photograph_is_replaced_by_the_next(red, capsys):
    Image.new("RGB", (24, 20), "blue").save(red.photos[1])
    red.photos[0].unlink()
    name, photo = samples.choose(red, options.parse([])[0], CPU)[0]
    assert name == "train_1" and photo[0, :, 0, 0].tolist() == [-1, -1, 1]
    expected = f"lost {red.photos[0]} (No such file or directory): {red.photos[1]} replaces it\n"
    assert capsys.readouterr().err == expected
