"""Shared by tests: tiny data, a small VGG19, the command of a tiny run, the folder of a finished run."""

import atexit
import io
import os
import shutil
import socket
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import CartoonGAN
from networks import VGG19
from training import history
from training.config import RunConfig, write_settings
from training.log import log_event
from training.options import CARTOONGAN
from training.run import Run
from utils import WrongUse

ROOT = Path(__file__).parents[1]
HAS_GPU = torch.cuda.is_available()
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="there is no NVIDIA GPU that PyTorch can use")
GPU = pytest.param("cuda", marks=needs_gpu)
SLOW = float(os.environ.get("SLOW", 1))  # share of the repetitions in slow tests


def small_vgg(width, deeper=False):
    """A He-initialised VGG19 with few channels: an eighth of them needs a sixty-fourth of the computation."""
    vgg, generator = VGG19(width, deeper), torch.Generator().manual_seed(0)
    for value in vgg.parameters():
        if value.dim() > 1:
            torch.nn.init.kaiming_normal_(value, generator=generator)
        else:
            value.zero_()
    return vgg


VGG = Path(os.environ.get("SMALL_VGG") or tempfile.mkdtemp(prefix="small-vgg-"), "vgg.pth")
if not VGG.exists():
    os.environ["SMALL_VGG"] = str(VGG.parent)  # for the processes that tests start, which cannot remove it
    atexit.register(shutil.rmtree, VGG.parent, ignore_errors=True)
    torch.save(small_vgg(8).state_dict(), VGG)
TINY = f"--vgg_model {VGG} --ngf 4 --ndf 4 --nb 1 --input_size 16 --batch_size 2 --device cpu"
TINY += " --precision fp32"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_one_of_two(rank, port, function, arguments):
    """In a new process: call function(rank, 2, *arguments) as in a process that torchrun started."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    function(rank, 2, *arguments)


def refusal(function, *argv, **more):
    """The one-line error that a function raises for a command line."""
    with pytest.raises(WrongUse) as error:
        function([*map(str, argv)], **more)
    return str(error.value)


def make_data(folder, photos=6, tests=3, drawings=6):
    """Make a folder of photographs (soft spots of colour) and drawings (flat shapes with an ink outline)."""
    rng = np.random.default_rng(0)
    for part, count in (("src_data/train", photos), ("src_data/test", tests), ("tgt_data/train", drawings)):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            size = tuple(rng.integers(48, 81, 2).tolist())
            if part == "tgt_data/train":
                picture = _drawing(rng, size)
            else:
                spots = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
                picture = spots.resize(size, Image.Resampling.BICUBIC)
            picture.save(folder / part / f"{number}.jpg", quality=95)
    return folder


def _drawing(rng, size):
    paper, *inks = map(tuple, rng.integers(90, 256, (4, 3)).tolist())
    drawing = Image.new("RGB", size, paper)
    for ink in inks:
        left, top, width, height = rng.integers(5, 30, 4).tolist()
        box = (left, top, left + width + 8, top + height + 8)
        ImageDraw.Draw(drawing).ellipse(box, fill=ink, outline="black", width=2)
    return drawing


def tiny_run(data, results, *more):
    """The command line of a tiny run of make_data's data: three steps per epoch, samples at a phase's end."""
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", results]
    text = f"{TINY} --name Tiny --pre_train_epoch 2 --train_epoch 3 --workers 0 --sample_every 100"
    return [*map(str, folders), *text.split(), *map(str, more)]


def new_run(folder, text="", place=(1, 1, 0)):
    """A Run of the options TINY and `text`, at a (phase, epoch, step), with a new model."""
    args, given = CARTOONGAN.parse(f"{TINY} {text}".split())
    run = Run(RunConfig([], args, given, folder, None, CARTOONGAN), torch.device("cpu"), None)
    run.model = CartoonGAN.build(args, run.device, run.precision)
    run.phase, run.epoch, run.step = place
    return run


def rows(folder):
    """The rows of a run's metrics.csv."""
    return history.read(folder / "metrics.csv")


def places(folder):
    """The (phase, epoch) of each row of a run's metrics.csv."""
    return [(int(row["phase"]), int(row["epoch"])) for row in rows(folder)]


def metrics(folder):
    """The rows of a run's metrics.csv without the columns of times."""
    times = "seconds", "images_per_second"
    return [{key: row[key] for key in row if key not in times} for row in rows(folder)]


def same(one, two):
    """Whether two nested dictionaries and lists of tensors and values are equal to the bit."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def contents(folder):
    """The bytes of each file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Killed(BaseException):
    """Ends a run at once, as SIGKILL does: no handler catches it."""


def die(_):
    raise Killed


def at_step(monkeypatch, number, do):
    """Call do(run) after step `number` (from 1), before it is logged; returns a list of the steps' terms."""
    steps, log_step = [], Run.log_step

    def watched(run, terms):
        steps.append(terms)
        if len(steps) == number:
            do(run)
        log_step(run, terms)

    monkeypatch.setattr(Run, "log_step", watched)
    return steps


def make_run(results, name, epochs=3, photos=("test_1", "train_1"), **options):
    """Make the folder of a finished run of `epochs`: tiny pictures, settings, metrics and a log."""
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
        "method": "CartoonGAN",
        "options": {"name": name, "pre_train_epoch": 1, "train_epoch": epochs, "ngf": 4, **options},
        "given": ["name", *options],
        "commands": [f"python CartoonGAN.py --name {name}"],
        "started": "2030-01-02 03:04:05 +0000",
        "data": {"photographs": {"count": 6, "fingerprint": "abcdef0123"}},
    }
    write_settings(folder, record)
    for phase, last in ((1, 1), (2, epochs)):
        for epoch in range(1, last + 1):
            row = {"phase": phase, "epoch": epoch, "content": 1 / epoch, "seconds": 2, "images_per_second": 3}
            history.add(folder / "metrics.csv", row)
    (folder / "generator_latest.pth").write_bytes(b"weights")
    log_event(folder, "started", record["commands"][0])
    log_event(folder, "finished")
    return folder
