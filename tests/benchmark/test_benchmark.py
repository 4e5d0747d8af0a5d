"""`python -m benchmark`: the baselines compute what the program computes; the rows of each table."""

import functools
import os
import re

import numpy as np
import pytest
import torch
from helpers import TINY, VGG

import CartoonGAN
import utils
from benchmark import __main__ as benchmark
from benchmark import baselines, measuring
from networks import Generator
from pictures import checkpoints
from training import options

CPU = torch.device("cpu")


def test_the_public_step_and_this_programs_agree():
    """Losses and changes of the weights in double precision: they differ only by rounding."""
    args, _ = options.parse(f"{TINY} --input_size 32 --con_lambda 3 --lrD 1e-3".split())
    model = CartoonGAN.build(args, CPU, "fp32")
    for network in (model.generator, model.discriminator, model.vgg):
        network.double()
    public, *networks = baselines.public_step(model, args)
    pictures = torch.from_numpy(np.stack(measuring.smooth_noise(6, 32, 32))).permute(0, 3, 1, 2)
    batch = utils.to_range(pictures).double().chunk(3)
    weights = lambda network: torch.cat([weight.detach().flatten() for weight in network.parameters()])
    starts = [*map(weights, networks)]
    expected, terms = public(*batch), CartoonGAN.adversarial_step(model, args, *batch, place=(2, 1, 0))
    for term, value in expected.items():
        assert terms[term].item() == pytest.approx(value.item(), rel=1e-9)
    for mine, theirs, start in zip((model.generator, model.discriminator), networks, starts, strict=True):
        moved = weights(theirs) - start
        assert moved.norm() > 0.01
        assert (weights(mine) - weights(theirs)).norm() < 1e-6 * moved.norm()


def test_each_table_has_a_row_for_each_variant(monkeypatch, capsys, tmp_path):
    load_vgg = checkpoints.load_vgg
    monkeypatch.setattr(checkpoints, "load_vgg", lambda *_: load_vgg(str(VGG)))
    monkeypatch.setattr(utils, "choose_device", lambda _: CPU)
    monkeypatch.setattr(measuring, "memory_of_process", lambda make, name: 7.0 if make(name)() else 0)
    generator = Generator(ngf=5, nb=1)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)  # results of many tones
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(generator))
    assert not benchmark.main(["gpu", "--rounds", "1", "--checkpoint", str(tmp_path / "g.pth")])
    output = capsys.readouterr().out
    rows = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == ["precision", *measuring.variants(CPU)] * 2
    assert rows[1][3] == "1.00" and rows[1][4] == "7 MiB"
    assert "A generator of ngf 5, " in output
    assert float(re.search(r"fp32 ([\d.]+|inf) dB", output)[1]) > 50  # less than a grey level


def test_functions_alternate_and_one_that_runs_out_of_memory_is_left_out(monkeypatch, capsys):
    order = []
    monkeypatch.setattr(measuring, "memory_of_process", lambda make, name: 7.0)
    monkeypatch.setattr(measuring, "run_once", lambda work, _: (work(), 0))
    monkeypatch.setattr(measuring, "variants", lambda _: ["baseline", "fp32", "fp16"])

    def work(name):
        if name == "fp16":
            raise torch.OutOfMemoryError
        order.append(name)
        return [100, 5, 1, 3][order.count(name) - 1]  # the first call is the warm-up

    make = lambda name: functools.partial(work, name)
    assert measuring.measure(make, 3, CPU) == {"baseline": (3, 7.0), "fp32": (3, 7.0)}
    assert order == ["baseline", "fp32"] * 4 and "fp16: out of memory" in capsys.readouterr().out


def test_memory_is_the_growth_of_a_process():
    make = functools.partial(functools.partial, os.urandom)
    for taken in (measuring.memory_of_process(make, 2**26), measuring._growth(make, 2**26)):
        assert 60 < taken < 140  # 64 MiB; 128 if the second is made before the first is freed


@pytest.mark.parametrize(
    ("capability", "names"), [((7, 0), ["fp16", "fp32"]), ((8, 0), ["bf16", "fp32", "tf32", "fp16"])]
)
def test_a_gpu_is_measured_in_the_precisions_that_it_supports(capability, names, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    monkeypatch.setattr(measuring.utils, "choose_precision", lambda *_: names[0])
    assert measuring.variants(torch.device("cuda")) == ["baseline", *names]
