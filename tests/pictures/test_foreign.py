"""Checkpoints of other programs compared with their plain definitions in tests/foreign.py."""

import numpy as np
import pytest
import torch
from foreign import PROGRAMS

from networks import Generator
from pictures import checkpoints, inference
from support.norm import LayerNorm
from utils import WrongUse, to_image, to_range

CLOSE = 1e-4  # of [-1, 1], in float32


@pytest.fixture
def net(tmp_path):
    """net(content): a file of torch.save."""

    def save(content, **options):
        torch.save(content, tmp_path / "net.pth", **options)
        return tmp_path / "net.pth"

    return save


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@torch.inference_mode()
def difference(path, weights, definition, sizes=((16, 16), (32, 48), (67, 21))):
    """The largest difference between what a checkpoint makes of RGB noise and its definition."""
    generator = checkpoints.load_generator(path)
    largest = 0
    for size in sizes:  # the last makes more pixels than the photo has, which are cut off
        photo = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
        made, expected = generator(photo), definition(weights, photo)[..., : size[0], : size[1]]
        assert made.dtype == torch.float32 and expected.std() > 0.05
        largest = max(largest, (made - expected).abs().max().item())
    return largest


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_checkpoint_of_another_program_gives_the_results_of_its_definition(net, program):
    weights, definition = PROGRAMS[program]
    assert difference(net(weights), weights, definition) < CLOSE


def prefixed(prefix, weights):
    return {f"{prefix}{key}": value for key, value in weights.items()}


@pytest.mark.parametrize(
    ("program", "wrap"),
    [
        # As PyTorch saved it before 0.4
        ("authors", lambda w: {k: v.reshape(1, -1, 1, 1) if k.startswith("in") else v for k, v in w.items()}),
        ("old script", lambda w: w | {"down_convs.1.running_mean": torch.ones(4)}),
        ("old script", lambda w: {"epoch": 3, "generator_state_dict": w, "optimizer": {}}),
        ("old script", lambda w: {"n_averaged": torch.tensor(3)} | prefixed("module.", w)),
        ("old script", lambda w: prefixed("net.module._orig_mod.", w) | {"discriminator.0": torch.ones(1)}),
    ],
)
def test_older_and_wrapped_checkpoints(net, program, wrap):
    weights, definition = PROGRAMS[program]
    path = net(wrap(weights), _use_new_zipfile_serialization=False)
    assert difference(path, weights, definition, [(16, 16)]) < CLOSE


def test_safetensors(tmp_path):
    weights, definition = PROGRAMS["old script"]
    path = tmp_path / "net.safetensors"
    pytest.importorskip("safetensors.torch").save_file(weights, path)
    assert difference(path, weights, definition, [(16, 16)]) < CLOSE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WrongUse, match="is damaged or cut short: copy or download it again"):
        checkpoints.load_generator(path)


@pytest.mark.parametrize(
    "form", [{"res_convs": 3, "upsample": "resize", "in_ngc": 1, "conv_bias": "none"}, {"nb": 0}]
)
def test_weights_of_this_program_without_their_architecture(net, capsys, form):
    generator = Generator(**{"ngf": 4, "nb": 2} | form)
    path = net({"params_ema": generator.state_dict()})
    loaded = checkpoints.load_generator(path)
    assert loaded.architecture == generator.architecture
    photo = torch.rand(1, generator.architecture["in_ngc"], 16, 20)
    assert torch.equal(loaded(photo), generator(photo))
    assert capsys.readouterr().err.startswith(f"{path} holds only weights: ")


@pytest.mark.parametrize(
    ("program", "change", "message"),
    [
        ("authors", lambda w: (w.clear(), w.update({"down.0.weight": torch.zeros(4, 3, 7, 7)})), "damaged"),
        ("authors", lambda w: w.pop("conv04_2.weight"), "is damaged: a convolution is missing"),
        ("authors", lambda w: w.pop("in13_1.scale"), "lacks a norm.scale"),
        ("authors", lambda w: w.update(more=torch.zeros(1)), "holds more, which its layout does not have"),
        ("AnimeGANv2", lambda w: w.pop("block_a.0.1.weight"), "not a generator of a known layout"),
    ],
)
def test_a_damaged_checkpoint_is_an_error_of_one_line(net, program, change, message):
    weights = {key: value.clone() for key, value in PROGRAMS[program][0].items()}
    change(weights)
    with pytest.raises(WrongUse, match=message) as error:
        checkpoints.load_generator(net(weights))
    assert "net.pth" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("program", ["CycleGAN", "AnimeGANv2"])
def test_small_pictures_and_bfloat16(net, program):
    weights, definition = PROGRAMS[program]
    generator = inference.prepare(checkpoints.load_generator(net(weights)), torch.device("cpu"), "bf16")
    types = {type(layer): value.dtype for layer in generator.modules() for value in layer.parameters(False)}
    assert types[torch.nn.Conv2d] == torch.bfloat16 and types.get(LayerNorm, torch.float32) == torch.float32
    (made,), (small,) = (inference.convert(generator, [noise(*size)]) for size in ((32, 48), (5, 90)))
    with torch.inference_mode():
        expected = definition(weights, to_range(torch.tensor(noise(32, 48)).permute(2, 0, 1)[None]))
    assert np.abs(made.astype(int) - to_image(expected[0])).mean() < 6 and small.shape == (5, 90, 3)


def test_cyclegan_in_tiles_equals_the_untiled_result(net):
    generator = checkpoints.load_generator(net(PROGRAMS["CycleGAN"][0]))
    inference.prepare(generator, torch.device("cpu"), "fp32")
    (whole,), (tiled,) = (inference.convert(generator, [noise(70, 95)], tile) for tile in (None, 32))
    assert np.abs(whole.astype(int) - tiled).max() <= 1 and whole.std() > 10
