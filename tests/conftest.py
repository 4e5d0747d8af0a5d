"""Fixtures of all tests."""

import multiprocessing
import os
import subprocess
import sys
from multiprocessing import forkserver

import pytest
import torch
from helpers import ROOT, free_port, in_one_of_two, make_data

torch.set_num_threads(1)


@pytest.fixture
def run_cli():
    """run_cli("CartoonGAN.py", "--name", "x", **options of subprocess.run) -> CompletedProcess."""

    def run(*args, **options):
        command = [sys.executable, *map(str, args)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, **options)

    return run


@pytest.fixture
def data(tmp_path):
    """A folder with six photographs, three test photographs and six drawings of 48 to 80 pixels a side."""
    return make_data(tmp_path / "data")


@pytest.fixture(scope="session")
def server():
    """A multiprocessing context whose processes have loaded the program, and compute on one thread.

    All tests of a process share the fork server, which keeps the environment in which it was started.
    """
    paths = [str(ROOT), str(ROOT / "tests"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("OMP_NUM_THREADS", "1")
        context = multiprocessing.get_context("forkserver")
        # PyTorch's optimisers and the plots load the last two at their first use, which takes seconds.
        context.set_forkserver_preload(["faults", "torch._dynamo", "matplotlib.backends.backend_agg"])
        forkserver.ensure_running()  # and load all that while the tests run
    return context


@pytest.fixture
def in_two(server):
    """in_two(function, *arguments) calls function(rank, 2, *arguments) in two processes of `server`."""

    def run(function, *arguments):
        words = free_port(), function, arguments
        torch.multiprocessing.start_processes(in_one_of_two, words, 2, start_method="forkserver")

    return run
