"""The README's python commands, typed as a person types them, in a copy of the tree."""

import re
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT

# Appended to each training command, to make it short: argparse lets the last word on an option win.
SHORT = "--ngf 4 --ndf 4 --nb 1 --input_size 16 --batch_size 4 --sample_every 100 --vgg_model random"


def commands():
    """The shell blocks of the README, a command a line."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the tree whose data are the sample's, with this Python as its .venv."""
    ignored = shutil.ignore_patterns(".git", ".venv", "results", "sample", "__pycache__", ".*_cache")
    copy = shutil.copytree(ROOT, tmp_path_factory.mktemp("readme") / "project", ignore=ignored)
    starter = copy / ".venv" / "bin" / "python"
    starter.parent.mkdir(parents=True)
    starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    starter.chmod(0o755)
    return copy


def run(command, copy):
    done = subprocess.run(["bash", "-c", command], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_python_command(copy):
    first, second, *rest = commands()
    install, sample, train = (part.strip() for part in first.split("&&")[1:])
    assert install == ".venv/bin/pip install -r requirements.txt"
    assert (
        second == ".venv/bin/pip install -r requirements-dev.txt && .venv/bin/python -m pytest"
    )  # this very run
    run(sample, copy)
    said = run(f"{train} {SHORT} --pre_train_epoch 1 --train_epoch 1", copy)
    assert "finished: open results/Sample_1_1_4_results/index.html" in said
    for part in ("src_data", "tgt_data"):
        (copy / "data" / part).symlink_to(copy / "data" / "sample" / part)
    for command in rest:
        assert command.startswith(".venv/bin/python "), command
        # Fewer epochs, also in the folder names that follow from them.
        for many, few in (("400", "3"), ("200", "2"), ("20", "1")):
            command = command.replace(many, few)
        short = f"{SHORT} --batch_size 16 --pre_train_epoch 1 --train_epoch 2"
        command = command.replace("--size 448", "--size 16 --ngf 4")
        if "evaluate.py" in command:
            command += " --vgg_model random --features vgg19 --input_size 16"
        run(f"{command} {short}" if "--name" in command else command, copy)
    assert len(list((copy / "cartoons").iterdir())) == len(list((copy / "data/src_data/test").iterdir()))
