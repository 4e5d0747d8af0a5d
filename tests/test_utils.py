"""One-line errors, devices and precision, pictures as tensors."""

import contextlib
import os
import signal
import warnings

import numpy as np
import pytest
import torch

import utils
from utils import RunFailed, Stopped, WrongUse

CPU, GPU = torch.device("cpu"), torch.device("cuda")
NEWER_WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
OLDER_WHEEL = ["sm_70", *NEWER_WHEEL]


# Errors


@pytest.fixture(autouse=True)
def _nothing_reported(monkeypatch):
    monkeypatch.setattr(utils, "unlogged", type(utils.unlogged)())  # else a later run would log it


@pytest.mark.parametrize(
    ("error", "status", "output"),
    [
        (WrongUse("no folder a"), 2, "error: no folder a\n"),
        (RunFailed("two\nlines \x1b[31m"), 1, r"error: two\nlines \x1b[31m" + "\n"),
        (Stopped("nothing to do", status=0), 0, "nothing to do\n"),
        (Stopped("resume with …", status=143), 143, "resume with …\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (OSError(28, "No space left on device", "a.png"), 1, "error: No space left on device: a.png\n"),
        (OSError("of a library"), 1, "error: of a library\n"),
    ],
)
def test_known_errors_are_one_line_and_a_status(error, status, output, capsys):
    def main():
        raise error

    assert utils.exit_status(main) == status
    assert capsys.readouterr() == ("", output)


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        utils.exit_status(lambda: 1 / 0)
    assert utils.exit_status(lambda: None) == 0 and utils.exit_status(lambda: 1) == 1


def test_a_wrong_command_is_refused_early(capsys):
    def wrong():
        raise WrongUse("no folder a")

    utils.refuse_early(lambda: ("options", ["pictures"]))
    with pytest.raises(SystemExit) as end:
        utils.refuse_early(wrong)
    assert end.value.code == 2 and capsys.readouterr().err == "error: no folder a\n"


def test_a_signal_ends_the_program_with_its_status():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        utils.end_on_signals()
        with pytest.raises(Stopped, match="stopped by SIGTERM") as stopped:
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.value.status == 128 + 15


def test_of_several_processes_the_first_reports_or_each_for_itself(monkeypatch, capsys):
    utils.report("one")
    monkeypatch.setenv("RANK", "2")
    utils.report("two")
    utils.report("three", everywhere=True)
    assert capsys.readouterr().err == "one\nprocess 2: three\n"
    assert list(utils.unlogged) == ["one"]


def test_the_first_line_of_an_error():
    assert utils.first_line(ValueError("one\ntwo")) == "one"
    assert utils.first_line(FileNotFoundError(2, "No such file", "a.png")) == "No such file"
    assert utils.first_line(ValueError()) == "ValueError"


# Processes, device and precision


def test_cores_are_those_of_the_process_or_if_unknown_of_the_machine(monkeypatch):
    monkeypatch.setattr(utils.os, "sched_getaffinity", lambda _: {2, 3, 5}, raising=False)
    monkeypatch.setattr(utils.os, "cpu_count", lambda: 8)
    assert utils.cores() == 3
    monkeypatch.delattr(utils.os, "sched_getaffinity")
    assert utils.cores() == 8
    monkeypatch.setattr(utils.os, "cpu_count", lambda: None)
    assert utils.cores() == 1


def test_a_launch_by_torchrun_has_the_same_id_after_a_restart(monkeypatch):
    assert utils.launcher() is None and utils.restarts() == 0 and utils.rank() == 0 and utils.is_first()
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job 7")
    assert utils.launcher() == "job 7"
    monkeypatch.setenv("GROUP_WORLD_SIZE", "1")  # of one machine, where torchrun's own id is "none" for all
    assert utils.launcher().endswith(f" {os.getppid()}")


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
    """A V100 in the place of every GPU; returns the list of those that were made the current one."""
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100-SXM2-16GB")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: architectures)
    zeros = torch.zeros(1)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: zeros)
    return current


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:1"])
def test_a_gpu_without_code_is_reported_with_a_fix(name, monkeypatch):
    pretend_gpu(monkeypatch, NEWER_WHEEL)
    with pytest.raises(WrongUse) as error:
        utils.choose_device(name)
    assert "Tesla V100-SXM2-16GB (sm_70; it has sm_75 sm_80" in str(error.value)
    assert "`pip install torch==2.10.0 torchvision==0.25.0`" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "number"), [("auto", 0), ("cuda", 0), ("cuda:1", 1)])
def test_a_gpu_with_code_is_chosen_and_made_the_current_one(name, number, monkeypatch):
    """Else code that names no GPU, such as the thread that pins memory, would use the first."""
    current = pretend_gpu(monkeypatch, OLDER_WHEEL)
    assert utils.choose_device("cpu") == CPU and current == []
    assert utils.choose_device(name) == torch.device("cuda:1" if number else "cuda")
    assert current == [number]


TOO_OLD = "The NVIDIA driver on your system is too old (found version 12020). Please update it"


def pretend_old_driver(monkeypatch, files=("/dev/nvidia0",), cuda="13.0"):
    def fail():
        raise RuntimeError(TOO_OLD)

    # PyTorch warns of it in several lines.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(warnings.warn(TOO_OLD, stacklevel=1)))
    monkeypatch.setattr(torch.cuda, "init", fail)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(utils.glob, "glob", lambda _: list(files))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cuda", ["13.0", "12.8"])
def test_a_driver_too_old_for_this_pytorch_is_reported_with_a_fix(cuda, monkeypatch, capsys):
    pretend_old_driver(monkeypatch, cuda=cuda)
    assert utils.choose_device("auto") == CPU
    message = capsys.readouterr().err
    assert message.startswith("warning: PyTorch ") and message.count("\n") == 1
    assert "is too old (found version 12020)): install a driver for CUDA " + cuda in message
    assert ("or an older PyTorch: `pip install torch==2.10.0" in message) == (cuda == "13.0")
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: torch.cuda.init())
    with pytest.raises(WrongUse, match=f"--device cuda cannot be used: PyTorch .* a driver for CUDA {cuda}"):
        utils.choose_device("cuda")


@pytest.mark.parametrize(
    "case", [{"files": ()}, {"cuda": None}, {"hidden": ""}, {"hidden": "-1"}], ids=lambda case: str(case)
)
def test_without_a_gpu_or_with_a_hidden_one_nothing_is_reported(case, monkeypatch, capsys):
    if "hidden" in case:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", case.pop("hidden"))
    pretend_old_driver(monkeypatch, **case)
    assert utils.choose_device("auto") == CPU
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")),
        "cuda:99",
        "gpu",
        "meta",
        "",
    ],
)
def test_a_device_that_cannot_be_used_is_one_line(name):
    with pytest.raises(WrongUse, match=f"--device {name} cannot be used: .") as error:
        utils.choose_device(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "precision"),
    [(False, False, "fp32"), (True, False, "bf16"), (False, True, "bf16")],
)
def test_precision_of_a_processor(avx512_bf16, amx, precision, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert utils.choose_precision("auto", CPU) == precision
    assert utils.choose_precision("fp16", CPU) == "fp16"


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
    for precision in ("fp32", "tf32", "bf16"):
        with utils.autocast(CPU, precision):
            assert (weight @ weight).dtype == utils.dtype(precision)


def test_torchrun_gives_each_process_a_gpu_of_its_own(monkeypatch):
    pretend_gpu(monkeypatch, OLDER_WHEEL)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert utils.choose_device("auto") == utils.choose_device("cuda") == torch.device("cuda:3")
    assert utils.choose_device("cpu") == CPU
    with pytest.raises(WrongUse, match="--device cuda:1 under torchrun"):
        utils.choose_device("cuda:1")


# Pictures as tensors


def test_every_byte_survives_the_conversion_to_a_tensor_and_back():
    image = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    batch = utils.to_batch(image, CPU)
    assert batch.shape == (1, 3, 16, 16) and batch.dtype == torch.float32
    assert (batch.min(), batch.max()) == (-1, 1)
    assert np.array_equal(utils.to_image(batch[0]), image)


def test_to_image_clamps_and_rounds():
    picture = torch.tensor([-1.2, -1, 0, 0.999, 1, 1.2], dtype=torch.bfloat16).view(1, 1, 6)
    assert utils.to_image(picture.requires_grad_()).flatten().tolist() == [0, 0, 128, 255, 255, 255]
