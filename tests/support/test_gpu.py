"""cuDNN and TF32 settings. They can be set and read without a GPU."""

import pytest
import torch
from helpers import TINY, at_step, tiny_run

import CartoonGAN
from networks import Generator
from pictures import inference
from support import gpu
from training import history, options, samples
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


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_float32_is_float32_in_training_and_in_applying(precision):
    inference.prepare(Generator(ngf=4, nb=1), CPU, precision)
    assert tf32() == (False, False) and not torch.backends.cudnn.benchmark
    set_all(False, True, True)
    CartoonGAN.build(options.parse(TINY.split())[0], CPU, precision)
    assert tf32() == (False, False) and torch.backends.cudnn.benchmark


@pytest.mark.parametrize(("device", "capability"), [(CPU, None), (GPU, (7, 5)), (GPU, (8, 0)), (GPU, (9, 0))])
def test_tf32_is_a_choice_from_the_a100_on(device, capability, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    if not capability or capability < (8, 0):
        with pytest.raises(WrongUse, match="tf32 needs an A100 or a later NVIDIA GPU: use --precision fp32"):
            gpu.choose_arithmetic(device, "tf32")
        return
    gpu.choose_arithmetic(device, "tf32")
    assert tf32() == (True, True)
    gpu.choose_arithmetic(device, "fp32")
    assert tf32() == (False, False)


@pytest.mark.parametrize("search", [True, False])
def test_without_search_is_undone_even_after_an_error(search):
    torch.backends.cudnn.benchmark = search
    with pytest.raises(ZeroDivisionError), gpu.no_search():
        assert not torch.backends.cudnn.benchmark
        raise ZeroDivisionError
    assert torch.backends.cudnn.benchmark == search


def test_a_run_searches_while_it_trains_and_not_for_samples_and_measures(data, tmp_path, monkeypatch):
    searched = {"steps": [], "pictures": []}
    forward = Generator.forward

    def watched(self, photo, flat=False):
        where = "steps" if torch.is_grad_enabled() else "pictures"
        searched[where].append(torch.backends.cudnn.benchmark)
        return forward(self, photo, flat)

    monkeypatch.setattr(Generator, "forward", watched)
    at_step(monkeypatch, 1, lambda run: samples.draw(run))
    CartoonGAN.main(tiny_run(data, tmp_path, "--pre_train_epoch", 1, "--train_epoch", 1, "--eval_every", 1))
    (folder,) = tmp_path.glob("*_results")
    assert history.read(folder / "metrics.csv")[-1]["content_change"]
    assert len(searched["steps"]) == 6 and all(searched["steps"])
    assert len(searched["pictures"]) > 8 and not any(searched["pictures"])
