"""Runs that are killed or denied their files: the faults, their processes, and the checks of what is left."""

import contextlib
import csv
import errno
import itertools
import os
import resource
import signal
import types
from pathlib import Path

import torch

import CartoonGAN
import utils
from pictures import checkpoints
from support import files
from support.arguments import PYTHON
from training.log import run_state

# This makes no files at import: the fork server imports it, and would leave them behind.
OPTIONS = "--ngf 4 --ndf 4 --nb 1 --input_size 16 --batch_size 3 --pool_size 2 --precision fp32 --device cpu"
OPTIONS += " --name Kill --pre_train_epoch 1 --train_epoch 2 --save_minutes 0 --workers 1"
OPTIONS += " --checkpoint_every 2 --sample_every 2 --sample_format jpg"
RUN = "Kill_1_2_3_results"

# In an order in which a run, killed at each and resumed, meets them all.
KINDS = ("pair", "settings.json", "log.txt", "plotly.min.js", "page.js", "runs.js", "index.html")
KINDS += ("generator_latest.pth", "discriminator_latest.pth", "state_latest.pth")
KINDS += ("Reconstruction", "losses.png", "metrics.csv", "generator_2.pth", "Transfer")
PAGES = {"plotly.min.js", "page.js", "runs.js", "index.html"}


def command(data, vgg, place):
    """The options of a tiny run whose results and pairs lie in `place`; --resume if there is a run."""
    folder = place / "results" / RUN
    if any((folder / name).exists() for name in ("settings.json", "state_latest.pth")):
        return ["--resume", str(folder)]
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--vgg_model", vgg]
    folders += ["--results_dir", place / "results", "--pair_dir", place / "pair"]
    return [*map(str, folders), *OPTIONS.split()]


def attempt(argv, place, prepare=None, *arguments):
    """In a process: call prepare(*arguments) and train, with the output in place/output.txt."""
    with open(place / "output.txt", "w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if prepare:
        prepare(*arguments)
    os._exit(utils.exit_status(lambda: CartoonGAN.main(argv)))


def finish(server, argv, place, *preparation):
    """An `attempt` in a process of the multiprocessing context `server`: (exit status, output).

    The status of a killed process is -9.
    """
    place.mkdir(exist_ok=True)
    process = server.Process(target=attempt, args=(argv, place, *preparation))
    process.start()
    process.join(300)
    output = (place / "output.txt").read_text()
    assert process.exitcode is not None, output
    return process.exitcode, output


# Faults, at a file that a run writes


def kind_of(path):
    """What a file is, as KINDS names it."""
    inside = next((part for part in ("pair", "Reconstruction", "Transfer") if part in path.parts), None)
    return inside or path.name


def when_writing(kinds, count, fault, again=False):
    """Call fault(part, path) in this process when file number `count` of some kinds is to replace `path`.

    If `fault` returns, the file is written. Of lines that are appended half are written before, and `part` is
    None. With `again` the fault happens at each further file too.
    """
    left = itertools.count(count, -1)
    is_time = lambda path: kind_of(path) in kinds and (next(left) <= 0 if again else not next(left))

    def replace(part, path):
        if is_time(path):
            fault(part, path)
        if os.path.exists(part):
            os.replace(part, path)

    def write(handle, data):
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if is_time(path):
            half = os.write(handle, data[: len(data) // 2])
            fault(None, path)
            return half
        return os.write(handle, data)

    files.os = types.SimpleNamespace(**{**vars(os), "replace": replace, "write": write})


def die_half_written(part, _):
    if part:
        os.truncate(part, os.stat(part).st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def die_just_written(part, path):
    if part:
        os.replace(part, path)
    os.kill(os.getpid(), signal.SIGKILL)


def full_disk(part, _):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))


def fill_disk(_, path):
    """Leave no byte free; the file itself is written."""
    with contextlib.suppress(OSError), open(path.parents[2] / "filler", "wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            continue


def limit_files(size):
    """Let no file of this process grow beyond a number of bytes, as a quota does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


# What must be left


def same(one, two):
    """Whether two nested dictionaries and lists of tensors and values are equal to the bit."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def metrics(folder):
    """The rows of metrics.csv without the columns that tell the time."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: row[key] for key in row if key not in ("seconds", "images_per_second")} for row in rows]


def assert_as_if_undisturbed(place, whole):
    """That the run in a place left what the undisturbed one in `whole` did."""
    folder, expected = place / "results" / RUN, whole / "results" / RUN
    for name in ("generator_latest.pth", "discriminator_latest.pth", "generator_2.pth"):
        assert same(checkpoints.load(folder / name), checkpoints.load(expected / name))
    assert metrics(folder) == metrics(expected)
    assert [(row["phase"], row["epoch"]) for row in metrics(folder)] == [*zip("122", "112", strict=True)]
    for part in ("Transfer", "Reconstruction"):
        one, other = (
            {x.name: x.read_bytes() for x in (each / part).iterdir()} for each in (folder, expected)
        )
        assert one == other
    assert not list(place.rglob("*.part"))
    assert run_state(folder)[0] == "finished"


def assert_one_line_error(status, output, folder, words):
    """Exit status 1, one line that says what is wrong and how to resume, and a state that can be read."""
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in output and "Exception" not in output, output
    assert status == 1 and len(errors) == 1 and words in errors[0], f"{status}: {output}"
    assert f"resume with {PYTHON} CartoonGAN.py --" in errors[0]
    if (folder / "state_latest.pth").exists():
        checkpoints.load(folder / "state_latest.pth")
