"""Multimodal transfer: the three subnets, their losses, tiny runs."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import VGG, refusal
from PIL import Image

from survey import feedforward, multimodal


@pytest.fixture
def network():
    torch.manual_seed(0)
    return multimodal.Multimodal()


def make_picture(height, width):
    colours = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(colours, (height, width), mode="bicubic").clamp(-1, 1)


def smaller(picture, size):
    return F.interpolate(picture, size, mode="bilinear", antialias=True)


@torch.no_grad()
def test_the_first_subnet_paints_and_the_others_add_to_its_enlarged_change(network):
    photo = make_picture(64, 96)
    results, photos = network(photo), [smaller(photo, size) for size in ((16, 24), (32, 48), (64, 96))]
    assert [result.shape for result in results] == [each.shape for each in photos]
    assert results[0].std() > 0.01 and results[0].abs().max() < 1
    for k, subnet in ((1, network.enhance_subnet), (2, network.refine_subnet)):
        torch.nn.init.normal_(subnet[-1][-1].weight, 0, 0.02)
        before, results = results, network(photo)
        assert not torch.allclose(results[k], before[k])
        change = results[k - 1] - photos[k - 1]
        given = photos[k] + F.interpolate(change, photos[k].shape[2:], mode="bilinear")
        assert torch.allclose(results[k], given + subnet(given), atol=1e-5)
    sizes = [tuple(result.shape[2:]) for result in network(make_picture(32, 48), (1 / 2, 1, 1))]
    assert sizes == [(16, 24), (32, 48), (32, 48)]


def test_the_weighted_losses_of_each_size(vgg, network, training_words):
    args = multimodal.parse([*training_words, "--content", "2", "--style", "3"])
    drawing, photos = make_picture(64, 80), make_picture(32, 32).flip(3)
    losses = multimodal.make_objective(args, vgg, network, drawing)(photos)
    results = network(photos, (1 / 2, 1, 1))
    names = tuple(f"relu{block}_1" for block in range(1, 6))
    for k, (side, drawn) in enumerate(((16, (16, 20)), (32, (32, 40)), (32, (64, 80)))):
        loss = feedforward.make_loss(vgg, smaller(drawing, drawn), "relu4_2", names)
        terms = loss(results[k], smaller(photos, side))
        expected = (1, 0.5, 0.25)[k] * (2 * terms["content"] + 3 * terms["style"])
        assert losses[multimodal.NAMES[k]].item() == pytest.approx(expected.item(), rel=1e-4)


def test_later_losses_reach_earlier_subnets_only(vgg, network, training_words):
    for subnet in (network.enhance_subnet, network.refine_subnet):
        torch.nn.init.normal_(subnet[-1][-1].weight, 0, 0.02)
    args = multimodal.parse(training_words)
    objective = multimodal.make_objective(args, vgg, network, make_picture(64, 64))
    for k, name in enumerate(multimodal.NAMES):
        network.zero_grad()
        objective(make_picture(32, 32))[name].backward()
        subnets = (network.style_subnet, network.enhance_subnet, network.refine_subnet)
        reached = [any(w.grad is not None and w.grad.any() for w in net.parameters()) for net in subnets]
        assert reached == [True, k >= 1, k >= 2]


def test_a_run_lowers_its_objective_and_its_network_can_be_applied(training_words, tmp_path):
    losses = []
    for steps in ("2", "15"):
        multimodal.main([*training_words, "--style", "10", "--steps", steps])
        losses.append(json.loads((tmp_path / "out.json").read_text())["losses"])
    assert losses[0].keys() == {*multimodal.NAMES}
    assert sum(losses[1].values()) < sum(losses[0].values()) / 2
    again = [training_words[0], f"{tmp_path}/again.png", "--network", f"{tmp_path}/out.pth"]
    multimodal.main([*again, "--device", "cpu", "--size", "64"])
    made, applied = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("out", "again"))
    assert np.array_equal(made, applied) and made.std() > 5


def test_wrong_use_is_a_one_line_error(training_words, tmp_path):
    photo, drawing, out = training_words[:3]
    (tmp_path / "empty").mkdir()
    for words, message in (
        ([drawing, out], "a DRAWING and --photos DIR are needed"),
        ([drawing, out, "--photos", "no"], "no folder no"),
        ([drawing, out, "--photos", f"{tmp_path}/empty"], f"no pictures in {tmp_path}/empty; looked for"),
        ([out, "--network", str(VGG), "--steps", "9", "--style=3"], "needs no --steps, --style:"),
        ([out, "--network", str(VGG)], "does not contain a network of python -m survey.multimodal"),
    ):
        assert message in refusal(multimodal.main, photo, *words)
