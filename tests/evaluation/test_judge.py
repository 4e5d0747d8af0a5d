"""The rows that a Judge gives, of tiny pictures with a small VGG19."""

import numpy as np
import pytest
import torch
from helpers import VGG
from PIL import Image

from evaluation import judge, metrics
from pictures import checkpoints, images

CPU = torch.device("cpu")
SIZE = 32


@pytest.fixture(scope="module")
def vgg():
    return checkpoints.load_vgg(str(VGG))


@pytest.fixture
def judged(data, vgg):
    """judged(**more) -> a Judge of the tiny data's three test photographs and six drawings."""
    photos, drawings = (sorted((data / part).iterdir()) for part in ("src_data/test", "tgt_data/train"))
    return lambda **more: judge.Judge(photos, drawings, vgg, CPU, "fp32", SIZE, **more)


def same(_, photo):
    return photo


def test_the_photographs_themselves_change_nothing(judged):
    judging = judged()
    row = judging.measure(same)
    assert row["content_change"] == row["colour"] == row["new_lines"] == 0 and row["ssim"] == 1
    assert 0 < row["by_chance"] < 1 and "at_contours" not in row and "drawn" not in row
    assert row["checkerboard"] == row["checkerboard_photo"] and row["stripes"] == row["stripes_photo"]
    for key in ("kid_drawings", "kid_drawings_std", "flat", "lines", "pictures", "squares"):
        assert row[key] == judging.baseline[key]
    assert row["kid_photos"] < 0 < row["kid_drawings"]  # below 0: each photo is in both sets
    assert not any(key.startswith("fid") for key in row)


def test_the_drawings_themselves_are_at_the_drawings(data, vgg):
    drawings = sorted((data / "tgt_data/train").iterdir())
    judging = judge.Judge(drawings, drawings, vgg, CPU, "fp32", SIZE)
    assert judging.baseline["kid_drawings"] < 0
    assert abs(judging.floor["kid_drawings"]) < 2 * judging.floor["kid_drawings_std"]
    assert judging.floor["flat"] == judging.baseline["flat"]


def test_a_result_is_nearer_to_the_drawings_when_it_is_one(judged, data):
    judging = judged()
    drawing = images.read(data / "tgt_data/train/0.jpg")
    row = judging.measure(lambda _, photo: images.resize(drawing, photo.shape[1], photo.shape[0]))
    assert row["kid_drawings"] < judging.baseline["kid_drawings"]
    assert row["kid_photos"] > 0 and row["content_change"] > 0 and row["ssim"] < 0.5


def test_distances_do_not_depend_on_the_scale_and_offset_of_the_features(judged, vgg):
    as_it_is = judged()
    last = vgg.features[-1]
    weight, bias = last.weight.clone(), last.bias.clone()
    try:
        last.weight.mul_(7)
        last.bias.mul_(7).add_(3)
        other = judged()
    finally:
        last.weight.copy_(weight)
        last.bias.copy_(bias)
    assert other.baseline["kid_drawings"] == pytest.approx(as_it_is.baseline["kid_drawings"], rel=1e-3)
    assert other.floor["kid_drawings"] == pytest.approx(as_it_is.floor["kid_drawings"], rel=1e-3)


def test_content_change_is_the_mean_change_over_the_mean_size(judged, vgg):
    judging = judged()
    change = size = 0
    for path in judging.photos:
        photo = judging.fit(images.read(path))
        for before, after in zip(judging.cut(photo), judging.cut(255 - photo), strict=True):
            x, y = (
                vgg(torch.from_numpy(a.copy()).permute(2, 0, 1)[None] / 127.5 - 1) for a in (before, after)
            )
            change, size = change + (x - y).abs().sum(), size + x.abs().sum()
    row = judging.measure(lambda _, photo: 255 - photo)
    assert row["content_change"] == pytest.approx(float(change / size), rel=1e-4)


def test_the_checkerboard_is_that_of_the_results_own_size(tmp_path, vgg):
    """Reduced to the size of training, as all else is, it would be gone."""
    for name in "ab":
        Image.new("RGB", (128, 96), "grey").save(tmp_path / f"{name}.png")
    paths = sorted(tmp_path.iterdir())
    judging = judge.Judge(paths, paths, vgg, CPU, "fp32", SIZE)
    painted = np.indices((96, 128)).sum(0)[..., None] % 2 * np.full(3, 20)
    row = judging.measure(lambda _, photo: photo + painted.astype(np.uint8))
    assert row["checkerboard"] == pytest.approx(100) and abs(row["checkerboard_photo"]) < 1e-6
    # A result that test.py --size made smaller: the photo is looked at in that size.
    row = judging.measure(lambda _, photo: images.resize(photo, 64, 48))
    assert abs(row["checkerboard"]) < 1e-6


def test_all_squares_of_a_photo_are_seen_and_some_photos_alone(tmp_path, vgg):
    rng = np.random.default_rng(0)
    for name in "abc":
        images.write(tmp_path / f"{name}.png", rng.integers(0, 256, (SIZE, 3 * SIZE, 3), dtype=np.uint8))
    paths = sorted(tmp_path.iterdir())
    judging = judge.Judge(paths, paths, vgg, CPU, "fp32", SIZE)
    assert (judging.baseline["pictures"], judging.baseline["squares"]) == (3, 9)
    row = judging.measure(same, paths[:1])
    assert (row["pictures"], row["squares"]) == (1, 3)
    squash = judge.Judge(paths, paths, vgg, CPU, "fp32", SIZE, resize="squash")
    assert squash.baseline["squares"] == 3
    larger = judge.Judge(paths, paths, vgg, CPU, "fp32", SIZE, load_size=2 * SIZE)
    assert larger.baseline["squares"] == 3 * 2 * 6


def test_the_halves_of_a_set_share_no_picture():
    look = judge.FeatureSet(torch.arange(12.0)[:, None], torch.arange(6).repeat_interleave(2))
    first, second = judge._halves(look)
    assert len(first.features) == len(second.features) == 6
    assert not set(first.pictures.tolist()) & set(second.pictures.tolist())
    assert sorted(torch.cat([first.features, second.features])[:, 0].tolist()) == list(range(12))


def test_one_picture_has_no_distance(data, vgg):
    (path, *_) = sorted((data / "tgt_data/train").iterdir())
    judging = judge.Judge([path], [path], vgg, CPU, "fp32", 48, resize="squash")
    assert "kid_drawings" not in judging.floor and "kid_photos" not in judging.measure(same)


def test_fid_is_told_of_enough_pictures(judged, monkeypatch):
    monkeypatch.setattr(judge, "ENOUGH", 3)
    monkeypatch.setattr(metrics, "fid", lambda features, others: float(len(features) + 100 * len(others)))
    judging = judged()
    squares = judging.baseline["squares"], judging.of_drawings.features.shape[0]
    assert judging.baseline["fid_drawings"] == squares[0] + 100 * squares[1]
    assert {"fid_drawings", "fid_photos"} <= judging.measure(same).keys()
    monkeypatch.setattr(judge, "ENOUGH", 4)  # three photographs are too few; squares do not count
    assert "fid_photos" not in judging.measure(same)


def test_inception_sees_bytes_and_its_features_stay_as_they_are(judged):
    seen = []

    def inception(batch):
        seen.append(batch)
        return batch.float().mean((2, 3))

    judging = judged(inception=inception)
    assert all(batch.dtype == torch.uint8 and batch.shape[1:] == (3, SIZE, SIZE) for batch in seen)
    assert judging.of_drawings.features.shape[1] == 3
    expected = metrics.kid(judging.of_photos.features, judging.of_drawings.features)
    assert (judging.baseline["kid_drawings"], judging.baseline["kid_drawings_std"]) == expected


def test_clear_pictures_are_compared_where_there_are_some(data, judged, tmp_path):
    path = data / "src_data/test/0.jpg"
    photo = images.read(path)
    clear = tmp_path / "clear.png"
    images.write(clear, np.clip(photo.astype(int) + 10, 0, 255).astype(np.uint8))
    judging = judged(clear={path: clear})
    fitted = [judging.fit(image) for image in (photo, images.read(clear))]
    assert judging.baseline["psnr_clear"] == pytest.approx(metrics.psnr(*fitted))
    assert judging.baseline["ssim_clear"] == pytest.approx(metrics.ssim(*fitted))
    assert "psnr_clear" not in judging.floor
    row = judging.measure(lambda _, photo: images.read(clear), [path])
    assert row["psnr_clear"] == np.inf and row["ssim_clear"] == 1


def test_the_border_of_resides_clear_pictures_is_cut_off(data, judged, tmp_path):
    path = data / "src_data/test/0.jpg"
    clear = tmp_path / "clear.png"
    images.write(clear, np.pad(images.read(path), ((10, 10), (10, 10), (0, 0))))
    assert judged(clear={path: clear}).baseline["ssim_clear"] == 1
