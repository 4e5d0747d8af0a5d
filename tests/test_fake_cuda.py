"""What of a GPU can be tested without one: by fake CUDA tensors and a log of operations."""

from unittest import mock

import numpy as np
import pytest
import torch
from helpers import TINY, tiny_run
from steps import EVERYTHING, Waits, batch, built
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import CartoonGAN
import utils
from networks import CONVOLUTIONS, VGG19, Generator
from pictures import checkpoints, inference
from training import options
from training.run import Run
from training.steps import Scaler


def test_the_log_notices_what_waits():
    with Waits() as log:
        assert torch.ones(3).sum().item() == 3 and torch.ones(3).nonzero().shape == (3, 1)
        bool(torch.ones(1))
        torch.ones(1).to("meta", non_blocking=True), torch.ones(1).to("meta")
    assert log.waits == ["_local_scalar_dense", "nonzero", "_local_scalar_dense", "_to_copy"]


@pytest.mark.parametrize("more", ["", EVERYTHING, "--gan_mode lsgan --adv_lambda 0"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_no_step_waits_for_its_device(precision, more):
    """The counter of the running mean stays on the CPU."""
    model, args = built("cpu", precision, more)
    step = CartoonGAN.adversarial_step if model.discriminator else CartoonGAN.perceptual_step
    run, known = Run.__new__(Run), [model.ema.n_averaged] if model.ema else []
    run.model, run.phase, run.unchecked = model, 2, []
    for number in range(4):  # the first fill the pool and Adam's state
        photo, *drawings = batch(number, "cpu")
        with Waits(*known) as log:
            run.log_step(CartoonGAN.reconstruction_step(model, args, photo))
            run.log_step(step(model, args, photo, *drawings, place=(2, 1, number)))
        assert log.waits == []


def test_the_losses_are_read_at_intervals(data, tmp_path, monkeypatch):
    counts, check = [], Run._check_losses
    monkeypatch.setattr(Run, "_check_losses", lambda run: counts.append(len(run.unchecked)) or check(run))
    monkeypatch.setattr("training.run.CHECK_EVERY", 2)
    CartoonGAN.main(tiny_run(data, tmp_path, "--pre_train_epoch", 1, "--train_epoch", 1))
    assert [count for count in counts if count] == [2, 1, 2, 1]  # of three steps an epoch


def fake_cuda(precision):
    """A context of fake CUDA tensors, and a GPU's autocast for it."""
    with mock.patch("torch.cuda.is_available", lambda: True):  # else autocast would be off
        return FakeTensorMode(), utils.autocast(torch.device("cuda"), precision)


def converted(network, dtype=torch.float32):
    """A network of fake tensors with convolutions in `dtype` and channels_last; Module.to does not work."""
    for layer in network.modules():
        if isinstance(layer, CONVOLUTIONS):
            weight = layer.weight.detach().to(dtype, memory_format=torch.channels_last)
            layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(layer.bias.detach().to(dtype))
    return network


@pytest.mark.parametrize(
    ("kind", "precision", "tile"),
    [("instance", "fp16", None), ("instance", "fp32", 16), ("layer", "bf16", 16)],
)
def test_a_generator_is_applied_on_a_gpu(kind, precision, tile):
    """As test.py does it. Tensors on two devices, or in two precisions, would raise."""
    with FakeTensorMode():
        with torch.device("cuda:0"):
            generator = converted(Generator(ngf=4, nb=1, norm=kind), utils.dtype(precision))
        photos = [np.zeros((40, 54, 3), np.uint8)] * 2
        result = inference._apply(generator, photos, tile)
    assert (result.device.type, result.dtype) == ("cuda", torch.float32)
    assert result.shape == (len(photos), 3, 40, 54)


@pytest.mark.filterwarnings("ignore:torch.cuda.amp.GradScaler")
@pytest.mark.parametrize("more", ["", EVERYTHING, "--gan_mode lsgan --adv_lambda 0 --style_lambda 1"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_both_steps_compute_on_a_gpu(precision, more, monkeypatch):
    """Forward only: without a GPU, autograd has no stream. Two devices or precisions would raise."""
    mode, autocast = fake_cuda(precision)
    monkeypatch.setattr(nn.Module, "to", lambda network, *_, **__: network)  # built on the device
    monkeypatch.setattr(checkpoints, "load_vgg", lambda *_: VGG19(width=4))
    monkeypatch.setattr(CartoonGAN, "running_mean", lambda *_: None)
    monkeypatch.setattr(CartoonGAN, "add_noise", lambda *_: pictures[2])  # needs a GPU
    descended, pinned = [], []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: pinned.append(x) or x)
    monkeypatch.setattr(Scaler, "descend", lambda _, adam, loss: descended.append(loss))
    monkeypatch.setattr(Scaler, "update", lambda _: None)
    args, _ = options.parse(f"{TINY} {more}".split())
    with mode, torch.no_grad():
        with torch.device("cuda:0"):
            model = CartoonGAN.build(args, torch.device("cuda:0"), precision)
            pictures = [torch.empty(2, 3, 16, 16) for _ in range(3)]
        model.autocast = lambda: autocast
        step = CartoonGAN.adversarial_step if model.discriminator else CartoonGAN.perceptual_step
        terms = [CartoonGAN.reconstruction_step(model, args, pictures[0])]
        terms += [step(model, args, *pictures, place=(2, 1, number)) for number in range(3)]
    values = [*descended, *(value for each in terms for value in each.values())]
    assert len(descended) == (7 if model.discriminator else 4)
    assert bool(pinned) == ("--diffaugment" in more)  # random numbers for the GPU are drawn on the CPU
    assert {(x.device.type, x.dtype, x.shape) for x in values} == {("cuda", torch.float32, ())}
