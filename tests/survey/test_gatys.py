"""Gatys' style transfer on a small pair with random weights."""

import pytest
import torch
import torch.nn.functional as F
from skimage.color import rgb2yiq

from survey import gatys, layers, style
from utils import WrongUse


@pytest.fixture
def options(pair, tmp_path):
    """Parsed options of the pair, with more words."""
    return lambda words="": gatys.parse([*map(str, (*pair, tmp_path / "x.png")), *words.split()])


def paint(args, vgg, photo, drawings):
    torch.manual_seed(args.seed)
    return gatys.paint(args, vgg, photo, drawings)


AS_IN_THE_PAPER = "--init noise --pooling average --optimiser lbfgs --tv 0"


@pytest.mark.parametrize("words", [AS_IN_THE_PAPER, "--statistics mmd_gaussian --keep_colour histogram"])
def test_the_objective_is_halved(vgg, options, pictures, words):
    photo, drawing = pictures
    (_, first), (_, last) = (
        paint(options(f"--content 0.1 --tv 0.1 {words} --steps {steps}"), vgg, photo, [drawing])
        for steps in (1, 60)
    )
    assert sum(last.values()) < sum(first.values()) / 2


def test_a_second_pass_starts_from_the_enlarged_result_of_the_first(vgg, options, pictures, monkeypatch):
    photo, drawing = pictures
    passes, descend = [], gatys.descent.descend

    def record(start, *more):
        passes.append((start, *descend(start, *more)))
        return passes[-1][1:]

    monkeypatch.setattr(gatys.descent, "descend", record)
    paint(options("--init noise --steps 2 --first_size 160"), vgg, photo, [drawing])  # of 256
    (small, result, _), (start, _, _) = passes
    assert small.std().item() == pytest.approx(gatys.NOISE, rel=0.05)
    assert [*small.shape[2:]] == [round(0.625 * side) for side in photo.shape[2:]]
    torch.testing.assert_close(start, F.interpolate(result, photo.shape[2:], mode="bicubic"))


def test_the_terms_by_hand(vgg, options, pictures):
    photo, drawing = pictures
    picture, drawings = torch.rand_like(photo), [drawing, drawing.flip(1)]
    args = options("--content 2 --style 3 --tv 5")
    args.drawing_weights = [1, 3]
    terms = gatys.make_objective(args, vgg, photo, drawings)(picture)
    names = [f"relu{block}_1" for block in range(1, 6)]
    maps, own, *drawn = (layers.features(vgg, x, [*names, "relu4_2"]) for x in (picture, photo, *drawings))
    content = F.mse_loss(maps["relu4_2"], own["relu4_2"]) / own["relu4_2"].square().mean()
    first, second = (sum(style.loss_to(each[x], "gram")(maps[x]) for x in names) / 5 for each in drawn)
    variation = ((picture[..., 1:, :] - picture[..., :-1, :]) ** 2).mean()
    variation += ((picture[..., 1:] - picture[..., :-1]) ** 2).mean()
    expected = {"content": 2 * content, "style": 3 * (first + 3 * second) / 4, "tv": 5 * variation}
    torch.testing.assert_close(terms, expected)


def test_luminance_keeps_the_chroma_and_changes_the_rest(vgg, options, pictures):
    photo, drawing = pictures
    photo = 0.5 * photo  # room for another luminance
    args = options("--keep_colour luminance --steps 10 --content 0 --tv 0.01")
    made, _ = paint(args, vgg, photo, [0.2 * drawing])
    inside = (made.abs() < 1).all(1)[0].numpy()
    before, after = (rgb2yiq(x[0].permute(1, 2, 0).numpy())[inside] for x in (photo, made))
    assert inside.mean() > 0.5
    assert abs(after - before)[:, 1:].max() < 1e-4 and abs(after - before)[:, 0].mean() > 0.02


def test_wrong_options_are_refused(options):
    for words, message in (
        ("--drawing_weights 1 2", "a weight for each of 1 drawings"),
        ("--statistics mmd_gaussian --optimiser lbfgs", "use --optimiser adam"),
        ("--first_size 256", "--first_size 256 is not below --size 256"),
    ):
        with pytest.raises(WrongUse, match=message):
            options(words)
