import math

import pytest
import torch
import torch.nn.functional as F

from survey import layers, mrf


@pytest.fixture
def random():
    return torch.Generator().manual_seed(0)


def pictures(photo=(64, 64), drawing=(64, 64)):
    """Soft blots and hard squares of colour, (1,3,H,W)."""
    random = torch.Generator().manual_seed(0)
    colours = torch.rand(2, 3, 6, 6, generator=random) * 2 - 1
    blots = F.interpolate(colours[:1], photo, mode="bicubic").clamp(-1, 1)
    return blots, F.interpolate(colours[1:], drawing, mode="nearest")


def options(*more):
    return mrf.parse([__file__, __file__, "out.png", "--steps", "20", *more])


def plain_match(maps, patches):
    """The matches by the written-out normalised correlation (3)."""
    own = mrf.patches_of(maps)
    correlation = own @ patches.T / own.norm(dim=1, keepdim=True) / patches.norm(dim=1)
    return correlation.argmax(1)


@pytest.mark.parametrize("chunk", [1, 7, 30, 1000])
def test_matches_are_the_most_correlated_whatever_the_chunk(random, chunk):
    maps, drawing = (torch.rand(1, 6, *size, generator=random) for size in ((5, 7), (6, 5)))
    patches = mrf.patches_of(drawing)
    assert mrf.match(maps, patches, chunk).equal(plain_match(maps, patches))


def test_the_length_of_a_patch_does_not_decide(random):
    drawing = torch.rand(1, 3, 4, 4, generator=random)
    patches = mrf.patches_of(drawing)
    scaled = patches * (0.1 + 9 * torch.rand(16, 1, generator=random))
    assert mrf.match(drawing * 2, scaled).equal(torch.arange(16))


def test_style_loss_of_one_place():
    maps = torch.tensor([3.0, 1.0]).view(1, 2, 1, 1)  # its borders repeated: one patch of nine equal places
    patches = torch.tensor([[1.0] * 9 + [0.0] * 9, [0.0] * 9 + [5.0] * 9])
    # The first is the nearer in direction: (2^2 + 1^2) / 2, over the mean square (9 + 9 * 25) / 36.
    assert mrf.style_loss(maps, patches).item() == pytest.approx(2.5 / 6.5)


def test_the_terms_of_the_objective(vgg):
    photo, drawing = pictures(drawing=(40, 48))
    picture = (photo + 0.2 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))).clamp(
        -1, 1
    )
    args = options("--style", "2", "--content", "3", "--tv", "4")
    terms = mrf.make_objective(args, vgg, photo, drawing)(picture)
    names = [*mrf.STYLE, mrf.CONTENT]
    seen, photo_maps, drawn = (layers.features(vgg, each, names) for each in (picture, photo, drawing))
    style = 0
    for name in mrf.STYLE:
        patches = mrf.patches_of(drawn[name])
        error = mrf.patches_of(seen[name]) - patches[plain_match(seen[name], patches)]
        style += error.square().mean() / patches.square().mean()
    wanted = photo_maps[mrf.CONTENT]
    content = (seen[mrf.CONTENT] - wanted).square().mean() / wanted.square().mean()
    across, down = picture[..., 1:] - picture[..., :-1], picture[:, :, 1:] - picture[:, :, :-1]
    assert terms["style"].item() == pytest.approx(2 * style.item(), rel=1e-3)
    assert terms["content"].item() == pytest.approx(3 * content.item(), rel=1e-3)
    assert terms["tv"].item() == pytest.approx(4 * (across.square().mean() + down.square().mean()).item())


def test_the_photograph_stays_where_style_has_no_weight(vgg):
    photo, drawing = pictures()
    args = options("--style", "0", "--tv", "0", "--scales", "1")
    picture, losses = mrf.paint(args, vgg, photo, [drawing])
    assert picture.sub(photo).abs().max() < 1e-6 and losses["content"] == 0


def test_the_drawing_as_photograph_stays(vgg):
    _, drawing = pictures()
    picture, losses = mrf.paint(options("--tv", "0", "--scales", "1"), vgg, drawing, [drawing])
    assert picture.sub(drawing).abs().max() < 0.01
    assert losses["style"] < 1e-6 and losses["content"] < 1e-6


def test_the_objective_halves(vgg):
    photo, drawing = pictures()
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    objective = mrf.make_objective(options(), vgg, photo, drawing)
    before = sum(objective(noise).values()).item()
    found, losses = mrf.descent.descend(noise, objective, 40)
    assert sum(losses.values()) < before / 2
    assert found.abs().max() <= 1


def test_the_command_halves_an_objective_that_is_mostly_style(vgg):
    """From the photograph on, where its search starts."""
    photo, drawing = pictures()
    args = options("--scales", "1", "--steps", "60", "--content", "0.1", "--tv", "0")
    before = sum(mrf.make_objective(args, vgg, photo, drawing)(photo).values()).item()
    found, losses = mrf.paint(args, vgg, photo, [drawing])
    assert sum(losses.values()) < before / 2
    assert found.abs().max() <= 1


@pytest.mark.parametrize("sizes", [((16, 16), (16, 31)), ((131, 70), (66, 97)), ((18, 256), (256, 20))])
def test_any_sizes_and_the_same_each_time(vgg, sizes):
    photo, drawing = pictures(*sizes)
    first, losses = mrf.paint(options("--steps", "3"), vgg, photo, [drawing])
    again, _ = mrf.paint(options("--steps", "3"), vgg, photo, [drawing])
    assert first.shape == photo.shape and first.dtype == torch.float32
    assert first.abs().max() <= 1 and first.equal(again)
    assert losses.keys() == {"style", "content", "tv"}


def test_scales_start_coarse_and_each_from_the_last(vgg, monkeypatch):
    photo, drawing = pictures((200, 256), (256, 300))
    starts = []

    def descend(start, objective, steps, description):
        starts.append(start)
        return torch.full_like(start, 0.1 * len(starts)), {}

    monkeypatch.setattr(mrf.descent, "descend", descend)
    mrf.paint(options(), vgg, photo, [drawing])
    assert [tuple(start.shape[2:]) for start in starts] == [(50, 64), (100, 128), (200, 256)]
    assert starts[0].sub(F.interpolate(photo, (50, 64), mode="bilinear", antialias=True)).abs().max() == 0
    assert starts[1].sub(0.1).abs().max() < 1e-6 and starts[2].sub(0.2).abs().max() < 1e-6
    starts.clear()
    mrf.paint(options("--scales", "5"), vgg, photo, [drawing])
    assert len(starts) == 3  # none below 64 pixels


def test_turned_and_zoomed_copies():
    _, drawing = pictures(drawing=(60, 80))
    made = [*mrf.copies(drawing, 1, 1)]
    assert len(made) == 9 and made[4].sub(drawing).abs().max() < 1e-4
    spot = torch.zeros(1, 3, 41, 61)
    spot[..., 20, 50] = 1  # 20 to the right of the middle
    for number, (turn, zoom) in enumerate((turn, zoom) for turn in (-1, 0, 1) for zoom in (-1, 0, 1)):
        seen = [*mrf.copies(spot, 1, 1)][number][0, 0]
        row, column = divmod(seen.argmax().item(), 61)
        length = 20 * 1.05**zoom
        down, right = length * math.sin(math.radians(7.5) * turn), length * math.cos(math.radians(7.5))
        assert abs(row - 20 - down) < 0.8 and abs(column - 30 - right) < 0.8


def test_the_copies_are_patches_to_match(vgg):
    photo, drawing = pictures()
    loss = lambda *more: mrf.make_objective(options(*more), vgg, photo, drawing)(photo)["style"].item()
    assert loss("--turns", "1", "--zooms", "1") != loss()
