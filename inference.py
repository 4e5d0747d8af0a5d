"""A generator applied to images: prepared for speed, and in tiles where an image is too large for the memory.

Images are uint8 arrays of height x width x channels (images.py).
"""

import contextlib
import math

import numpy as np
import torch
from torch import nn

import images
import networks
import utils

ADVICE = "out of memory: limit the size with --size N, or work in tiles with --tile N"


def prepare(generator, device, precision):
    """Make a generator ready for `stylise`: its convolutions in `precision`, its norms in float32."""
    generator.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)
    for layer in generator.modules():
        if isinstance(layer, networks.CONVOLUTIONS):
            layer.to(utils.DTYPES[precision])
    return generator


@torch.inference_mode()
def stylise(generator, photos):
    """Apply a prepared generator to images of one size, any size; returns as many of that size."""
    weight = generator.down[0].weight
    batch = torch.from_numpy(np.stack(photos)).to(weight.device).permute(0, 3, 1, 2)
    results = networks.stylise(generator, utils.to_range(batch).to(weight.dtype))
    return [utils.to_image(result) for result in results]


def stylise_in_tiles(generator, photo, tile):
    """Apply a prepared generator to one image of any size in tiles of `tile` pixels a side, a multiple of 4.

    A tile is worked on with as much around it as its pixels can see, so no seams are left. The norms'
    statistics are those of the whole image, taken from a copy of at most as many pixels as such a tile has;
    an image of no more pixels gets the same result as from `stylise`.
    """
    height, width = photo.shape[:2]
    margin = -(-receptive_field(generator) // networks.STRIDE) * networks.STRIDE
    most = (tile + 2 * margin) ** 2
    copy = images.fit_within(photo, int(max(height, width) * math.sqrt(most / (height * width))))
    right, below = networks.missing(width), networks.missing(height)
    padded = np.pad(photo, ((0, below), (0, right), (0, 0)), mode="edge")
    result = np.empty((*padded.shape[:2], generator.architecture["out_ngc"]), np.uint8)
    with _statistics_of(generator, copy):
        for top in range(0, padded.shape[0], tile):
            for left in range(0, padded.shape[1], tile):
                above, before = max(0, top - margin), max(0, left - margin)
                seen = padded[above : top + tile + margin, before : left + tile + margin]
                (made,) = stylise(generator, [seen])
                part = result[top : top + tile, left : left + tile]
                part[:] = made[top - above :, left - before :][: part.shape[0], : part.shape[1]]
    return result[:height, :width]


def receptive_field(generator):
    """How many pixels to each side of it a pixel of the result depends on, the norms' statistics apart."""
    step, reach = 1, 0  # pixels of the photo between two values of a layer, and what was reached so far
    for layer in generator.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            step //= layer.stride[0]
        elif isinstance(layer, nn.Upsample):
            step //= int(layer.scale_factor)
            reach += step  # a value is repeated to its right and below
        if isinstance(layer, networks.CONVOLUTIONS):
            reach += layer.kernel_size[0] // 2 * step
        if isinstance(layer, nn.Conv2d):
            step *= layer.stride[0]
    return reach


def is_out_of_memory(error):
    """Whether an exception says that a GPU, PyTorch's CPU allocator or NumPy got no memory."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("allocate memory", "out of memory"))
    )


@contextlib.contextmanager
def _statistics_of(generator, photo):
    """A context in which the norms use the means and variances that they see in `photo`."""
    norms = [layer for layer in generator.modules() if isinstance(layer, networks.InstanceNorm)]

    def keep(norm, inputs):
        norm.running_var, norm.running_mean = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)

    hooks = [norm.register_forward_pre_hook(keep) for norm in norms]
    try:
        stylise(generator, [photo])
        for hook in hooks:
            hook.remove()
        yield
    finally:
        for norm in norms:
            norm.running_mean = norm.running_var = None
        for hook in hooks:
            hook.remove()
