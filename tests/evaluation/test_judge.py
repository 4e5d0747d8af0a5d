"""KID and FID by hand, the rows of a Judge of tiny pictures with a small VGG19, and the measures of a run."""

import functools
import math
import shutil
import types

import numpy as np
import pytest
import torch
from helpers import TINY, VGG

from evaluation import judge, measures
from networks import Generator
from pictures import checkpoints, images
from training import options
from training.data import Data

SIZE = 32


@pytest.fixture(scope="module")
def vgg():
    return checkpoints.load_vgg(str(VGG))


@pytest.fixture
def make_judge(data, vgg):
    """make_judge(photos, drawings, resize, inception, clear) -> a Judge; of the tiny data by default."""
    folders = [sorted((data / part).iterdir()) for part in ("src_data/test", "tgt_data/train")]

    def make(photos=folders[0], drawings=folders[1], resize="crop", inception=None, clear=None):
        fit = functools.partial(images.fit_training, size=SIZE, how=resize)
        return judge.Judge(judge.Extractor(vgg, "fp32", fit, SIZE, inception), photos, drawings, clear=clear)

    return make


def unchanged(_, photo):
    return photo


# Between sets


def test_kid_is_the_unbiased_discrepancy_under_the_cubic_kernel():
    # (x·y / 2 + 1)^3 is 1 within each set (a vector is not paired with itself), and 8 of (1,0) and (2,0).
    features, others = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    mean, deviation = judge.kid(features, others)
    assert mean == pytest.approx(1 + 1 - 2 * (8 + 1 + 1 + 1) / 4)
    assert deviation == pytest.approx(0, abs=1e-6)


def test_kid_is_about_zero_between_halves_and_repeatable():
    features = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    mean, deviation = judge.kid(features[:200], features[200:])
    assert torch.equal(torch.get_rng_state(), state)  # a run's own randomness does not change
    torch.manual_seed(6)
    assert judge.kid(features[:200], features[200:]) == (mean, deviation)
    assert abs(mean) < 2 * deviation < judge.kid(features[:200], features[200:] + 1)[0]
    assert all(map(math.isfinite, judge.kid(features[:3], features[:2])))


@pytest.mark.parametrize(
    ("height", "width", "tops", "lefts"),
    [
        (16, 18, [0], [1]),  # an eighth too wide: cut off at both ends
        (28, 40, [0, 12], [0, 12, 24]),
        (20, 32, [0, 4], [0, 16]),
    ],
)
def test_squares_cover_the_image_evenly(height, width, tops, lefts):
    image = np.stack(np.mgrid[:height, :width], axis=2)
    found = judge.squares(image, 16)
    assert {square.shape for square in found} == {(16, 16, 2)}
    assert [tuple(square[0, 0]) for square in found] == [(top, left) for top in tops for left in lefts]


# Rows


def test_photographs_differ_in_nothing_and_a_drawing_is_closer_to_the_drawings(make_judge, data):
    judging = make_judge()
    row = judging.measure(unchanged)
    assert row["content_change"] == row["colour"] == row["new_lines"] == 0 and row["ssim"] == 1
    assert 0 < row["by_chance"] < 1 and "at_contours" not in row and "drawn" not in row
    assert row["checkerboard"] == row["checkerboard_photo"] and row["stripes"] == row["stripes_photo"]
    for key in ("kid_drawings", "kid_drawings_std", "flat", "lines", "pictures", "squares"):
        assert row[key] == pytest.approx(judging.baseline[key])
    assert row["kid_photos"] < 0 < row["kid_drawings"]  # below 0: each photo is in both sets
    photos, drawings = map(judge._join, (judging.of_photos, judging.of_drawings))
    standardised = [(each - drawings.mean(0)) / drawings.std(0, correction=0) for each in (photos, drawings)]
    assert row["kid_drawings"] == pytest.approx(judge.kid(*standardised)[0], rel=1e-3)
    drawing = images.read(data / "tgt_data/train/0.jpg")
    row = judging.measure(lambda _, photo: images.resize(drawing, photo.shape[1], photo.shape[0]))
    assert judging.floor["kid_drawings"] < row["kid_drawings"] < judging.baseline["kid_drawings"]
    assert row["kid_photos"] > 0 and row["content_change"] > 0 and row["ssim"] < 0.5


def test_content_change_is_the_mean_change_over_the_mean_size(make_judge, vgg):
    judging = make_judge()
    change = size = 0
    for path in judging.photos:
        photo = judging.extractor.fit(images.read(path))
        for both in zip(judge.squares(photo, SIZE), judge.squares(255 - photo, SIZE), strict=True):
            x, y = (vgg(torch.from_numpy(a.copy()).permute(2, 0, 1)[None] / 127.5 - 1) for a in both)
            change, size = change + (x - y).abs().sum(), size + x.abs().sum()
    row = judging.measure(lambda _, photo: 255 - photo)
    assert row["content_change"] == pytest.approx(float(change / size), rel=1e-4)


def test_the_checkerboard_is_measured_at_the_results_own_size(make_judge):
    """Resizing to the training size, as for the other measures, would remove it."""
    board = 20 * (np.indices((96, 128, 3))[:2].sum(0) % 2).astype(np.uint8)
    assert make_judge().measure(lambda *_: board)["checkerboard"] == pytest.approx(100)


def test_all_squares_of_a_photo_count_and_a_subset_of_photos_can_be_measured(tmp_path, make_judge):
    rng = np.random.default_rng(0)
    for name in "abc":
        images.write(tmp_path / f"{name}.png", rng.integers(0, 256, (SIZE, 3 * SIZE, 3), dtype=np.uint8))
    paths = sorted(tmp_path.iterdir())
    judging = make_judge(paths, paths)
    assert (judging.baseline["pictures"], judging.baseline["squares"]) == (3, 9)
    row = judging.measure(unchanged, paths[:1])
    assert (row["pictures"], row["squares"]) == (1, 3)
    one = make_judge(paths[:1], paths[:1], resize="squash")  # has no second square to measure KID with
    assert "kid_drawings" not in one.floor and "kid_photos" not in one.measure(unchanged)


def test_the_halves_of_the_drawings_share_no_picture():
    first, second = judge._halves({name: torch.zeros(2, 1) for name in "abcdefg"})
    assert (len(first), len(second), first.keys() | second.keys()) == (3, 4, {*"abcdefg"})


def test_fid_needs_enough_pictures(make_judge, monkeypatch):
    monkeypatch.setattr(judge, "FOR_FID", 3)
    row = make_judge().measure(lambda _, photo: np.roll(photo, 1, 2))
    assert row["fid_drawings"] > row["fid_photos"] > 0
    monkeypatch.setattr(judge, "FOR_FID", 4)  # three photographs are too few; squares do not count
    assert "fid_photos" not in make_judge().measure(unchanged)
    features = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)).double()
    assert judge.fid(features, features + torch.tensor([3.0, 4.0, 0, 0])) == pytest.approx(3**2 + 4**2)


def test_inception_gets_bytes_and_its_features_are_not_standardised(make_judge):
    def inception(batch):
        assert batch.dtype == torch.uint8 and batch.shape[1:] == (3, SIZE, SIZE)
        return batch.float().mean((2, 3))

    judging = make_judge(inception=inception)
    photos, drawings = map(judge._join, (judging.of_photos, judging.of_drawings))
    assert drawings.max() > 3  # not standardised
    assert judging.baseline["kid_drawings"] == judge.kid(photos, drawings)[0]


def test_clear_pictures_are_compared_at_the_training_size(data, make_judge, tmp_path):
    path, clear = data / "src_data/test/0.jpg", tmp_path / "clear.png"
    photo = images.read(path)
    images.write(clear, np.clip(photo.astype(int) + 10, 0, 255).astype(np.uint8))
    judging = make_judge(clear={path: clear})
    fitted = [judging.extractor.fit(image) for image in (photo, images.read(clear))]
    assert judging.baseline["psnr_clear"] == pytest.approx(measures.psnr(*fitted))
    images.write(clear, np.pad(photo, ((10, 10), (10, 10), (0, 0))))  # the border of RESIDE's clear pictures
    assert make_judge(clear={path: clear}).baseline["ssim_clear"] == 1


# A run


def test_a_run_is_measured_with_its_own_vgg_on_every_second_test_photograph(
    data, vgg, make_judge, monkeypatch, capsys
):
    tests = [data / f"src_data/test/{number:02}.png" for number in range(10)]
    for number, path in enumerate(tests):
        images.write(path, np.full((16, 16, 3), 25 * number, np.uint8))
    args, _ = options.parse([*TINY.split(), "--vgg_model", "no file", "--tgt_data", f"{data}/tgt_data"])
    args.input_size, average, seen = SIZE, Generator(ngf=4, nb=1), []
    ema = types.SimpleNamespace(module=average, n_averaged=1)
    model = types.SimpleNamespace(generator=None, ema=ema, vgg=vgg)
    photos = sorted((data / "src_data/train").iterdir())
    run = types.SimpleNamespace(args=args, data=Data(photos, tests, [], {}), model=model, precision="fp32")
    run.device = torch.device("cpu")
    for limit, value in {"FEWEST": 6, "LOWEST_AUC": 0}.items():  # so that style is measured too
        monkeypatch.setattr(judge.style, limit, value)

    def convert(generator, photos):
        assert all(map(torch.equal, generator.parameters(), average.parameters()))
        seen.append(photos[0][0, 0, 0])
        return photos

    monkeypatch.setattr(judge.inference, "convert", convert)
    row = judge.measure_of(run)()  # a VGG19 of the options would be "no file"
    assert seen == [0, 50, 100, 150, 200]
    assert row["ssim"] == row["flat"] == row["flat_photo"] == 1 > row["flat_drawings"]
    assert row["lines_photo"] == 0 < row["lines_drawings"] and "pictures" not in row and "drawn" in row
    assert row["kid_drawings"] == pytest.approx(make_judge(tests[::2]).baseline["kid_drawings"])
    model.vgg, args.vgg_model = None, str(VGG)  # a method without VGG19
    measure = judge.measure_of(run)
    assert measure() == row
    shutil.rmtree(data / "tgt_data")  # the drawings were read once
    for path in tests:
        path.unlink()
    assert measure() == measure() == {}
    assert capsys.readouterr().err.count("warning: nothing is measured") == 1
