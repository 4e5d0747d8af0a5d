"""Style transfer of films: the temporal error, the objective, tiny runs."""

import numpy as np
import pytest
import torch
from helpers import refusal

import networks
from CartoonGAN import total_variation
from pictures import checkpoints
from survey import feedforward, flow, video


def of_film(words, film, *more):
    return [*words[:3], "--film", str(film), *words[5:], *more]


def make_pictures(count, height=16, width=24):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_temporal_error_by_hand():
    before, still = make_pictures(1), torch.zeros(1, 2, 16, 24)
    moved = torch.tensor([1.0, 0]).view(1, 2, 1, 1).expand(1, 2, 16, 24)
    now = before.roll(-1, 3)  # what was at x + 1; the last column came from elsewhere
    mask = flow.inside(moved)
    assert video.temporal_error(before, now, moved, mask).item() == pytest.approx(0, abs=1e-9)
    assert video.temporal_error(before, now + 0.5, moved, mask).item() == pytest.approx(0.25, rel=1e-4)
    assert video.temporal_error(before, now, still, torch.ones(1, 1, 16, 24)) > 0.1
    assert video.temporal_error(before, now, moved, torch.zeros(1, 1, 16, 24)) == 0


def test_the_terms_of_the_objective(vgg, training_words):
    args = video.parse([*training_words, "--content=2", "--style=3", "--tv=4", "--temporal=5"])
    network, drawing = networks.Generator(**video.SHAPE), make_pictures(1, 40, 32)
    before, now = make_pictures(2).split(1)
    motion = torch.zeros(1, 2, 16, 24), torch.ones(1, 1, 16, 24)
    terms = video.make_objective(args, vgg, network, drawing)(before, now, *motion)
    results = torch.cat([networks.stylise(network, frame) for frame in (before, now)])
    names = ("relu1_2", "relu2_2", "relu3_2", "relu4_2")
    loss = feedforward.make_loss(vgg, drawing, "relu4_2", names)(results, torch.cat([before, now]))
    expected = {"content": 2 * loss["content"], "style": 3 * loss["style"]}
    temporal = (results[0] - results[1]).square().mean()
    expected |= {"tv": 4 * total_variation(results), "temporal": 5 * temporal}
    torch.testing.assert_close(terms, expected, rtol=1e-3, atol=0)


def test_the_last_tenth_of_a_film_is_not_trained_on(training_words, tmp_path, monkeypatch):
    frames = [np.full((16, 24, 3), number, np.uint8) for number in range(40)]
    monkeypatch.setattr(flow, "read_film", lambda *_: frames)
    (tmp_path / "film.mp4").touch()
    training, measured = video.pairs_of(video.parse(of_film(training_words, tmp_path / "film.mp4")), None)
    seen = {(int(before.max()), int(now.max())) for before, now, *_ in (next(training) for _ in range(300))}
    assert seen <= {(n, n + 1) for n in range(35)} and len(seen) > 30
    assert [int(pair[0].max()) for pair in measured] == [35, 36, 37, 38]


def test_a_network_is_trained_on_a_film(training_words, tmp_path):
    films = pytest.importorskip("films")
    films.make(tmp_path / "film.mp4", times=films.EVEN)
    video.main(of_film(training_words, tmp_path / "film.mp4", "--steps", "1", "--frames", "12"))
    assert checkpoints.load_generator(tmp_path / "out.pth").architecture["ngf"] == 16


def test_wrong_use_is_a_one_line_error(training_words, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"not a film")
    bad = refusal(video.main, *of_film(training_words, tmp_path / "bad.mp4"))
    assert bad.startswith(f"cannot read {tmp_path}/bad.mp4")
    assert "not both" in refusal(video.main, *training_words, "--film", training_words[0])
