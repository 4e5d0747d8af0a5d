"""Disks that fail: the reason and the way on are told in one line, and nothing that was saved is lost."""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from faults import (
    KINDS,
    PAGES,
    RUN,
    assert_as_if_undisturbed,
    assert_failed_well,
    fill_disk,
    finish,
    full_disk,
    going_on,
    kind_of,
    limit_files,
    over_quota,
    put_in_place_by,
    take_away,
    told,
    when_writing,
)

import CartoonGAN
import utils
from support import files

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def fail(monkeypatch, capfd, command):
    """fail(place, prepare, *arguments): begin or resume the run in a place -> (exit status, standard error).

    `prepare(*arguments)` goes before; what it puts in the place of files.os is taken back.
    """

    def run(place, prepare, *arguments):
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", os)
            prepare(*arguments)
            status = utils.exit_status(lambda: CartoonGAN.main(going_on(command(place), place)))
        return status, capfd.readouterr().err

    return run


@pytest.mark.parametrize("how", [full_disk, pytest.param(over_quota, marks=pytest.mark.slow)])
def test_whatever_cannot_be_written_ends_the_run_in_one_line(how, fail, complete, tmp_path):
    folder = tmp_path / "results" / RUN
    for kind in KINDS:
        if kind in PAGES:
            continue
        status, said = fail(tmp_path, when_writing, kind, 0, how)
        assert_failed_well(status, said, folder, "o space left" if how == full_disk else "quota")
        assert not list(folder.rglob("*.part"))
    complete(tmp_path)


def test_pages_that_cannot_be_written_end_no_run(fail, whole, tmp_path):
    def failing(part, path):
        if kind_of(path) in PAGES:
            full_disk(part, path)
        os.replace(part, path)

    status, said = fail(tmp_path, put_in_place_by, failing)
    assert status == 0 and not told(said), said
    assert said.count("the pages could not be written: No space left on device") == 1
    assert_as_if_undisturbed(tmp_path, whole)


def test_a_folder_that_is_removed(fail, complete, tmp_path):
    folder = tmp_path / "results" / RUN
    for kind in KINDS:
        if kind in ("pair", "plotly.min.js", "runs.js"):  # beside the folder
            continue
        status, said = fail(tmp_path, when_writing, kind, 0, take_away)
        shutil.rmtree(folder, ignore_errors=True)  # what was begun anew in the old place
        os.rename(tmp_path / "elsewhere", folder)
        assert_failed_well(status, said, folder, "No such file or directory")
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
    said = capfd.readouterr().err
    assert said.count("cannot be locked") == said.count("cannot be synced") == 1, said
    assert_as_if_undisturbed(tmp_path, whole)


# Real disks, and processes that write to them


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


def test_a_disk_that_is_full_or_read_only_or_has_a_quota(small_disk, server, command, complete, whole):
    """One fault after the other, the run going on in between."""
    place, remount = small_disk
    folder = place / "results" / RUN
    state = (whole / "results" / RUN / "state_latest.pth").stat().st_size

    def assert_next_fails(words, *preparation):
        with tempfile.TemporaryDirectory() as elsewhere:
            status, said = finish(server, going_on(command(place), place), Path(elsewhere), *preparation)
        assert_failed_well(status, said, folder, words)

    # Between two files: TensorBoard's thread is the next to write.
    assert_next_fails("No space left on device", when_writing, "metrics.csv", 0, fill_disk)
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


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.95, 0.985])
def test_a_disk_too_small_for_the_whole_run(share, small_disk, server, command, complete, whole):
    """By a little: with less, Plotly finds no place, and the run ends well without its pages."""
    place, remount = small_disk
    left = [path for path in whole.rglob("*") if "data" not in path.parts]
    remount(f"size={round(share * sum(path.stat().st_blocks * 512 for path in left))}")
    status, said = finish(server, command(place), place)
    assert_failed_well(status, said, place / "results" / RUN, "No space left on device")
    remount("size=64m")
    complete(place)
