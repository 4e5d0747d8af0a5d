"""What NVIDIA's libraries are told. The flags can be set and read without a GPU."""

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
def _flags():
    """PyTorch's own flags at the start of each test, and those of before at its end."""
    before = torch.backends.cudnn.benchmark, *tf32()
    set_flags(False, True, False)
    yield
    set_flags(*before)


def set_flags(benchmark, convolutions, products):
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = benchmark, convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


def tf32():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_float32_is_float32_in_training_and_in_applying(precision):
    assert tf32() == (True, False)
    inference.prepare(Generator(ngf=4, nb=1), CPU, precision)
    assert tf32() == (False, False) and not torch.backends.cudnn.benchmark
    torch.backends.cudnn.allow_tf32 = True
    CartoonGAN.build(options.parse(TINY.split())[0], CPU, precision)
    assert tf32() == (False, False) and torch.backends.cudnn.benchmark


def test_tf32_is_a_choice_where_the_gpu_has_it(monkeypatch):
    with pytest.raises(WrongUse, match="tf32 needs an A100 or a later NVIDIA GPU: use --precision fp32"):
        gpu.choose_arithmetic(CPU, "tf32")
    for capability, has in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        if has:
            gpu.choose_arithmetic(GPU, "tf32")
            assert tf32() == (True, True)
        else:
            with pytest.raises(WrongUse):
                gpu.choose_arithmetic(GPU, "tf32")
        gpu.choose_arithmetic(GPU, "fp32")
        assert tf32() == (False, False)


def test_a_search_is_taken_up_again_even_after_an_error():
    torch.backends.cudnn.benchmark = True
    with pytest.raises(ZeroDivisionError), gpu.no_search():
        assert not torch.backends.cudnn.benchmark
        raise ZeroDivisionError
    assert torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    with gpu.no_search():
        pass
    assert not torch.backends.cudnn.benchmark


def test_a_run_searches_while_it_trains_and_not_while_it_draws_or_measures(data, tmp_path, monkeypatch):
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
