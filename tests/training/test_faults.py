"""Runs that are killed, and disks that fail: nothing that was saved is lost, and the run can be resumed."""

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from faults import (
    KINDS,
    PAGES,
    RUN,
    assert_as_if_undisturbed,
    assert_one_line_error,
    die_half_written,
    die_just_written,
    fill_disk,
    finish,
    full_disk,
    limit_files,
    move_folder,
    resume_or_start,
    when_writing,
)

import CartoonGAN
import utils
from support import files


@pytest.mark.parametrize("order", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_while_it_writes_anything_ends_as_if_undisturbed(
    order, server, command, complete, tmp_path
):
    for place, kind in enumerate(KINDS):
        fault = (die_half_written, die_just_written)[(place + order) % 2]
        argv = resume_or_start(command(tmp_path), tmp_path)
        status, output = finish(server, argv, tmp_path, when_writing, [kind], int(kind == "pair"), fault)
        assert status == -signal.SIGKILL, f"{kind}: {status} {output}"
    complete(tmp_path)


def test_a_killed_run_leaves_no_lock_and_soon_no_process(server, command, tmp_path):
    """Its loading processes may live on for seconds; the lock must not."""
    argv = [*command(tmp_path), "--workers", "2"]
    assert finish(server, argv, tmp_path, when_writing, ["metrics.csv"], 0, die_just_written)[0] == -9
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


def test_a_second_run_in_the_folder_is_refused(command, tmp_path, capfd):
    folder = tmp_path / "results" / RUN
    folder.mkdir(parents=True)
    with files.locked(folder, wait=False):
        assert utils.exit_status(lambda: CartoonGAN.main(command(tmp_path))) == 2
    assert f"error: {folder} is in use by another run: stop that one, or" in capfd.readouterr().err
    assert not [*folder.iterdir()]


# Disks


@pytest.fixture
def train(monkeypatch, capfd, command):
    """train(place, *fault of when_writing): start or resume the run -> (exit status, standard error)."""

    def run(place, *fault):
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", os)  # when_writing replaces it
            when_writing(*fault)
            status = utils.exit_status(lambda: CartoonGAN.main(resume_or_start(command(place), place)))
        return status, capfd.readouterr().err

    return run


def test_whatever_cannot_be_written_ends_the_run_in_one_line(train, complete, tmp_path):
    folder = tmp_path / "results" / RUN
    for kind in KINDS:
        if kind not in PAGES:
            assert_one_line_error(*train(tmp_path, [kind], 0, full_disk), folder, "o space left")
            assert not list(folder.rglob("*.part"))
    complete(tmp_path)


def test_pages_that_cannot_be_written_do_not_end_a_run(train, whole, tmp_path):
    status, output = train(tmp_path, PAGES, 0, full_disk, True)
    assert status == 0 and "Traceback" not in output and "error: " not in output, output
    assert output.count("the pages could not be written: No space left on device") == 1
    assert_as_if_undisturbed(tmp_path, whole)


def test_a_folder_that_is_removed(train, complete, tmp_path):
    folder = tmp_path / "results" / RUN
    for kind in KINDS:
        if kind in ("pair", "plotly.min.js", "runs.js"):  # beside the folder
            continue
        status, output = train(tmp_path, [kind], 0, move_folder)
        shutil.rmtree(folder, ignore_errors=True)  # what was started anew in the old place
        os.rename(tmp_path / "elsewhere", folder)
        assert_one_line_error(status, output, folder, "No such file or directory")
    complete(tmp_path)


def test_a_file_system_without_locks_and_syncs_of_folders(whole, command, tmp_path, monkeypatch, capfd):
    """As Lustre and some network drives are: one warning of each, and a run like any other."""
    sync = os.fsync

    def no_locks(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    def no_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(files, "_warned", set())
    monkeypatch.setattr(os, "fsync", no_folders)
    CartoonGAN.main(command(tmp_path))
    output = capfd.readouterr().err
    assert output.count("cannot be locked") == output.count("cannot be synced") == 1, output
    assert_as_if_undisturbed(tmp_path, whole)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own; remount("size=9m") changes it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk, lambda how: subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_disk_that_is_full_or_read_only_or_has_a_quota(small_disk, server, command, complete, whole):
    """One fault after the other, with the run resumed in between."""
    place, remount = small_disk
    folder = place / "results" / RUN
    state = (whole / "results" / RUN / "state_latest.pth").stat().st_size

    def assert_next_fails(words, *preparation):
        with tempfile.TemporaryDirectory() as elsewhere:
            argv = resume_or_start(command(place), place)
            status, output = finish(server, argv, Path(elsewhere), *preparation)
        assert_one_line_error(status, output, folder, words)

    # Between two files: TensorBoard's thread is the next to write.
    assert_next_fails("No space left on device", when_writing, ["metrics.csv"], 0, fill_disk)
    (place / "filler").unlink()
    remount("ro")
    assert_next_fails("Read-only file system")
    remount("rw")
    assert_next_fails("File too large", limit_files, state // 2)
    used = subprocess.run(["du", "-sB1", place], capture_output=True, text=True, check=True).stdout.split()[0]
    remount(f"size={int(used) + state // 2}")
    assert_next_fails("No space left on device")
    remount("size=64m")
    complete(place)
