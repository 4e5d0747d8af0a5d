"""cuDNN and TF32 settings."""

import contextlib

import torch

from utils import WrongUse


def for_training(device, precision):
    """Let cuDNN search for its fastest convolutions; returns the arguments of Module.to for training."""
    choose_arithmetic(device, precision)
    torch.backends.cudnn.benchmark = True
    return {"device": device, "memory_format": torch.channels_last}


def choose_arithmetic(device, precision):
    """Compute float32 in TF32 (10 bits of mantissa) if `precision` is "tf32", else in float32.

    PyTorch's default from the A100 on is TF32 for all float32 convolutions. Raises WrongUse for "tf32" on a
    device without it.
    """
    if precision == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise WrongUse("--precision tf32 needs an A100 or a later NVIDIA GPU: use --precision fp32")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


@contextlib.contextmanager
def no_search():
    """A context or a decorator in which cuDNN does not search: it takes seconds for each new shape."""
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
