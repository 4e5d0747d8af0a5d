"""The whole program on a GPU, compared with the CPU. Parts that need no GPU also run on the CPU.

python -m pytest -n 0 tests/test_cuda.py -rs
"""

import csv
import gc
import os
import socket

import numpy as np
import pytest
import torch
from helpers import GPU, HAS_GPU, at_step, needs_gpu, tiny_run
from steps import EVERYTHING, batch, built, take
from torch import distributed

import CartoonGAN
import test
from networks import Generator
from pictures import checkpoints, images, inference
from training import history, processes
from training.run import Run
from utils import RunFailed, Stopped

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic products; read once
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    """No plots, which take most of the time of a tiny run. Settings of devices and memory are restored."""
    monkeypatch.setattr(history, "plot_losses", lambda *_: None)
    backends = torch.backends
    flags = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32, backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32, backends.cudnn.benchmark = flags
    if HAS_GPU:
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


def skip_without(precision):
    major, _ = torch.cuda.get_device_capability()
    if precision in ("tf32", "bf16") and major < 8:
        pytest.skip(f"{torch.cuda.get_device_name()} has no {precision}")


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize(
    ("device", "precision"),
    [
        *(("cpu", precision) for precision in ("bf16", "fp16")),
        *(pytest.param("cuda", name, marks=needs_gpu) for name in ("fp32", "tf32", "fp16", "bf16")),
    ],
)
def test_both_phases_match_the_cpu_in_float32(device, precision, phase):
    steps = 5 if device == "cpu" else 20
    if device == "cuda":
        skip_without(precision)
    expected, exact = take(*built(CPU), "cpu", steps, phase)
    results, gradients = take(*built(device, precision), device, steps, phase)
    for mine, one in zip(results, expected, strict=True):
        assert mine == pytest.approx(one, rel=0.02)
    if precision == "fp32":
        for mine, one in zip(gradients, exact, strict=True):
            assert (mine - one).norm() < 1e-3 * one.norm()


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_step_that_overflows_is_skipped_and_counted(device):
    model, args = built(device, "fp16")
    take(model, args, device, 2, phase=1)
    assert int(model.scaler.skipped) == 0
    hook = model.generator.down[0].weight.register_hook(lambda gradient: gradient * float("inf"))
    before = model.generator.down[0].weight.clone()
    take(model, args, device, 1, phase=1)
    assert int(model.scaler.skipped) == 1 and torch.equal(before, model.generator.down[0].weight)
    hook.remove()
    take(model, args, device, 1, phase=1)
    assert int(model.scaler.skipped) == 1 and not torch.equal(before, model.generator.down[0].weight)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("cpu", "cpu"),
        *(pytest.param(*pair.split(), marks=needs_gpu) for pair in ("cuda cuda", "cpu cuda", "cuda cpu")),
    ],
)
def test_a_run_resumes_on_any_device(first, then, data, tmp_path, monkeypatch):
    """To the bit on the same device, which computes deterministically, else within rounding."""
    torch.use_deterministic_algorithms(True)
    command = lambda where, *more: tiny_run(data, tmp_path / where, "--pool_size", 1, *more)
    folders = [tmp_path / where / "Tiny_2_3_2_results" for where in ("whole", "stopped")]
    CartoonGAN.main(command("whole", "--device", first))
    with monkeypatch.context() as patch:
        at_step(patch, 8, lambda run: setattr(run.signals, "received", 15))
        with pytest.raises(Stopped):
            CartoonGAN.main(command("stopped", "--device", first))
    CartoonGAN.main(["--resume", str(folders[1]), "--device", then])
    rows = [list(csv.DictReader((folder / "metrics.csv").open())) for folder in folders]
    for mine, one in zip(*rows, strict=True):
        for key in ("content", "discriminator", "adversarial"):
            assert mine[key] == one[key] or float(mine[key]) == pytest.approx(float(one[key]), rel=0.02)
    whole, resumed = (checkpoints.load(folder / "generator_latest.pth")["state_dict"] for folder in folders)
    for key, value in whole.items():
        # The gradient of a bias before a norm is rounding noise, from which Adam makes steps of 2e-4.
        assert torch.allclose(value, resumed[key], rtol=0, atol=0 if first == then else 4e-3), key


@pytest.mark.parametrize("device", ["cpu", GPU, pytest.param("cuda:0", marks=needs_gpu)])
def test_a_run_with_samples_and_measures_and_its_generator_applied(device, data, tmp_path):
    """With two workers, which are forked from a process that has used the GPU."""
    where = ["--device", device, "--precision", "auto"]
    words = "--pre_train_epoch 1 --train_epoch 1 --eval_every 1 --sample_every 1 --workers 2 --norm layer"
    words += " --predict change --ema_decay 0.5"
    CartoonGAN.main(tiny_run(data, tmp_path, *words.split(), *where))
    (folder,) = tmp_path.glob("*_results")
    assert float(history.read(folder / "metrics.csv")[-1]["content_change"]) > 0
    assert len(list((folder / "Transfer").iterdir())) == 8
    for tile in ([], ["--tile", "16"], ["--batch_size", "2"]):
        out = tmp_path / "-".join(["out", *tile])
        command = ["--pre_trained_model", folder / "generator_latest.pth", "--output_image_dir", out, *where]
        test.main([*map(str, command), "--image_dir", str(data / "src_data/test"), *tile])
        assert len(list(out.iterdir())) == 3


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("kind", ["instance", "layer"])
def test_pictures_in_batches_and_tiles_match_the_cpu(device, kind):
    photos = [np.random.default_rng(n).integers(0, 256, (40, 52, 3)).astype(np.uint8) for n in range(3)]
    photos = [images.resize(images.resize(photo, 8, 8), 52, 40) for photo in photos]
    torch.manual_seed(0)
    weights = Generator(ngf=8, nb=2, norm=kind).state_dict()

    def made(device, precision, apply):
        generator = Generator(ngf=8, nb=2, norm=kind)
        generator.load_state_dict(weights)
        return np.stack(apply(inference.prepare(generator, torch.device(device), precision))).astype(int)

    one_by_one = made("cpu", "fp32", lambda generator: [inference.stylise(generator, [p])[0] for p in photos])
    ways = {
        "batch": lambda generator: inference.stylise(generator, photos),
        "tiles": lambda generator: inference.stylise(generator, photos, 16),
    }
    for name, way in ways.items():
        assert np.abs(made(device, "fp32", way) - one_by_one).max() <= 1, name
        half = "fp16" if device == "cuda" else "bf16"
        assert np.abs(made(device, half, way) - one_by_one).mean() < 3, name


@needs_gpu
def test_too_little_memory_is_a_one_line_error(data, tmp_path):
    gc.collect()  # tensors of the tests before
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**26) / total)
    large = ["--device", "cuda", "--ngf", 64, "--input_size", 256, "--batch_size", 6]
    with pytest.raises(RunFailed, match="out of memory on cuda: resume with a smaller batch") as error:
        CartoonGAN.main(tiny_run(data, tmp_path, *large))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("device", "backend"), [("cpu", "gloo"), pytest.param("cuda", "nccl", marks=needs_gpu)]
)
def test_a_group_of_one_process(device, backend, monkeypatch):
    """Wrapped like several processes, it has the gradients of a single one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    _, expected = take(*built(device), device, 1, phase=2)
    backends = f"cpu:gloo,cuda:{backend}" if device == "cuda" else backend
    distributed.init_process_group(backends, init_method=where, rank=0, world_size=1)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(processes, "count", lambda: 2)  # else nothing is wrapped
            model, args = built(device)
        assert isinstance(model.parallel_generator, torch.nn.parallel.DistributedDataParallel)
        _, results = take(model, args, device, 1, phase=2)
        value = torch.ones(3, device=device)
        distributed.all_reduce(value)
        assert value.tolist() == [1, 1, 1]
    finally:
        distributed.destroy_process_group()
    for mine, one in zip(results, expected, strict=True):
        assert (mine - one).norm() < 1e-3 * one.norm()


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_memory_does_not_grow_over_200_steps(precision):
    model, args = built("cuda", precision, "--pool_size 2")
    held = []
    for _ in range(10):
        take(model, args, "cuda", 20, phase=2)
        gc.collect()
        held.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
    (allocated, reserved), *_, last = held
    assert last[0] == allocated
    assert last[1] <= reserved + 20 * 2**20  # one more of the allocator's pieces


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("more", ["", EVERYTHING, "--norm layer --predict change --upsample resize"])
def test_no_step_waits_for_the_gpu(precision, more):
    """The run reads the losses, every 20th step; a step does not."""
    model, args = built("cuda", precision, more)
    run = Run.__new__(Run)
    run.model, run.phase, run.unchecked = model, 2, []
    for step in range(8):
        torch.cuda.set_sync_debug_mode("error" if step > 2 else "default")  # the first allocate buffers
        photo, *drawings = batch(step, "cuda")
        run.log_step(CartoonGAN.reconstruction_step(model, args, photo))
        run.log_step(CartoonGAN.adversarial_step(model, args, photo, *drawings, place=(2, 1, step)))
    assert len(run.unchecked) == 16
    with pytest.raises(RuntimeError, match="synchronizing"):
        run.unchecked[0]["content"].item()
