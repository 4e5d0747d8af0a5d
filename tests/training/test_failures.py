"""Failures around a run are one-line errors with their traceback in log.txt, from which its state follows."""

import contextlib
import types
from pathlib import Path

import pytest
import torch

from support.arguments import PYTHON
from training import failures, log
from training.folder import lock_run
from training.log import log_event, read_log, run_state
from training.options import CARTOONGAN
from utils import RunFailed, WrongUse

CPU = torch.device("cpu")
COMMAND = f"{PYTHON} CartoonGAN.py --name Tiny"


def config(folder=Path("results/none")):
    parts = {"folder": folder, "method": CARTOONGAN, "argv": ["--name", "Tiny"], "earlier": None}
    return types.SimpleNamespace(**parts, args=types.SimpleNamespace(batch_size=5))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "full", "a"), f"full (a): fix that (traceback in log.txt), then resume with {COMMAND}"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), f"smaller batch, {COMMAND} --batch_size 2"),
        (MemoryError(), "start a new run with a smaller --input_size or --ngf"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), failures.KILLED),
        (ConnectionResetError(), failures.KILLED),
        (RuntimeError("gloo: connection closed\nand more"), "cannot be reached (gloo: connection closed)"),
    ],
)
def test_a_failure_around_a_run_is_a_one_line_error(error, message, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1" if "--batch_size" in message else "4")
    with pytest.raises(RunFailed) as failed, failures.one_line_errors(CPU, config()):
        raise error
    assert message in str(failed.value) and "\n" not in str(failed.value)
    assert failed.value.__cause__ is error


def test_faults_of_the_program_are_raised_as_they_are():
    with pytest.raises(RuntimeError, match="shapes"), failures.one_line_errors(CPU, config()):
        raise RuntimeError("shapes")


def test_faults_of_loading_processes():
    worker = "Caught in DataLoader worker process 0.\n"
    for error, message in (
        (EOFError(), failures.KILLED),  # as multiprocessing raises it
        (OSError(28, "No space left on device"), "shared memory (/dev/shm) is full: use fewer --workers"),
        (RunFailed("Traceback\nutils.RunFailed: all 9 are lost"), "all 9 are lost"),
        (MemoryError(f"{worker}MemoryError"), "ran out of memory: try fewer"),
        (OSError(f"{worker}OSError: EIO"), "failed (OSError: EIO): fix that, then"),
    ):
        assert message in failures.loading_fault(error)
    assert failures.loading_fault(EOFError("Ran out of input")) is None  # of a file that is cut off


def test_the_whole_traceback_is_in_the_log(tmp_path):
    """Also that of a new run which failed before its start; wrong use leaves none."""
    with pytest.raises(WrongUse), failures.log_tracebacks(config(tmp_path / "new")):
        raise WrongUse("no folder data")
    assert not (tmp_path / "new").exists()
    new = config(tmp_path / "new")
    failed = pytest.raises(RunFailed)
    with failed, failures.log_tracebacks(new), failures.one_line_errors(CPU, new):
        raise OSError(28, "No space left")
    text = (tmp_path / "new/log.txt").read_text()
    assert text.count("Traceback (most recent call last)") == 2
    assert "    OSError: [Errno 28] No space left\n" in text
    assert [event for _, event, _ in read_log(tmp_path / "new")] == ["traceback"]


def test_the_state_follows_from_the_log_and_the_lock(tmp_path, monkeypatch):
    assert run_state(tmp_path) == run_state(tmp_path / "removed") == ("", "")
    log_event(tmp_path, "started", "one \udcff é")
    assert run_state(tmp_path) == ("killed", "the process ended without logging why")
    with lock_run(tmp_path):
        assert run_state(tmp_path) == ("running", "")
    with monkeypatch.context() as patch:
        patch.setattr(log, "locked", lambda *_, **__: contextlib.nullcontext(None))  # no locks here
        assert run_state(tmp_path)[0] == "unknown"
    log_event(tmp_path, "said", "warning: finished: not yet")  # as earlier versions wrote
    assert run_state(tmp_path)[0] == "killed"
    log_event(tmp_path, "failed", "out of\nmemory")
    assert run_state(tmp_path) == ("failed", "out of memory")
    log_event(tmp_path, "started", "python CartoonGAN.py --resume")
    assert run_state(tmp_path)[0] == "killed"
    with open(tmp_path / "log.txt", "ab") as file:
        file.write(b"by hand\n\xff\xfe\n\n")
    log_event(tmp_path, "finished")
    log_event(tmp_path, "slimmed", "state_latest.pth")
    assert run_state(tmp_path) == ("finished", "")
    assert [event for _, event, _ in read_log(tmp_path)][1:3] == ["reported", "failed"]
    assert read_log(tmp_path)[0][2] == "one ? é"
