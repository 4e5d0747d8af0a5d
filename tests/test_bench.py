"""bench.py: its baseline computes the same pictures, its table is whole, its arithmetic is right."""

import numpy as np
import pytest
import torch

import bench
import inference
from networks import Generator


def test_the_baseline_makes_the_same_pictures():
    torch.manual_seed(0)
    generator = Generator(ngf=8, nb=2)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    photos = [np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)]
    (wanted,) = bench.apply_plain(bench.plain(generator), photos)
    (got,) = inference.stylise(inference.prepare(generator, torch.device("cpu"), "fp32"), photos)
    assert wanted.std() > 10
    assert np.abs(got.astype(int) - wanted).max() <= 1


def test_psnr():
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert bench.psnr([grey], [black]) == pytest.approx(20 * np.log10(255 / 51))
    assert bench.psnr([grey], [grey]) == np.inf


def test_the_functions_take_turns():
    order = []
    seconds = bench.measure({name: lambda name=name: order.append(name) for name in "ab"}, 2)
    assert order == list("ababab")
    assert seconds.keys() == {"a", "b"}


def test_inference_prints_its_table(run_cli):
    done = run_cli("bench.py", "inference", "--size", 16, "--ngf", 4, "--rounds", 1)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[0].split(" | ")[1:4] == ["seconds", "pictures/s", "ratio"]
    assert " 1.00 " in rows[1] and len(rows) >= 3
    assert all(int(row.split(" | ")[-1].split()[0]) > 0 for row in rows[1:])
    assert "% of the network alone" in done.stdout
