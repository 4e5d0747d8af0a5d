"""What NVIDIA's libraries are told: TF32 or not, and when to search for the fastest convolutions."""

import contextlib

import torch

from utils import WrongUse


def for_training(device, precision):
    """How networks lie that are trained on `device`, as Module.to takes it. cuDNN searches from now on."""
    choose_arithmetic(device, precision)
    torch.backends.cudnn.benchmark = True
    return {"device": device, "memory_format": torch.channels_last}


def choose_arithmetic(device, precision):
    """Compute float32 in TF32 (10 bits of mantissa) where `precision` is "tf32", and nowhere else.

    PyTorch's own choice on an A100 and later is TF32 for all float32 convolutions. Raises WrongUse for "tf32"
    on a device without it.
    """
    if precision == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise WrongUse("--precision tf32 needs an A100 or a later NVIDIA GPU: use --precision fp32")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


@contextlib.contextmanager
def no_search():
    """In this context, or a function that it decorates, cuDNN takes convolutions without a search.

    The search that training turns on takes seconds for each new shape, and pictures have many shapes.
    """
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
