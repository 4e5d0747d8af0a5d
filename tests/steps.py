"""For the tests of GPUs: steps of small networks on any device, and a log of operations that wait for it."""

import torch
import torch.nn.functional as F
from helpers import TINY
from torch.utils._python_dispatch import TorchDispatchMode

import CartoonGAN
import utils
from training import options
from training.steps import Scaler

SMALL = f"{TINY} --ngf 8 --ndf 8 --input_size 32 --batch_size 4 --lrG 2e-5 --lrD 2e-5"
EVERYTHING = (
    "--pool_size 2 --style_lambda 1 --tv_lambda 1 --colour_lambda 1 --ema_decay 0.9 --diffaugment color "
    "--smoothed_noise 0.1 --pixel_lambda 1 --flatten 1 --outline 1 --guide 2"
)


def built(device, precision="fp32", more=""):
    """A small Model with the same weights on every device, and its options. Its scaler skips no step."""
    args, _ = options.parse(f"{SMALL} {more}".split())
    model = CartoonGAN.build(args, torch.device(device), precision)
    model.scaler = Scaler(str(device), init_scale=2.0**8, enabled=precision == "fp16")
    return model, args


def batch(step, device):
    """A photo, a drawing and a smoothed drawing of smooth noise, on a device as from the loader."""
    rough = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(step))
    pictures = F.interpolate(rough, 32, mode="bicubic").clamp(0, 1).mul(255).byte()
    pictures = pictures.pin_memory() if device == "cuda" else pictures
    place = {"device": device, "non_blocking": True, "memory_format": torch.channels_last}
    return [utils.to_range(part.to(**place)) for part in pictures.chunk(3)]


def take(model, args, device, steps, phase):
    """The losses of each of some steps of a phase."""
    losses = []
    for step in range(steps):
        photo, *drawings = batch(step, device)
        if phase == 1:
            terms = CartoonGAN.reconstruction_step(model, args, photo)
        else:
            terms = CartoonGAN.adversarial_step(model, args, photo, *drawings, place=(2, 1, step))
        names = terms.keys() & {"content", "adversarial", "discriminator"}
        losses.append({name: terms[name].item() for name in names})
    return losses


# Operations that need a value on the CPU, or whose size depends on values: they wait for a GPU.
WAITING = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique", "bincount")


class Waits(TorchDispatchMode):
    """Lists in `waits` the operations that would wait for a GPU, except those on the tensors `known`."""

    def __init__(self, *known):
        super().__init__()
        self.waits, self.known = [], {x.data_ptr() for x in known}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name, kwargs = function.overloadpacket.__name__, kwargs or {}
        if name.startswith(WAITING) and args[0].data_ptr() not in self.known:
            self.waits.append(name)
        result = function(*args, **kwargs)
        if name == "_to_copy" and result.device != args[0].device and not kwargs.get("non_blocking"):
            self.waits.append(name)
        return result
