"""The forms of the generator: what each can see of a photo's colours; files and tiles of each."""

import pytest
import torch

from networks import NORMS, Generator
from pictures import checkpoints, inference
from support.filters import Flatten, guided_filter


def generator(**arguments):
    torch.manual_seed(0)
    return Generator(ngf=8, nb=2, **arguments).eval()


def photo(height=32, width=40):
    rough = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(rough, (height, width), mode="bicubic").clamp(0, 1) - 0.5


def changes(**form):
    """How far the results of a photo with a colour cast, and at half the contrast, are from its own."""
    network, x = generator(**form, eps=1e-9), photo()  # a larger eps would let the contrast through
    cast = torch.tensor([0.3, -0.2, 0.1]).view(1, 3, 1, 1)
    with torch.inference_mode():
        return [(network(other) - network(x)).abs().max().item() for other in (x + cast, x / 2)]


def test_what_each_norm_sees_of_colour_casts_and_contrast():
    """The paper's form is blind to both; layer norm in the upsampling half comes too late to see a cast."""
    assert max(changes(norm="instance")) < 1e-3 and max(changes(norm="mixed")) < 1e-3
    cast, contrast = changes(norm="layer")
    assert cast > 0.05 and contrast < 1e-3


@pytest.mark.parametrize("norm", NORMS)
def test_a_generator_of_changes_sees_both_and_can_change_black_and_white(norm):
    assert min(changes(norm=norm, predict="change")) > 0.05
    for value in (-1.0, 1.0):
        network = generator(norm=norm, predict="change")
        network(torch.full((1, 3, 16, 16), value)).sum().backward()
        assert network.up[-1].bias.grad.abs().min() > 1


def test_a_generator_of_changes_that_adds_nothing_keeps_nine_tenths_of_the_photo():
    network, x = generator(predict="change"), photo()
    torch.nn.init.zeros_(network.up[-1].weight)
    assert torch.allclose(network(x), 0.9 * x, atol=1e-6)


def test_a_guide_ties_the_result_to_the_flattened_photo():
    form, x = {"predict": "change", "flatten": 1, "outline": 1}, photo()
    flat = Flatten(1, 1)(x)
    assert generator(**form)(x).equal(generator(predict="change")(flat))
    expected = guided_filter(flat, generator(**form)(x), 2)
    assert torch.allclose(generator(**form, guide=2)(x), expected, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"predict": "change", "flatten": 2},
        {"outline": 1, "padding": "zeros"},
        {"predict": "change", "flatten": 2, "outline": 1, "guide": 3, "upsample": "resize"},
    ],
)
def test_a_form_survives_its_checkpoint_and_tiles(norm, form, tmp_path):
    """The checkpoint gives the same results to the bit, tiles within a grey level of 255."""
    network = generator(norm=norm, **form)
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(network))
    loaded = checkpoints.load_generator(tmp_path / "g.pth")
    assert loaded.architecture == network.architecture
    with torch.inference_mode():
        assert torch.equal(loaded(photo()), network(photo()))
    image = ((photo(96, 120)[0] + 0.5) * 255).byte().permute(1, 2, 0).numpy()
    loaded = inference.prepare(loaded, torch.device("cpu"), "fp32")
    (whole,) = inference.stylise(loaded, [image])
    (tiled,) = inference.stylise(loaded, [image], 32)
    assert abs(whole.astype(int) - tiled).max() <= 1
