"""KID and FID by hand, the rows of a Judge of tiny pictures with a small VGG19, and the measures of a run."""

import functools
import math
import shutil
import types

import numpy as np
import pytest
import torch
from helpers import TINY, VGG
from PIL import Image

from evaluation import judge, measures
from networks import Generator
from pictures import checkpoints, images
from training import options
from training.data import Data

CPU = torch.device("cpu")
SIZE = 32


@pytest.fixture(scope="module")
def vgg():
    return checkpoints.load_vgg(str(VGG))


@pytest.fixture
def make_judge(data, vgg):
    """make_judge(photos, drawings, load_size, resize, **more) -> a Judge; of the tiny data by default."""
    folders = [sorted((data / part).iterdir()) for part in ("src_data/test", "tgt_data/train")]

    def make(photos=folders[0], drawings=folders[1], load_size=SIZE, resize="crop", **more):
        fit = functools.partial(images.fit_training, size=load_size, how=resize)
        return judge.Judge(photos, drawings, vgg, CPU, "fp32", SIZE, fit, **more)

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


def test_kid_is_about_zero_between_halves_repeatable_and_leaves_the_random_state_alone():
    features = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    mean, deviation = judge.kid(features[:200], features[200:])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert judge.kid(features[:200], features[200:]) == (mean, deviation)
    assert abs(mean) < 2 * deviation
    shifts = [judge.kid(features[:200], features[200:] + shift)[0] for shift in (0.5, 1, 2)]
    assert mean < shifts[0] < shifts[1] < shifts[2]
    assert all(map(math.isfinite, judge.kid(features[:3], features[:2])))


def test_fid_of_a_shift_is_its_square_and_of_a_scale_that_of_the_deviations():
    features = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)).double()
    assert judge.fid(features, features + torch.tensor([3.0, 4.0, 0, 0])) == pytest.approx(25)
    centred = features - features.mean(0)
    # Covariances C and 4 C: trace(C + 4 C - 2 * 2 C) = trace(C).
    assert judge.fid(centred, 2 * centred) == pytest.approx(float(centred.T.cov().trace()))


@pytest.mark.parametrize(
    ("height", "width", "tops", "lefts"),
    [
        (8, 9, [0], [0]),  # an eighth over: cut off
        (8, 12, [0], [0, 4]),
        (8, 16, [0], [0, 8]),
        (14, 20, [0, 6], [0, 6, 12]),
        (10, 10, [0, 2], [0, 2]),
    ],
)
def test_squares_cover_the_image_evenly(height, width, tops, lefts):
    image = np.stack(np.mgrid[:height, :width], axis=2)
    found = judge.squares(image, 8)
    assert {square.shape for square in found} == {(8, 8, 2)}
    assert [tuple(square[0, 0]) for square in found] == [(top, left) for top in tops for left in lefts]


def test_a_single_square_is_the_middle():
    (square,) = judge.squares(np.zeros((100, 110)) + np.arange(110), 100)
    assert square[0, 0] == 5


# Rows


def test_the_photographs_themselves_change_nothing(make_judge):
    judging = make_judge()
    row = judging.measure(unchanged)
    assert row["content_change"] == row["colour"] == row["new_lines"] == 0 and row["ssim"] == 1
    assert 0 < row["by_chance"] < 1 and "at_contours" not in row and "drawn" not in row
    assert row["checkerboard"] == row["checkerboard_photo"] and row["stripes"] == row["stripes_photo"]
    for key in ("kid_drawings", "kid_drawings_std", "flat", "lines", "pictures", "squares"):
        assert row[key] == pytest.approx(judging.baseline[key])
    assert row["kid_photos"] < 0 < row["kid_drawings"]  # below 0: each photo is in both sets
    assert not any(key.startswith("fid") for key in row)


def test_a_result_is_nearer_to_the_drawings_when_it_is_one(make_judge, data):
    judging = make_judge()
    drawing = images.read(data / "tgt_data/train/0.jpg")
    row = judging.measure(lambda _, photo: images.resize(drawing, photo.shape[1], photo.shape[0]))
    assert abs(judging.floor["kid_drawings"]) < 2 * judging.floor["kid_drawings_std"]
    assert row["kid_drawings"] < judging.baseline["kid_drawings"]
    assert row["kid_photos"] > 0 and row["content_change"] > 0 and row["ssim"] < 0.5


def test_distances_do_not_depend_on_the_scale_and_offset_of_the_features(make_judge, vgg):
    before = make_judge()
    last = vgg.features[-1]
    weight, bias = last.weight.clone(), last.bias.clone()
    try:
        last.weight.mul_(7)
        last.bias.mul_(7).add_(3)
        after = make_judge()
    finally:
        last.weight.copy_(weight)
        last.bias.copy_(bias)
    assert after.baseline["kid_drawings"] == pytest.approx(before.baseline["kid_drawings"], rel=1e-3)
    assert after.floor["kid_drawings"] == pytest.approx(before.floor["kid_drawings"], rel=1e-3)


def test_content_change_is_the_mean_change_over_the_mean_size(make_judge, vgg):
    judging = make_judge()
    change = size = 0
    for path in judging.photos:
        photo = judging.fit(images.read(path))
        for both in zip(judge.squares(photo, SIZE), judge.squares(255 - photo, SIZE), strict=True):
            x, y = (vgg(torch.from_numpy(a.copy()).permute(2, 0, 1)[None] / 127.5 - 1) for a in both)
            change, size = change + (x - y).abs().sum(), size + x.abs().sum()
    row = judging.measure(lambda _, photo: 255 - photo)
    assert row["content_change"] == pytest.approx(float(change / size), rel=1e-4)


def test_the_checkerboard_is_that_of_the_results_own_size(tmp_path, make_judge):
    """Reduced to the size of training, as for the other measures, it would be gone."""
    for name in "ab":
        Image.new("RGB", (128, 96), "grey").save(tmp_path / f"{name}.png")
    paths = sorted(tmp_path.iterdir())
    judging = make_judge(paths, paths)
    painted = np.indices((96, 128)).sum(0)[..., None] % 2 * np.full(3, 20)
    row = judging.measure(lambda _, photo: photo + painted.astype(np.uint8))
    assert row["checkerboard"] == pytest.approx(100) and abs(row["checkerboard_photo"]) < 1e-6
    row = judging.measure(lambda _, photo: images.resize(photo, 64, 48))  # as of test.py --size
    assert abs(row["checkerboard"]) < 1e-6


def test_all_squares_of_a_photo_count_and_some_photos_may_be_measured(tmp_path, make_judge):
    rng = np.random.default_rng(0)
    for name in "abc":
        images.write(tmp_path / f"{name}.png", rng.integers(0, 256, (SIZE, 3 * SIZE, 3), dtype=np.uint8))
    paths = sorted(tmp_path.iterdir())
    judging = make_judge(paths, paths)
    assert (judging.baseline["pictures"], judging.baseline["squares"]) == (3, 9)
    row = judging.measure(unchanged, paths[:1])
    assert (row["pictures"], row["squares"]) == (1, 3)
    assert make_judge(paths, paths, resize="squash").baseline["squares"] == 3
    larger = make_judge(paths, paths, load_size=2 * SIZE)
    assert larger.baseline["squares"] == 3 * 2 * 6
    one = make_judge(paths[:1], paths[:1], resize="squash")
    assert "kid_drawings" not in one.floor and "kid_photos" not in one.measure(unchanged)


def test_the_halves_of_the_drawings_share_no_picture():
    whole = judge.FeatureSet(torch.arange(12.0)[:, None], torch.arange(6).repeat_interleave(2))
    first, second = judge._halves(whole)
    assert len(first.features) == len(second.features) == 6
    assert not set(first.pictures.tolist()) & set(second.pictures.tolist())
    assert sorted(torch.cat([first.features, second.features])[:, 0].tolist()) == list(range(12))


def test_fid_needs_enough_pictures(make_judge, monkeypatch):
    monkeypatch.setattr(judge, "FOR_FID", 3)
    monkeypatch.setattr(judge, "fid", lambda features, others: float(len(features) + 100 * len(others)))
    judging = make_judge()
    squares = judging.baseline["squares"], judging.of_drawings.features.shape[0]
    assert judging.baseline["fid_drawings"] == squares[0] + 100 * squares[1]
    assert {"fid_drawings", "fid_photos"} <= judging.measure(unchanged).keys()
    monkeypatch.setattr(judge, "FOR_FID", 4)  # three photographs are too few; squares do not count
    assert "fid_photos" not in judging.measure(unchanged)


def test_inception_gets_bytes_and_its_features_stay_as_they_are(make_judge):
    seen = []

    def inception(batch):
        seen.append(batch)
        return batch.float().mean((2, 3))

    judging = make_judge(inception=inception)
    assert all(batch.dtype == torch.uint8 and batch.shape[1:] == (3, SIZE, SIZE) for batch in seen)
    expected = judge.kid(judging.of_photos.features, judging.of_drawings.features)
    assert judging.of_drawings.features.shape[1] == 3
    assert (judging.baseline["kid_drawings"], judging.baseline["kid_drawings_std"]) == expected


def test_clear_pictures_are_compared_where_there_are_some(data, make_judge, tmp_path):
    path, clear = data / "src_data/test/0.jpg", tmp_path / "clear.png"
    photo = images.read(path)
    images.write(clear, np.clip(photo.astype(int) + 10, 0, 255).astype(np.uint8))
    judging = make_judge(clear={path: clear})
    fitted = [judging.fit(image) for image in (photo, images.read(clear))]
    assert judging.baseline["psnr_clear"] == pytest.approx(measures.psnr(*fitted))
    assert judging.baseline["ssim_clear"] == pytest.approx(measures.ssim(*fitted))
    assert "psnr_clear" not in judging.floor
    row = judging.measure(lambda _, photo: images.read(clear), [path])
    assert row["psnr_clear"] == np.inf and row["ssim_clear"] == 1
    images.write(clear, np.pad(photo, ((10, 10), (10, 10), (0, 0))))  # the border of RESIDE's clear pictures
    assert make_judge(clear={path: clear}).baseline["ssim_clear"] == 1


# A run


@pytest.fixture
def run(data, vgg):
    """What measure_of needs of a run: a generator, ten test photographs that differ, the run's own VGG19."""
    tests = []
    for number in range(10):
        tests.append(data / f"src_data/test/{number:02}.png")
        images.write(tests[-1], np.full((16, 16, 3), 25 * number, np.uint8))
    args = options.parse([*TINY.split(), "--vgg_model", "no file", "--tgt_data", f"{data}/tgt_data"])[0]
    torch.manual_seed(0)
    model = types.SimpleNamespace(generator=Generator(ngf=4, nb=1), ema=None, vgg=vgg)
    return types.SimpleNamespace(
        args=args, data=Data([], tests, [], {}), model=model, device=CPU, precision="fp32"
    )


def test_a_run_is_measured_with_its_own_vgg_on_every_second_test_photograph(run, data, vgg, monkeypatch):
    seen = []
    keep = lambda _, photos: seen.append(photos[0][0, 0, 0]) or photos
    monkeypatch.setattr(judge.inference, "convert", keep)
    row = judge.measure_of(run)()  # a VGG19 of the options would be "no file"
    assert seen == [0, 50, 100, 150, 200]
    assert row["ssim"] == row["flat"] == row["flat_photo"] == 1 > row["flat_drawings"]
    assert row["lines_photo"] == 0 < row["lines_drawings"] and "pictures" not in row
    fit = functools.partial(images.fit_training, size=16, how="crop")
    drawings = sorted((data / "tgt_data/train").iterdir())
    expected = judge.Judge(run.data.tests[::2], drawings, vgg, CPU, "fp32", 16, fit).baseline
    assert row["kid_drawings"] == pytest.approx(expected["kid_drawings"])


def test_a_method_without_vgg_is_measured_with_that_of_its_options(run):
    expected = judge.measure_of(run)()
    run.model.vgg, run.args.vgg_model = None, str(VGG)
    assert judge.measure_of(run)() == expected
    assert expected["content_change"] > 0


def test_lost_test_photographs_are_not_measured(run, data, capsys):
    measure = judge.measure_of(run)
    before = measure()
    run.data.tests[8].write_text("no image")
    shutil.rmtree(data / "tgt_data")  # the drawings were read once
    rows = measure(), measure()
    assert rows[0] == rows[1] and rows[0].keys() == before.keys() and rows[0] != before
    assert capsys.readouterr().err == f"left out {run.data.tests[8]}: not an image\n"
    for path in run.data.tests:
        path.unlink()
    assert measure() == measure() == {}
    assert capsys.readouterr().err.count("warning: nothing is measured") == 1
