"""Two processes train as one: the same gradients, one set of files, resumed by any number, restarted."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import ROOT, TINY, free_port, places, rows, tiny_run

import CartoonGAN
from training import options, processes
from utils import WrongUse

BATCH = 4
CPU = torch.device("cpu")


def step(rank, count, folder):
    """One adversarial step of plain descent; the gradients of both networks and the losses go into a file."""

    def download():
        time.sleep(0 if rank else 0.5)
        with open(folder / f"order_of_{count}.txt", "a") as file:
            file.write(str(rank))

    args, _ = options.parse(f"{TINY} --style_lambda 2 --tv_lambda 1 --batch_size {BATCH}".split())
    with processes.init_distributed(CPU):
        model = CartoonGAN.build(args, CPU, "fp32")
        model.adam_d = torch.optim.SGD(model.discriminator.parameters(), 0.1)
        model.adam_g = torch.optim.SGD(model.generator.parameters(), 0.1)
        batch = [torch.rand(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(n)) for n in range(3)]
        parts = map(processes.share, batch)
        losses = CartoonGAN.adversarial_step(model, args, *parts, place=(2, 1, 0))
        losses = {name: processes.mean(loss).item() for name, loss in losses.items()}
        grads = [
            torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
            for network in (model.discriminator, model.generator)
        ]
        shared = [processes.gather(processes.share(batch[0])).equal(batch[0]), *processes.highest(rank)]
        shared.append(processes.from_first(lambda: f"made by {rank}"))
        processes.on_first_process_first(download)
        torch.save((grads, losses, shared), folder / f"{rank}_of_{count}.pth")


def test_two_processes_have_the_gradients_and_losses_of_one(tmp_path, in_two):
    step(0, 1, tmp_path)
    in_two(step, tmp_path)
    expected, losses, alone = torch.load(tmp_path / "0_of_1.pth", weights_only=True)
    assert alone == [True, 0, "made by 0"]
    for rank in range(2):
        got, theirs, shared = torch.load(tmp_path / f"{rank}_of_2.pth", weights_only=True)
        for mine, one in zip(got, expected, strict=True):
            assert one.norm() > 0
            assert (mine - one).norm() / one.norm() < 1e-5
        assert theirs == pytest.approx(losses, rel=1e-5)
        assert shared == [True, 1, "made by 0"]
    assert (tmp_path / "order_of_2.txt").read_text() == "01"


def test_all_processes_must_share_a_batch_evenly(data, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(WrongUse, match="--batch_size 3 cannot be shared by 2 processes"):
        CartoonGAN.main(tiny_run(data, tmp_path, "--batch_size", 3))


def command(data, results, epochs):
    """The options of a tiny run with one epoch of phase one."""
    return tiny_run(data, results, "--pre_train_epoch", 1, "--train_epoch", epochs, "--pool_size", 2)


def train(rank, _count, argv, folder):
    """A run in one of several processes; its output goes into a file."""
    with open(folder / f"{rank}.txt", "w") as file, contextlib.redirect_stdout(file):
        CartoonGAN.main(argv)


def test_a_run_of_two_processes_is_the_run_of_one_and_resumes_in_one(data, tmp_path, in_two):
    in_two(train, command(data, tmp_path / "two", 2), tmp_path)
    output = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert output[0].count("phase 2, epoch 2/2") == output[0].count("finished") == 1 and output[1] == ""
    folder, alone = (tmp_path / each / "Tiny_1_2_2_results" for each in ("two", "one"))
    assert places(folder) == [(1, 1), (2, 1), (2, 2)]
    assert len(list((folder / "Transfer").iterdir())) == 8

    CartoonGAN.main(command(data, tmp_path / "one", 2))
    for each in (folder, alone):
        CartoonGAN.main(["--resume", str(each), "--train_epoch", "3"])
    assert places(folder) == [(1, 1), (2, 1), (2, 2), (2, 3)]
    # Rounding differs, and each adversarial step amplifies it.
    for mine, one, near in zip(rows(folder), rows(alone), (1e-5, 1e-3, 1e-2, 1e-2), strict=True):
        for term in ("content", "discriminator", "adversarial"):
            same = mine[term] == one[term] == ""
            assert same or float(mine[term]) == pytest.approx(float(one[term]), rel=near)


def test_torchrun_restarts_after_a_killed_process_and_the_run_resumes(data, tmp_path):
    """The group ends with one line; the restarted one resumes by itself."""
    program = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--max-restarts=1"]
    program += [f"--master-port={free_port()}", "CartoonGAN.py", *command(data, tmp_path, 12)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, *program, "--save_minutes", "0"]
    started = subprocess.Popen(argv, cwd=ROOT, env=environment, **pipes)
    folder = tmp_path / "Tiny_1_12_2_results"
    deadline = time.monotonic() + 200
    while len(places(folder)) < 2:
        assert time.monotonic() < deadline and started.poll() is None, started.communicate()
        time.sleep(0.02)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    (victim,) = [pid for pid in children if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()]
    os.kill(int(victim), signal.SIGKILL)
    output, errors = started.communicate(timeout=300)
    assert started.returncode == 0, errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "another process failed" in lines[0], errors
    assert places(folder) == [(1, 1), *((2, epoch) for epoch in range(1, 13))]
    assert output.count("phase 1, epoch 1/1") == 1
