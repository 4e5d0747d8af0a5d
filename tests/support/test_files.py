"""Files are written whole or not at all, and a lock ends with its process."""

import errno
import os
import signal
import subprocess
import sys
import threading

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
LOCK = """
import sys
from pathlib import Path
from support.files import locked
with locked(Path(sys.argv[1]), wait=False) as free:
    print(free, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("sync", [True, False])
def test_a_block_replaces_the_file_unless_it_raises(tmp_path, sync):
    path = tmp_path / "settings.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path, sync) as part:
        part.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]
    with replacing(path, sync) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and [*tmp_path.iterdir()] == [path]


def test_names_of_255_bytes_are_written_apart(tmp_path):
    names = [start + "é" * 125 + ".png" for start in ("a", "b")]
    for name in names:
        with replacing(tmp_path / name) as part:
            part.write_text(name)
            assert part.match(".*.part")  # which `sweep` removes after a power loss
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [(tmp_path / name).read_text() for name in names] == names


@pytest.mark.parametrize("written", [0, 300_000])
def test_kill_9_leaves_the_old_file_whole(tmp_path, run_cli, written):
    path = tmp_path / "state.pth"
    path.write_text("old")
    end = run_cli("-c", KILLED_WHILE_WRITING, path, written)
    assert end.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_text(path, "newer, é \udcff")
    assert path.read_text(encoding="utf-8") == r"newer, é \udcff"
    assert list(tmp_path.iterdir()) == [path]


def test_sweep_removes_the_temporary_files_alone(tmp_path):
    (tmp_path / "a").mkdir()
    for name in (".b.png.part", "a/.c.png.part", "a/c.part", "a/.hidden"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "c.part", ".hidden"}


def test_a_lock_ends_with_its_process_or_its_block(tmp_path):
    command = [sys.executable, "-c", LOCK, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as other:
        assert other.stdout.readline() == "True\n"
        with locked(tmp_path, wait=False) as free:
            assert free is False
        other.kill()
        other.wait()
    with pytest.raises(ZeroDivisionError), locked(tmp_path, wait=True) as free:
        assert free
        with locked(tmp_path, wait=False) as free_inside:
            assert free_inside is False
        raise ZeroDivisionError
    with locked(tmp_path, wait=False) as free:
        assert free


def test_a_lock_can_be_waited_for(tmp_path):
    def wait():
        with locked(tmp_path, wait=True) as free:
            order.append(free)

    order, waiting = [], threading.Thread(target=wait)
    with locked(tmp_path, wait=False):
        waiting.start()
        waiting.join(0.1)
        order.append("released")
    waiting.join(10)
    assert order == ["released", True]


def test_a_forked_process_can_close_the_locks_of_its_parent(tmp_path):
    with locked(tmp_path, wait=False):
        child = os.fork()
        if not child:
            close_inherited_locks()
            with locked(tmp_path, wait=False) as free:
                os._exit(free)  # the parent still has the lock
        assert os.waitpid(child, 0)[1] == 0


def unsupported(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_system_without_locks_or_syncs_is_warned_of_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "_warned", set())
    monkeypatch.setattr(files.fcntl, "flock", unsupported(errno.ENOSYS))
    monkeypatch.setattr(files.os, "fsync", unsupported(errno.EINVAL))
    for _ in range(2):
        with locked(tmp_path, wait=True) as free:
            assert free is None
        write_text(tmp_path / "a", "whole")
        append(tmp_path / "b", "a line\n")
    assert (tmp_path / "a").read_text() == "whole" and (tmp_path / "b").read_text() == "a line\n" * 2
    locks, syncs = capsys.readouterr().err.splitlines()
    assert locks.startswith(f"warning: {tmp_path} cannot be locked (Function not implemented): take care")
    assert "cannot be synced (Invalid argument)" in syncs


def test_a_disk_that_fails_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", unsupported(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        write_text(tmp_path / "a", "whole")


def test_appended_lines_are_separate_and_whole(tmp_path, monkeypatch):
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
