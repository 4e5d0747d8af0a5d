"""AnimeGANv2's generator against its definition written out plainly (tests/foreign.py), and applied."""

import numpy as np
import pytest
import torch
from foreign import animegan, animegan_weights
from PIL import Image

import test
from pictures import checkpoints, colour, inference
from utils import WrongUse, to_image, to_range


@pytest.fixture(scope="module")
def weights():
    return animegan_weights()


@pytest.fixture
def net(weights, tmp_path):
    torch.save(weights, tmp_path / "paprika.pt")
    return tmp_path / "paprika.pt"


def defined(weights, photo):
    """What the definition makes of an image (uint8 H,W,3)."""
    with torch.inference_mode():
        return to_image(animegan(weights, to_range(torch.tensor(photo).permute(2, 0, 1)[None]))[0])


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(8, 8), (16, 32), (41, 27), (68, 20)])
def test_the_network_is_its_definition(net, weights, size):
    generator = checkpoints.load_generator(net)
    photo = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        made, wanted = generator(photo), animegan(weights, photo)
    assert made.dtype == torch.float32 and wanted.std() > 0.1
    assert (made - wanted).abs().max() < 1e-4


def test_bfloat16_is_near(net, weights):
    generator = inference.prepare(checkpoints.load_generator(net), torch.device("cpu"), "bf16")
    (made,) = inference.stylise(generator, [noise(32, 48)])
    assert np.abs(made.astype(int) - defined(weights, noise(32, 48))).mean() < 6


def test_it_is_applied_to_pictures_of_any_size(net, weights, tmp_path):
    (tmp_path / "in").mkdir()
    for name, size in (("a", (32, 48)), ("b", (5, 90))):
        Image.fromarray(noise(*size)).save(tmp_path / f"in/{name}.png")
    command = ["--pre_trained_model", net, "--image_dir", tmp_path / "in", "--output_image_dir"]
    more = ["--device", "cpu", "--precision", "fp32"]
    test.main([*map(str, [*command, tmp_path / "out", *more])])
    made = np.asarray(Image.open(tmp_path / "out/a.png"))
    wanted = defined(weights, noise(32, 48))
    assert np.abs(made.astype(int) - wanted).max() <= 1
    assert Image.open(tmp_path / "out/b.png").size == (90, 5)
    test.main([*map(str, [*command, tmp_path / "kept", *more, "--keep_colour", "chroma"])])
    kept = np.asarray(Image.open(tmp_path / "kept/a.png"))
    assert (kept == colour.keep(noise(32, 48), made, "chroma", 1)).all() and (kept != made).any()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--tile", "16"], "AnimeGANv2's network: it cannot work in tiles, so limit the size with --size N"),
        (["--ngf", "64"], "--ngf is 64, but .*paprika.pt has ngf none: it is AnimeGANv2's network"),
    ],
)
def test_what_it_cannot_do_is_told(net, tmp_path, option, told):
    Image.fromarray(noise(16, 16)).save(tmp_path / "a.png")
    command = ["--pre_trained_model", net, "--image_dir", tmp_path / "a.png", "--output_image_dir"]
    with pytest.raises(WrongUse, match=told):
        test.main([*map(str, [*command, tmp_path / "out", "--device", "cpu", *option])])
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_does_not_fit_is_told(net, weights):
    torch.save({**weights, "block_b.0.1.weight": torch.zeros(1)}, net)
    with pytest.raises(WrongUse, match=r"does not fit this network: size mismatch for block_b.0.1.weight"):
        checkpoints.load_generator(net)
