"""The measure of style on make_data's photographs (soft spots) and drawings (outlined shapes)."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import VGG, make_data

from evaluation import judge, style
from pictures import checkpoints, images


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The paths of {"train": photographs, "test": photographs, "drawings"}."""
    folder = make_data(tmp_path_factory.mktemp("style"), photos=48, tests=6, drawings=48)
    places = {"train": "src_data/train", "test": "src_data/test", "drawings": "tgt_data/train"}
    return {name: sorted((folder / place).iterdir()) for name, place in places.items()}


@pytest.fixture(scope="module")
def judging(folders):
    extractor = judge.Extractor(checkpoints.load_vgg(str(VGG)), "fp32", lambda image: image, 48)
    return judge.Judge(extractor, folders["test"], folders["drawings"], folders["train"])


def style_of(judging, change):
    row = judging.measure(lambda _, photo: change(photo))
    return row["drawn"], row["drawn_std"]


def test_features_are_roots_of_the_means_and_deviations_of_the_maps_of_a_grey_picture(judging):
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    grey = torch.tensor(images.luminance(image)[..., 0]) / 255
    maps = judging.extractor.vgg.maps((grey / grey.mean() - 1).expand(1, 3, -1, -1), style.LAYERS)
    expected = [each.flatten() for x in maps for each in (x.mean((2, 3)), x.std((2, 3), correction=0))]
    assert torch.allclose(judging.extractor.describe(image)[0], torch.cat(expected).sqrt(), atol=1e-3)


def test_photographs_are_at_0_drawings_at_1_and_a_drawing_beside_a_photograph_between(judging, folders):
    assert judging.style.auc > 0.95
    assert judging.baseline["drawn"] == pytest.approx(0) and judging.floor["drawn"] == pytest.approx(1)
    for row in (judging.baseline, judging.floor):
        assert 0 < row["drawn_std"] < 0.3
    assert style_of(judging, lambda photo: photo)[0] == pytest.approx(0)
    drawing = lambda photo: images.resize(images.read(folders["drawings"][0]), *photo.shape[1::-1])
    beside = style_of(judging, lambda photo: images.side_by_side(photo, drawing(photo)))[0]
    assert 0.2 < beside < 0.5 < style_of(judging, drawing)[0] < 1.2


def test_photographs_with_lines_count_as_a_fifth_of_the_photographs(judging):
    random = np.random.default_rng(0)
    photos, lined, drawings = (random.normal(centre, 1, (30, 2)) for centre in ((0, 0), (1, 0), (2, 3)))
    mixed = np.concatenate([photos, photos, photos, photos, lined])
    within = (np.cov(mixed.T, bias=True) + np.cov(drawings.T, bias=True)) / 2
    scale = np.sqrt(np.diag(within))
    shrunken = 0.95 * within / np.outer(scale, scale) + 0.05 * np.eye(2)
    expected = np.linalg.solve(shrunken, (drawings.mean(0) - mixed.mean(0)) / scale) / scale
    weights = style._discriminant(*map(torch.from_numpy, (photos, lined, drawings)))
    assert weights.numpy() == pytest.approx(expected)
    # If they did not count, lines alone would have a style of 0.61.
    assert style_of(judging, lambda photo: style.draw_lines(photo, 2))[0] < 0.35


def test_each_half_is_scored_by_the_discriminant_of_the_other():
    """The discriminant of a half of two equal kinds separates that half, but not the other."""
    random = torch.Generator().manual_seed(0)
    kinds = [
        {Path(f"{kind}{n}_1.png"): torch.randn(1, 40, generator=random) for n in range(48)}
        for kind in ("photo", "drawing")
    ]
    assert 0.35 < style.fit(kinds[0], dict([*kinds[0].items()][::3]), kinds[1]).auc < 0.65


def test_crops_that_may_overlap_are_in_the_same_half():
    crops = [Path(f"{book}_{page}_{crop}.jpg") for book in "abcd" for page in range(10) for crop in range(3)]
    halves = style.split(crops)
    pages = {(path.stem[:-2], halves[path]) for path in crops}
    assert len(pages) == 40 and sorted(half for _, half in pages) == [0] * 20 + [1] * 20
    frames = [Path(f"frame_{number:03}.png") for number in range(100)]  # of a film: ten sequences
    halves = [style.split(frames)[path] for path in frames]
    assert sum(halves) == 50 and sum(a != b for a, b in itertools.pairwise(halves)) == 9


def test_style_is_not_measured_with_few_or_equal_pictures(folders, judging, capsys):
    extractor = judging.extractor
    assert style.learn(folders["train"][:39], folders["drawings"], extractor) is None
    assert "not measured: there are 39 photographs and 48 drawings, but" in capsys.readouterr().err
    assert style.learn(folders["train"], folders["train"], extractor) is None
    assert "drawn" not in judging.measure(lambda _, photo: photo, folders["test"][:4])


def test_the_error_is_the_standard_error_of_the_means():
    rng = np.random.default_rng(1)
    place, error = style.place(rng.normal(0.5, 0.2, 50), rng.normal(0, 0.2, 50), rng.normal(1, 0.2, 400))
    assert place == pytest.approx(0.5, abs=0.1)
    assert error == pytest.approx(0.2 / 50**0.5 * (1 + 0.5**2) ** 0.5, rel=0.25)
