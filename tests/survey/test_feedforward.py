"""The losses and training of the methods that train a network, and the optical flow of consecutive frames."""

import itertools

import numpy as np
import pytest
import torch

from survey import feedforward, flow, layers, style
from utils import RunFailed

NAMES = ("relu1_1", "relu3_1", "relu4_2")  # the content layer among them, as in video.py


def test_the_losses_by_hand(vgg):
    results, photos = torch.rand(2, 2, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    drawing = torch.rand(1, 3, 40, 20) * 2 - 1
    losses = feedforward.make_loss(vgg, drawing, "relu4_2", NAMES)(results, photos)
    *found, target, drawn = (
        layers.features(vgg, each, NAMES) for each in (*results.split(1), photos, drawing)
    )
    difference = torch.cat([maps["relu4_2"] for maps in found]) - target["relu4_2"]
    content = difference.square().mean() / drawn["relu4_2"].square().mean()
    assert losses["content"].item() == pytest.approx(content.item(), rel=1e-5)
    styles = [style.loss_to(drawn[name], "gram")(maps[name]).item() for maps in found for name in NAMES]
    assert losses["style"].item() == pytest.approx(sum(styles) / 6, rel=1e-5)


def test_training_minimises_the_sum_and_returns_the_mean_of_its_end():
    weights = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(weights.weight)
    seen = []

    def objective(goal):
        loss = (weights.weight - goal).square().sum()
        seen.append(loss.item())
        return {"a": loss, "b": weights.weight.new_tensor(3)}

    losses = feedforward.train(weights, itertools.repeat((torch.tensor(1.01),)), objective, 40, "test")
    assert seen[-1] < seen[0] / 10
    assert losses == {"a": pytest.approx(sum(seen[-4:]) / 4), "b": 3}
    batches = iter([(1.0,), (float("nan"),)])
    with pytest.raises(RunFailed, match="the loss is nan after 1 steps"):
        feedforward.train(weights, batches, lambda factor: {"a": weights.weight.sum() * factor}, 2, "test")


def constant(x, y, height=6, width=8):
    return torch.tensor([x, y], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, height, width)


def texture(height, width):
    """A smooth picture with detail everywhere, uint8 (H,W,3)."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return flow.images.resize(noise, width, height)


def test_a_warp_is_a_shift_or_between_pixels_their_mean():
    picture = torch.rand(1, 3, 6, 8)
    found = flow.warp(picture, constant(2, -1))
    assert torch.allclose(found[..., 1:, :6], picture[..., :-1, 2:], atol=1e-5)
    assert torch.allclose(found[..., 3, 7], picture[..., 2, 7], atol=1e-5)  # the border is repeated
    found = flow.warp(picture, constant(0.5, 0))
    assert torch.allclose(found[..., :7], (picture[..., :7] + picture[..., 1:]) / 2, atol=1e-5)


def test_hidden_pixels_are_masked():
    """A square moves by 6 to the right over a still ground; it uncovers the 6 columns at its left."""
    there, back = torch.zeros(2, 1, 2, 20, 40)
    back[:, 0, 5:15, 10:20] = 6  # before, it was at 10 to 20
    there[:, 0, 5:15, 16:26] = -6
    hidden = torch.zeros(1, 1, 20, 40)
    hidden[..., 5:15, 10:16] = 1
    assert flow.visible(there, back).equal(1 - hidden)


def test_the_flow_of_a_pan_reproduces_its_second_frame_and_is_found():
    random, ways = np.random.default_rng(1), set()
    to_tensor = lambda frame: torch.from_numpy(frame.copy()).float().permute(2, 0, 1)[None]
    for _ in range(20):
        before, now, there, mask = flow.pan(texture(40, 60), 24, 32, 5, random)
        assert before.shape == now.shape == (24, 32, 3) and there.abs().max() <= 5
        error = mask * (flow.warp(to_tensor(before), there) - to_tensor(now))
        across, down = there[0, :, 0, 0].abs().tolist()
        assert error.abs().max() < 0.1 and mask.sum() == (32 - across) * (24 - down)
        ways.add((across, down))
    assert len(ways) > 5
    before, now, there, _ = flow.pan(texture(80, 120), 64, 96, 5, random)
    found, _ = flow.find(before, now)
    assert there.abs().min() > 0 and (found - there).abs().median() < 0.1
