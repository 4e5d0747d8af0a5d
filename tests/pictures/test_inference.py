"""A generator applied to images: tiles, precision, luminance, and running out of memory."""

import numpy as np
import pytest
import torch

import utils
from networks import CONVOLUTIONS, Generator, draw_scales
from pictures import images, inference
from utils import RunFailed


def prepared(precision="fp32", **architecture):
    torch.manual_seed(0)
    generator = Generator(**{"ngf": 4, "nb": 1} | architecture)
    draw_scales(generator)
    return inference.prepare(generator, torch.device("cpu"), precision)


def photo(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def largest_difference(one, other):
    return np.abs(one.astype(int) - other).max()


def precisions(generator):
    return {layer.weight.dtype for layer in generator.modules() if isinstance(layer, CONVOLUTIONS)}


@pytest.mark.parametrize(("size", "tile"), [((70, 130), 16), ((70, 130), 52), ((5, 90), 16), ((1, 1), 16)])
def test_tiles_give_the_untiled_result_and_full_size_layers_get_at_most_a_tile_with_margin(size, tile):
    generator, seen = prepared(), []
    (whole,) = inference.convert(generator, [photo(*size)])
    hook = lambda _, given, made: seen.append(max(*given[0].shape[2:], *made.shape[2:]))
    for layer in (*generator.down, *generator.up):
        layer.register_forward_hook(hook)
    (tiled,) = inference.convert(generator, [photo(*size)], tile)
    assert tiled.shape == whole.shape == (*size, 3)
    assert largest_difference(tiled, whole) <= 1
    assert max(seen) <= tile + 2 * 32
    (again,) = inference.convert(generator, [photo(*size)])
    assert (again == whole).all()  # tiles leave the network as it was


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize(("in_ngc", "out_ngc"), [(1, 1), (3, 1), (1, 3)])
def test_one_channel_is_luminance_and_the_photo_keeps_its_chroma(in_ngc, out_ngc, tile):
    generator, colour = prepared(in_ngc=in_ngc, out_ngc=out_ngc), photo(20, 24) // 4 + 96
    (result,) = inference.convert(generator, [colour], tile)
    given = colour if in_ngc == 3 else images.luminance(colour)
    with torch.inference_mode():
        made = generator(torch.tensor(given).permute(2, 0, 1)[None] / 127.5 - 1)[0]
    made = ((made + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert largest_difference(result, made if out_ngc == 3 else images.with_luminance(colour, made)) <= 1
    assert (result != colour).mean() > 0.5


@pytest.mark.parametrize("tile", [None, 16])
def test_what_overflows_in_fp16_is_computed_again_in_fp32(tile, capsys):
    utils.report_once.cache_clear()
    half, exact = prepared("fp16"), prepared("fp32")
    for generator in (half, exact):  # the first convolution leaves the range of fp16 on bright photos only
        weight = generator.down[0].weight
        weight.copy_(weight.abs() * 1e5)
    bright, dark = np.full((20, 24, 3), 255, np.uint8), photo(20, 24) // 4 + 96
    bright[5:9, 3:8] = 250
    inference.convert(half, [dark], tile)
    assert capsys.readouterr().err == ""
    made = inference.convert(half, [dark, bright], tile)
    wanted = inference.convert(exact, [dark, bright], tile)
    assert all(np.abs(a.astype(int) - b).mean() < 1 for a, b in zip(made, wanted, strict=True))
    assert capsys.readouterr().err.startswith("fp16 overflows: such pictures are computed again in fp32")
    assert precisions(half) == {torch.float16}


@pytest.mark.parametrize(("precision", "tile"), [("fp32", None), ("fp16", 16)])
def test_values_that_are_not_finite_in_fp32_either_are_an_error(precision, tile):
    generator = prepared(precision)
    generator.up[-1].weight[0, 0] = torch.nan
    before = precisions(generator)
    with pytest.raises(RunFailed, match=r"^the result has values that are not finite: [^\n]+$"):
        inference.convert(generator, [photo(20, 24)], tile)
    assert precisions(generator) == before


def test_out_of_memory_is_recognised():
    texts = "CUDA error: out of memory", "CPUAllocator: not enough memory", "CUBLAS_STATUS_ALLOC_FAILED"
    for error in (MemoryError(), torch.OutOfMemoryError("x"), *map(RuntimeError, texts)):
        assert inference.is_out_of_memory(error), error
        assert inference.reason(error).startswith("out of memory: limit the size with --size N, or ")
    for error in (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), ValueError("out of memory")):
        assert not inference.is_out_of_memory(error)
        assert inference.reason(error).startswith(str(error))
