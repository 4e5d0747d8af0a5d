"""The forms of the generator: what each can see of a photo's colours, and that all programs take each."""

import itertools

import pytest
import torch

from networks import NORMS, Generator
from pictures import checkpoints, inference

FORMS = list(itertools.product(NORMS, ("image", "change"), (0, 2), (0, 1), (0, 3)))


def generator(norm, predict, flatten=0, outline=0, guide=0, **more):
    torch.manual_seed(0)
    return Generator(
        ngf=8, nb=2, norm=norm, predict=predict, flatten=flatten, outline=outline, guide=guide, **more
    ).eval()


def photo(height=32, width=40):
    rough = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(rough, (height, width), mode="bicubic").clamp(0, 1) - 0.5


def changes(form):
    """How far the results of a photo in another cast, and at half the contrast, are from the photo's own."""
    network, x = generator(*form, eps=1e-9), photo()  # eps, the authors', is all that could tell
    cast = torch.tensor([0.3, -0.2, 0.1]).view(1, 3, 1, 1)
    with torch.inference_mode():
        return [(network(other) - network(x)).abs().max().item() for other in (x + cast, x / 2)]


def test_the_papers_form_is_blind_to_colour_casts_and_to_contrast():
    assert max(changes(("instance", "image"))) < 1e-3
    assert max(changes(("mixed", "image"))) < 1e-3  # layer norm comes too late to see it


def test_layer_norm_sees_a_cast_and_not_the_contrast():
    cast, contrast = changes(("layer", "image"))
    assert cast > 0.05 and contrast < 1e-3


@pytest.mark.parametrize("norm", NORMS)
def test_a_generator_of_changes_sees_both(norm):
    assert min(changes((norm, "change"))) > 0.05


def test_a_generator_of_changes_that_adds_nothing_keeps_nine_tenths_of_the_photo():
    network, x = generator("instance", "change"), photo()
    torch.nn.init.zeros_(network.up[-1].weight)
    assert torch.allclose(network(x), 0.9 * x, atol=1e-6)


@pytest.mark.parametrize("value", [-1, 1])
@pytest.mark.parametrize("norm", NORMS)
def test_black_and_white_can_still_be_changed(value, norm):
    network = generator(norm, "change")
    (network(torch.full((1, 3, 16, 16), float(value)))).sum().backward()
    assert network.up[-1].bias.grad.abs().min() > 1


@pytest.mark.parametrize("form", FORMS)
def test_a_checkpoint_holds_its_form(form, tmp_path):
    network = generator(*form)
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(network))
    loaded = checkpoints.load_generator(tmp_path / "g.pth")
    assert loaded.architecture == network.architecture
    with torch.inference_mode():
        assert torch.equal(loaded(photo()), network(photo()))


@pytest.mark.parametrize("form", FORMS)
def test_tiles_give_what_the_whole_gives(form):
    network = inference.prepare(generator(*form), torch.device("cpu"), "fp32")
    image = ((photo(96, 120)[0] + 0.5) * 255).byte().permute(1, 2, 0).numpy()
    (whole,) = inference.stylise(network, [image])
    (tiled,) = inference.stylise(network, [image], 32)
    assert abs(whole.astype(int) - tiled).max() <= 1
