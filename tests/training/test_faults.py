"""Runs that are killed, and disks that fail: nothing that was saved is lost, and the run can be resumed."""

import signal
import subprocess

import faults
import pytest
from helpers import VGG, make_data

import CartoonGAN


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The place of an undisturbed run and its data, which no test changes."""
    place = tmp_path_factory.mktemp("whole")
    CartoonGAN.main(faults.command(make_data(place / "data"), VGG, place))
    return place


@pytest.fixture
def train(server, whole, tmp_path):
    """train(place, *fault of when_writing): start or resume the run there -> (exit status, output)."""

    def run(place, *fault):
        argv = faults.command(whole / "data", VGG, place)
        return faults.finish(server, argv, tmp_path / "output.txt", fault or ((), None))

    return run


@pytest.fixture
def complete(train, whole):
    """complete(place): resume the run in a place to its end, which must be as if undisturbed."""

    def run(place):
        status, output = train(place)
        assert status == 0 and "Traceback" not in output, output
        faults.assert_as_if_undisturbed(place, whole)

    return run


def test_a_run_killed_while_writing_ends_as_if_undisturbed(train, complete, tmp_path):
    """Its loading processes, which may live on for seconds, must not keep the lock."""
    for number, kind in enumerate(faults.KINDS):
        die = faults.die_just_written if number % 2 else faults.die_half_written
        status, output = train(tmp_path, [kind], die)
        assert status == -signal.SIGKILL, f"{kind}: {status} {output}"
    complete(tmp_path)


def test_whatever_cannot_be_written_ends_the_run_in_one_line(train, complete, tmp_path):
    folder = tmp_path / faults.RUN
    for kind in faults.KINDS:
        if kind not in faults.PAGES:
            end = train(tmp_path, [kind], faults.full_disk)
            faults.assert_one_line_error(*end, folder, "o space left")
            assert not list(folder.rglob("*.part"))
    complete(tmp_path)


def test_pages_that_cannot_be_written_do_not_end_a_run(train, whole, tmp_path):
    status, output = train(tmp_path, faults.PAGES, faults.full_disk, True)
    assert status == 0 and "Traceback" not in output and "error: " not in output, output
    assert output.count("the pages could not be written: No space left on device") == 1
    faults.assert_as_if_undisturbed(tmp_path, whole)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_disk_that_is_full_or_read_only(small_disk, train, complete):
    folder = small_disk / faults.RUN
    # Between two files: TensorBoard's thread is the next to write.
    end = train(small_disk, ["metrics.csv"], faults.fill_disk)
    faults.assert_one_line_error(*end, folder, "No space left on device")
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    faults.assert_one_line_error(*train(small_disk), folder, "Read-only file system")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    complete(small_disk)
