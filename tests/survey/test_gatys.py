"""Gatys' style transfer on a small pair with random weights."""

import pytest
import torch
import torch.nn.functional as F
from skimage.color import rgb2yiq
from torch._subclasses.fake_tensor import FakeTensorMode

from networks import VGG19
from survey import colour, gatys, layers, style
from utils import WrongUse

PAPERS_WAY = ["--init", "noise", "--pooling", "average", "--optimiser", "lbfgs", "--tv", "0", "--steps", "20"]


@pytest.fixture
def options(pair, tmp_path):
    """Parsed options of the pair, with more words."""
    return lambda *words: gatys.parse([*map(str, (*pair, tmp_path / "x.png")), *words])


def painted(args, vgg, photo, drawings):
    torch.manual_seed(args.seed)
    return gatys.paint(args, vgg, photo, drawings)


def total(losses):
    return sum(losses.values())


@pytest.mark.parametrize(
    "words", [[], ["--optimiser", "lbfgs"], ["--pooling", "average"], ["--keep_colour", "histogram"]]
)
def test_the_photograph_is_a_fixed_point_without_style(vgg, options, pictures, words):
    photo, drawing = pictures
    made, losses = painted(
        options("--style", "0", "--tv", "0", "--steps", "5", *words), vgg, photo, [drawing]
    )
    assert torch.equal(made, photo) and total(losses) == 0


@pytest.mark.parametrize("statistics", style.STATISTICS)
def test_the_objective_is_halved(vgg, options, pictures, statistics):
    photo, drawing = pictures
    args = options("--statistics", statistics, "--steps", "60")
    objective = gatys.make_objective(args, vgg, photo, [drawing])
    made, _ = painted(args, vgg, photo, [drawing])
    torch.manual_seed(0)
    with torch.no_grad():  # of the Gaussian kernel's estimates the mean
        before, after = (sum(total(objective(x)) for _ in range(20)) for x in (photo, made))
    assert after < before / 2


@pytest.mark.parametrize("kept", ["histogram", "luminance"])
def test_it_is_halved_where_colours_are_kept(vgg, options, pictures, kept):
    photo, drawing = pictures
    words = ["--keep_colour", kept, "--steps"]
    (_, first), (_, last) = (painted(options(*words, n), vgg, photo, [drawing]) for n in ("1", "60"))
    assert total(last) < total(first) / 2


def test_the_papers_way_halves_it_sooner(vgg, options, pictures):
    photo, drawing = pictures
    args = options(*PAPERS_WAY)
    made, losses = painted(args, vgg, photo, [drawing])
    objective = gatys.make_objective(args, layers.pool_by_average(vgg), photo, [drawing])
    with torch.no_grad():
        assert total(losses) == pytest.approx(total(objective(made)).item())
        assert total(losses) < total(objective(gatys.NOISE * torch.randn_like(photo))) / 2


def test_a_second_pass_begins_at_the_first_ones_result_enlarged(vgg, options, pictures, monkeypatch):
    photo, drawing = pictures
    passes, descend = [], gatys.descent.descend

    def watched(start, *more):
        passes.append((start, *descend(start, *more)))
        return passes[-1][1:]

    monkeypatch.setattr(gatys.descent, "descend", watched)
    words = ["--init", "noise", "--steps", "20"]
    _, alone = painted(options(*words), vgg, photo, [drawing])
    made, losses = painted(options(*words, "--first_size", "160"), vgg, photo, [drawing])  # of 256
    (small, smaller, _), (begun, _, _) = passes[1:]
    assert [round(0.625 * side) for side in photo.shape[2:]] == [*small.shape[2:]]
    torch.testing.assert_close(begun, F.interpolate(smaller, photo.shape[2:], mode="bicubic"))
    assert made.shape == photo.shape and total(losses) < total(alone)


def test_from_noise_the_seed_decides(vgg, options, pictures):
    photo, drawing = pictures
    made = {
        seed: painted(options("--init", "noise", "--steps", "3", "--seed", seed), vgg, photo, [drawing])[0]
        for seed in "01"
    }
    again, _ = painted(options("--init", "noise", "--steps", "3"), vgg, photo, [drawing])
    assert torch.equal(again, made["0"]) and not torch.equal(made["0"], made["1"])
    assert (again - photo).abs().mean() > 0.1


def test_the_terms_by_hand(vgg, options, pictures):
    photo, drawing = pictures
    args = options("--content", "2", "--style", "3", "--tv", "5")
    picture = torch.rand_like(photo)
    terms = gatys.make_objective(args, vgg, photo, [drawing])(picture)
    mine, own = (layers.features(vgg, x, ["relu4_2"])["relu4_2"] for x in (picture, photo))
    content = F.mse_loss(mine, own) / own.square().mean()
    grams = [
        [style.gram(each) for each in layers.features(vgg, x, gatys.STYLE).values()]
        for x in (picture, drawing)
    ]
    errors = [(g - a).square().sum() / a.square().sum() for g, a in zip(*grams, strict=True)]
    variation = ((picture[..., 1:, :] - picture[..., :-1, :]) ** 2).mean()
    variation += ((picture[..., 1:] - picture[..., :-1]) ** 2).mean()
    wanted = {"content": 2 * content, "style": 3 * sum(errors) / 5, "tv": 5 * variation}
    torch.testing.assert_close(terms, wanted)


def test_drawings_count_by_their_weights(vgg, options, pictures):
    photo, drawing = pictures
    other = drawing.flip(1)
    args = options("--drawing_weights", "1")
    one, two = (gatys.make_objective(args, vgg, photo, [x])(photo)["style"] for x in (drawing, other))
    args.drawing_weights = [1, 3]
    both = gatys.make_objective(args, vgg, photo, [drawing, other])(photo)["style"]
    torch.testing.assert_close(both, (one + 3 * two) / 4)


def test_luminance_alone_keeps_the_chroma_and_changes_the_rest(vgg, options, pictures):
    photo, drawing = pictures
    photo = 0.5 * photo  # room for another luminance
    args = options("--keep_colour", "luminance", "--steps", "10", "--content", "0", "--tv", "0.01")
    made, _ = painted(args, vgg, photo, [0.2 * drawing])
    inside = (made.abs() < 1).all(1)[0].numpy()
    before, after = (rgb2yiq(x[0].permute(1, 2, 0).numpy())[inside] for x in (photo, made))
    assert inside.mean() > 0.5
    assert abs(after - before)[:, 1:].max() < 1e-4 and abs(after - before)[:, 0].mean() > 0.02


def test_histogram_gives_the_drawing_other_colours_before(vgg, options, pictures, monkeypatch):
    photo, drawing = pictures
    seen, make = [], gatys.make_objective
    monkeypatch.setattr(gatys, "make_objective", lambda *given: seen.append(given[3]) or make(*given))
    painted(options("--keep_colour", "histogram", "--steps", "1"), vgg, photo, [drawing])
    assert torch.equal(seen[0][0], colour.match_colours(drawing, photo))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--drawing_weights", "1", "2"], "a weight for each of 1 drawings"),
        (["--drawing_weights", "0"], "not all 0"),
        (["--statistics", "mmd_gaussian", "--optimiser", "lbfgs"], "use --optimiser adam"),
        (["--style", "-1"], "at least 0"),
        (["--first_size", "256"], "--first_size 256 is not below --size 256"),
    ],
)
def test_wrong_options_are_told(options, words, told):
    with pytest.raises(WrongUse, match=told):
        options(*words)


@pytest.mark.parametrize("statistics", style.STATISTICS)
def test_all_is_on_the_pictures_device(options, statistics):
    """Of fake CUDA tensors: one on the CPU among them would be refused."""
    with FakeTensorMode(), torch.device("cuda"):
        vgg = VGG19(width=4, deeper=True)
        photo, drawing = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 48, 32)
        drawing = colour.match_luminance(drawing, photo)
        terms = gatys.make_objective(options("--statistics", statistics), vgg, photo, [drawing])(photo)
        grey = colour.with_luminance(photo, colour.luminance(drawing[..., :32, :]))
    assert {term.device.type for term in (*terms.values(), grey)} == {"cuda"}
