"""How a run ends early: stopped by a signal, by a loss that is not finite, by failures around it."""

import fcntl
import math
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from helpers import ROOT, at_step, places, rows, tiny_run

import CartoonGAN
from support.arguments import PYTHON
from training import history, state
from training.config import read_settings
from training.processes import STOPPING, Signals
from utils import RunFailed, Stopped

NAME = "Tiny_2_3_2_results"
LONG = "Tiny_0_100000_2_results"


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Plots take most of the time of a tiny run."""
    monkeypatch.setattr(history, "plot_losses", lambda *_: None)


def place(folder):
    """The (phase, epoch, step) of the saved state."""
    return state.load_state(folder / "state_latest.pth")["place"]


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_finishes_the_step_saves_and_stops(number, data, tmp_path, monkeypatch):
    """The loading processes get it too, as from a terminal, and ignore it. A second Ctrl-C kills."""
    folder, handlers = tmp_path / NAME, []
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may have been started by nohup
    before = [signal.getsignal(each) for each in STOPPING]

    def send(run):
        assert run.signals.received is None
        (worker,) = multiprocessing.active_children()
        for process in (worker.pid, os.getpid()):
            os.kill(process, number)
        handlers.append(signal.getsignal(number))

    at_step(monkeypatch, 8, send)
    with pytest.raises(Stopped) as stopped:
        CartoonGAN.main(tiny_run(data, tmp_path, "--workers", 1))
    assert stopped.value.status == 128 + number
    assert str(stopped.value).endswith(f"resume with: {PYTHON} CartoonGAN.py --resume {folder}")
    assert place(folder) == (2, 1, 2)
    assert places(folder) == [(1, 1), (1, 2)]
    log = (folder / "log.txt").read_text()
    assert log.count("stopped") == 1 and f"stopped: {signal.Signals(number).name}" in log
    again = signal.SIG_DFL if number in (signal.SIGINT, signal.SIGTERM) else signal.SIG_IGN
    assert handlers == [again]  # a shell may send SIGHUP twice
    assert [signal.getsignal(each) for each in STOPPING] == before
    assert not multiprocessing.active_children()


def test_with_nohup_a_run_continues_without_its_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def start(data, results, *more, **options):
    program = [sys.executable, "CartoonGAN.py", *tiny_run(data, results, "--workers", 1, *more)]
    return subprocess.Popen(program, cwd=ROOT, **options)


FOREVER = ["--pre_train_epoch", 0, "--train_epoch", 100000, "--sample_every", 100000]


def test_a_run_whose_output_nobody_reads_saves_and_stops(data, tmp_path):
    """As after `| head -1`."""
    with start(data, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.readline()
        run.stdout.close()
        errors = run.stderr.read()
    folder = tmp_path / NAME
    assert run.returncode == 128 + signal.SIGPIPE, errors
    (line,) = errors.splitlines()
    assert line.startswith("stopped because nobody reads the output, everything is saved; resume with: ")
    assert place(folder) in [(1, 1, 1), (1, 2, 0)]  # depends on when the pipe was closed
    assert "stopped: SIGPIPE" in (folder / "log.txt").read_text()


def take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may have been started by nohup


def test_a_closed_terminal_stops_a_run(data, tmp_path):
    """Bars and lines are written to the closed terminal, as after a lost ssh connection."""
    master, terminal = os.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    apart = {"start_new_session": True, "preexec_fn": take_terminal}
    run = start(data, tmp_path, *FOREVER, **streams, **apart)
    os.close(terminal)
    while not (tmp_path / LONG / "metrics.csv").exists():
        os.read(master, 10000)
    os.close(master)
    assert run.wait(60) == 128 + signal.SIGHUP
    log = (tmp_path / LONG / "log.txt").read_text()
    assert "stopped: SIGHUP" in log and "Traceback" not in log


def test_a_run_ends_if_the_system_kills_a_loading_process(data, tmp_path):
    """As the system does if memory runs out. The program must not wait for the worker forever."""
    run = start(data, tmp_path, *FOREVER, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / LONG / "metrics.csv").exists():
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.05)
    (worker,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1 and "Traceback" not in errors
    assert "a process that loads images was killed" in errors


@pytest.mark.parametrize(
    ("phase", "term", "function", "number"),  # the call of the function in step 2 of a phase's second epoch
    [
        (1, "content", "content_loss", 5),
        (2, "adversarial", "real_loss", 10),  # D's loss is the other half
        (2, "discriminator", "discriminator_loss", 5),
    ],
)
def test_a_loss_that_is_not_finite_ends_the_run(phase, term, function, number, data, tmp_path, monkeypatch):
    """The advice, a lower learning rate, resumes the run; the change is recorded."""
    real, calls = getattr(CartoonGAN, function), []

    def plant(*args):
        calls.append(args)
        return real(*args) * (math.nan if len(calls) == number else 1)

    monkeypatch.setattr(CartoonGAN, function, plant)
    where = f"phase {phase}, epoch 2, step 2"
    with pytest.raises(RunFailed, match=f"the {term} loss is nan in {where}: .*; resume") as failed:
        CartoonGAN.main(tiny_run(data, tmp_path, "--save_minutes", 0))
    folder = tmp_path / NAME
    assert place(folder) == (phase, 2, 1)

    CartoonGAN.main(shlex.split(str(failed.value).split("CartoonGAN.py ")[1]))
    changes = read_settings(folder)["changes"]
    assert {change["option"] for change in changes} == ({"lrG"} if phase == 1 else {"lrG", "lrD"})
    for change in changes:
        assert [change[key] for key in ("to", "phase", "epoch", "step")] == [2e-5, phase, 2, 1]
    used = {float(row["learning_rate"]) for row in rows(folder) if row["phase"] == str(phase)}
    assert sorted(used) == pytest.approx([2e-5, 2e-4] if phase == 1 else [2e-6, 2e-5, 2e-4])


def test_wrong_use_is_a_one_line_error_and_writes_nothing(run_cli, data, tmp_path):
    for more, words in ((["--src_data", "none"], "no folder"), (["--batch_size", 7], "6 photographs")):
        done = run_cli("CartoonGAN.py", *tiny_run(data, tmp_path, *more))
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2 and words in line
    assert not list(tmp_path.glob("*_results"))
