"""Runs that are killed or denied their files: the acts, their processes, and what must come of them."""

import contextlib
import csv
import errno
import itertools
import os
import resource
import signal
import types
from pathlib import Path

from states import same

import CartoonGAN
import utils
from pictures import checkpoints
from support import files
from support.arguments import PYTHON
from training.log import run_state

# No file of helpers.py is made here: the fork server imports this, and would leave it behind.
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
    """The options of a tiny run whose results and pairs lie in `place`."""
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--vgg_model", vgg]
    folders += ["--results_dir", place / "results", "--pair_dir", place / "pair"]
    return [*map(str, folders), *OPTIONS.split()]


def going_on(argv, place):
    """The command after a kill: to resume where there is something to resume, else the first one again."""
    folder = place / "results" / RUN
    begun = any((folder / name).exists() for name in ("settings.json", "state_latest.pth"))
    return ["--resume", str(folder)] if begun else argv


# Processes


def attempt(argv, place, prepare=None, *arguments):
    """What a process does: train, its words in place/said.txt; `prepare(*arguments)` goes before."""
    with open(place / "said.txt", "a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    if prepare:
        prepare(*arguments)
    os._exit(utils.exit_status(lambda: CartoonGAN.main(argv)))


def start(server, argv, place, *preparation):
    """Start an `attempt` in a process of the multiprocessing context `server`."""
    place.mkdir(exist_ok=True)
    process = server.Process(target=attempt, args=(argv, place, *preparation))
    process.start()
    return process


def finish(server, argv, place, *preparation):
    """Run to the end; returns (exit status, or -9 for a process that was killed; what it said)."""
    place.mkdir(exist_ok=True)
    (place / "said.txt").write_text("")
    process = start(server, argv, place, *preparation)
    process.join(300)
    assert process.exitcode is not None, (place / "said.txt").read_text()
    return process.exitcode, (place / "said.txt").read_text()


# Acts, upon the files that a run puts in their place


def kind_of(path):
    """What a file is, as KINDS names it."""
    inside = next((part for part in ("pair", "Reconstruction", "Transfer") if part in path.parts), None)
    return inside or path.name


def put_in_place_by(replace):
    """In this process, have replace(part, path) put what was written in its place."""
    files.os = types.SimpleNamespace(**{**vars(os), "replace": replace})


def when_writing(kind, count, act):
    """In this process, have act(part, path) called when file number `count` of a kind is put in its place.

    The file is then put there, if `act` returns. Of lines that are appended half are written before, and
    `part` is None.
    """
    left = itertools.count(count, -1)

    def watched(part, path):
        if kind_of(path) == kind and not next(left):
            act(part, path)
        if os.path.exists(part):
            os.replace(part, path)

    def write(handle, data):
        """Lines that are appended, half of them before the act."""
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if kind_of(path) == kind and not next(left):
            half = os.write(handle, data[: len(data) // 2])
            act(None, path)
            return half
        return os.write(handle, data)

    put_in_place_by(watched)
    files.os.write = write


def die_half_written(part, _):
    if part:
        os.truncate(part, os.stat(part).st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def die_just_written(part, path):
    if part:
        os.replace(part, path)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_ever(*_):
    signal.pause()


def full_disk(part, _):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))


def over_quota(part, _):
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(part))


def fill_disk(_, path):
    """Leave no byte free; the file itself is written, and takes its place."""
    with contextlib.suppress(OSError), open(path.parents[2] / "filler", "wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            continue


def take_away(part, path):
    """Move the run's folder away as soon as the file is in its place."""
    if part:
        os.replace(part, path)
    folder = next(parent for parent in path.parents if parent.name == RUN)
    os.rename(folder, folder.parents[1] / "elsewhere")


def limit_files(size):
    """Let no file of this process grow beyond a number of bytes, as a quota does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


# What must come of it


def weights(folder):
    names = ("generator_latest.pth", "discriminator_latest.pth", "generator_2.pth")
    return {name: checkpoints.load(folder / name) for name in names}


def metrics(folder):
    """The rows of metrics.csv without those columns that tell the time."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: row[key] for key in row if key not in ("seconds", "images_per_second")} for row in rows]


def assert_as_if_undisturbed(place, whole):
    """That the run in a place left what the undisturbed one in `whole` did."""
    folder, wanted = place / "results" / RUN, whole / "results" / RUN
    assert same(weights(folder), weights(wanted))
    assert metrics(folder) == metrics(wanted)
    assert [(row["phase"], row["epoch"]) for row in metrics(folder)] == [*zip("122", "112", strict=True)]
    for part in ("Transfer", "Reconstruction"):
        pictures = [{path.name: path.read_bytes() for path in (x / part).iterdir()} for x in (folder, wanted)]
        assert pictures[0] == pictures[1]
    assert not list(place.rglob("*.part"))
    assert run_state(folder)[0] == "finished"


def told(said):
    """The lines of an error; nothing else may be said of it."""
    assert "Traceback" not in said and "Exception" not in said, said
    return [line for line in said.splitlines() if line.startswith("error: ")]


def assert_failed_well(status, said, folder, words):
    """Exit status 1, one line that says what is wrong and how to resume, and a state that can be read."""
    lines = told(said)
    assert status == 1 and len(lines) == 1 and words in lines[0], f"{status}: {said}"
    assert f"resume with {PYTHON} CartoonGAN.py --" in lines[0]
    if (folder / "state_latest.pth").exists():
        checkpoints.load(folder / "state_latest.pth")
