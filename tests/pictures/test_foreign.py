"""Checkpoints of other programs against their definitions, written out plainly in tests/foreign.py."""

import foreign
import numpy as np
import pytest
import torch
from helpers import SHARED
from PIL import Image

import test
from networks import Generator
from pictures import checkpoints, colour, inference
from pictures.foreign import CycleGenerator
from utils import WrongUse, to_image, to_range

HAYAO = SHARED / "pretrained/Hayao_net_G_float.pth"
CLOSE = 1e-4  # of [-1, 1], in float32
DEFINITIONS = {  # of each program: weights, and a function of them and RGB in [-1, 1]
    "authors": (
        foreign.authors_weights(),
        lambda weights, rgb: foreign.authors(weights, rgb.flip(1)).flip(1),
    ),
    "authors, few blocks": (
        foreign.authors_weights(ngf=6, blocks=1),
        lambda weights, rgb: foreign.authors(weights, rgb.flip(1), 1).flip(1),
    ),
    "old script": (foreign.script_weights(), lambda weights, rgb: foreign.old_script(weights, rgb, 6)),
    "old script, many blocks": (
        foreign.script_weights(ngf=6, blocks=12),
        lambda weights, rgb: foreign.old_script(weights, rgb, 12),
    ),
    "CycleGAN": (foreign.cyclegan_weights(), foreign.cyclegan),
    "CycleGAN, 6 blocks, dropout": (foreign.cyclegan_weights(blocks=6, second=6), foreign.cyclegan),
    "AnimeGANv2": (foreign.animegan_weights(), foreign.animegan),
}


@pytest.fixture
def net(tmp_path):
    """net(content, name="net.pth"): a file of torch.save."""

    def save(content, name="net.pth", **options):
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

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


@pytest.mark.parametrize("program", DEFINITIONS)
def test_a_checkpoint_of_another_program_is_its_definition(net, program):
    weights, definition = DEFINITIONS[program]
    assert difference(net(weights), weights, definition) < CLOSE


@pytest.mark.skipif(not HAYAO.exists(), reason="the released weights are not here")
def test_released_weights():
    weights = torch.load(HAYAO, weights_only=True)
    assert difference(HAYAO, weights, DEFINITIONS["authors"][1], [(32, 48)]) < CLOSE


def test_variants_of_the_files(net, tmp_path):
    weights, definition = DEFINITIONS["authors"]
    shaped = {key: w.reshape(1, -1, 1, 1) if key.startswith("in") else w for key, w in weights.items()}
    assert difference(net(shaped), weights, definition) < CLOSE
    weights, definition = DEFINITIONS["old script"]
    old = weights | {"down_convs.1.running_mean": torch.ones(4)}
    assert difference(net(old, _use_new_zipfile_serialization=False), weights, definition) < CLOSE
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(weights, tmp_path / "net.safetensors")
    assert difference(tmp_path / "net.safetensors", weights, definition) < CLOSE
    (tmp_path / "net.safetensors").write_bytes((tmp_path / "net.safetensors").read_bytes()[:-100])
    with pytest.raises(WrongUse, match="is damaged or cut short: copy or download it again"):
        checkpoints.load_generator(tmp_path / "net.safetensors")


def prefixed(prefix, weights):
    return {f"{prefix}{key}": value for key, value in weights.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        *(
            lambda weights, key=key: {"epoch": 3, key: weights, "optimizer": {}}
            for key in ("state_dict", "generator_state_dict", "g_state_dict", "netG", "model", "weights")
        ),
        lambda weights: {"model": {"netG": {"state_dict": weights}["state_dict"]}, "netD": {}},
        lambda weights: {"params": {}, "params_ema": prefixed("module.", weights)},
        lambda weights: {"n_averaged": torch.tensor(3)} | prefixed("module.", weights),
        *(
            lambda weights, prefix=prefix: (
                prefixed(prefix, weights) | {"discriminator.0.weight": torch.zeros(1)}
            )
            for prefix in ("generator.", "G.", "net.module._orig_mod.")
        ),
    ],
)
def test_wrappers_are_opened(net, wrap):
    weights, definition = DEFINITIONS["old script"]
    assert difference(net(wrap(weights)), weights, definition, [(16, 16)]) < CLOSE


@pytest.mark.parametrize(
    "architecture",
    [
        {"nb": 2},
        {"nb": 1, "res_convs": 3, "upsample": "resize", "in_ngc": 1, "out_ngc": 1},
        {"nb": 0, "conv_bias": "none"},
    ],
)
def test_our_weights_without_their_architecture(net, capsys, architecture):
    generator = Generator(ngf=4, **architecture)
    path = net({"params_ema": generator.state_dict()})
    loaded = checkpoints.load_generator(path)
    assert loaded.architecture == generator.architecture
    photo = torch.rand(1, generator.architecture["in_ngc"], 16, 20)
    assert torch.equal(loaded(photo), generator(photo))
    assert capsys.readouterr().err.startswith(f"{path} holds weights alone: options that shapes do not")


@pytest.mark.parametrize(
    ("program", "change", "message"),
    [
        ("authors", lambda w: (w.clear(), w.update({"down.0.weight": torch.zeros(4, 3, 7, 7)})), "damaged"),
        ("authors", lambda w: w.update(epoch=3), "no weights by name"),
        ("authors", lambda w: w.pop("conv04_2.bias"), "lacks conv04_2.bias"),
        ("authors", lambda w: w.pop("conv04_2.weight"), "is damaged: a convolution is missing"),
        ("authors", lambda w: w.pop("in02_1.shift"), "lacks in02_1.shift"),
        ("authors", lambda w: w.pop("in13_1.scale"), "lacks a norm.scale"),
        ("authors", lambda w: w.update(more=torch.zeros(1)), "holds more, which its layout does not have"),
        ("authors", lambda w: w.update({"conv04_1.weight": torch.zeros(1)}), "does not fit"),
        ("authors", lambda w: w.update({"conv01_1.weight": torch.zeros(1)}), "damaged"),
        ("authors", lambda w: w.update({"deconv03_1.weight": torch.zeros(())}), "damaged"),
        ("authors", lambda w: w.update({"deconv03_1.bias": torch.zeros(())}), "damaged"),
        ("authors", lambda w: w.update({"conv01_1.weight": torch.zeros(4, 4, 7, 7)}), "its in_ngc is '4'"),
        ("authors", lambda w: w["in04_1.scale"].fill_(torch.nan), "blocks.0.layers.1.weight is not finite"),
        ("CycleGAN", lambda w: w.pop("model.4.bias"), "lacks model.4.bias"),
        ("CycleGAN", lambda w: w.update({"model.4.weight": torch.zeros(1)}), "does not fit"),
        ("AnimeGANv2", lambda w: w.update({"block_b.0.1.weight": torch.zeros(1)}), "does not fit"),
        (
            "AnimeGANv2",
            lambda w: w.pop("block_a.0.1.weight"),
            "not a generator of a known layout: take a run",
        ),
    ],
)
def test_a_damaged_checkpoint_is_an_error_of_one_line(net, program, change, message):
    weights = {key: value.clone() for key, value in DEFINITIONS[program][0].items()}
    change(weights)
    with pytest.raises(WrongUse, match=message) as error:
        checkpoints.load_generator(net(weights))
    assert "net.pth" in str(error.value) and "\n" not in str(error.value)


# The other networks


def test_cyclegan_has_as_many_weights_as_in_the_paper():
    """Section 7.2: 11.378 M with nine blocks."""
    with torch.device("meta"):
        assert sum(weight.numel() for weight in CycleGenerator().parameters()) == 11_378_179


def test_a_cyclegan_trained_here_is_saved_and_read_again(net):
    generator = CycleGenerator(ngf=4, nb=2, upsample="resize")
    again = checkpoints.load_generator(net(checkpoints.generator_file(generator)))
    photo = torch.rand(1, 3, 16, 20)
    assert again.architecture == generator.architecture and torch.equal(generator(photo), again(photo))


@pytest.mark.parametrize("program", ["CycleGAN", "AnimeGANv2"])
def test_bfloat16_is_near(net, program):
    weights, definition = DEFINITIONS[program]
    generator = inference.prepare(checkpoints.load_generator(net(weights)), torch.device("cpu"), "bf16")
    (made,) = inference.stylise(generator, [noise(32, 48)])
    with torch.inference_mode():
        expected = definition(weights, to_range(torch.tensor(noise(32, 48)).permute(2, 0, 1)[None]))
    assert np.abs(made.astype(int) - to_image(expected[0])).mean() < 6


def test_cyclegan_in_tiles_is_what_it_is_whole(net):
    generator = checkpoints.load_generator(net(DEFINITIONS["CycleGAN"][0]))
    inference.prepare(generator, torch.device("cpu"), "fp32")
    (whole,), (tiled,) = (inference.stylise(generator, [noise(70, 95)], tile) for tile in (None, 32))
    assert np.abs(whole.astype(int) - tiled).max() <= 1 and whole.std() > 10


@pytest.mark.parametrize("program", ["CycleGAN", "AnimeGANv2"])
def test_test_py_applies_them_to_pictures_of_any_size(net, tmp_path, program):
    weights, definition = DEFINITIONS[program]
    (tmp_path / "in").mkdir()
    for name, size in (("a", (32, 48)), ("b", (5, 90))):
        Image.fromarray(noise(*size)).save(tmp_path / f"in/{name}.png")
    command = ["--pre_trained_model", net(weights), "--image_dir", tmp_path / "in", "--device", "cpu"]
    command += ["--precision", "fp32", "--output_image_dir"]
    test.main([*map(str, [*command, tmp_path / "out"])])
    made = np.asarray(Image.open(tmp_path / "out/a.png"))
    with torch.inference_mode():
        expected = definition(weights, torch.tensor(noise(32, 48)).permute(2, 0, 1)[None] / 127.5 - 1)
    expected = ((expected[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    assert np.abs(made - expected).max() < 1
    assert Image.open(tmp_path / "out/b.png").size == (90, 5)
    test.main([*map(str, [*command, tmp_path / "kept", "--keep_colour", "chroma"])])
    kept = np.asarray(Image.open(tmp_path / "kept/a.png"))
    assert (kept == colour.keep(noise(32, 48), made, "chroma", 1)).all() and (kept != made).any()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--tile", "16"], "AnimeGANv2's network, which cannot work in tiles: limit the size with --size N"),
        (["--ngf", "64"], "--ngf is 64, but .*net.pth has ngf none: it is AnimeGANv2's network"),
    ],
)
def test_what_animegan_cannot_do_is_an_error(net, tmp_path, option, message):
    Image.fromarray(noise(16, 16)).save(tmp_path / "a.png")
    command = ["--pre_trained_model", net(DEFINITIONS["AnimeGANv2"][0]), "--image_dir", tmp_path / "a.png"]
    with pytest.raises(WrongUse, match=message):
        test.main([*map(str, [*command, "--output_image_dir", tmp_path / "out", "--device", "cpu", *option])])
    assert not (tmp_path / "out").exists()


def test_training_starts_from_no_other_network(net):
    with pytest.raises(WrongUse, match="holds CycleGAN's network: no"):
        checkpoints.load_generator(net(DEFINITIONS["CycleGAN"][0]), "no")
