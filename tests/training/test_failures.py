"""What goes wrong in and around a run is reported in one line, and its traceback kept in log.txt."""

import types
from pathlib import Path

import pytest
import torch

from support.arguments import PYTHON
from training import failures
from training.log import read_log
from training.options import CARTOONGAN
from utils import RunFailed, WrongUse

CPU = torch.device("cpu")
FOLDER = Path("results/Tiny_1_1_1_results")
CONFIG = types.SimpleNamespace(
    folder=FOLDER,
    method=CARTOONGAN,
    argv=["--name", "Tiny"],
    earlier=None,
    args=types.SimpleNamespace(batch_size=5),
)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(28, "No space left on device", "a/file"),
            "No space left on device (a/file): fix that (traceback in log.txt), then",
        ),
        (PermissionError(13, "Permission denied"), f"then resume with {PYTHON} CartoonGAN.py --name Tiny"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            f"on cpu: resume with a smaller batch, {PYTHON} CartoonGAN.py --name Tiny --batch_size 2",
        ),
        (MemoryError(), "out of memory on cpu: resume with a smaller batch"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            "was killed (out of memory?): try fewer --workers",
        ),
    ],
)
def test_what_fails_around_a_run_is_explained_in_one_line(error, told):
    with pytest.raises(RunFailed) as failed, failures.one_line_errors(CPU, CONFIG):
        raise error
    assert told in str(failed.value) and "\n" not in str(failed.value)
    assert failed.value.__cause__ is error


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("Unable to find an engine")])
def test_the_whole_traceback_is_in_the_log(tmp_path, error):
    """Also that of a new run which failed before its start."""
    config = types.SimpleNamespace(**{**vars(CONFIG), "folder": tmp_path / "new"})
    with (
        pytest.raises((RunFailed, RuntimeError)),
        failures.log_tracebacks(config),
        failures.one_line_errors(CPU, config),
        failures.one_line_errors(CPU, config),
    ):
        raise error
    log = (config.folder / "log.txt").read_text()
    assert log.count("Traceback (most recent call last)") == (2 if isinstance(error, OSError) else 1)
    assert "        raise error\n" in log and f"    {type(error).__name__}: {error}\n" in log
    assert [event for _, event, _ in read_log(config.folder)] == ["traceback"]


def test_what_a_person_can_mend_needs_no_traceback(tmp_path):
    config = types.SimpleNamespace(folder=tmp_path / "new", earlier=None)
    with pytest.raises(WrongUse), failures.log_tracebacks(config):
        raise WrongUse("no folder data")
    assert not config.folder.exists()


def test_the_command_that_resumes_a_run_starts_it_if_nothing_was_saved(tmp_path):
    config = types.SimpleNamespace(**{**vars(CONFIG), "folder": tmp_path})
    command = lambda: failures.resume_command(config, "--workers", "0")
    assert command() == f"{PYTHON} CartoonGAN.py --name Tiny --workers 0"
    (tmp_path / "settings.json").touch()
    assert command() == f"{PYTHON} CartoonGAN.py --resume {tmp_path} --workers 0"


def test_a_loading_process_that_is_killed_while_it_hands_a_batch_over_is_explained():
    assert failures.loading_fault(EOFError()) == failures.KILLED  # as multiprocessing raises it
    assert failures.loading_fault(EOFError("Ran out of input")) is None  # of a file that is cut off


def test_a_process_that_is_gone_is_explained(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    told = r"another of the processes is gone, or cannot be reached \(gloo: connection closed\)"
    with pytest.raises(RunFailed, match=told), failures.one_line_errors(CPU, CONFIG):
        raise RuntimeError("gloo: connection closed\nand more")


@pytest.mark.parametrize("error", [RuntimeError("shapes"), KeyError("x"), WrongUse("x"), KeyboardInterrupt()])
def test_faults_of_the_program_are_raised_as_they_are(error):
    with pytest.raises(type(error)) as failed, failures.one_line_errors(CPU, CONFIG):
        raise error
    assert failed.value is error


@pytest.mark.parametrize(
    ("phase", "precision", "pre_lr", "told"),
    [
        (1, "fp32", None, "--lrG 2e-05"),
        (1, "fp32", 1e-3, "--pre_lr 0.0001"),
        (2, "fp32", 1e-3, "--lrG 2e-05 --lrD 1e-05"),
        (2, "fp16", None, "--lrG 2e-05 --lrD 1e-05, or with --precision fp32"),
    ],
)
def test_the_advice_after_a_loss_that_is_not_finite(phase, precision, pre_lr, told):
    args = types.SimpleNamespace(lrG=2e-4, lrD=1e-4, pre_lr=pre_lr)
    model = types.SimpleNamespace(discriminator=True)
    run = types.SimpleNamespace(args=args, model=model, config=CONFIG, phase=phase, precision=precision)
    assert failures.advice_after_nan(run) == (
        f"the last saved state is untouched; resume with {PYTHON} CartoonGAN.py --name Tiny {told}"
    )
