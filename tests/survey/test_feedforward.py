import itertools

import numpy as np
import pytest
import torch
from helpers import VGG

from pictures import checkpoints
from survey import feedforward, layers, style
from utils import RunFailed, WrongUse

NAMES = ("relu1_1", "relu3_1", "relu4_2")  # the content layer among them, as in video.py


@pytest.fixture(scope="module")
def vgg():
    return checkpoints.load_vgg(VGG)


def test_losses_are_those_of_each_picture(vgg):
    results, photos = torch.rand(2, 2, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    drawing = torch.rand(1, 3, 40, 20) * 2 - 1
    losses = feedforward.make_loss(vgg, drawing, "relu4_2", NAMES)(results, photos)
    seen = (layers.features(vgg, each, ["relu4_2"])["relu4_2"] for each in (results, photos, drawing))
    found, wanted, drawn = seen
    content = (found - wanted).square().mean() / drawn.square().mean()
    assert losses["content"].item() == pytest.approx(content.item(), rel=1e-5)
    expected = 0
    for result in results.split(1):
        maps, drawn = (layers.features(vgg, each, NAMES) for each in (result, drawing))
        for name in NAMES:
            a, b = style.gram(maps[name]), style.gram(drawn[name])
            expected += (a - b).square().sum() / b.square().sum() / 6  # three layers, two pictures
    assert losses["style"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_drawing_has_its_own_style_and_a_photo_its_own_content(vgg):
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    losses = feedforward.make_loss(vgg, picture, "relu4_2", NAMES)(picture, picture)
    assert losses["content"] == 0 and losses["style"] == 0


def test_training_steps_down_the_sum_and_tells_its_end():
    weights = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(weights.weight)
    told = []

    def objective(goal):
        told.append((weights.weight - goal).square().sum().item())
        return {"a": (weights.weight - goal).square().sum(), "b": weights.weight.new_tensor(3)}

    losses = feedforward.train(weights, itertools.repeat((torch.tensor(1.01),)), objective, 40, "test")
    assert told[-1] < told[0] / 10
    assert losses == {"a": pytest.approx(sum(told[-4:]) / 4), "b": 3}


def test_a_loss_that_is_no_number_ends_the_training():
    weights = torch.nn.Linear(1, 1)
    objective = lambda factor: {"a": weights.weight.sum() * factor}
    with pytest.raises(RunFailed, match="the loss is nan after 1 steps"):
        batches = iter([(1.0,), (float("nan"),)])
        feedforward.train(weights, batches, objective, 2, "test")


def test_photographs_that_cannot_be_read_are_left_out(data, capsys):
    folder = data / "src_data/train"
    (folder / "bad.jpg").write_bytes(b"no picture")
    assert len(feedforward.photographs(folder)) == 6
    assert "left out" in capsys.readouterr().err
    for path in folder.glob("[0-9].jpg"):
        path.unlink()
    with pytest.raises(WrongUse, match="at least 1 needed"):
        feedforward.photographs(folder)


def test_random_photos_and_places(data):
    paths, random = feedforward.photographs(data / "src_data/train"), np.random.default_rng(0)
    photos = [feedforward.random_photo(paths, 32, random) for _ in range(30)]
    assert all(min(photo.shape[:2]) == 32 for photo in photos)
    assert len({photo.tobytes() for photo in photos}) > 6  # some are flipped
    places = {feedforward.random_place(np.zeros((5, 7, 3)), 4, 5, random) for _ in range(60)}
    assert places == {*itertools.product(range(2), range(3))}
