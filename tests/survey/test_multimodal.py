import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import VGG
from PIL import Image

from pictures import checkpoints
from survey import feedforward, multimodal
from utils import WrongUse


@pytest.fixture(scope="module")
def vgg():
    return checkpoints.load_vgg(VGG)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return multimodal.Multimodal()


@pytest.fixture
def words(data, tmp_path):
    """The arguments of a tiny run, without options of size and steps."""
    photo, drawing = data / "src_data/test/0.jpg", data / "tgt_data/train/0.jpg"
    places = [photo, drawing, tmp_path / "out.png", "--photos", data / "src_data/train", "--vgg_model", VGG]
    return [*map(str, places), "--device", "cpu", "--size", "64"]


def picture(height, width):
    colours = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(colours, (height, width), mode="bicubic").clamp(-1, 1)


def test_each_subnet_works_at_its_size(network):
    sizes = [tuple(result.shape[2:]) for result in network(picture(64, 96))]
    assert sizes == [(16, 24), (32, 48), (64, 96)]
    sizes = [tuple(result.shape[2:]) for result in network(picture(32, 48), multimodal.SCALES_TRAINING)]
    assert sizes == [(16, 24), (32, 48), (32, 48)]


def test_the_first_subnet_paints_a_picture_and_the_others_begin_with_its_change_enlarged(network):
    photo = picture(64, 64)
    photos, results = [multimodal.resize(photo, scale) for scale in multimodal.SCALES], network(photo)
    assert results[0].std() > 0.01 and results[0].abs().max() < 1
    for k in (0, 1):
        change = F.interpolate(results[k] - photos[k], scale_factor=2, mode="bilinear")
        assert torch.allclose(results[k + 1] - photos[k + 1], change, atol=1e-5)


def test_the_last_two_subnets_add_to_their_input():
    network = multimodal.Multimodal()
    before = network(picture(64, 64))
    for subnet, places in ((network.enhance_subnet, (1, 2)), (network.refine_subnet, (2,))):
        torch.nn.init.constant_(subnet[-1][-1].bias, 0.25)
        after = network(picture(64, 64))
        for k in range(3):
            assert torch.allclose(after[k] - before[k], torch.tensor(0.25 * (k in places)), atol=1e-5)
        before = after


def test_colour_reaches_the_rgb_block_alone(network):
    grey = picture(32, 32)[:, :1].expand(1, 3, 32, 32)
    coloured = grey + torch.tensor([0.587, -0.299, 0]).view(3, 1, 1) * picture(32, 32)[:, 1:2]
    seen = [
        [block(x) for block, x in ((net.rgb_block, each), (net.l_block, multimodal.colour.luminance(each)))]
        for net in [network.style_subnet]
        for each in (grey, coloured)
    ]
    assert torch.allclose(seen[0][1], seen[1][1], atol=1e-3) and not torch.allclose(
        seen[0][0], seen[1][0], 0.1
    )


@pytest.mark.parametrize("size", [(16, 16), (33, 70)])
def test_photos_of_any_size(network, size):
    result = multimodal.apply(network, picture(*size))
    assert result.shape[2:] == size and result.abs().max() <= 1 and not result.requires_grad


def test_the_losses_are_weighted_and_of_each_size(vgg, network, words):
    args = multimodal.parse([*words, "--content", "2", "--style", "3"])
    drawing, photos = picture(64, 80), picture(32, 32).flip(3)
    losses = multimodal.make_objective(args, vgg, network, drawing)(photos)
    names = multimodal.STYLE[:4]  # these weights end at conv4_4
    results = network(photos, (1 / 2, 1, 1))
    for k, (side, drawn) in enumerate(((16, (16, 20)), (32, (32, 40)), (32, (64, 80)))):
        smaller = lambda x, size: F.interpolate(x, size, mode="bilinear", antialias=True)
        loss = feedforward.make_loss(vgg, smaller(drawing, drawn), multimodal.CONTENT, names)
        terms = loss(results[k], smaller(photos, side))
        expected = (1, 0.5, 0.25)[k] * (2 * terms["content"] + 3 * terms["style"])
        assert losses[multimodal.NAMES[k]].item() == pytest.approx(expected.item(), rel=1e-4)


def test_later_losses_reach_earlier_subnets_and_not_the_other_way(vgg, words):
    network = multimodal.Multimodal()
    for subnet in (network.enhance_subnet, network.refine_subnet):
        torch.nn.init.normal_(subnet[-1][-1].weight, 0, 0.02)
    objective = multimodal.make_objective(multimodal.parse(words), vgg, network, picture(64, 64))
    for k, name in enumerate(multimodal.NAMES):
        network.zero_grad()
        objective(picture(32, 32))[name].backward()
        reached = [
            any(weight.grad is not None and weight.grad.any() for weight in subnet.parameters())
            for subnet in (network.style_subnet, network.enhance_subnet, network.refine_subnet)
        ]
        assert reached == [k >= 0, k >= 1, k >= 2]


def test_batches_are_squares_of_half_the_size_the_same_for_a_seed(words):
    args = multimodal.parse([*words, "--batch_size", "3"])
    (first,), (second,) = (next(multimodal.batches(args, torch.device("cpu"))) for _ in range(2))
    assert first.shape == (3, 3, 32, 32) and first.equal(second) and first.abs().max() <= 1
    args.seed = 1
    assert not next(multimodal.batches(args, torch.device("cpu")))[0].equal(first)


def test_a_run_lowers_its_objective_and_its_network_can_be_applied(words, tmp_path):
    words += ["--style", "10"]
    multimodal.main([*words, "--steps", "2"])
    before = sum(json.loads((tmp_path / "out.json").read_text())["losses"].values())
    multimodal.main([*words, "--steps", "15"])
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["losses"].keys() == {*multimodal.NAMES} and record["options"]["steps"] == 15
    assert sum(record["losses"].values()) < before / 2
    again = [words[0], str(tmp_path / "again.png"), "--network", str(tmp_path / "out.pth"), *words[7:11]]
    multimodal.main(again)
    record = json.loads((tmp_path / "again.json").read_text())
    assert record["options"]["network"] == str(tmp_path / "out.pth") and record["losses"] == {}
    made, applied = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("out", "again"))
    assert np.array_equal(made, applied) and made.std() > 5


def test_the_same_seed_gives_the_same_picture(words, tmp_path):
    pictures = []
    for seed in (5, 5, 6):
        multimodal.main([*words, "--steps", "1", "--seed", str(seed)])
        pictures.append((tmp_path / "out.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_wrong_use_is_told_in_a_line(words, data, tmp_path):
    def refused(words, message):
        with pytest.raises(WrongUse, match=message):
            multimodal.main(words)

    photo, drawing, out = words[:3]
    refused([photo, drawing, out], "a DRAWING and --photos DIR are needed")
    refused([photo, out, "--photos", words[4]], "a DRAWING and --photos DIR are needed")
    refused([photo, drawing, out, "--photos", str(tmp_path / "no")], "no folder")
    (tmp_path / "empty").mkdir()
    refused([photo, drawing, out, "--photos", str(tmp_path / "empty")], "no pictures in .*looked for")
    refused([photo, out, "--network", str(tmp_path / "no.pth")], "no file")
    refused([photo, drawing, out, "--network", str(VGG)], "needs no DRAWING")
    refused([photo, out, "--network", str(VGG), "--steps", "9", "--style=3"], "needs no --steps, --style:")
    refused([photo, out, "--network", str(VGG)], "does not contain a network of python -m survey.multimodal")
