"""Li and Wand's patches on a small pair with random weights."""

import math

import torch
import torch.nn.functional as F

from survey import layers, mrf, style


def make_pictures(photo=(64, 64), drawing=(64, 64)):
    """Soft and hard patches of colour, (1,3,H,W)."""
    random = torch.Generator().manual_seed(0)
    colours = torch.rand(2, 3, 6, 6, generator=random) * 2 - 1
    soft = F.interpolate(colours[:1], photo, mode="bicubic").clamp(-1, 1)
    return soft, F.interpolate(colours[1:], drawing, mode="nearest")


def options(words=""):
    return mrf.parse([__file__, __file__, "out.png", *f"--steps 20 {words}".split()])


def plain_match(maps, patches):
    """The matches by the written-out normalised correlation (3)."""
    own = mrf.patches_of(maps)
    correlation = own @ patches.T / own.norm(dim=1, keepdim=True) / patches.norm(dim=1)
    return correlation.argmax(1)


def test_the_terms_of_the_objective(vgg, monkeypatch):
    monkeypatch.setattr(mrf, "CHUNK", 7)
    torch.manual_seed(0)
    photo, drawing = make_pictures(drawing=(40, 48))
    picture = (photo + 0.2 * torch.randn(photo.shape)).clamp(-1, 1)
    terms = mrf.make_objective(options("--style 2 --content 3 --tv 4"), vgg, photo, drawing)(picture)
    names = ["relu3_1", "relu4_1", "relu4_2"]
    seen, own, drawn = (layers.features(vgg, each, names) for each in (picture, photo, drawing))
    errors = []
    for name in names[:2]:
        patches = mrf.patches_of(drawn[name])
        error = mrf.patches_of(seen[name]) - patches[plain_match(seen[name], patches)]
        errors.append(error.square().mean() / patches.square().mean())
    content = (seen["relu4_2"] - own["relu4_2"]).square().mean() / own["relu4_2"].square().mean()
    expected = {"style": 2 * sum(errors), "content": 3 * content, "tv": 4 * style.total_variation(picture)}
    torch.testing.assert_close(terms, expected, rtol=1e-3, atol=0)


def test_sizes_double_and_each_starts_from_the_last_result(vgg, monkeypatch):
    photo, drawing = make_pictures((200, 256), (256, 300))
    starts = []

    def descend(start, objective, steps, description):
        starts.append(start)
        return torch.full_like(start, 0.1 * len(starts)), {}

    monkeypatch.setattr(mrf.descent, "descend", descend)
    mrf.paint(options("--scales 5"), vgg, photo, [drawing])  # none below 64 pixels
    assert [tuple(start.shape[2:]) for start in starts] == [(50, 64), (100, 128), (200, 256)]
    assert starts[0].equal(F.interpolate(photo, (50, 64), mode="bilinear", antialias=True))
    assert starts[1].sub(0.1).abs().max() < 1e-6 and starts[2].sub(0.2).abs().max() < 1e-6


def test_rotated_and_scaled_copies(vgg):
    photo, drawing = make_pictures(drawing=(60, 80))
    made = [*mrf.copies(drawing, 1, 1)]
    assert len(made) == 9 and made[4].sub(drawing).abs().max() < 1e-4
    spot = torch.zeros(1, 3, 41, 61)
    spot[..., 20, 50] = 1  # 20 to the right of the centre
    steps = [(turn, zoom) for turn in (-1, 0, 1) for zoom in (-1, 0, 1)]
    for (turn, zoom), copy in zip(steps, mrf.copies(spot, 1, 1), strict=True):
        row, column = divmod(copy[0, 0].argmax().item(), 61)
        length, angle = 20 * 1.05**zoom, math.radians(7.5) * turn
        assert abs(row - 20 - length * math.sin(angle)) < 0.8
        assert abs(column - 30 - length * math.cos(angle)) < 0.8
    loss = lambda words: mrf.make_objective(options(words), vgg, photo, drawing)(photo)["style"].item()
    assert loss("--turns 1 --zooms 1") != loss("")  # they are matched too
