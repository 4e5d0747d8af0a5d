"""Fixtures of all tests."""

import os
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, make_data

torch.set_num_threads(1)


@pytest.fixture
def run_cli():
    """Run `python *args` in the repository: run_cli("CartoonGAN.py", "--name", "x") -> CompletedProcess.

    Keywords go to subprocess.run.
    """

    def run(*args, **options):
        command = [sys.executable, *map(str, args)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, **options)

    return run


@pytest.fixture
def data(tmp_path):
    """A folder with six photographs, three test photographs and six drawings of 48 to 80 pixels a side."""
    return make_data(tmp_path / "data")
