"""Runs that are killed, and disks that fail: nothing that was saved is lost, and the run can be resumed."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import faults
import pytest
from faults import KINDS, PAGES, RUN, die_half_written, die_just_written, full_disk, when_writing
from helpers import VGG, make_data

import CartoonGAN
import utils
from support import files


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The place of an undisturbed run and its data, which no test changes."""
    place = tmp_path_factory.mktemp("whole")
    CartoonGAN.main(faults.command(make_data(place / "data"), VGG, place))
    return place


@pytest.fixture
def command(whole):
    """command(place) -> the options that start or resume such a run, its results and pairs in `place`."""
    return lambda place: faults.command(whole / "data", VGG, place)


@pytest.fixture
def complete(server, whole, command):
    """complete(place): resume the run in a place to its end, which must be as if undisturbed."""

    def run(place):
        status, output = faults.finish(server, command(place), place)
        assert status == 0 and "Traceback" not in output, output
        faults.assert_as_if_undisturbed(place, whole)

    return run


@pytest.mark.parametrize("order", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_while_writing_ends_as_if_undisturbed(order, server, command, complete, tmp_path):
    """Its loading processes, which may live on for seconds, must not keep the lock."""
    for place, kind in enumerate(KINDS):
        fault = (die_half_written, die_just_written)[(place + order) % 2]
        preparation = when_writing, [kind], int(kind == "pair"), fault
        status, output = faults.finish(server, command(tmp_path), tmp_path, *preparation)
        assert status == -signal.SIGKILL, f"{kind}: {status} {output}"
    complete(tmp_path)


# Disks


@pytest.fixture
def train(monkeypatch, capfd, command):
    """train(place, *fault of when_writing): start or resume the run -> (exit status, standard error)."""

    def run(place, *fault):
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", os)  # when_writing replaces it
            when_writing(*fault)
            status = utils.exit_status(lambda: CartoonGAN.main(command(place)))
        return status, capfd.readouterr().err

    return run


def test_whatever_cannot_be_written_ends_the_run_in_one_line(train, complete, tmp_path):
    folder = tmp_path / "results" / RUN
    for kind in KINDS:
        if kind not in PAGES:
            faults.assert_one_line_error(*train(tmp_path, [kind], 0, full_disk), folder, "o space left")
            assert not list(folder.rglob("*.part"))
    complete(tmp_path)


def test_pages_that_cannot_be_written_do_not_end_a_run(train, whole, tmp_path):
    status, output = train(tmp_path, PAGES, 0, full_disk, True)
    assert status == 0 and "Traceback" not in output and "error: " not in output, output
    assert output.count("the pages could not be written: No space left on device") == 1
    faults.assert_as_if_undisturbed(tmp_path, whole)


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
    faults.assert_as_if_undisturbed(tmp_path, whole)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own; remount("ro") changes it."""
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
            status, output = faults.finish(server, command(place), Path(elsewhere), *preparation)
        faults.assert_one_line_error(status, output, folder, words)

    # Between two files: TensorBoard's thread is the next to write.
    assert_next_fails("No space left on device", when_writing, ["metrics.csv"], 0, faults.fill_disk)
    (place / "filler").unlink()
    remount("ro")
    assert_next_fails("Read-only file system")
    remount("rw")
    assert_next_fails("File too large", faults.limit_files, state // 2)
    complete(place)
