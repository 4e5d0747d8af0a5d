"""Apply a generator to images (uint8, height x width x channels), whole or in tiles."""

import itertools
import math
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import networks
import utils
from pictures import images
from support import gpu
from support.filters import Flatten
from support.norm import InstanceNorm, LayerNorm, pooled
from utils import RunFailed, first_line, report_once

ADVICE = "limit the size with --size N, or work in tiles with --tile N"
# Texts of PyTorch's and OpenCV's allocators, cuDNN and cuBLAS when they get no memory.
NO_MEMORY = ("allocate memory", "out of memory", "not enough memory", "insufficient memory")
NO_MEMORY += ("failed to allocate", "alloc_failed", "allocation_failed")


def prepare(generator, device, precision):
    """Prepare a generator for `convert`: its convolutions in `precision`, its norms in float32."""
    gpu.choose_arithmetic(device, precision)
    generator.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)
    for layer in generator.modules():
        if isinstance(layer, networks.CONVOLUTIONS):
            layer.to(utils.dtype(precision))
    return generator


def convert(generator, photos, tile=None):
    """Apply a prepared generator to RGB images of one size; returns as many RGB images of that size.

    A generator with one input channel gets their luminance. If it has one output channel, that replaces the
    luminance of the photo, whose chroma stays.
    With `tile`, a multiple of 4, the layers at full and half size work in tiles of so many pixels a side, if
    `works_in_tiles(generator)`. The result is the same up to rounding: tiles overlap as far as the layers
    see, and norms use the statistics of the whole image. (With statistics of a reduced copy, results of the
    authors' network were off by 15 to 30 of 255 on average.)
    A result that overflows in half precision is computed again in float32. Raises RunFailed if that is not
    finite either.
    """
    grey_in, grey_out = (generator.architecture[key] == 1 for key in ("in_ngc", "out_ngc"))
    results = _apply(generator, [images.luminance(photo) for photo in photos] if grey_in else photos, tile)
    converted = [utils.to_image(result) for result in results]
    if grey_out:
        converted = [images.with_luminance(*pair) for pair in zip(photos, converted, strict=True)]
    finite, precision = results.isfinite().flatten(1).all(1).tolist(), next(generator.parameters()).dtype
    if all(finite):
        return converted
    if precision == torch.float32:
        raise RunFailed("the result has values that are not finite: try another checkpoint of the run")
    name = "fp16" if precision == torch.float16 else "bf16"
    report_once(f"{name} overflows: such pictures are computed again in fp32 (with --precision fp32, all)")
    convolutions = [layer for layer in generator.modules() if isinstance(layer, networks.CONVOLUTIONS)]
    try:
        for layer in convolutions:
            layer.float()
        return [
            image if good else convert(generator, [photo], tile)[0]
            for photo, image, good in zip(photos, converted, finite, strict=True)
        ]
    finally:
        for layer in convolutions:
            layer.to(precision)


@torch.inference_mode()
def _apply(generator, photos, tile=None):
    """The network's results for images: N,C,H,W in [-1, 1], float32."""
    weight = next(generator.parameters())  # of the first convolution
    batch = torch.from_numpy(np.stack(photos)).to(weight.device).permute(0, 3, 1, 2)
    batch = utils.to_range(batch).to(weight.dtype)
    if tile:
        return torch.cat([_apply_in_tiles(generator, photo, tile) for photo in batch.split(1)])
    return networks.stylise(generator, batch)


# Tiles


def works_in_tiles(generator):
    """Whether a network has `flatten`, `down`, `blocks` and `up`, as networks.Generator does."""
    return hasattr(generator, "blocks")


def _apply_in_tiles(generator, photo, tile):
    height, width = photo.shape[2:]
    photo = F.pad(photo, (0, networks.missing(width), 0, networks.missing(height)), mode="replicate")
    flat = _in_tiles(nn.Sequential(generator.flatten), photo, tile)
    x = _in_tiles(generator.down, flat.to(photo.dtype), tile)
    for block in generator.blocks:
        x = block(x)
    x = _in_tiles(generator.up, x, tile // networks.STRIDE)
    return generator.to_picture(x, flat)[..., :height, :width]


def reach(layers):
    """The reach of the receptive field of layers to each side, and the scale of their output, as Fractions.

    In pixels of the input. The statistics of norms do not count.
    """
    far = Fraction(0)
    step = Fraction(1)  # from a pixel of a layer to the next, in pixels of the input
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose2d):
            step /= layer.stride[0]
        elif isinstance(layer, nn.Upsample):
            step /= int(layer.scale_factor)
            far += step  # a value is repeated to its right and below
        if isinstance(layer, Flatten):
            far += layer.reach * step
        if isinstance(layer, networks.CONVOLUTIONS):
            far += layer.kernel_size[0] // 2 * step
        if isinstance(layer, nn.Conv2d):
            step *= layer.stride[0]
    return far, 1 / step


def _in_tiles(layers, x, tile):
    """Apply an nn.Sequential to x (1,C,H,W) in tiles, its norms with the statistics of the whole."""
    norms = {
        place: layer for place, layer in enumerate(layers) if isinstance(layer, (InstanceNorm, LayerNorm))
    }
    try:
        for place, norm in norms.items():
            parts = [
                (part[0, 0].numel(), *torch.var_mean(part.float(), (0, 2, 3), correction=0))
                for *_, part in _tiles(layers[:place], x, tile)
            ]
            variance, mean = pooled(parts)
            if isinstance(norm, LayerNorm):  # of all channels together
                variance, mean = (variance + (mean - mean.mean()) ** 2).mean(), mean.mean()
                variance, mean = variance.expand(norm.num_channels), mean.expand(norm.num_channels)
            norm.running_var, norm.running_mean = variance, mean
        result = None
        for top, left, part in _tiles(layers, x, tile):
            if result is None:
                size = (math.ceil(side * reach(layers)[1]) for side in x.shape[2:])
                result = part.new_empty(1, part.shape[1], *size).to(memory_format=torch.channels_last)
            result[..., top : top + part.shape[2], left : left + part.shape[3]] = part
        return result
    finally:
        for norm in norms.values():
            norm.running_mean = norm.running_var = None


def _tiles(layers, x, tile):
    """Yield (top, left, part) for each tile of the result of layers applied to x, in pixels of the result."""
    far, scale = reach(layers)
    margin = math.ceil(far / networks.STRIDE) * networks.STRIDE  # a multiple of the stride
    for top, left in itertools.product(range(0, x.shape[2], tile), range(0, x.shape[3], tile)):
        above, before = max(0, top - margin), max(0, left - margin)
        part = layers(x[..., above : top + tile + margin, before : left + tile + margin])
        down, across = int((top - above) * scale), int((left - before) * scale)
        side = int(tile * scale)
        yield int(top * scale), int(left * scale), part[..., down : down + side, across : across + side]


# Failures


def is_out_of_memory(error):
    """Whether an exception means that a GPU, PyTorch's CPU allocator, NumPy or OpenCV got no memory."""
    if not isinstance(error, (RuntimeError, images.cv2.error)):
        return isinstance(error, MemoryError)
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(words in text for words in NO_MEMORY)


def reason(error):
    """Why a picture could not be converted, and what to try, in one line."""
    if isinstance(error, RunFailed):
        return str(error)
    return f"{'out of memory' if is_out_of_memory(error) else first_line(error)}: {ADVICE}"
