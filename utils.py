"""What the programs stand on: device and precision, pictures as tensors, the pool of fakes, stopping."""

import contextlib
import os
import re
import signal

import numpy as np
import torch

from errors import WrongUse, first_line, say

# Device and precision


def choose_device(name):
    """The torch device that `name` asks for; "auto" is the first GPU if there is one. Raises WrongUse."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if "LOCAL_RANK" in os.environ and name.startswith("cuda"):
        if name != "cuda":
            raise WrongUse(
                f"--device {name} under torchrun, which gives each process a GPU: use --device cuda"
            )
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        if device.type == "cuda":
            wanted, has = torch.cuda.get_device_capability(device), torch.cuda.get_arch_list()
            if not runs_on(wanted, has):
                raise WrongUse(
                    f"PyTorch {torch.__version__} has no code for {torch.cuda.get_device_name(device)} "
                    f"(sm_{wanted[0]}{wanted[1]}; it has {' '.join(has)}): for a V100 "
                    "`pip install torch==2.10.0 torchvision==0.25.0`, or use --device cpu"
                )
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise WrongUse(f"--device {name} cannot be used: {first_line(error)}: try --device cpu") from None
    return device


def runs_on(capability, architectures):
    """Whether a GPU of compute `capability` (major, minor) runs code built for torch.cuda.get_arch_list().

    Machine code (sm_XY) runs on the same major and at least that minor; compute_XY also on all that is newer.
    """
    built_for = [found.groups() for name in architectures if (found := re.match(r"(sm|compute)_(\d+)", name))]
    for kind, digits in built_for:
        built = (int(digits[:-1]), int(digits[-1]))
        if built <= capability and (kind == "compute" or built[0] == capability[0]):
            return True
    return bool(architectures) and not built_for  # AMD's names, gfx…, say nothing of capabilities


def choose_precision(name, device):
    """Resolve "auto": bf16 where the processor has it natively, else fp16 on a GPU, else fp32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        with torch.cuda.device(device):
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if device.type == "cpu" and native else "fp32"


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device, precision):
    """A context in which convolutions compute in `precision`."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


def default_workers(device):
    """Processes that load images: beside a GPU up to 8; beside training on the CPU one."""
    return min(8, len(os.sched_getaffinity(0))) if device.type == "cuda" else 1


# Pictures as tensors


def to_range(image):
    """uint8 0..255 to float32 [-1, 1]."""
    return image.float().div_(127.5).sub_(1)


def to_image(picture):
    """One picture (C,H,W) in [-1, 1] to a uint8 H,W,C array."""
    picture = (picture.detach().float() + 1).mul(127.5).round().clamp(0, 255)
    return picture.to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def to_batch(image, device):
    """A uint8 H,W,C array to a batch of one: float32 (1,C,H,W) in [-1, 1]."""
    return to_range(torch.tensor(image, device=device).permute(2, 0, 1)[None])


class Pool:
    """Older batches of results (Shrivastava et al., CVPR 2017, in the form of CycleGAN's Torch code).

    Half of the time the discriminator is shown one of the last `size` batches in place of the newest, which
    takes its place in the pool. Empty with size 0.
    """

    def __init__(self, size):
        self.size, self.batches = size, []

    def exchange(self, batch, key):
        """The batch to show; `key`, a tuple of whole numbers, seeds the choice."""
        if len(self.batches) < self.size:
            self.batches.append(batch)
            return batch
        rng = np.random.default_rng(key)
        if not self.size or rng.random() < 0.5:
            return batch
        place = int(rng.integers(self.size))
        older, self.batches[place] = self.batches[place], batch
        return older


# Stopping


class Stop(contextlib.AbstractContextManager):
    """Notes Ctrl-C or SIGTERM in `received`, so that the step can be finished; a second one kills."""

    received = None

    def __enter__(self):
        self.before = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.received = number
        signal.signal(number, signal.SIG_DFL)
        say("stopping after this step …")
