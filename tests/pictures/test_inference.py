"""Tiles against the whole, and how far layers see, by which tiles overlap."""

import numpy as np
import pytest
import torch

import utils
from networks import CONVOLUTIONS, Generator, InstanceNorm
from pictures import images, inference, listing
from utils import RunFailed

FORMS = ({"upsample": "resize"}, {"padding": "zeros"}, {"conv_bias": "none"})


def prepared(precision="fp32", **architecture):
    torch.manual_seed(0)
    generator = Generator(**{"ngf": 4, "nb": 1} | architecture)
    for layer in generator.modules():
        if isinstance(layer, InstanceNorm):
            torch.nn.init.uniform_(layer.weight, 0.5, 1)
    return inference.prepare(generator, torch.device("cpu"), precision)


def photo(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize(
    "architecture",
    [{}, {"nb": 2}, {"nb": 0}, {"res_convs": 3}, {"upsample": "resize"}, {"padding": "zeros", "nb": 3}],
)
def test_reach_is_what_gradients_reach(architecture):
    generator = prepared(**architecture).double()
    for layer in generator.modules():  # the statistics see everything: they are held apart
        if isinstance(layer, InstanceNorm):
            layer.running_mean = torch.zeros(layer.num_features).double()
            layer.running_var = torch.ones(layer.num_features).double()
            torch.nn.init.constant_(layer.bias, 1)  # ReLUs let gradients through
        elif hasattr(layer, "weight"):
            torch.nn.init.uniform_(layer.weight, 0.01, 0.02)
    far, middle = 0, 60
    for pixel in range(middle, middle + 4):
        x = torch.zeros(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
        y = generator.up(generator.blocks(generator.down(x)))[0, :, pixel, pixel].sum()
        touched = torch.autograd.grad(y, x)[0].abs().sum((0, 1, 2)).nonzero()
        far = max(far, pixel - touched.min().item(), touched.max().item() - pixel)
    computed, scale = inference.reach(generator.modules())
    assert scale == 1 and far < middle
    assert far <= computed <= far + 3


def test_reach_of_the_authors_network():
    with torch.device("meta"):
        assert inference.reach(Generator().modules()) == (85, 1)


SIZES = [(70, 130), (5, 90), (64, 64), (1, 1), (33, 300)]


@pytest.mark.parametrize(
    ("size", "architecture", "tile"),
    [
        *((size, {}, tile) for size in SIZES for tile in (16, 52)),
        *((SIZES[0], architecture, 16) for architecture in FORMS),
    ],
)
def test_tiles_make_the_whole(size, architecture, tile):
    generator = prepared(**architecture)
    (whole,) = inference.stylise(generator, [photo(*size)])
    tiled = inference.stylise_in_tiles(generator, photo(*size), tile)
    assert tiled.shape == whole.shape
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_no_layer_at_full_size_sees_more_than_a_tile_and_its_surroundings():
    generator, seen = prepared(), []
    for layer in (*generator.down, *generator.up):
        layer.register_forward_hook(lambda _, given, made: seen.append(max(given[0].shape[3], made.shape[3])))
    inference.stylise_in_tiles(generator, photo(24, 400), 32)
    assert 32 < max(seen) <= 32 + 2 * 32


def test_tiles_leave_the_network_as_it_was():
    generator = prepared()
    before = inference.stylise(generator, [photo(16, 16)])
    inference.stylise_in_tiles(generator, photo(90, 90), 16)
    assert (inference.stylise(generator, [photo(16, 16)])[0] == before[0]).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_only_convolutions_are_narrowed(precision):
    generator = prepared(precision)
    kinds = {
        type(layer).__name__: layer.weight.dtype for layer in generator.modules() if hasattr(layer, "weight")
    }
    narrow = torch.bfloat16 if precision == "bf16" else torch.float32
    convolutions = dict.fromkeys(("Conv2d", "PaddedConv2d", "ConvTranspose2d"), narrow)
    assert kinds == convolutions | {"InstanceNorm": torch.float32}
    exact, near = (inference.stylise(g, [photo(32, 32)])[0].astype(int) for g in (prepared(), generator))
    assert np.abs(exact - near).mean() < 3


def overflowing(precision):
    """A generator whose first convolution leaves the range of fp16 on the brightest photos only."""
    generator = prepared(precision)
    first = next(layer for layer in generator.modules() if isinstance(layer, CONVOLUTIONS))
    with torch.no_grad():
        first.weight.copy_(first.weight.abs() * 1e5)
    return generator


@pytest.mark.parametrize("tile", [None, 16])
def test_what_overflows_in_fp16_is_made_again_in_fp32(tile, capsys):
    listing.report_once.cache_clear()
    bright, dark = np.full((20, 24, 3), 255, np.uint8), photo(20, 24) // 4 + 96
    bright[5:9, 3:8] = 250
    half, exact = overflowing("fp16"), overflowing("fp32")
    assert not torch.isfinite(inference._whole(half, [bright])).all()
    assert torch.isfinite(inference._whole(half, [dark])).all()
    made = inference.convert(half, [dark, bright], tile)
    wanted = inference.convert(exact, [dark, bright], tile)
    assert [np.abs(a.astype(int) - b).mean() < 1 for a, b in zip(made, wanted, strict=True)] == [True, True]
    told = "fp16 overflows: such pictures are computed again in fp32 (--precision fp32: all)\n"
    assert capsys.readouterr().err == told
    kept = {layer.weight.dtype for layer in half.modules() if isinstance(layer, CONVOLUTIONS)}
    assert kept == {torch.float16}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("tile", [None, 16])
def test_values_that_are_no_numbers_in_fp32_either_are_no_picture(precision, tile):
    generator = prepared(precision)
    with torch.no_grad():
        generator.up[-1].weight[0, 0] = torch.nan
    with pytest.raises(RunFailed, match=r"^the result has values that are no numbers: [^\n]+$"):
        inference.convert(generator, [photo(20, 24)], tile)
    layers = (layer for layer in generator.modules() if isinstance(layer, CONVOLUTIONS))
    assert {layer.weight.dtype for layer in layers} == {utils.dtype(precision)}


WORDS = [
    *("CUDA error: out of memory", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "MPS backend out of memory"),
    *("[enforce fail] . DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.",),
]


@pytest.mark.parametrize("words", WORDS)
def test_out_of_memory_in_other_words(words):
    assert inference.is_out_of_memory(RuntimeError(words))
    assert inference.reason(RuntimeError(words)).startswith(
        "out of memory: limit the size with --size N, or "
    )


def test_opencv_has_no_memory_in_its_own_words():
    with pytest.raises(images.cv2.error) as told:
        images.cv2.copyMakeBorder(np.zeros((1, 1, 3)), 2**20, 2**20, 2**20, 2**20, images.cv2.BORDER_CONSTANT)
    assert inference.is_out_of_memory(told.value)


def test_out_of_memory_is_known_by_its_words():
    for error in (torch.OutOfMemoryError("x"), MemoryError()):
        assert inference.is_out_of_memory(error)
    with pytest.raises(RuntimeError) as told:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert inference.is_out_of_memory(told.value)
    assert not inference.is_out_of_memory(RuntimeError("shapes do not agree"))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ],
)
def test_cudnn_and_cublas_out_of_memory_are_known_by_their_words(words):
    assert inference.is_out_of_memory(RuntimeError(words))
    assert not inference.is_out_of_memory(ValueError(words))


@pytest.mark.parametrize(
    "words",
    [
        "GET was unable to find an engine to execute this computation",
        "no valid convolution algorithms available in CuDNN",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    ],
)
def test_what_may_have_another_cause_keeps_its_own_words(words):
    assert not inference.is_out_of_memory(RuntimeError(words))
    assert inference.reason(RuntimeError(words)).startswith(words)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(300, 300), (3, 70000), (1100, 900)])
def test_norms_of_large_pictures_are_exact(dtype, size):
    torch.manual_seed(0)
    x = (torch.randn(1, 2, *size) + torch.linspace(-1, 4, size[1])).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    norm = InstanceNorm(2).requires_grad_(False)
    variance, mean = torch.var_mean(x.double(), (2, 3), correction=0, keepdim=True)
    expected = (x - mean) / (variance + norm.eps).sqrt()
    with torch.inference_mode():
        made = norm(x)
    assert made.dtype == dtype
    assert (made - expected).abs().max() < (2e-2 if dtype == torch.bfloat16 else 2e-5)


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize(("in_ngc", "out_ngc"), [(1, 1), (3, 1), (1, 3), (3, 3)])
def test_one_channel_is_luminance_beneath_the_photos_own_chroma(in_ngc, out_ngc, tile):
    generator, colour = prepared(in_ngc=in_ngc, out_ngc=out_ngc), photo(20, 24) // 4 + 96
    (result,) = inference.convert(generator, [colour], tile)
    assert result.shape == colour.shape
    (made,) = inference.stylise(generator, [colour if in_ngc == 3 else images.luminance(colour)])
    wanted = made if out_ngc == 3 else images.with_luminance(colour, made)
    assert np.abs(result.astype(int) - wanted).max() <= 1
    assert (result != colour).mean() > 0.5
