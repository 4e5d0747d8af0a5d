import contextlib
import os
import signal

import numpy as np
import pytest
import torch

import utils
from utils import WrongUse

CPU, GPU = torch.device("cpu"), torch.device("cuda")
NEWER_WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
OLDER_WHEEL = ["sm_70", *NEWER_WHEEL]


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((7, 0), NEWER_WHEEL, False),
        ((7, 0), OLDER_WHEEL, True),
        ((7, 5), ["sm_70"], True),
        ((8, 0), ["sm_86"], False),
        ((8, 9), ["sm_86"], True),
        ((8, 9), ["sm_75", "sm_90"], False),
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_90"], False),
        ((10, 0), ["sm_90", "compute_90"], True),
        ((10, 3), ["sm_100"], True),
        ((12, 1), NEWER_WHEEL, True),
        ((7, 0), ["compute_75"], False),
        ((7, 0), [], False),
        ((9, 4), ["gfx942"], True),
    ],
)
def test_runs_on(capability, architectures, runs):
    assert utils.runs_on(capability, architectures) is runs


def pretend_gpu(monkeypatch, architectures):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100-SXM2-16GB")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: architectures)


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:1"])
def test_a_gpu_without_code_is_told_with_the_mend(name, monkeypatch):
    pretend_gpu(monkeypatch, NEWER_WHEEL)
    with pytest.raises(WrongUse) as error:
        utils.choose_device(name)
    assert "Tesla V100-SXM2-16GB (sm_70; it has sm_75 sm_80" in str(error.value)
    assert "`pip install torch==2.10.0 torchvision==0.25.0`" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_gpu_with_code_is_chosen(monkeypatch):
    pretend_gpu(monkeypatch, OLDER_WHEEL)
    monkeypatch.setattr(torch, "empty", lambda *_, device: device)
    assert utils.choose_device("auto") == GPU
    assert utils.choose_device("cuda:1") == torch.device("cuda:1")
    assert utils.choose_device("cpu") == CPU


def test_auto_without_a_gpu_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert utils.choose_device("auto") == CPU


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")),
        "cuda:99",
        "gpu",
        "",
    ],
)
def test_a_device_that_cannot_be_used_is_one_line(name):
    with pytest.raises(WrongUse, match=f"--device {name} cannot be used: .") as error:
        utils.choose_device(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_precision_that_was_asked_for_is_kept(precision):
    assert utils.choose_precision(precision, CPU) == utils.choose_precision(precision, GPU) == precision


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "precision"),
    [(False, False, "fp32"), (True, False, "bf16"), (False, True, "bf16")],
)
def test_precision_of_a_processor(avx512_bf16, amx, precision, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert utils.choose_precision("auto", CPU) == precision


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp16")])
def test_precision_of_a_gpu(native, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    # A V100 emulates bf16, slowly.
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation
    )
    assert utils.choose_precision("auto", GPU) == precision


def test_autocast_computes_in_the_precision():
    weight = torch.ones(2, 2)
    for precision in ("fp32", "bf16"):
        with utils.autocast(CPU, precision):
            assert (weight @ weight).dtype == utils.dtype(precision)


def test_workers(monkeypatch):
    assert datasets.default_workers(CPU) == 1
    for cores, workers in ((4, 4), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert datasets.default_workers(GPU) == workers


def test_every_byte_survives_the_way_to_a_tensor_and_back():
    image = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    batch = utils.to_batch(image, CPU)
    assert batch.shape == (1, 3, 16, 16) and batch.dtype == torch.float32
    assert (batch.min(), batch.max()) == (-1, 1)
    assert np.array_equal(utils.to_image(batch[0]), image)


def test_to_image_clamps_and_rounds():
    picture = torch.tensor([-1.2, -1, 0, 0.999, 1, 1.2], dtype=torch.bfloat16).view(1, 1, 6)
    assert utils.to_image(picture.requires_grad_()).flatten().tolist() == [0, 0, 128, 255, 255, 255]


def test_an_empty_pool_shows_the_newest():
    pool = pool.Pool(0)
    assert all(pool.exchange(n, (0, n)) == n for n in range(50)) and pool.batches == []


def test_a_pool_fills_and_then_shows_an_older_batch_half_of_the_time():
    pool = pool.Pool(4)
    assert [pool.exchange(n, (0, n)) for n in range(4)] == pool.batches == [0, 1, 2, 3]
    shown = [pool.exchange(n, (0, n)) for n in range(4, 1004)]
    older = [n for n, batch in enumerate(shown, 4) if batch != n]
    assert 430 < len(older) < 570
    assert len(set(shown)) == 1000 and set(shown) | set(pool.batches) == set(range(1004))
    assert {n - shown[n - 4] for n in older} >= set(range(1, 9))


def test_the_choice_of_a_pool_is_a_function_of_the_key():
    def shown(seed):
        pool = pool.Pool(3)
        return [pool.exchange(n, (seed, n)) for n in range(100)]

    assert shown(1) == shown(1) != shown(2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_notes_a_signal_and_gives_the_handlers_back(number, capsys):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with stop.Stop() as stop:
        assert stop.received is None
        os.kill(os.getpid(), number)
        assert stop.received == number
        assert signal.getsignal(number) == signal.SIG_DFL  # a second one kills
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert capsys.readouterr().err == "stopping after this step …\n"


def test_stop_gives_the_handlers_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), stop.Stop():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) == before


def test_torchrun_gives_each_process_a_gpu_of_its_own(monkeypatch):
    pretend_gpu(monkeypatch, OLDER_WHEEL)
    monkeypatch.setattr(torch, "empty", lambda *_, device: device)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert utils.choose_device("auto") == utils.choose_device("cuda") == torch.device("cuda:3")
    assert utils.choose_device("cpu") == CPU
    with pytest.raises(WrongUse, match="--device cuda:1 under torchrun"):
        utils.choose_device("cuda:1")
