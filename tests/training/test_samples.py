"""Sample images: which photographs are chosen."""

import numpy as np
import torch
from PIL import Image

from training import options, samples
from training.data import Data


def test_photographs_are_spread_over_the_folder_and_reduced_to_twice_the_training_size(tmp_path):
    paths = [tmp_path / f"{number:02}.png" for number in range(12)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((100, 80, 3), 20 * number, np.uint8)).save(path)
    args, _ = options.parse(["--input_size", "16"])
    chosen = samples.choose(Data(paths, paths[:2], [], {}), args, torch.device("cpu"))
    assert [name for name, _ in chosen] == [*(f"train_{n}" for n in range(1, 6)), "test_1", "test_2"]
    assert chosen[0][1].shape == (1, 3, 32, 26)
    places = [round((photo.mean().item() + 1) * 127.5 / 20) for _, photo in chosen]
    assert places == [0, 3, 6, 8, 11, 0, 1]
