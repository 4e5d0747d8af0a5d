"""One-line errors, devices and precision, pictures as tensors."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from tqdm import tqdm

import utils
from utils import RunFailed, Stopped, WrongUse

CPU = torch.device("cpu")
NEWER_WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
OLDER_WHEEL = ["sm_70", *NEWER_WHEEL]


@pytest.mark.parametrize(
    ("error", "status", "output"),
    [
        (WrongUse("no folder a"), 2, "error: no folder a\n"),
        (RunFailed("two\nlines \x1b[31m"), 1, r"error: two\nlines \x1b[31m" + "\n"),
        (Stopped("resume with …", 143), 143, "resume with …\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (OSError(28, "No space left on device", "a.png"), 1, "error: No space left on device: a.png\n"),
    ],
)
def test_known_errors_are_one_line_and_a_status(error, status, output, capsys):
    def main():
        raise error

    assert utils.exit_status(main) == status
    assert capsys.readouterr() == ("", output)
    with pytest.raises(ZeroDivisionError):  # a bug keeps its traceback
        utils.exit_status(lambda: 1 / 0)


def test_a_program_works_without_standard_error(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)  # as after `2>&-`
    assert utils.exit_status(lambda: print("lost", file=sys.stderr) or ([*tqdm([1])] and 0)) == 0


def test_output_to_a_closed_pipe_is_discarded_and_recorded(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(utils, "unread", set())
    with open(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        utils.print_line("lost")
        utils.print_line("lost, too")
    assert utils.unread == {writer}


def test_the_launcher_of_one_machine_is_its_torchrun_and_of_several_their_id(monkeypatch):
    assert utils.launcher() is None
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job 7")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    assert utils.launcher() == "job 7"
    monkeypatch.setenv("GROUP_WORLD_SIZE", "1")
    assert utils.launcher().endswith(f" {os.getppid()}")


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
    utils.unlogged.clear()
    utils.report("one")
    monkeypatch.setenv("RANK", "2")
    utils.report("two")
    utils.report("three", everywhere=True)
    assert capsys.readouterr().err == "one\nprocess 2: three\n"
    assert list(utils.unlogged) == ["one"]


# Devices and precision


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((7, 0), NEWER_WHEEL, False),
        ((7, 0), OLDER_WHEEL, True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_90"], False),
        ((10, 0), ["compute_90"], True),
        ((12, 1), NEWER_WHEEL, True),
        ((9, 4), ["gfx942"], True),
    ],
)
def test_runs_on(capability, architectures, runs):
    assert utils.runs_on(capability, architectures) is runs


def test_a_gpu_is_made_the_current_one_and_torchrun_gives_each_process_its_own(monkeypatch):
    """Else code that names no GPU, such as the thread that pins memory, would use the first."""
    current, zeros = [], torch.zeros(1)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100-SXM2-16GB")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: OLDER_WHEEL)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: zeros)
    assert utils.choose_device("cpu") == CPU and current == []
    assert utils.choose_device("auto") == torch.device("cuda")
    assert utils.choose_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert utils.choose_device("auto") == torch.device("cuda:3")
    assert current == [0, 1, 3]
    with pytest.raises(WrongUse, match="--device cuda:1 under torchrun"):
        utils.choose_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: NEWER_WHEEL)
    with pytest.raises(WrongUse, match=r"V100-SXM2.* \(sm_70; it has sm_75 .*`pip install [^\n]*$"):
        utils.choose_device("auto")


@pytest.mark.filterwarnings("error")
def test_a_driver_too_old_for_this_pytorch_is_reported_with_a_fix(monkeypatch, capsys):
    """Not if the GPU is hidden."""

    def fail(*_):
        raise RuntimeError("The NVIDIA driver is too old (found version 12020). Please update it")

    # PyTorch warns of it in several lines.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(warnings.warn("too old", stacklevel=1)))
    monkeypatch.setattr(torch.cuda, "init", fail)
    monkeypatch.setattr(torch.cuda, "set_device", fail)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(utils.glob, "glob", lambda _: ["/dev/nvidia0"])
    assert utils.choose_device("auto") == CPU
    message = capsys.readouterr().err
    assert message.startswith("warning: ") and message.count("\n") == 1
    assert "is too old (found version 12020)): install a driver for CUDA 13.0" in message
    assert "or an older PyTorch: `pip install torch==2" in message
    with pytest.raises(WrongUse, match=r"--device cuda cannot be used: .*driver"):
        utils.choose_device("cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert utils.choose_device("auto") == CPU and capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "meta"])
def test_a_device_that_cannot_be_used_is_a_one_line_error(name):
    with pytest.raises(WrongUse, match=f"--device {name} cannot be used: .") as error:
        utils.choose_device(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("device", "native", "precision"),
    [
        ("cpu", "", "fp32"),
        ("cpu", "avx512_bf16", "bf16"),
        ("cuda", "bf16", "bf16"),
        ("cuda", "", "fp16"),  # a V100 emulates bf16, slowly
    ],
)
def test_precision(device, native, precision, monkeypatch):
    supported = lambda including_emulation=True: native or including_emulation
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native == "avx512_bf16")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert utils.choose_precision("auto", torch.device(device)) == precision
    assert utils.choose_precision("tf32", torch.device(device)) == "tf32"


def test_pictures_and_tensors():
    """Every byte survives the conversion to a tensor and back. Other values are rounded and clamped."""
    image = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    batch = utils.to_batch(image, CPU)
    assert batch.shape == (1, 3, 16, 16) and batch.dtype == torch.float32
    assert (batch.min(), batch.max()) == (-1, 1)
    assert np.array_equal(utils.to_image(batch[0]), image)
    picture = torch.tensor([-1.2, -1, 0, 0.999, 1, 1.2], dtype=torch.bfloat16).view(1, 1, 6)
    assert utils.to_image(picture.requires_grad_()).flatten().tolist() == [0, 0, 128, 255, 255, 255]


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_the_commit_of_the_code(tmp_path, monkeypatch):
    git = lambda *words: subprocess.check_output(["git", "-C", tmp_path, *words], text=True).strip()
    monkeypatch.setattr(utils, "__file__", str(tmp_path / "utils.py"))
    assert utils.code_commit() is None
    git("init", "--quiet")
    git("-c", "user.name=a", "-c", "user.email=a", "commit", "--quiet", "--message=a", "--allow-empty")
    assert utils.code_commit() == git("rev-parse", "HEAD")
    (tmp_path / "a.onnx").touch()
    assert utils.code_commit() == git("rev-parse", "HEAD")
    (tmp_path / "utils.py").touch()  # a new file, as of another method
    assert utils.code_commit() == git("rev-parse", "HEAD") + "+changes"
    monkeypatch.setenv("PATH", "")
    assert utils.code_commit() is None


def test_missing_packages_are_one_line(monkeypatch, capsys):
    monkeypatch.setattr(utils, "find_spec", {"torch": 1, "cv2": 1, "tqdm": 1}.get)
    with pytest.raises(SystemExit, match="2"):
        utils.refuse_early(lambda: 1)
    assert f"error: {sys.executable} lacks torchvision: use .venv/bin/python" in capsys.readouterr().err
