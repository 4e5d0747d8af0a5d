"""Files are written completely or not at all, and a lock ends with its process."""

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


def test_a_block_replaces_the_file_unless_it_raises(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and [*tmp_path.iterdir()] == [path]


def test_names_of_255_bytes_have_separate_temporary_files(tmp_path):
    names = [start + "é" * 125 + ".png" for start in ("a", "b")]
    for name in names:
        with replacing(tmp_path / name) as part:
            part.write_text(name)
            assert part.match(".*.part")  # which `sweep` removes after a power loss
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [(tmp_path / name).read_text() for name in names] == names


def test_kill_9_leaves_the_old_file_and_a_part_for_sweep(tmp_path, run_cli):
    path, other = tmp_path / "a/state.pth", tmp_path / "c.part"
    path.parent.mkdir()
    for each in (path, other):
        write_text(each, "é \udcff")
    assert run_cli("-c", KILLED_WHILE_WRITING, path).returncode == -signal.SIGKILL
    assert path.read_text(encoding="utf-8") == r"é \udcff" and len(list(path.parent.iterdir())) == 2
    sweep(tmp_path)
    assert [*path.parent.iterdir()] == [path] and other.exists()


def test_a_lock_can_be_waited_for_and_ends_with_its_process(tmp_path):
    command = [sys.executable, "-c", LOCK, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as other:
        assert other.stdout.readline() == "True\n"
        with locked(tmp_path, wait=False) as free:
            assert free is False
        threading.Timer(0.1, other.kill).start()
        for _ in range(2):
            with locked(tmp_path, wait=True) as free:
                assert free


def test_a_forked_process_can_close_the_locks_of_its_parent(tmp_path):
    with locked(tmp_path, wait=False):
        child = os.fork()
        if not child:
            close_inherited_locks()
            with locked(tmp_path, wait=False) as free:
                os._exit(free)  # the parent still has the lock
        assert os.waitpid(child, 0)[1] == 0


def test_a_file_system_without_locks_or_syncs_is_warned_of_once_and_a_failing_disk_is_an_error(
    tmp_path, monkeypatch, capsys
):
    def fail(number):
        raise OSError(number, os.strerror(number))

    files.report_once.cache_clear()
    monkeypatch.setattr(files.fcntl, "flock", lambda *_: fail(errno.ENOSYS))
    monkeypatch.setattr(files.os, "fsync", lambda _: fail(errno.EINVAL))
    for _ in range(2):
        with locked(tmp_path, wait=True) as free:
            assert free is None
        write_text(tmp_path / "a", "whole")
        append(tmp_path / "b", "a line\n")
    assert (tmp_path / "a").read_text() == "whole" and (tmp_path / "b").read_text() == "a line\n" * 2
    locks, syncs = capsys.readouterr().err.splitlines()
    assert locks.startswith(f"warning: {tmp_path} cannot be locked: make sure that no other process")
    assert "cannot be synced to the disk: a power loss" in syncs and syncs.endswith(" (Invalid argument)")
    monkeypatch.setattr(files.os, "fsync", lambda _: fail(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        write_text(tmp_path / "a", "whole")


def test_files_and_the_folders_of_new_ones_are_synced(tmp_path, monkeypatch):
    synced, name = [], lambda handle: os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))
    monkeypatch.setattr(files.os, "fsync", lambda handle: synced.append(name(handle)))
    write_text(tmp_path / "a", "text")
    for _ in range(2):
        append(tmp_path / "b", "a line\n")
    assert synced == [".a.part", tmp_path.name, "b", tmp_path.name, "b"]


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
