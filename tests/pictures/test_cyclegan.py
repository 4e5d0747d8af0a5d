"""CycleGAN's generator against its definition written out plainly (tests/foreign.py), and applied."""

import numpy as np
import pytest
import torch
from foreign import cyclegan, cyclegan_weights
from PIL import Image

import test
from pictures import checkpoints, inference
from pictures.foreign import CycleGenerator
from utils import WrongUse


@pytest.fixture
def net(tmp_path):
    def save(weights):
        torch.save(weights, tmp_path / "latest_net_G.pth")
        return tmp_path / "latest_net_G.pth"

    return save


def photo(*size):
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_it_has_as_many_weights_as_in_the_paper():
    """Section 7.2: 11.378 M with nine blocks."""
    with torch.device("meta"):
        nine = CycleGenerator()
    assert sum(weight.numel() for weight in nine.parameters()) == 11_378_179


@pytest.mark.parametrize(("blocks", "second"), [(9, 5), (6, 5), (6, 6)])
def test_a_released_generator_is_its_definition(net, blocks, second):
    weights = cyclegan_weights(blocks=blocks, second=second)
    generator = checkpoints.load_generator(net(weights))
    with torch.inference_mode():
        made, wanted = generator(photo(32, 48)), cyclegan(weights, photo(32, 48))
    assert made.dtype == torch.float32 and wanted.std() > 0.1
    assert (made - wanted).abs().max() < 1e-4


def test_statistics_of_old_norms_are_of_no_use(net):
    weights = cyclegan_weights()
    old = {f"model.2.{kind}": torch.ones(4) for kind in ("running_mean", "running_var")}
    made = [checkpoints.load_generator(net(each)).state_dict() for each in (weights, weights | old)]
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])


def test_bfloat16_is_near(net):
    file = net(cyclegan_weights())
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    wanted, made = (
        inference.stylise(
            inference.prepare(checkpoints.load_generator(file), torch.device("cpu"), kind), [noise]
        )
        for kind in ("fp32", "bf16")
    )
    assert np.abs(made[0].astype(int) - wanted[0]).mean() < 6


def test_ours_are_saved_and_read_again(tmp_path):
    generator = CycleGenerator(ngf=4, nb=2, upsample="resize")
    checkpoints.save(tmp_path / "generator.pth", checkpoints.generator_file(generator))
    again = checkpoints.load_generator(tmp_path / "generator.pth")
    assert again.architecture == generator.architecture
    with torch.inference_mode():
        assert torch.equal(generator(photo(16, 16)), again(photo(16, 16)))


def test_it_is_applied_to_pictures_of_any_size(net, tmp_path):
    weights = cyclegan_weights()
    (tmp_path / "in").mkdir()
    images = {}
    for name, size in (("a", (32, 48)), ("b", (21, 90))):
        images[name] = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(images[name]).save(tmp_path / f"in/{name}.png")
    words = ["--pre_trained_model", net(weights), "--image_dir", tmp_path / "in"]
    words += ["--output_image_dir", tmp_path / "out", "--device", "cpu", "--precision", "fp32"]
    test.main([*map(str, words)])
    given = torch.from_numpy(images["a"]).permute(2, 0, 1)[None] / 127.5 - 1
    wanted = ((cyclegan(weights, given)[0] + 1) * 127.5).permute(1, 2, 0)
    assert np.abs(np.asarray(Image.open(tmp_path / "out/a.png")) - wanted.numpy()).max() < 1
    assert Image.open(tmp_path / "out/b.png").size == (90, 21)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("model.4.bias"), "lacks model.4.bias"),
        (lambda w: w.update(more=torch.zeros(1)), "holds more, which"),
        (lambda w: w.update({"model.4.weight": torch.zeros(1)}), "does not fit"),
    ],
)
def test_a_damaged_one_is_told_in_one_line(net, change, told):
    weights = cyclegan_weights()
    change(weights)
    with pytest.raises(WrongUse, match=told) as error:
        checkpoints.load_generator(net(weights))
    assert "\n" not in str(error.value)


def test_in_tiles_it_is_what_it_is_whole(net):
    generator = inference.prepare(
        checkpoints.load_generator(net(cyclegan_weights())),
        torch.device("cpu"),
        "fp32",
    )
    noise = np.random.default_rng(0).integers(0, 256, (70, 95, 3), np.uint8)
    (whole,) = inference.stylise(generator, [noise])
    tiled = inference.stylise_in_tiles(generator, noise, 32)
    assert np.abs(whole.astype(int) - tiled).max() <= 1 and whole.std() > 10


def test_it_starts_no_training(net):
    with pytest.raises(WrongUse, match="holds CycleGAN's network: no"):
        checkpoints.load_generator(net(cyclegan_weights()), "no")
