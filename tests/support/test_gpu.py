"""cuDNN and TF32 settings. They can be set and read without a GPU."""

import pytest
import torch
from helpers import TINY, at_step, tiny_run

import CartoonGAN
from networks import Generator
from pictures import inference
from support import gpu
from training import options, samples
from utils import WrongUse

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _settings():
    """PyTorch's own settings at the start of each test; they are restored at its end."""
    before = torch.backends.cudnn.benchmark, *tf32()
    set_all(False, True, False)
    yield
    set_all(*before)


def set_all(benchmark, convolutions, products):
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = benchmark, convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


def tf32():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_float32_is_float32_in_training_and_in_applying():
    inference.prepare(Generator(ngf=4, nb=1), CPU, "fp32")
    assert tf32() == (False, False) and not torch.backends.cudnn.benchmark
    set_all(False, True, True)
    CartoonGAN.build(options.parse(TINY.split())[0], CPU, "bf16")
    assert tf32() == (False, False) and torch.backends.cudnn.benchmark


@pytest.mark.parametrize(("device", "capability"), [(CPU, None), (GPU, (7, 5)), (GPU, (8, 0))])
def test_tf32_is_a_choice_from_the_a100_on(device, capability, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    if capability == (8, 0):
        gpu.choose_arithmetic(device, "tf32")
        assert tf32() == (True, True)
    else:
        with pytest.raises(WrongUse, match="tf32 needs an A100 or a later NVIDIA GPU: use --precision fp32"):
            gpu.choose_arithmetic(device, "tf32")


def test_a_run_searches_while_it_trains_and_not_for_samples_and_measures(data, tmp_path, monkeypatch):
    searched = {"steps": [], "pictures": []}
    forward = Generator.forward

    def watched(self, photo, flat=False):
        where = "steps" if torch.is_grad_enabled() else "pictures"
        searched[where].append(torch.backends.cudnn.benchmark)
        return forward(self, photo, flat)

    monkeypatch.setattr(Generator, "forward", watched)
    at_step(monkeypatch, 1, samples.draw)
    CartoonGAN.main(tiny_run(data, tmp_path, "--pre_train_epoch", 1, "--train_epoch", 1, "--eval_every", 1))
    assert len(searched["steps"]) == 6 and all(searched["steps"])
    assert len(searched["pictures"]) > 8 and not any(searched["pictures"])
