"""Runs that are killed or denied their files: the faults, their processes, and the checks of what is left.

This makes no files at import: the fork server imports it, and would leave them behind.
"""

import contextlib
import errno
import os
import signal
import types
from pathlib import Path

import torch

import CartoonGAN
import utils
from pictures import checkpoints
from support import files
from support.arguments import PYTHON
from training import history
from training.log import run_state

OPTIONS = "--ngf 4 --ndf 4 --nb 1 --input_size 16 --batch_size 3 --pool_size 2 --precision fp32 --device cpu"
OPTIONS += " --name Kill --pre_train_epoch 1 --train_epoch 2 --save_minutes 0 --workers 1"
OPTIONS += " --checkpoint_every 2 --sample_every 2 --sample_format jpg"
RUN = "results/Kill_1_2_3_results"

# In an order in which a run, killed at each and resumed, meets them all.
KINDS = ("pair", "settings.json", "log.txt", "plotly.min.js", "page.js", "runs.js", "index.html")
KINDS += ("generator_latest.pth", "discriminator_latest.pth", "state_latest.pth")
KINDS += ("Reconstruction", "losses.png", "metrics.csv", "generator_2.pth", "Transfer")
PAGES = {"plotly.min.js", "page.js", "runs.js", "index.html"}


def command(data, vgg, place):
    """The options of a tiny run whose results and pairs lie in `place`; --resume if there is a run."""
    folder = place / RUN
    if any((folder / name).exists() for name in ("settings.json", "state_latest.pth")):
        return ["--resume", str(folder)]
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--vgg_model", vgg]
    folders += ["--results_dir", place / "results", "--pair_dir", place / "pair"]
    return [*map(str, folders), *OPTIONS.split()]


def attempt(argv, output, fault):
    """In a process: train with a fault, the arguments of `when_writing`; the output goes to a file."""
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    when_writing(*fault)
    os._exit(utils.exit_status(lambda: CartoonGAN.main(argv)))


def finish(server, argv, output, fault=((), None)):
    """An `attempt` in a process of the multiprocessing context `server`: (exit status, output).

    The status of a killed process is -9.
    """
    process = server.Process(target=attempt, args=(argv, output, fault))
    process.start()
    process.join(300)
    assert process.exitcode is not None, output.read_text()
    return process.exitcode, output.read_text()


# Faults, at a file that a run writes


def when_writing(kinds, fault, again=False):
    """Call fault(part, path) in this process when the first file of some kinds is to replace `path`.

    If `fault` returns, the file is written. Of lines that are appended half are written before, and `part` is
    None. With `again` the fault happens at each further file too.
    """
    left = [True]

    def is_time(path):
        folders = {"pair", "Reconstruction", "Transfer"}.intersection(path.parts)
        found = left and (folders or {path.name}).intersection(kinds)
        return found and (again or left.pop())

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


# What must be left


def same(one, two):
    """Whether two nested dictionaries and lists of tensors and values are equal to the bit."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def metrics(folder):
    """The rows of metrics.csv without the columns of times."""
    rows = history.read(folder / "metrics.csv")
    return [{key: row[key] for key in row if key not in ("seconds", "images_per_second")} for row in rows]


def assert_as_if_undisturbed(place, whole):
    """That the run in a place left what the undisturbed one in `whole` did."""
    folder, expected = place / RUN, whole / RUN
    for name in ("generator_latest.pth", "discriminator_latest.pth", "generator_2.pth"):
        assert same(checkpoints.load(folder / name), checkpoints.load(expected / name))
    assert metrics(folder) == metrics(expected)
    assert [(row["phase"], row["epoch"]) for row in metrics(folder)] == [*zip("122", "112", strict=True)]
    for part in ("Transfer", "Reconstruction"):
        one, other = ({x.name: x.read_bytes() for x in (f / part).iterdir()} for f in (folder, expected))
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
