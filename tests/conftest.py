"""What several test files share: tiny data, and commands run in the repository as a person runs them."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from training import folders, history

ROOT = Path(__file__).parents[1]

torch.set_num_threads(1)


@pytest.fixture
def run_cli():
    """Run `python *args` in the repository: run_cli("CartoonGAN.py", "--name", "x") -> CompletedProcess.

    Keywords go to subprocess.run.
    """

    def run(*args, **options):
        command = [sys.executable, *map(str, args)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, **options)

    return run


@pytest.fixture
def data(tmp_path):
    """A folder with six photographs, three test photographs and six drawings of 48 to 80 pixels a side."""
    return make_data(tmp_path / "data")


def make_data(folder):
    """Make what the fixture `data` is."""
    rng = np.random.default_rng(0)
    for part, count, make in (
        ("src_data/train", 6, _photograph),
        ("src_data/test", 3, _photograph),
        ("tgt_data/train", 6, _drawing),
    ):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            size = tuple(int(side) for side in rng.integers(48, 81, 2))
            make(rng, size).save(folder / part / f"{number}.jpg", quality=95)
    return folder


def _photograph(rng, size):
    """Soft blots of colour."""
    blots = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(blots).resize(size, Image.Resampling.BICUBIC)


def _drawing(rng, size):
    """Flat shapes with an ink outline."""
    paper, *inks = (tuple(int(value) for value in colour) for colour in rng.integers(90, 256, (4, 3)))
    drawing = Image.new("RGB", size, paper)
    for ink in inks:
        left, top, width, height = (int(value) for value in rng.integers(5, 30, 4))
        box = (left, top, left + width + 8, top + height + 8)
        ImageDraw.Draw(drawing).ellipse(box, fill=ink, outline="black", width=2)
    return drawing


def leave_run(results, name, epochs=3, photos=("test_1", "train_1"), **options):
    """Make a folder such as a finished run of `epochs` leaves: tiny pictures, settings, metrics and a log."""
    folder = results / f"{name}_results"
    picture = io.BytesIO()
    Image.new("RGB", (8, 4), "teal").save(picture, "png")
    for part in ("Transfer", "Reconstruction"):
        (folder / part).mkdir(parents=True)
    for photo in photos:
        for epoch in range(1, epochs + 1):
            (folder / f"Transfer/{epoch}_epoch_{name}_{photo}.png").write_bytes(picture.getvalue())
        kind, number = photo.split("_")
        (folder / f"Reconstruction/{name}_{kind}_recon_{number}.png").write_bytes(picture.getvalue())
    record = {
        "options": {"name": name, "pre_train_epoch": 1, "train_epoch": epochs, "ngf": 4, **options},
        "given": ["name", *options],
        "commands": [f"python CartoonGAN.py --name {name}"],
        "started": "2030-01-02 03:04:05 +0000",
        "data": {"photographs": {"count": 6, "fingerprint": "abcdef0123"}},
    }
    folders.write_settings(folder, record)
    for phase, last in ((1, 1), (2, epochs)):
        for epoch in range(1, last + 1):
            row = {"phase": phase, "epoch": epoch, "content": 1 / epoch, "seconds": 2, "images_per_second": 3}
            history.add(folder / "metrics.csv", row)
    (folder / "generator_latest.pth").write_bytes(b"weights")
    folders.log(folder, "started", record["commands"][0])
    folders.log(folder, "finished")
    return folder
