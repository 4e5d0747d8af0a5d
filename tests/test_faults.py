"""Runs that are killed, and disks that fail: nothing is lost, and the reason is told in one line.

Each attempt is a process of its own. A fork server that has loaded PyTorch already starts it in no time.
"""

import contextlib
import csv
import errno
import itertools
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from helpers import ROOT

import CartoonGAN
import utils
from pictures import checkpoints
from training import folders

TINY = (
    "--vgg_model random --ngf 4 --ndf 4 --nb 1 --input_size 32 --batch_size 4 --pool_size 2 --precision fp32"
)
TINY += " --name Kill --device cpu --pre_train_epoch 2 --train_epoch 3 --save_minutes 0 --workers 1"
TINY += " --checkpoint_every 2 --sample_keep 2 --sample_format jpg"
RUN = "Kill_2_3_4_results"
AS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def server():
    """A context of multiprocessing whose processes have the program loaded."""
    paths = [str(ROOT), str(ROOT / "tests"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("OMP_NUM_THREADS", "1")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["test_faults"])
        context.Process(target=print).start()
    return context


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The sample data, less of it: 16 photographs, 16 drawings."""
    folder = tmp_path_factory.mktemp("sample")
    made = subprocess.run([sys.executable, "data/sample.py", "--out", folder], cwd=ROOT, check=False)
    assert made.returncode == 0
    for part in ("src_data", "tgt_data"):
        for path in sorted((folder / part / "train").iterdir())[16:]:
            path.unlink()
    return folder


def command(sample, place, *more):
    """The options of a tiny run whose results and pairs lie in `place`."""
    folders = ["--src_data", sample / "src_data", "--tgt_data", sample / "tgt_data"]
    folders += ["--results_dir", place / "results", "--pair_dir", place / "pair"]
    return [*map(str, folders), *TINY.split(), *map(str, more)]


def attempt(argv, place, prepare=None, *arguments):
    """What a process does: train, its words in place/said.txt; `prepare(*arguments)` goes before."""
    with open(place / "said.txt", "a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    if prepare:
        prepare(*arguments)
    os._exit(utils.exit_status(lambda: CartoonGAN.main(argv)))


def start(server, argv, place, *preparation):
    place.mkdir(exist_ok=True)
    process = server.Process(target=attempt, args=(argv, place, *preparation))
    process.start()
    return process


def finish(server, argv, place, *preparation, within=300):
    """Run to the end; returns (exit status, or -9 for a process that was killed; what it said)."""
    place.mkdir(exist_ok=True)
    (place / "said.txt").write_text("")
    process = start(server, argv, place, *preparation)
    process.join(within)
    assert process.exitcode is not None, (place / "said.txt").read_text()
    return process.exitcode, (place / "said.txt").read_text()


def going_on(argv, place):
    """The command after a kill: to resume where there is something to resume, else the first one again."""
    folder = place / "results" / RUN
    begun = any((folder / name).exists() for name in ("settings.json", "state_latest.pth"))
    return ["--resume", str(folder)] if begun else argv


def weights(folder):
    names = ("generator_latest.pth", "discriminator_latest.pth", "generator_2.pth")
    return {name: checkpoints.load(folder / name) for name in names}


def same(one, two):
    """Whether two nested dictionaries of tensors and values are equal to the bit."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def metrics(folder):
    """The rows of metrics.csv without those columns that tell the time."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: row[key] for key in row if key not in ("seconds", "images_per_second")} for row in rows]


@pytest.fixture(scope="module")
def whole(server, sample, tmp_path_factory):
    """The place of an undisturbed run, and the seconds that it took."""
    place = tmp_path_factory.mktemp("whole")
    began = time.monotonic()
    status, said = finish(server, command(sample, place), place)
    assert status == 0, said
    return place, time.monotonic() - began


def assert_as_if_undisturbed(place, whole):
    folder, wanted = place / "results" / RUN, whole[0] / "results" / RUN
    assert same(weights(folder), weights(wanted))
    assert metrics(folder) == metrics(wanted)
    assert [(row["phase"], row["epoch"]) for row in metrics(folder)] == [*zip("11222", "12123", strict=True)]
    for part in ("Transfer", "Reconstruction"):
        pictures = [{path.name: path.read_bytes() for path in (x / part).iterdir()} for x in (folder, wanted)]
        assert pictures[0] == pictures[1]
    assert not list(place.rglob("*.part"))
    assert folders.state(folder)[0] == "finished"


# Kills

KINDS = ("pair", "settings.json", "log.txt", "plotly.min.js", "page.js", "index.html", "losses.png")
KINDS += ("generator_latest.pth", "discriminator_latest.pth", "state_latest.pth", "metrics.csv")
KINDS += ("Reconstruction", "Transfer", "generator_2.pth")
PAGES = {"plotly.min.js", "page.js", "index.html"}


def kind_of(path):
    """What a file is, as KINDS names it."""
    inside = next((part for part in ("pair", "Reconstruction", "Transfer") if part in path.parts), None)
    return inside or path.name


def when_writing(kind, count, act):
    """In this process, have act(part, path, replace) called when file number `count` of a kind is written."""
    left, replace = itertools.count(count, -1), utils.os.replace

    def watched(part, path):
        if kind_of(path) == kind and not next(left):
            act(part, path, replace)
        replace(part, path)

    utils.os = type("os", (), {**vars(os), "replace": staticmethod(watched)})


def die_half_written(part, path, replace):
    os.truncate(part, os.stat(part).st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def die_just_written(part, path, replace):
    replace(part, path)
    os.kill(os.getpid(), signal.SIGKILL)


def full_disk(part, path, replace):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))


def fail_always(kinds):
    """In this process, fail to write any file of these kinds."""
    replace = os.replace

    def failing(part, path):
        if kind_of(path) in kinds:
            full_disk(part, path, replace)
        replace(part, path)

    utils.os = type("os", (), {**vars(os), "replace": staticmethod(failing)})


def over_quota(part, path, replace):
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(part))


def complete(server, sample, place, whole):
    status, said = finish(server, going_on(command(sample, place), place), place)
    assert status == 0 and "Traceback" not in said, said
    assert_as_if_undisturbed(place, whole)


@pytest.mark.parametrize(
    "ways", [pytest.param(0, id="short"), pytest.param(1, id="long", marks=pytest.mark.slow)]
)
def test_a_run_killed_while_it_writes_anything_ends_as_if_undisturbed(ways, server, sample, whole, tmp_path):
    for place, kind in enumerate(KINDS):
        act = (die_half_written, die_just_written)[(place + ways) % 2]
        argv = going_on(command(sample, tmp_path), tmp_path)
        status, said = finish(server, argv, tmp_path, when_writing, kind, 1 if kind == "pair" else 0, act)
        assert status == -signal.SIGKILL, f"{kind}: {status} {said}"
    complete(server, sample, tmp_path, whole)


@pytest.mark.slow
def test_a_run_killed_100_times_ends_as_if_undisturbed(server, sample, whole, tmp_path):
    """By the clock, at any moment. A run that ends meanwhile is compared, and another begun."""
    chance, kills, ended = random.Random(0), 0, 0
    while kills < 100:
        place = tmp_path / str(ended)
        process = start(server, going_on(command(sample, place), place), place)
        process.join(chance.uniform(0.02, whole[1] / 3))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), (place / "said.txt").read_text()
        kills += process.exitcode != 0
        if process.exitcode == 0:
            assert_as_if_undisturbed(place, whole)
            ended += 1
    complete(server, sample, place, whole)
    print(f"{kills} kills, {ended + 1} runs")


def test_a_killed_run_leaves_no_lock_and_soon_no_process(server, sample, tmp_path):
    """Its loading processes live on for seconds; the lock must not."""
    argv = command(sample, tmp_path, "--workers", 2)
    assert finish(server, argv, tmp_path, when_writing, "metrics.csv", 0, die_just_written)[0] == -9
    with utils.locked(tmp_path / "results" / RUN, wait=False) as free:
        assert free
    deadline = time.monotonic() + 60
    while processes_with_files_in(tmp_path):
        assert time.monotonic() < deadline, "loading processes of a killed run live on"
        time.sleep(0.5)


def processes_with_files_in(folder):
    """The numbers of the processes that hold a file below a folder open."""
    found = set()
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # one that ended meanwhile
            if handle.readlink().is_relative_to(folder):
                found.add(handle.parts[2])
    return found


def test_a_second_run_in_the_folder_is_refused(server, sample, tmp_path):
    process = start(server, command(sample, tmp_path), tmp_path)
    settings = tmp_path / "results" / RUN / "settings.json"
    while not settings.exists():
        assert process.exitcode is None, (tmp_path / "said.txt").read_text()
        time.sleep(0.05)
    (tmp_path / "second").mkdir()
    status, said = finish(server, ["--resume", str(settings.parent)], tmp_path / "second")
    process.kill()
    process.join()
    assert (status, told(said)) == (
        2,
        [f"error: {settings.parent} is being written by another run: stop that one, or wait for its end"],
    )


# Disks


def told(said):
    """The lines of an error; nothing else may be said of it."""
    assert "Traceback" not in said and "Exception" not in said, said
    return [line for line in said.splitlines() if line.startswith("error: ")]


def assert_failed_well(status, said, folder, words):
    """Exit status 1, one line that says what is wrong and how to go on, and a state that can be read."""
    lines = told(said)
    assert status == 1 and len(lines) == 1 and words in lines[0], f"{status}: {said}"
    assert f"go on with python CartoonGAN.py --resume {folder}" in lines[0]
    if (folder / "state_latest.pth").exists():
        checkpoints.load_state(folder / "state_latest.pth")


@pytest.mark.parametrize("fail", [full_disk, pytest.param(over_quota, marks=pytest.mark.slow)])
def test_whatever_cannot_be_written_ends_the_run_in_one_line(fail, server, sample, whole, tmp_path):
    folder = tmp_path / "results" / RUN
    for kind in KINDS:
        argv = going_on(command(sample, tmp_path), tmp_path)
        if kind in PAGES:
            continue
        status, said = finish(server, argv, tmp_path, when_writing, kind, 0, fail)
        assert_failed_well(status, said, folder, "o space left" if fail == full_disk else "quota")
        assert not list(folder.rglob("*.part"))
    complete(server, sample, tmp_path, whole)


def test_pages_that_cannot_be_written_end_no_run(server, sample, whole, tmp_path):
    argv = command(sample, tmp_path)
    status, said = finish(server, argv, tmp_path, fail_always, PAGES)
    assert status == 0 and not told(said), said
    assert said.count("the pages could not be written: No space left on device") == 1
    assert_as_if_undisturbed(tmp_path, whole)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own; remount("size=9m") changes it."""
    if not AS_ROOT:
        pytest.skip("a disk can be mounted by root alone")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield disk, lambda how: subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill_disk(part, path, replace):
    """Leave no byte free; the file itself is written, and takes its place."""
    with contextlib.suppress(OSError), open(path.parents[2] / "filler", "wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            continue


def test_a_disk_that_fills_up_between_two_files(small_disk, server, sample, whole):
    """TensorBoard's thread is the next to write."""
    place, _ = small_disk
    argv, folder = command(sample, place), place / "results" / RUN
    status, said = finish(server, argv, place, when_writing, "metrics.csv", 0, fill_disk)
    assert_failed_well(status, said, folder, "No space left on device")
    (place / "filler").unlink()
    complete(server, sample, place, whole)


@pytest.mark.parametrize("size", ["4900k", "5400k"])
def test_a_full_disk(size, small_disk, server, sample, whole):
    place, remount = small_disk
    remount(f"size={size}")
    argv, folder = command(sample, place), place / "results" / RUN
    status, said = finish(server, argv, place)
    assert_failed_well(status, said, folder, "No space left on device")
    remount("size=64m")
    complete(server, sample, place, whole)


def test_a_disk_that_is_read_only(small_disk, server, sample, whole):
    place, remount = small_disk
    argv, folder = command(sample, place, "--workers", 0), place / "results" / RUN
    assert finish(server, argv, place, when_writing, "metrics.csv", 1, die_half_written)[0] == -9
    (place / "said.txt").unlink()
    remount("ro")
    with tempfile.TemporaryDirectory() as elsewhere:
        status, said = finish(server, ["--resume", str(folder)], Path(elsewhere))
    assert_failed_well(status, said, folder, "Read-only file system")
    remount("rw")
    complete(server, sample, place, whole)


def take_away(part, path, replace):
    """Move the run's folder away as soon as the file is in its place."""
    replace(part, path)
    folder = next(parent for parent in path.parents if parent.name == RUN)
    os.rename(folder, folder.parents[1] / "elsewhere")


def test_a_folder_that_is_removed(server, sample, whole, tmp_path):
    folder = tmp_path / "results" / RUN
    for kind in KINDS:
        if kind in ("pair", "plotly.min.js"):  # beside the folder
            continue
        argv = going_on(command(sample, tmp_path), tmp_path)
        status, said = finish(server, argv, tmp_path, when_writing, kind, 0, take_away)
        shutil.rmtree(folder, ignore_errors=True)  # what was begun anew in the old place
        os.rename(tmp_path / "elsewhere", folder)
        assert_failed_well(status, said, folder, "No such file or directory")
    complete(server, sample, tmp_path, whole)


def limit_files(size):
    """Let no file of this process grow beyond a number of bytes, as a quota does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_files_that_may_not_grow(server, sample, whole, tmp_path):
    folder = tmp_path / "results" / RUN
    size = (whole[0] / "results" / RUN / "state_latest.pth").stat().st_size
    status, said = finish(server, command(sample, tmp_path), tmp_path, limit_files, size // 2)
    assert_failed_well(status, said, folder, "File too large")
    complete(server, sample, tmp_path, whole)


# Clocks


def jumping_clock():
    """In this process, a clock that is set forward and back by a day at every look."""
    look, real = itertools.count(), time.time
    time.time = lambda: real() + 86400 * (1 - next(look) % 3)


def test_a_clock_that_jumps_does_no_harm(server, sample, whole, tmp_path):
    status, said = finish(server, command(sample, tmp_path), tmp_path, jumping_clock)
    assert status == 0 and "Traceback" not in said, said
    assert_as_if_undisturbed(tmp_path, whole)
    with open(tmp_path / "results" / RUN / "metrics.csv", newline="") as file:
        assert all(0 < float(row["seconds"]) < 1000 for row in csv.DictReader(file))
