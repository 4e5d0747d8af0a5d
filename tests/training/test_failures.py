"""Failures around a run are one-line errors with their traceback in log.txt, from which its state follows."""

import contextlib
import types
from pathlib import Path

import pytest
import torch
from helpers import new_run

from support.arguments import PYTHON
from training import failures, log
from training.folder import lock_run
from training.log import log_event, read_log, run_state
from training.options import CARTOONGAN
from utils import RunFailed, WrongUse

CPU = torch.device("cpu")
COMMAND = f"{PYTHON} CartoonGAN.py --name Tiny"


def config(folder=Path("results/none"), batch_size=5):
    parts = {"folder": folder, "method": CARTOONGAN, "argv": ["--name", "Tiny"], "earlier": None}
    return types.SimpleNamespace(**parts, args=types.SimpleNamespace(batch_size=batch_size))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "full", "a"), f"full (a): fix that (traceback in log.txt), then resume with {COMMAND}"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), f"smaller batch, {COMMAND} --batch_size 2"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), failures.KILLED),
        (ConnectionResetError(), failures.KILLED),
        (RuntimeError("gloo: connection closed\nand more"), "cannot be reached (gloo: connection closed)"),
    ],
)
def test_a_failure_around_a_run_is_a_one_line_error(error, message, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2" if "gloo" in message else "1")
    with pytest.raises(RunFailed) as failed, failures.one_line_errors(CPU, config()):
        raise error
    assert message in str(failed.value) and "\n" not in str(failed.value)
    assert failed.value.__cause__ is error


def test_faults_of_the_program_are_raised_as_they_are():
    with pytest.raises(RuntimeError, match="shapes"), failures.one_line_errors(CPU, config()):
        raise RuntimeError("shapes")


def test_half_of_a_batch_is_shared_by_two_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for size, advice in ((2, "smaller --input_size or --ngf"), (6, f"{COMMAND} --batch_size 2")):
        with pytest.raises(RunFailed) as failed, failures.one_line_errors(CPU, config(batch_size=size)):
            raise MemoryError
        assert str(failed.value).endswith(advice)


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


def test_the_advice_after_a_loss_that_is_not_finite():
    run = new_run(Path("results/none"), "--lrD 1e-4 --pre_lr 1e-3")
    advice = failures.advice_after_nan(run)
    assert advice.startswith("the last saved state is untouched; resume with ")
    assert advice.endswith("CartoonGAN.py --pre_lr 0.0001")
    run.phase, run.precision = 2, "fp16"
    advice = failures.advice_after_nan(run)
    assert advice.endswith("CartoonGAN.py --lrG 2e-05 --lrD 1e-05, or with --precision fp32")


# log.txt


def test_the_state_follows_from_the_log_and_the_lock(tmp_path, monkeypatch):
    assert run_state(tmp_path) == run_state(tmp_path / "removed") == ("", "")
    log_event(tmp_path, "started", "one \udcff é")
    assert run_state(tmp_path) == ("killed", "the process died without logging an exit")
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
    events = "started reported failed started finished slimmed"
    assert " ".join(event for _, event, _ in read_log(tmp_path)) == events
    assert read_log(tmp_path)[0][2] == "one ? é"
