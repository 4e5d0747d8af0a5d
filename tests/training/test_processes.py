"""Two processes train as one: the same gradients, one set of files, resumed by any number, restarted."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import ROOT
from torch import multiprocessing

import CartoonGAN
from training import datasets, model, options, processes

BATCH = 4


def step(rank, count, port, folder):
    """One adversarial step of plain descent; the gradients of both networks go into a file."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    text = "--vgg_model random --ngf 4 --ndf 4 --nb 1 --input_size 16 --style_lambda 2 --tv_lambda 1"
    args, _ = options.parse_training(f"{text} --batch_size {BATCH}".split())
    device = torch.device("cpu")
    with processes.together(device):
        t = model.build(args, device, "fp32")
        t.adam_d = torch.optim.SGD(t.discriminator.parameters(), 0.1)
        t.adam_g = torch.optim.SGD(t.generator.parameters(), 0.1)
        t.phase = 2
        batch = [torch.rand(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(n)) for n in range(3)]
        t.unchecked.append(CartoonGAN.adversarial_step(t, args, *map(processes.share, batch)))
        t.step = 1
        CartoonGAN.check_losses(t)
        grads = [
            torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
            for network in (t.discriminator, t.generator)
        ]
        torch.save((grads, dict(t.sums)), folder / f"{rank}_of_{count}.pth")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_have_the_gradients_and_losses_of_one(tmp_path):
    for count in (1, 2):
        multiprocessing.spawn(step, (count, free_port(), tmp_path), count)
    wanted, losses = torch.load(tmp_path / "0_of_1.pth", weights_only=True)
    for rank in range(2):
        got, theirs = torch.load(tmp_path / f"{rank}_of_2.pth", weights_only=True)
        for mine, one in zip(got, wanted, strict=True):
            assert one.norm() > 0
            assert (mine - one).norm() / one.norm() < 1e-5
        assert theirs == pytest.approx(losses, rel=1e-5)


def test_shares_are_the_batch_without_overlap(monkeypatch):
    batch = next(datasets.draws(10, 10, 4, 0, 2, 1, 0))
    shares = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        shares += processes.share(batch)
    assert shares == batch and len(set(shares)) == 4


def options_of(data, results, *more):
    """A tiny run's options."""
    text = (
        "--vgg_model random --input_size 16 --ngf 4 --ndf 4 --nb 1 --batch_size 2 --precision fp32 --name Two"
    )
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", results]
    text += " --pre_train_epoch 1 --workers 0 --pool_size 2"
    return ["CartoonGAN.py", *map(str, folders), *text.split(), *more]


def torchrun(data, results, *more, restarts=0):
    """Start two processes that train on tiny data."""
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--max-restarts={restarts}"]
    launcher += [f"--master-port={free_port()}", *options_of(data, results, *more)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *launcher], cwd=ROOT, env=environment, **pipes)


def finish(started):
    out, errors = started.communicate(timeout=300)
    return started.returncode, out, errors


def metrics(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def rows(folder):
    return [(int(row["phase"]), int(row["epoch"])) for row in metrics(folder)]


def rank_of(pid):
    """The RANK in a process's environment, or None."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((int(text[5:]) for text in variables if text.startswith(b"RANK=")), None)


def kill_rank(started, rank, folder, after):
    """Kill one of the processes once `after` epochs are recorded."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and started.poll() is None:
        if (folder / "metrics.csv").exists() and len(rows(folder)) >= after:
            children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
            (victim,) = [int(pid) for pid in children if rank_of(pid) == rank]
            os.kill(victim, signal.SIGKILL)
            return
        time.sleep(0.02)
    pytest.fail(f"no epoch was finished: {started.communicate()}")


def test_a_run_of_two_processes_goes_on_with_one_and_is_the_run_of_one(data, tmp_path, run_cli):
    status, out, errors = finish(torchrun(data, tmp_path / "two", "--train_epoch=2"))
    assert status == 0, errors
    assert out.count("phase 2, epoch 2/2") == 1 and out.count("finished") == 1
    folder = tmp_path / "two/Two_1_2_2_results"
    assert rows(folder) == [(1, 1), (2, 1), (2, 2)]
    assert len(list((folder / "Transfer").iterdir())) == 2 * 8

    alone = tmp_path / "one/Two_1_2_2_results"
    assert run_cli(*options_of(data, tmp_path / "one", "--train_epoch=2")).returncode == 0
    for each in (folder, alone):
        done = run_cli("CartoonGAN.py", "--resume", each, "--train_epoch", 3)
        assert done.returncode == 0, done.stderr
    assert rows(folder) == [(1, 1), (2, 1), (2, 2), (2, 3)]
    # Rounding differs, and each adversarial step makes more of it: measured at most 2e-7, 1e-4, 2e-3, 4e-4.
    for mine, one, near in zip(metrics(folder), metrics(alone), (1e-5, 1e-3, 1e-2, 1e-2), strict=True):
        for term in ("content", "discriminator", "adversarial"):
            assert mine[term] == one[term] == "" or float(mine[term]) == pytest.approx(
                float(one[term]), rel=near
            )


def test_a_killed_process_ends_the_group_with_one_line(data, tmp_path):
    started = torchrun(data, tmp_path, "--train_epoch=2000", "--save_minutes=0")
    folder = tmp_path / "Two_1_2000_2_results"
    kill_rank(started, 1, folder, after=2)
    status, _, errors = finish(started)
    assert status == 1
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and "another of the processes is gone" in told[0]


def test_a_restarted_group_resumes_by_itself(data, tmp_path):
    started = torchrun(data, tmp_path, "--train_epoch=12", "--save_minutes=0", restarts=1)
    folder = tmp_path / "Two_1_12_2_results"
    kill_rank(started, 1, folder, after=2)
    status, out, errors = finish(started)
    assert status == 0, errors
    assert rows(folder) == [(1, 1), *((2, epoch) for epoch in range(1, 13))]
    assert out.count("phase 1, epoch 1/1") == 1


def test_wrong_use_is_told_once(data, tmp_path):
    status, _, errors = finish(torchrun(data, tmp_path, "--train_epoch=1", "--batch_size=3"))
    assert status == 1  # torchrun's own
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert told == ["error: --batch_size 3 cannot be shared by 2 processes"]


def test_a_restart_does_not_go_on_with_an_older_run_of_the_name(data, tmp_path):
    first = finish(torchrun(data, tmp_path, "--train_epoch=1"))
    assert first[0] == 0, first[2]
    before = rows(tmp_path / "Two_1_1_2_results")
    status, out, errors = finish(torchrun(data, tmp_path, "--train_epoch=1", restarts=1))
    assert status == 1 and "nothing to do" not in out
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(told) == 2 and all("holds this run already" in line for line in told)
    assert rows(tmp_path / "Two_1_1_2_results") == before
