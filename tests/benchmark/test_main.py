"""`python -m benchmark`: every table is whole, and wrong use is told."""

import contextlib
import types

import pytest
import torch
from helpers import VGG

import CartoonGAN
import utils
from benchmark import __main__ as benchmark
from benchmark import gpu, inference, measuring, training
from networks import Generator
from pictures import checkpoints
from support import norm
from training.batches import load_batches
from training.scaler import Scaler
from utils import WrongUse

CPU = torch.device("cpu")


def table_rows(text):
    return [line for line in text.splitlines() if line.startswith("| ")]


@pytest.fixture
def printed(monkeypatch, capsys):
    """printed(arguments) -> what a tiny benchmark prints of the CPU, in one round; no memory is measured."""
    monkeypatch.setattr(utils, "choose_device", lambda _: CPU)
    monkeypatch.setattr(measuring, "DRAWING", (48, 64))
    monkeypatch.setattr(measuring, "FRAME", (96, 64))
    monkeypatch.setattr(measuring, "peak_memory", lambda make, *args: 7.0 if make(*args)() else 0)
    monkeypatch.setattr(training, "CHANNELS", 8)
    load_vgg = checkpoints.load_vgg
    monkeypatch.setattr(checkpoints, "load_vgg", lambda name, seed: load_vgg(str(VGG)))

    def run(*arguments):
        assert not benchmark.main([*map(str, arguments), "--rounds", "1"])
        return capsys.readouterr().out

    return run


def test_training_prints_its_table(printed):
    _, baseline, *others = table_rows(printed("training", "--input_size", 16, "--ngf", 4, "--batch_size", 2))
    assert baseline.startswith("| baseline: public scripts |") and " 1.00 " in baseline and others
    # The public step computes G twice and weight gradients of VGG19.
    counted = [float(row.split(" | ")[4]) for row in (baseline, *others)]
    assert counted[0] > counted[1] > 0
    assert all(row.endswith("| 7 MiB |") for row in (baseline, *others))


def test_inference_prints_its_table(printed, data):
    for choice in ([], ["--photos", data / "src_data/test"]):
        out = printed("inference", "--size", 16, "--ngf", 4, *choice)
        rows = table_rows(out)
        assert rows[0].split(" | ")[1:4] == ["seconds", "pictures/s", "ratio"]
        assert " 1.00 " in rows[1] and " - " in rows[1] and len(rows) >= 3
        assert float(rows[2].split(" | ")[4].removesuffix(" dB")) > 40
        assert all(row.endswith("| 7 MiB |") for row in rows[1:])
        assert "% of the network alone" in out


def test_inference_of_a_checkpoint(printed, tmp_path):
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(Generator(ngf=5, nb=1)))
    assert ", ngf 5, " in printed("inference", "--size", 16, "--checkpoint", tmp_path / "g.pth")


def test_edge_prints_its_tables(printed, data):
    for choice in ([], ["--drawings", data / "tgt_data/train"]):
        rows = table_rows(printed("edge", "--input_size", 32, "--count", 10, *choice))
        assert [row.split(" | ")[0] for row in rows] == [
            "| way",
            "| baseline: loop over pixels",
            "| smooth_edges",
            "| way",
            "| baseline: decode and encode",
            "| edge_promoting.make_pairs",
        ]
        assert rows[1].endswith(" | 1 |") and rows[4].endswith(" | 1 |")


def test_loading_prints_its_tables(printed):
    out = printed("loading", "--input_size", 32, "--ngf", 4, "--batch_size", 2)
    rows = table_rows(out)
    assert [len(row.split(" | ")) for row in rows] == [5] * 9
    assert rows[1].endswith(" | 1 |") and rows[7].endswith(" | 1 |")
    assert "% of the step" in out and "images/s alone" in out


def test_gpu_prints_its_table_reduced_without_a_gpu(printed, monkeypatch):
    """Each form is run, but for what a compiler would take long for."""
    compiled, resets = [], []
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(1))
    monkeypatch.setattr(torch, "compile", lambda function, **more: compiled.append(more) or function)
    norm._compiled.cache_clear()
    out = printed("gpu")
    norm._compiled.cache_clear()
    assert (
        out.startswith("there is no GPU: a reduced table") and "failed" not in out and "left out" not in out
    )
    head, *rows = [line.strip("| ").split(" | ") for line in table_rows(out)]
    assert all(len(row) == len(head) == 8 for row in rows)
    names = [row[0] for row in rows]
    assert names[0] == "step, batch 2, public scripts" and rows[0][3] == "1.00"
    both = gpu.COMPILED_NORM, gpu.COMPILED
    for form in gpu.FORMS:
        assert any(name.startswith(f"step, batch 2, {form}, ") for name in names)
    assert sum(name.startswith(("32x32", "64x48")) for name in names) == 2 * len(inference.ways(CPU))
    assert any(name.startswith("loader, 1 worker") for name in names)
    assert {"mode": "reduce-overhead"} in compiled and {"dynamic": True} in compiled
    assert len(resets) == sum(name.startswith(f"step, batch 2, {form}, ") for name in names for form in both)


class Card(str):
    """What stands for the device of a GPU that is pretended; torch.device cannot be."""

    type = "cuda"


def test_gpu_prints_its_table_of_a_gpu(printed, monkeypatch):
    """All that the command does on an A100, at tiny sizes; its tensors lie on the CPU."""
    card, searched = Card("cuda"), []
    on_cpu = lambda to: (
        lambda x, *to_what, **how: to(
            x, *[swap(it) for it in to_what], **{k: swap(it) for k, it in how.items()}
        )
    )
    swap = lambda it: CPU if it is card else it
    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "to", on_cpu(kind.to))
    autocast, stylise = utils.autocast, inference.inference.stylise
    monkeypatch.setattr(utils, "autocast", lambda _, precision: autocast(CPU, precision))
    monkeypatch.setattr(utils, "choose_device", lambda _: card)
    monkeypatch.setattr(gpu, "load_batches", lambda *given: load_batches(*given[:2], 0, CPU))
    search = lambda *given: searched.append(torch.backends.cudnn.benchmark) or stylise(*given)
    monkeypatch.setattr(inference.inference, "stylise", search)
    monkeypatch.setattr(CartoonGAN, "Scaler", lambda _, enabled: Scaler("cpu", enabled=enabled))
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    about = types.SimpleNamespace(name="NVIDIA A100", total_memory=80 * 2**30)
    pretended = {"get_device_capability": (8, 0), "get_device_properties": about, "is_bf16_supported": True}
    pretended |= {"max_memory_allocated": 3 * 2**20, "memory_allocated": 0, "empty_cache": None}
    for name, value in {**pretended, "reset_peak_memory_stats": None}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value, **__: value)
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    monkeypatch.setattr(gpu, "BATCHES", (1,))
    monkeypatch.setattr(gpu, "SIZES", ((32, 32), (48, 32)))
    print_loader = gpu.print_loader
    monkeypatch.setattr(gpu, "print_loader", lambda *given: print_loader(*given[:2], 0.1))
    monkeypatch.setattr(measuring, "WARM_UP", 1)
    norm._compiled.cache_clear()
    out = printed("gpu", "--input_size", 16, "--ngf", 4)
    norm._compiled.cache_clear()
    compiled = lambda precision: f"step, batch 1, {gpu.COMPILED}, {precision}"
    assert out.startswith("NVIDIA A100, 80 GiB; PyTorch") and "failed" not in out and "nan" not in out
    head, *rows = [line.strip("| ").split(" | ") for line in table_rows(out)]
    assert all(len(row) == len(head) for row in rows) and rows[0][5] == "3 MiB"
    names = [row[0] for row in rows]
    for precision in ("bf16", "fp32", "tf32", "fp16"):
        assert {f"step, batch 1, {form}, {precision}" for form in gpu.FORMS} - {*names} <= {
            compiled(precision)
        }
    assert {"step, batch 1, public scripts", compiled("bf16")} < {*names}
    assert searched and not any(searched)  # as test.py, cuDNN takes what it is given


def test_no_compiler_is_begun_on_a_gpu_near_the_end(capsys):
    wanted = [gpu.Step(8, "fp32", form) for form in (gpu.COMPILED_NORM, gpu.COMPILED)]
    assert gpu.print_steps(None, Card(), wanted, lambda: gpu.COMPILING, gpu.Seen({}, {}, {})) == wanted
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("form", [gpu.PUBLIC, gpu.OWN])
def test_operations_are_counted_on_small_pictures(printed, form):
    args = types.SimpleNamespace(ngf=4, input_size=64)
    whole = training.count_flops(gpu.make_step(gpu.Step(1, "fp32", form), args))
    assert gpu.flops(gpu.Step(2, "bf16", form), args, gpu.Seen({}, {}, {})) == whole > 1e6


def test_the_operations_of_the_layer_for_the_peak_are_as_counted(printed, monkeypatch):
    work = training.make_convolution("fp32", types.SimpleNamespace(batch_size=2), CPU)
    assert training.count_flops(work) == training.convolution_flops(2, CPU)
    assert training.convolution_flops(2, Card()) == 20 * training.convolution_flops(2, CPU)


def test_what_fails_on_a_gpu_or_has_no_time_is_told_and_the_rest_goes_on(printed, monkeypatch):
    def fail(_):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(gpu, "compile_networks", fail)
    monkeypatch.setattr(gpu, "other_steps", lambda *_: [gpu.Step(2, "fp32", gpu.COMPILED)])
    assert "| step, batch 2, channels_last, torch.compile, fp32 | failed: no compiler |" in printed("gpu")
    monkeypatch.setattr(gpu, "SECONDS", 0)
    out = printed("gpu")
    assert "| step," not in out and "left out, because 0 minutes were over: step, batch 2, public" in out


@pytest.mark.parametrize(
    ("device", "capability", "native", "wanted"),
    [
        ("cuda", (7, 0), False, ["fp16", "fp32"]),
        ("cuda", (9, 0), True, ["bf16", "fp32", "tf32", "fp16"]),
    ],
)
def test_the_precisions_of_a_card(device, capability, native, wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert gpu.precisions(torch.device(device)) == wanted
    assert len(gpu.steps(torch.device(device), gpu.BATCHES)) == 2 * (1 + len(wanted))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "arguments are required: what"),
        ("speed", "invalid choice: 'speed'"),
        ("training --rounds 0", "--rounds"),
        ("inference --size 30", "30 is not a multiple of 4"),
    ],
)
def test_wrong_use(arguments, told):
    with pytest.raises(WrongUse, match=told):
        benchmark.main(arguments.split())


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["training", "--input_size", 16], ["inference", "--size", 16]])
def test_the_command_as_typed(arguments, run_cli):
    """With the memory of real processes."""
    done = run_cli("-m", "benchmark", *arguments, "--ngf", 4, "--rounds", 1)
    assert done.returncode == 0, done.stderr
    _, *rows = table_rows(done.stdout)
    assert len(rows) >= 2 and all(int(row.split(" | ")[-1].split()[0]) > 0 for row in rows)


def test_wrong_use_as_typed_is_one_line(run_cli):
    done = run_cli("-m", "benchmark", "edge", "--count", "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: argument --count") and done.stderr.count("\n") == 1
    assert "-m benchmark --help" in done.stderr
