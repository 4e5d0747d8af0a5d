"""The program on a GPU, compared with the CPU. Without a GPU: fake CUDA tensors, and a log of operations."""

import gc
import os
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import GPU, HAS_GPU, TINY, at_step, needs_gpu, new_run, tiny_run
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import CartoonGAN
import test
import utils
from networks import CONVOLUTIONS, VGG19, Generator
from pictures import checkpoints, images, inference
from support import gpu
from training import history, options, samples
from training.steps import Scaler
from utils import RunFailed, Stopped, WrongUse

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic products; read once
SMALL = f"{TINY} --ngf 8 --ndf 8 --input_size 32 --batch_size 4 --lrG 2e-5 --lrD 2e-5"
EVERYTHING = (
    "--pool_size 2 --style_lambda 1 --tv_lambda 1 --colour_lambda 1 --ema_decay 0.9 --diffaugment color "
    "--smoothed_noise 0.1 --pixel_lambda 1 --flatten 1 --outline 1 --guide 2"
)


def built(device, precision="fp32", more=""):
    """A small Model with the same weights on every device, and its options. Its scaler skips no step."""
    args, _ = options.parse(f"{SMALL} {more}".split())
    model = CartoonGAN.build(args, torch.device(device), precision)
    model.scaler = Scaler(str(device), init_scale=2.0**8, enabled=precision == "fp16")
    return model, args


def batch(step, device):
    """A photo, a drawing and a smoothed drawing of smooth noise, on a device as from the loader."""
    rough = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(step))
    pictures = F.interpolate(rough, 32, mode="bicubic").clamp(0, 1).mul(255).byte()
    pictures = pictures.pin_memory() if device == "cuda" else pictures
    place = {"device": device, "non_blocking": True, "memory_format": torch.channels_last}
    return [utils.to_range(part.to(**place)) for part in pictures.chunk(3)]


def take(model, args, device, steps, phase):
    """Train some steps of a phase; returns the losses of each."""
    losses = []
    for step in range(steps):
        photo, *drawings = batch(step, device)
        if phase == 1:
            terms = CartoonGAN.reconstruction_step(model, args, photo)
        else:
            terms = CartoonGAN.adversarial_step(model, args, photo, *drawings, place=(2, 1, step))
        names = terms.keys() & {"content", "adversarial", "discriminator"}
        losses.append({name: terms[name].item() for name in names})
    return losses


# Operations that need a value on the CPU, or whose size depends on values: they wait for a GPU.
WAITING = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique", "bincount")


class Waits(TorchDispatchMode):
    """Lists in `waits` the operations that would wait for a GPU, except those on the tensors `known`."""

    def __init__(self, *known):
        super().__init__()
        self.waits, self.known = [], {x.data_ptr() for x in known}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name, kwargs = function.overloadpacket.__name__, kwargs or {}
        if name.startswith(WAITING) and args[0].data_ptr() not in self.known:
            self.waits.append(name)
        result = function(*args, **kwargs)
        if name == "_to_copy" and result.device != args[0].device and not kwargs.get("non_blocking"):
            self.waits.append(name)
        return result


@pytest.fixture(autouse=True)
def _settings():
    """The settings of devices are restored."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    flags = cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark = flags
    if HAS_GPU:
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.set_per_process_memory_fraction(1.0)


PRECISIONS = [("cpu", "bf16"), ("cpu", "fp16")]
PRECISIONS += [pytest.param("cuda", name, marks=needs_gpu) for name in ("fp32", "tf32", "fp16", "bf16")]


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize(("device", "precision"), PRECISIONS)
def test_both_phases_match_the_cpu_in_float32(device, precision, phase):
    steps = 5 if device == "cpu" else 20
    if device == "cuda" and precision in ("tf32", "bf16") and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip(f"{torch.cuda.get_device_name()} has no {precision}")
    models = [built("cpu"), built(device, precision)]
    expected, results = (take(*models[i], where, steps, phase) for i, where in enumerate(("cpu", device)))
    for mine, one in zip(results, expected, strict=True):
        assert mine == pytest.approx(one, rel=0.02)
    if precision == "fp32":
        gradients = ([x.grad.cpu() for x in model.generator.parameters()] for model, _ in models)
        for one, mine in zip(*gradients, strict=True):
            assert (mine - one).norm() < 1e-3 * one.norm()


@needs_gpu
@pytest.mark.parametrize(("first", "then"), [("cuda", "cuda"), ("cpu", "cuda"), ("cuda", "cpu")])
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
    whole, resumed = (checkpoints.load(folder / "generator_latest.pth")["state_dict"] for folder in folders)
    for key, value in whole.items():
        # The gradient of a bias before a norm is rounding noise, from which Adam makes steps of 2e-4.
        assert torch.allclose(value, resumed[key], rtol=0, atol=0 if first == then else 4e-3), key


@needs_gpu
def test_a_run_with_samples_and_measures_and_its_generator_applied(data, tmp_path):
    """With two workers, which are forked from a process that has used the GPU."""
    where = ["--device", "cuda", "--precision", "auto"]
    words = "--pre_train_epoch 1 --train_epoch 1 --eval_every 1 --sample_every 1 --workers 2 --norm layer"
    words += " --predict change --ema_decay 0.5"
    CartoonGAN.main(tiny_run(data, tmp_path, *words.split(), *where))
    (folder,) = tmp_path.glob("*_results")
    assert float(history.read(folder / "metrics.csv")[-1]["content_change"]) > 0
    assert len(list((folder / "Transfer").iterdir())) == 8
    command = ["--pre_trained_model", folder / "generator_latest.pth", "--output_image_dir", tmp_path / "out"]
    test.main([*map(str, command), "--image_dir", str(data / "src_data/test"), "--tile", "16", *where])
    assert len(list((tmp_path / "out").iterdir())) == 3


@needs_gpu
@pytest.mark.parametrize("kind", ["instance", "layer"])
def test_pictures_in_batches_and_tiles_match_the_cpu(kind):
    smooth = lambda n: np.random.default_rng(n).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    photos = [images.resize(smooth(n), 52, 40) for n in range(3)]

    def apply(device, precision, tile=None):
        torch.manual_seed(0)
        generator = Generator(ngf=8, nb=2, norm=kind)
        generator = inference.prepare(generator, torch.device(device), precision)
        return np.stack(inference.convert(generator, photos, tile)).astype(int)

    expected = apply("cpu", "fp32")
    for tile in (None, 16):
        assert np.abs(apply("cuda", "fp32", tile) - expected).max() <= 1
        assert np.abs(apply("cuda", "fp16", tile) - expected).mean() < 3


@needs_gpu
def test_too_little_memory_is_a_one_line_error(data, tmp_path):
    gc.collect()  # tensors of earlier tests
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**26) / total)
    large = ["--device", "cuda", "--ngf", 64, "--input_size", 256, "--batch_size", 6]
    with pytest.raises(RunFailed, match="out of memory on cuda: resume with a smaller batch") as failed:
        CartoonGAN.main(tiny_run(data, tmp_path, *large))
    assert "\n" not in str(failed.value)


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_memory_does_not_grow_over_200_steps(precision):
    model, args = built("cuda", precision, "--pool_size 2")
    allocated = []
    for _ in range(10):
        take(model, args, "cuda", 20, phase=2)
        gc.collect()
        allocated.append(torch.cuda.memory_allocated())
    assert allocated[-1] == allocated[0]


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize(
    "more", [EVERYTHING, "--gan_mode lsgan --adv_lambda 0 --norm layer --predict change"]
)
def test_no_step_waits_for_its_device(device, more, tmp_path):
    """The run reads the losses at intervals. The counter of the moving average is on the CPU."""
    model, args = built(device, "fp16", more)
    run, known = new_run(tmp_path), [model.ema.n_averaged] if model.ema else []
    run.model = model
    step = CartoonGAN.adversarial_step if model.discriminator else CartoonGAN.perceptual_step
    for number in range(6):
        photo, *drawings = batch(number, device)
        if device == "cuda" and number > 2:  # the first steps allocate buffers
            torch.cuda.set_sync_debug_mode("error")
        with Waits(*known) as log:
            run.log_step(CartoonGAN.reconstruction_step(model, args, photo))
            run.log_step(step(model, args, photo, *drawings, place=(2, 1, number)))
        assert number <= 2 or log.waits == []
    with Waits() as log:
        run.unchecked[0]["content"].to("meta"), torch.ones(1).item()
    assert log.waits == ["_to_copy", "_local_scalar_dense"]


# cuDNN and TF32 settings, which can be set and read without a GPU


def test_float32_is_float32_in_training_and_in_applying():
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    cudnn.allow_tf32 = products.allow_tf32 = True
    inference.prepare(Generator(ngf=4, nb=1), torch.device("cpu"), "fp32")
    assert not cudnn.allow_tf32 and not products.allow_tf32
    cudnn.allow_tf32 = products.allow_tf32 = True
    built("cpu", "bf16")
    assert not cudnn.allow_tf32 and not products.allow_tf32


def test_tf32_is_a_choice_from_the_a100_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    gpu.choose_arithmetic(torch.device("cuda"), "tf32")
    assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(WrongUse, match="tf32 needs an A100 or a later NVIDIA GPU: use --precision fp32"):
        gpu.choose_arithmetic(torch.device("cuda"), "tf32")
    with pytest.raises(WrongUse, match="tf32 needs an A100"):
        gpu.choose_arithmetic(torch.device("cpu"), "tf32")


def test_a_run_searches_while_it_trains_and_not_for_samples_and_measures(data, tmp_path, monkeypatch):
    searched, forward = {True: [], False: []}, Generator.forward

    def watched(self, photo, flat=False):
        searched[torch.is_grad_enabled()].append(torch.backends.cudnn.benchmark)
        return forward(self, photo, flat)

    monkeypatch.setattr(Generator, "forward", watched)
    at_step(monkeypatch, 1, samples.draw)
    CartoonGAN.main(tiny_run(data, tmp_path, "--pre_train_epoch", 1, "--train_epoch", 1, "--eval_every", 1))
    assert searched[True] == [True] * 6
    assert len(searched[False]) > 8 and not any(searched[False])


# Fake CUDA tensors: a tensor on another device or in another precision would raise


@pytest.mark.parametrize(
    ("kind", "dtype", "tile"), [("instance", torch.float16, None), ("layer", torch.bfloat16, 16)]
)
def test_a_generator_is_applied_on_a_gpu(kind, dtype, tile):
    with FakeTensorMode():
        with torch.device("cuda:0"):
            generator = Generator(ngf=4, nb=1, norm=kind)
        for layer in generator.modules():
            if isinstance(layer, CONVOLUTIONS):  # Module.to does not work
                layer.weight, layer.bias = (
                    nn.Parameter(x.detach().to(dtype)) for x in (layer.weight, layer.bias)
                )
        result = inference._apply(generator, [np.zeros((40, 54, 3), np.uint8)] * 2, tile)
    assert (result.device.type, result.dtype, result.shape) == ("cuda", torch.float32, (2, 3, 40, 54))


@pytest.mark.filterwarnings("ignore:torch.cuda.amp.GradScaler")
@pytest.mark.parametrize("more", [EVERYTHING, "--gan_mode lsgan --adv_lambda 0 --style_lambda 1"])
def test_both_steps_compute_on_a_gpu(more, monkeypatch):
    """Forward only: without a GPU, autograd has no stream."""
    with mock.patch("torch.cuda.is_available", lambda: True):  # else autocast would be off
        mode, autocast = FakeTensorMode(), utils.autocast(torch.device("cuda"), "fp16")
    monkeypatch.setattr(nn.Module, "to", lambda network, *_, **__: network)  # built on the device
    monkeypatch.setattr(checkpoints, "load_vgg", lambda *_: VGG19(width=4))
    monkeypatch.setattr(CartoonGAN, "moving_average", lambda *_: None)
    monkeypatch.setattr(CartoonGAN, "add_noise", lambda *_: pictures[2])  # needs a GPU
    descended, pinned = [], []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: pinned.append(x) or x)
    monkeypatch.setattr(Scaler, "optimise", lambda _, adam, loss: descended.append(loss))
    monkeypatch.setattr(Scaler, "update", lambda _: None)
    args, _ = options.parse(f"{TINY} {more}".split())
    with mode, torch.no_grad():
        with torch.device("cuda:0"):
            model = CartoonGAN.build(args, torch.device("cuda:0"), "fp16")
            pictures = [torch.empty(2, 3, 16, 16) for _ in range(3)]
        model.autocast = lambda: autocast
        step = CartoonGAN.adversarial_step if model.discriminator else CartoonGAN.perceptual_step
        terms = CartoonGAN.reconstruction_step(model, args, pictures[0])
        terms |= step(model, args, *pictures, place=(2, 1, 0))
    assert len(descended) == (3 if model.discriminator else 2)
    assert bool(pinned) == ("--diffaugment" in more)  # random numbers for the GPU are drawn on the CPU
    assert {(x.device.type, x.dtype, x.shape) for x in (*descended, *terms.values())} == {
        ("cuda", torch.float32, ())
    }
