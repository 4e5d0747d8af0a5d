"""A generator applied to images: prepared for speed, and in tiles where an image is too large for the memory.

Images are uint8 arrays of height x width x channels (images.py).
"""

import contextlib
import functools
import itertools
import math
from fractions import Fraction

import numpy as np
import torch
from torch import nn

import networks
import utils
from pictures import images, listing
from support import gpu
from support.filters import Flatten
from support.norm import InstanceNorm, LayerNorm, pooled
from utils import RunFailed, first_line

ADVICE = "limit the size with --size N, or work in tiles with --tile N"
# What PyTorch's and OpenCV's allocators say of memory that they did not get, then cuDNN and cuBLAS. That no
# engine or algorithm is found can have other causes: a missing kernel, a library of another version.
NO_MEMORY = ("allocate memory", "out of memory", "not enough memory", "insufficient memory")
NO_MEMORY += ("failed to allocate", "alloc_failed", "allocation_failed")


def prepare(generator, device, precision):
    """Make a generator ready for `stylise`: its convolutions in `precision`, its norms in float32."""
    gpu.choose_arithmetic(device, precision)
    generator.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)
    for layer in generator.modules():
        if isinstance(layer, networks.CONVOLUTIONS):
            layer.to(utils.dtype(precision))
    return generator


def convert(generator, photos, tile=None):
    """Apply a prepared generator to RGB images of one size, in tiles if told; returns as many RGB images.

    A generator that takes one channel is given their luminance. Where it makes one channel, that is the
    result's luminance, and the chroma is the photo's own. Raises RunFailed as `stylise`.
    """
    grey_in, grey_out = (generator.architecture[key] == 1 for key in ("in_ngc", "out_ngc"))
    given = [images.luminance(photo) for photo in photos] if grey_in else photos
    if tile:
        results = [stylise_in_tiles(generator, photo, tile) for photo in given]
    else:
        results = stylise(generator, given)
    if grey_out:
        results = [images.with_luminance(*pair) for pair in zip(photos, results, strict=True)]
    return results


def stylise(generator, photos):
    """Apply a prepared generator to images of one size, any size; returns as many of that size.

    What overflows in half precision is computed again in float32. Raises RunFailed where there are values
    that are no numbers even so.
    """
    return _finite(_whole, generator, photos)


@torch.inference_mode()
def _whole(generator, photos):
    weight = next(generator.parameters())  # of the first convolution
    batch = torch.from_numpy(np.stack(photos)).to(weight.device).permute(0, 3, 1, 2)
    return networks.stylise(generator, utils.to_range(batch).to(weight.dtype))


def works_in_tiles(generator):
    """Whether a network is made of `flatten`, `down`, `blocks` and `up`, as networks.Generator is."""
    return hasattr(generator, "blocks")


def stylise_in_tiles(generator, photo, tile):
    """Apply a prepared generator to one image of any size in tiles of `tile` pixels a side, a multiple of 4.

    The result is that of `stylise` but for rounding: tiles are worked on with as much around them as they can
    see, and the norms' statistics are those of the whole. Only the layers at a quarter of the size, the
    residual blocks, see it whole. (Statistics of a reduced copy are not close enough: the results of the
    authors' network were off by 15 to 30 of 255 on average, with patches of wrong colour.)
    Raises RunFailed as `stylise`.
    """
    (result,) = _finite(functools.partial(_tiled, tile=tile), generator, [photo])
    return result


@torch.inference_mode()
def _tiled(generator, photos, tile):
    (photo,) = photos
    height, width = photo.shape[:2]
    right, below = networks.missing(width), networks.missing(height)
    photo = np.pad(photo, ((0, below), (0, right), (0, 0)), mode="edge")
    weight = generator.down[0].weight
    x = utils.to_range(torch.from_numpy(photo).to(weight.device).permute(2, 0, 1)[None]).to(weight.dtype)
    photo = _in_tiles(nn.Sequential(generator.flatten), x, tile)
    x = _in_tiles(generator.down, photo.to(weight.dtype), tile)
    for block in generator.blocks:
        x = block(x)
    x = _in_tiles(generator.up, x, tile // networks.STRIDE)
    return generator.to_picture(x, photo)[..., :height, :width]


def _finite(apply, generator, photos):
    """What `apply(generator, photos)` makes (N,C,H,W) as images, in float32 where it is not finite."""
    results, precision = apply(generator, photos), next(generator.parameters()).dtype
    finite = results.isfinite().flatten(1).all(1).tolist()
    if all(finite):
        return [utils.to_image(result) for result in results]
    if precision == torch.float32:
        raise RunFailed("the result has values that are no numbers: try another checkpoint of the run")
    name = "fp16" if precision == torch.float16 else "bf16"
    listing.report_once(f"{name} overflows: such pictures are computed again in fp32 (--precision fp32: all)")
    with _in_float32(generator):
        return [
            utils.to_image(result) if good else _finite(apply, generator, [photo])[0]
            for photo, result, good in zip(photos, results, finite, strict=True)
        ]


@contextlib.contextmanager
def _in_float32(generator):
    """Within the block a prepared generator's convolutions work in float32."""
    layers = [layer for layer in generator.modules() if isinstance(layer, networks.CONVOLUTIONS)]
    precision = layers[0].weight.dtype
    try:
        for layer in layers:
            layer.float()
        yield
    finally:
        for layer in layers:
            layer.to(precision)


def reach(layers):
    """How far, in pixels of their input, layers see to each side of a pixel, and their output's scale.

    Statistics of norms apart; both are fractions.
    """
    step, far = Fraction(1), Fraction(0)  # of two neighbours in a layer, in pixels of the input
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
    """Yield (top, left, part) of what layers make of x, tile by tile, in pixels of the result."""
    far, scale = reach(layers)
    margin = math.ceil(far / networks.STRIDE) * networks.STRIDE  # as the strides need it
    for top, left in itertools.product(range(0, x.shape[2], tile), range(0, x.shape[3], tile)):
        above, before = max(0, top - margin), max(0, left - margin)
        part = layers(x[..., above : top + tile + margin, before : left + tile + margin])
        down, across = int((top - above) * scale), int((left - before) * scale)
        side = int(tile * scale)
        yield int(top * scale), int(left * scale), part[..., down : down + side, across : across + side]


def is_out_of_memory(error):
    """Whether an exception says that a GPU, PyTorch's CPU allocator, NumPy or OpenCV got no memory."""
    if not isinstance(error, (RuntimeError, images.cv2.error)):
        return isinstance(error, MemoryError)
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(words in text for words in NO_MEMORY)


def reason(error):
    """Why a picture could not be made, and what to try, in a line."""
    if isinstance(error, RunFailed):
        return str(error)
    return f"{'out of memory' if is_out_of_memory(error) else first_line(error)}: {ADVICE}"
