"""`python -m benchmark`: the baselines compute what the program computes, and each table has its figures."""

import contextlib
import functools
import os
import re

import numpy as np
import pytest
import torch
from helpers import VGG

import CartoonGAN
import utils
from benchmark import __main__ as benchmark
from benchmark import baselines, measuring
from networks import Generator
from pictures import checkpoints
from training import options

CPU = torch.device("cpu")


def test_the_baseline_makes_the_same_pictures():
    torch.manual_seed(0)
    generator = Generator(ngf=8, nb=2)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    photos = [np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)]
    make = functools.partial(measuring.make_inference, generator, photos, CPU)
    (expected,), (result,) = make(None)(), make("fp32")()
    assert expected.std() > 10
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_the_public_step_and_ours_agree():
    """Losses and changes of the weights in double precision: they differ by rounding alone."""
    text = (
        f"--vgg_model {VGG} --ngf 8 --ndf 8 --nb 1 --input_size 32 --batch_size 2 --con_lambda 3 --lrD 1e-3"
    )
    args, _ = options.parse(text.split())
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


@pytest.mark.parametrize("what", ["training", "inference", "gpu"])
def test_each_table_has_a_row_for_each_variant(what, monkeypatch, capsys, tmp_path):
    load_vgg = checkpoints.load_vgg
    monkeypatch.setattr(checkpoints, "load_vgg", lambda *_: load_vgg(str(VGG)))
    monkeypatch.setattr(utils, "choose_device", lambda _: CPU)
    monkeypatch.setattr(measuring, "memory_of_process", lambda make, name: 7.0 if make(name)() else 0)
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(Generator(ngf=5, nb=1)))
    words = (
        f"{what} --size 16 --input_size 16 --ngf 4 --batch_size 2 --rounds 1 --checkpoint {tmp_path}/g.pth"
    )
    assert not benchmark.main(words.split())
    output = capsys.readouterr().out
    rows = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| ")]
    tables = 2 if what == "gpu" else 1
    names = [name or "baseline" for name in measuring.variants(CPU)]
    assert [row[0] for row in rows] == ["precision", *names] * tables
    assert all(row[3] == "1.00" for row in rows if row[0] == "baseline")
    assert all(row[4] == "7 MiB" for row in rows if row[0] != "precision")
    assert ("A generator of ngf 5, " in output) == (what != "training")
    decibels = re.findall(r"fp32 ([\d.]+|inf) dB", output)
    assert len(decibels) == (what != "training") and all(float(value) > 40 for value in decibels)


def test_the_functions_take_turns_and_one_without_memory_is_left_out(monkeypatch, capsys):
    order, names = [], [None, "fp32", "fp16"]
    monkeypatch.setattr(measuring, "memory_of_process", lambda make, name: 7.0)
    monkeypatch.setattr(measuring, "run_once", lambda work, _: (work(), 0))
    monkeypatch.setattr(measuring, "variants", lambda _: names)

    def work(name):
        if name == "fp16":
            raise torch.OutOfMemoryError
        order.append(name)
        return [100, 5, 1, 3][order.count(name) - 1]  # the first call is the warm-up

    make = lambda name: functools.partial(work, name)
    assert measuring.measure(make, 3, CPU) == {None: (3, 7.0), "fp32": (3, 7.0)}
    assert order == [None, "fp32"] * 4 and capsys.readouterr().out == "\nfp16: out of memory\n"


@pytest.mark.parametrize(
    ("capability", "native", "expected"),
    [((7, 0), False, ["fp16", "fp32"]), ((9, 0), True, ["bf16", "fp32", "tf32", "fp16"])],
)
def test_the_variants_and_the_memory_of_a_gpu(capability, native, expected, monkeypatch):
    order, fakes = [], {"memory_allocated": 2 * 2**20, "max_memory_allocated": 5 * 2**20}
    fakes |= {"get_device_capability": capability, "is_bf16_supported": native}
    for name, value in fakes.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value, **__: value)
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: order.append(name))
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    assert measuring.variants(torch.device("cuda")) == [None, *expected]
    assert measuring.run_once(lambda: order.append("work"), torch.device("cuda"))[1] == 3
    assert order == ["synchronize", "reset_peak_memory_stats", "work", "synchronize"]


def test_memory_is_the_growth_of_a_process():
    taken = measuring.memory_of_process(functools.partial(functools.partial, os.urandom), 2**26)
    assert 60 < taken < 140  # 64 MiB, twice where the second is made before the first is freed


def test_wrong_use_is_one_line(run_cli):
    done = run_cli("-m", "benchmark", "training", "--rounds", "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: argument --rounds") and done.stderr.count("\n") == 1
