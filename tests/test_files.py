import signal
import subprocess
import sys

import pytest

from utils import locked, replacing, write_text

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from utils import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_bytes(b"new" * 100_000)
    os.truncate(part, int(sys.argv[2]))
    os.kill(os.getpid(), signal.SIGKILL)
"""
HOLD = """
import sys
from pathlib import Path
from utils import locked
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
    write_text(path, "newer, é")
    assert path.read_text(encoding="utf-8") == "newer, é"
    assert list(tmp_path.iterdir()) == [path]


def test_a_locked_folder_is_free_again_when_its_holder_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as holder:
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
