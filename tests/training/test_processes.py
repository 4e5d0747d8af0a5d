"""Two processes train as one: the same gradients, one set of files, resumed by any number, restarted."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from helpers import ROOT, TINY, free_port

import CartoonGAN
import utils
from pictures import checkpoints
from training import options, processes

BATCH = 4
CPU = torch.device("cpu")


def join(rank, count, port):
    """Set what torchrun sets for a process."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)


def step(rank, count, port, folder):
    """One adversarial step of plain descent; the gradients of both networks and the losses go into a file."""
    join(rank, count, port)
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
        shared = [processes.gather(processes.share(batch[0])).equal(batch[0]), processes.highest(rank)]
        shared.append(processes.from_first(lambda: f"made by {rank}"))
        first = processes.gather_in_first(processes.share(batch[0]))
        shared.append(first is None if rank else first.equal(batch[0]))
        torch.save((grads, losses, shared), folder / f"{rank}_of_{count}.pth")


def test_two_processes_have_the_gradients_and_losses_of_one(tmp_path, monkeypatch, in_two):
    for key in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(key, "")  # restores all of them at the end
    step(0, 1, 0, tmp_path)
    in_two(step, tmp_path)
    expected, losses, alone = torch.load(tmp_path / "0_of_1.pth", weights_only=True)
    assert alone == [True, 0, "made by 0", True]
    for rank in range(2):
        got, theirs, shared = torch.load(tmp_path / f"{rank}_of_2.pth", weights_only=True)
        for mine, one in zip(got, expected, strict=True):
            assert one.norm() > 0
            assert (mine - one).norm() / one.norm() < 1e-5
        assert theirs == pytest.approx(losses, rel=1e-5)
        assert shared == [True, 1, "made by 0", True]


def build(rank, count, port, folder):
    """Build a model; the weights, the order in which VGG19 is loaded, and warnings go into files."""
    join(rank, count, port)
    load_vgg, parallel = checkpoints.load_vgg, processes.parallel

    def slow_in_first(*given):
        if rank == 0:
            time.sleep(0.5)
        with open(folder / "loaded.txt", "a") as file:
            file.write(str(rank))
        return load_vgg(*given)

    def before_parallel(network, device):
        """DistributedDataParallel makes the weights equal: note them before."""
        weights.append({key: value.clone() for key, value in network.state_dict().items()})
        return parallel(network, device)

    weights, checkpoints.load_vgg, processes.parallel = [], slow_in_first, before_parallel
    with processes.init_distributed(CPU), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = CartoonGAN.build(options.parse(f"{TINY} --norm_init uniform".split())[0], CPU, "fp32")
        warned = [str(each.message) for each in caught if each.category is FutureWarning]
        buffers = len([*model.generator.buffers(), *model.discriminator.buffers()])
        torch.save([weights, warned, buffers], folder / f"{rank}.pth")


def test_each_process_builds_the_same_model_and_the_first_gets_vgg19_first(tmp_path, in_two):
    """And DistributedDataParallel has no buffers to broadcast, and no warning."""
    in_two(build, tmp_path)
    assert (tmp_path / "loaded.txt").read_text() == "01"
    found = [torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in (0, 1)]
    assert [each[1:] for each in found] == [[[], 0]] * 2
    for one, other in zip(found[0][0], found[1][0], strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_an_error_of_another_process_is_recognised(monkeypatch):
    gone = RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
    assert not processes.lost(gone)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert processes.lost(gone) and processes.lost(torch.distributed.DistNetworkError("no one there"))
    assert not processes.lost(RuntimeError("shapes do not match"))


def test_each_process_reports_its_wrong_use(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    argv = options_of(data, tmp_path, "--train_epoch=1", "--batch_size=3")
    assert utils.exit_status(lambda: CartoonGAN.main(argv)) == 2
    expected = "process 1: error: --batch_size 3 cannot be shared by 2 processes\n"
    assert capsys.readouterr() == ("", expected)


# Runs


def options_of(data, results, *more):
    """A tiny run's options."""
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", results]
    text = f"{TINY} --name Two --pre_train_epoch 1 --workers 0 --pool_size 2 --sample_every 100"
    return [*map(str, folders), *text.split(), *more]


def metrics(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def places(folder):
    return [(int(row["phase"]), int(row["epoch"])) for row in metrics(folder)]


def train(rank, count, port, argv, folder):
    """A run in one of several processes; its output goes into a file."""
    join(rank, count, port)
    with open(folder / f"{rank}.txt", "w") as file, contextlib.redirect_stdout(file):
        CartoonGAN.main(argv)


def test_a_run_of_two_processes_is_the_run_of_one_and_resumes_in_one(data, tmp_path, in_two):
    in_two(train, options_of(data, tmp_path / "two", "--train_epoch=2"), tmp_path)
    output = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert output[0].count("phase 2, epoch 2/2") == output[0].count("finished") == 1 and output[1] == ""
    folder = tmp_path / "two/Two_1_2_2_results"
    assert places(folder) == [(1, 1), (2, 1), (2, 2)]
    assert len(list((folder / "Transfer").iterdir())) == 8

    alone = tmp_path / "one/Two_1_2_2_results"
    CartoonGAN.main(options_of(data, tmp_path / "one", "--train_epoch=2"))
    for each in (folder, alone):
        CartoonGAN.main(["--resume", str(each), "--train_epoch", "3"])
    assert places(folder) == [(1, 1), (2, 1), (2, 2), (2, 3)]
    # Rounding differs, and each adversarial step amplifies it.
    for mine, one, near in zip(metrics(folder), metrics(alone), (1e-5, 1e-3, 1e-2, 1e-2), strict=True):
        for term in ("content", "discriminator", "adversarial"):
            same = mine[term] == one[term] == ""
            assert same or float(mine[term]) == pytest.approx(float(one[term]), rel=near)


def rank_of(pid):
    """The RANK in a process's environment, or None."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((int(text[5:]) for text in variables if text.startswith(b"RANK=")), None)


def test_torchrun_restarts_after_a_killed_process_and_the_run_resumes(data, tmp_path):
    """The group ends with one line; the restarted one resumes by itself."""
    program = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--max-restarts=1"]
    program += [f"--master-port={free_port()}", "CartoonGAN.py"]
    program += options_of(data, tmp_path, "--train_epoch=6", "--save_minutes=0")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen([sys.executable, *program], cwd=ROOT, env=environment, **pipes)
    folder = tmp_path / "Two_1_6_2_results"
    deadline = time.monotonic() + 200
    while not (folder / "metrics.csv").exists() or len(places(folder)) < 2:
        assert time.monotonic() < deadline and started.poll() is None, started.communicate()
        time.sleep(0.02)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    (victim,) = [int(pid) for pid in children if rank_of(pid) == 1]
    os.kill(victim, signal.SIGKILL)
    output, errors = started.communicate(timeout=300)
    assert started.returncode == 0, errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "another of the processes is gone" in lines[0], errors
    assert places(folder) == [(1, 1), *((2, epoch) for epoch in range(1, 7))]
    assert output.count("phase 1, epoch 1/1") == 1
