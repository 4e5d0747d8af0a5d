"""Runs that are killed: nothing is lost, and the folder is free for the next."""

import contextlib
import csv
import itertools
import random
import signal
import time
from pathlib import Path

import pytest
from faults import (
    KINDS,
    RUN,
    assert_as_if_undisturbed,
    die_half_written,
    die_just_written,
    finish,
    going_on,
    start,
    told,
    wait_for_ever,
    when_writing,
)
from helpers import SLOW

import CartoonGAN
from support import files


@pytest.mark.parametrize(
    "ways", [pytest.param(0, id="short"), pytest.param(1, id="long", marks=pytest.mark.slow)]
)
def test_a_run_killed_while_it_writes_anything_ends_as_if_undisturbed(
    ways, server, command, complete, tmp_path
):
    for place, kind in enumerate(KINDS):
        act = (die_half_written, die_just_written)[(place + ways) % 2]
        argv = going_on(command(tmp_path), tmp_path)
        status, said = finish(server, argv, tmp_path, when_writing, kind, 1 if kind == "pair" else 0, act)
        assert status == -signal.SIGKILL, f"{kind}: {status} {said}"
    complete(tmp_path)


@pytest.mark.slow
def test_a_run_killed_100_times_ends_as_if_undisturbed(server, whole, command, complete, tmp_path):
    """By the clock, at any moment. A run that ends meanwhile is compared, and another begun."""
    began = time.monotonic()
    complete(tmp_path / "timed")
    took = time.monotonic() - began
    chance, kills, ended = random.Random(0), 0, 0
    while kills < 100 * SLOW:
        place = tmp_path / str(ended)
        process = start(server, going_on(command(place), place), place)
        process.join(chance.uniform(0.02, took / 3))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), (place / "said.txt").read_text()
        kills += process.exitcode != 0
        if process.exitcode == 0:
            assert_as_if_undisturbed(place, whole)
            ended += 1
    complete(place)
    print(f"{kills} kills, {ended + 1} runs")


def test_a_killed_run_leaves_no_lock_and_soon_no_process(server, command, tmp_path):
    """Its loading processes live on for seconds; the lock must not."""
    argv = [*command(tmp_path), "--workers", "2"]
    assert finish(server, argv, tmp_path, when_writing, "metrics.csv", 0, die_just_written)[0] == -9
    with files.locked(tmp_path / "results" / RUN, wait=False) as free:
        assert free
    deadline = time.monotonic() + 60
    while processes_with_files_in(tmp_path):
        assert time.monotonic() < deadline, "loading processes of a killed run live on"
        time.sleep(0.1)


def processes_with_files_in(folder):
    """The numbers of the processes that hold a file below a folder open."""
    found = set()
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # one that ended meanwhile
            if handle.readlink().is_relative_to(folder):
                found.add(handle.parts[2])
    return found


def test_a_second_run_in_the_folder_is_refused(server, command, tmp_path):
    process = start(server, command(tmp_path), tmp_path, when_writing, "metrics.csv", 0, wait_for_ever)
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
        [f"error: {settings.parent} is in use by another run: stop that one, or wait for its end"],
    )


def test_a_clock_that_jumps_does_no_harm(whole, command, tmp_path, monkeypatch, capfd):
    """It is set forward and back by a day at every look."""
    look, real = itertools.count(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86400 * (1 - next(look) % 3))
    CartoonGAN.main(command(tmp_path))
    assert "Traceback" not in capfd.readouterr().err
    assert_as_if_undisturbed(tmp_path, whole)
    with open(tmp_path / "results" / RUN / "metrics.csv", newline="") as file:
        assert all(0 < float(row["seconds"]) < 1000 for row in csv.DictReader(file))
