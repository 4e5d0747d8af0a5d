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
from training import batches, options, processes

BATCH = 4


def join(rank, count, port):
    """What torchrun tells a process."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)


def step(rank, count, port, folder):
    """One adversarial step of plain descent; the gradients of both networks and the losses go into a file."""
    join(rank, count, port)
    args, _ = options.parse(f"{TINY} --style_lambda 2 --tv_lambda 1 --batch_size {BATCH}".split())
    device = torch.device("cpu")
    with processes.init_distributed(device):
        model = CartoonGAN.build(args, device, "fp32")
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
        shares = [processes.gather(processes.share(batch[0])).equal(batch[0]), processes.highest(rank)]
        shares.append(processes.from_first(lambda: f"made by {rank}"))
        first = processes.gather_in_first(processes.share(batch[0]))
        shares.append(first is None if rank else first.equal(batch[0]))
        torch.save((grads, losses, shares), folder / f"{rank}_of_{count}.pth")


def train(rank, count, port, argv, said):
    """A run in one of several processes; what it prints goes into a file."""
    join(rank, count, port)
    with open(said / f"{rank}.txt", "w") as file, contextlib.redirect_stdout(file):
        CartoonGAN.main(argv)


def test_two_processes_have_the_gradients_and_losses_of_one(tmp_path, monkeypatch, in_two):
    for key in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(key, "")  # gives all of them back at the end
    step(0, 1, 0, tmp_path)
    in_two(step, tmp_path)
    wanted, losses, alone = torch.load(tmp_path / "0_of_1.pth", weights_only=True)
    assert alone == [True, 0, "made by 0", True]
    for rank in range(2):
        got, theirs, shares = torch.load(tmp_path / f"{rank}_of_2.pth", weights_only=True)
        for mine, one in zip(got, wanted, strict=True):
            assert one.norm() > 0
            assert (mine - one).norm() / one.norm() < 1e-5
        assert theirs == pytest.approx(losses, rel=1e-5)
        assert shares == [True, 1, "made by 0", True]


def build_watched(rank, count, port, folder):
    """Build a model in one of several processes; who loads VGG19 first, and what is warned, go into files."""
    join(rank, count, port)
    os.environ["LOCAL_RANK"] = str(rank)
    load_vgg = checkpoints.load_vgg

    def watched(*given):
        if rank == 0:
            time.sleep(0.5)
        with open(folder / "loaded.txt", "a") as file:
            file.write(str(rank))
        return load_vgg(*given)

    checkpoints.load_vgg = watched
    device = torch.device("cpu")
    with processes.init_distributed(device), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = CartoonGAN.build(options.parse(TINY.split())[0], device, "fp32")
        told = [str(each.message) for each in warned if each.category is FutureWarning]
        buffers = [*model.generator.buffers(), *model.discriminator.buffers()]
        (folder / f"warned {rank}.txt").write_text("\n".join(told + [str(each.shape) for each in buffers]))


def test_the_first_process_of_a_machine_gets_vgg19_before_the_others(tmp_path, in_two):
    """And nothing is left for DistributedDataParallel to broadcast, or to warn of."""
    in_two(build_watched, tmp_path)
    assert (tmp_path / "loaded.txt").read_text() == "01"
    assert [(tmp_path / f"warned {rank}.txt").read_text() for rank in (0, 1)] == ["", ""]


def build_alone(rank, count, port, folder):
    """Build a model in one of several processes; DistributedDataParallel does not make its weights equal."""
    join(rank, count, port)
    processes.parallel = lambda network, _: network
    device = torch.device("cpu")
    with processes.init_distributed(device):
        model = CartoonGAN.build(options.parse(f"{TINY} --norm_init uniform".split())[0], device, "fp32")
        torch.save([model.generator.state_dict(), model.discriminator.state_dict()], folder / f"{rank}.pth")


def test_each_process_draws_the_same_weights_and_scales(tmp_path, in_two):
    in_two(build_alone, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in (0, 1))
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_shares_are_the_batch_without_overlap(monkeypatch):
    batch = next(batches.draws(10, 10, 4, 0, 2, 1, 0))
    shares = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        shares += processes.share(batch)
    assert shares == batch and len(set(shares)) == 4


def test_an_error_of_the_others_is_known_as_theirs(monkeypatch):
    gone = RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
    assert not processes.lost(gone)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert processes.lost(gone) and processes.lost(torch.distributed.DistNetworkError("no one there"))
    assert not processes.lost(RuntimeError("shapes do not match"))


@pytest.mark.parametrize(("rank", "before"), [("0", ""), ("1", "process 1: ")])
def test_each_process_tells_its_wrong_use(data, tmp_path, monkeypatch, capsys, rank, before):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    argv = options_of(data, tmp_path, "--train_epoch=1", "--batch_size=3")
    assert utils.exit_status(lambda: CartoonGAN.main(argv)) == 2
    told = f"{before}error: --batch_size 3 cannot be shared by 2 processes\n"
    assert capsys.readouterr() == ("", told)


def options_of(data, results, *more):
    """A tiny run's options."""
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", results]
    text = f"{TINY} --name Two --pre_train_epoch 1 --workers 0 --pool_size 2 --sample_every 100"
    return [*map(str, folders), *text.split(), *more]


def torchrun(data, results, *more, restarts=0):
    """Start two processes that train on tiny data."""
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--max-restarts={restarts}"]
    launcher += [f"--master-port={free_port()}", "CartoonGAN.py", *options_of(data, results, *more)]
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


def test_a_run_of_two_processes_goes_on_with_one_and_is_the_run_of_one(data, tmp_path, in_two):
    in_two(train, options_of(data, tmp_path / "two", "--train_epoch=2"), tmp_path)
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert said[0].count("phase 2, epoch 2/2") == said[0].count("finished") == 1 and said[1] == ""
    folder = tmp_path / "two/Two_1_2_2_results"
    assert rows(folder) == [(1, 1), (2, 1), (2, 2)]
    assert len(list((folder / "Transfer").iterdir())) == 8

    alone = tmp_path / "one/Two_1_2_2_results"
    CartoonGAN.main(options_of(data, tmp_path / "one", "--train_epoch=2"))
    for each in (folder, alone):
        CartoonGAN.main(["--resume", str(each), "--train_epoch", "3"])
    assert rows(folder) == [(1, 1), (2, 1), (2, 2), (2, 3)]
    # Rounding differs, and each adversarial step makes more of it.
    for mine, one, near in zip(metrics(folder), metrics(alone), (1e-5, 1e-3, 1e-2, 1e-2), strict=True):
        for term in ("content", "discriminator", "adversarial"):
            assert mine[term] == one[term] == "" or float(mine[term]) == pytest.approx(
                float(one[term]), rel=near
            )


def test_a_killed_process_ends_the_group_with_one_line_and_a_restarted_group_resumes_by_itself(
    data, tmp_path
):
    started = torchrun(data, tmp_path, "--train_epoch=6", "--save_minutes=0", restarts=1)
    folder = tmp_path / "Two_1_6_2_results"
    kill_rank(started, 1, folder, after=2)
    status, out, errors = finish(started)
    assert status == 0, errors
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and "another of the processes is gone" in told[0], errors
    assert rows(folder) == [(1, 1), *((2, epoch) for epoch in range(1, 7))]
    assert out.count("phase 1, epoch 1/1") == 1
