"""Files are written whole or not at all, and a locked folder is free again however its holder ends."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from helpers import ROOT

from support import files
from support.files import append, close_inherited_locks, locked, replacing, sweep, write_text

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from support.files import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_bytes(b"new" * 100_000)
    os.truncate(part, int(sys.argv[2]))
    os.kill(os.getpid(), signal.SIGKILL)
"""
HOLD = """
import sys
from pathlib import Path
from support.files import locked
with locked(Path(sys.argv[1]), wait=False) as free:
    print(free, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("sync", [True, False])
def test_a_block_without_error_replaces_the_file(tmp_path, sync):
    path = tmp_path / "settings.json"
    path.write_text("old")
    with replacing(path, sync) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_of_255_bytes_is_written_and_leaves_no_other(tmp_path):
    names = [start + "é" * 125 + ".png" for start in ("a", "b")]
    for name in names:
        with replacing(tmp_path / name) as part:
            part.write_text(name)
            assert part.match(".*.part")  # which `sweep` removes after a power loss
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [(tmp_path / name).read_text() for name in names] == names


def test_an_error_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("written", [0, 1000, 300_000])
def test_kill_9_leaves_the_old_file_whole(tmp_path, run_cli, written):
    path = tmp_path / "state.pth"
    path.write_text("old")
    end = run_cli("-c", KILLED_WHILE_WRITING, path, written)
    assert end.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_text(path, "newer, é \udcff")
    assert path.read_text(encoding="utf-8") == r"newer, é \udcff"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    (tmp_path / "a").mkdir()
    for name in (".b.png.part", "a/.c.png.part", "a/c.part", "a/.hidden"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "c.part", ".hidden"}


def test_a_locked_folder_is_free_again_when_its_holder_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as holder:
        assert holder.stdout.readline() == "True\n"
        with locked(tmp_path, wait=False) as free:
            assert not free
        holder.kill()
        holder.wait()
        with locked(tmp_path, wait=True) as free:
            assert free


def test_a_lock_ends_with_its_block_even_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path, wait=False):
        with locked(tmp_path, wait=False) as free:
            assert not free
        raise ZeroDivisionError
    with locked(tmp_path, wait=False) as free:
        assert free


def test_a_forked_process_can_let_go_of_what_its_parent_holds(tmp_path):
    with locked(tmp_path, wait=False):
        child = os.fork()
        if not child:
            close_inherited_locks()
            with locked(tmp_path, wait=False) as free:
                os._exit(free)  # the parent holds it alone, and still does
        assert os.waitpid(child, 0)[1] == 0


def lacking(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def nothing_warned(monkeypatch):
    monkeypatch.setattr(files, "_warned", set())


def test_a_file_system_without_locks_is_warned_of_once(tmp_path, monkeypatch, capsys, nothing_warned):
    monkeypatch.setattr(files.fcntl, "flock", lacking(errno.ENOSYS))
    for _ in range(2):
        with locked(tmp_path, wait=True) as free:
            assert free is None
    assert capsys.readouterr().err == (
        f"warning: {tmp_path} cannot be locked (Function not implemented): "
        "take care that no other process writes there\n"
    )


def test_a_folder_that_cannot_be_synced_is_warned_of_once(tmp_path, monkeypatch, capsys, nothing_warned):
    monkeypatch.setattr(files.os, "fsync", lacking(errno.EINVAL))
    for _ in range(2):
        write_text(tmp_path / "a", "whole")
        append(tmp_path / "b", "a line\n")
    assert (tmp_path / "a").read_text() == "whole" and (tmp_path / "b").read_text() == "a line\n" * 2
    assert capsys.readouterr().err.count("cannot be synced (Invalid argument)") == 1


def test_a_disk_that_fails_to_sync_is_no_lack(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", lacking(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        write_text(tmp_path / "a", "whole")


def test_what_is_appended_stands_on_a_line_of_its_own_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "log.txt"
    path.write_bytes(b"one\ncut of")  # by a power loss
    append(path, "three\n")
    assert path.read_text() == "one\ncut of\nthree\n"
    writes = iter([2, None])

    def full(handle, data):
        if (count := next(writes)) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.pwrite(handle, data[:count], os.fstat(handle).st_size)

    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        append(path, "four\n")
    assert path.read_text() == "one\ncut of\nthree\n"
