"""Every measure against a value computed by hand, in closed form or by an independent formula."""

import math

import numpy as np
import pytest

from evaluation import measures
from pictures import colour
from pictures.images import cv2, luminance

GREY = np.full((96, 128, 3), 128, np.uint8)


def pattern(make):
    """An image that is 128 + make(y, x) in all channels."""
    values = np.rint(128 + make(*np.mgrid[:96, :128]))
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def grey(side=64):
    return np.full((side, side, 3), 200, np.uint8)


def test_flat_is_the_share_without_texture_at_any_size():
    image = grey(512)
    image[:, 256:] = np.random.default_rng(0).integers(0, 256, (512, 256, 3))
    assert measures.flat(grey()).all()
    assert measures.flat(image).mean() == pytest.approx(0.5, abs=0.02)
    faint = grey(256)
    faint[::2] += 3  # a deviation of 1.5; of 5 it is 2.5
    assert measures.flat(faint).all()
    faint[::2] += 2
    assert not measures.flat(faint).any()


def test_a_line_is_thin_dark_and_new():
    photo = grey()
    for width, ink, found in ((3, 0, True), (3, 149, True), (3, 150, False), (20, 0, False)):
        result = cv2.line(photo.copy(), (32, 0), (32, 63), (ink,) * 3, width)
        expected = (result[..., 0] == ink) & found
        assert (measures.lines(result) == expected).all()
        assert (measures.new_lines(result, photo) == expected).all()
    line = cv2.line(photo.copy(), (32, 0), (32, 63), (0, 0, 0), 3)
    assert not measures.new_lines(line, line).any() and not measures.lines(photo).any()
    assert not measures.new_lines(np.roll(line, 1, 1), line).any()  # a pixel beside the photo's own
    assert measures.new_lines(np.roll(line, 2, 1), line).mean() == 1 / 64


def test_lines_at_contours_and_by_chance():
    photo = grey()
    photo[:, 32:] = 80  # one contour, at column 31 or 32, and three pixels on each side of it
    line = lambda column: cv2.line(photo.copy(), (column, 0), (column, 63), (0, 0, 0), 1)
    assert measures.near_contours(photo).mean() == pytest.approx(7 / 64)
    assert measures.at_contours(line(30), photo).all() and not measures.at_contours(line(10), photo).any()
    assert math.isnan(measures.at_contours(photo, photo))


def test_ssim_is_wangs_formula_on_luminance():
    """Means, variances and covariance with a Gaussian window of 11x11 pixels inside the image."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
    other = np.clip(0.2 * image + 100 + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
    mean = lambda values: cv2.GaussianBlur(values, (11, 11), 1.5)[5:-5, 5:-5]
    x, y = (luminance(each)[..., 0].astype(float) for each in (image, other))
    first = (2 * mean(x) * mean(y) + (0.01 * 255) ** 2) / (mean(x) ** 2 + mean(y) ** 2 + (0.01 * 255) ** 2)
    variances = mean(x**2) - mean(x) ** 2 + mean(y**2) - mean(y) ** 2
    second = (2 * (mean(x * y) - mean(x) * mean(y)) + (0.03 * 255) ** 2) / (variances + (0.03 * 255) ** 2)
    assert measures.ssim(image, other) == pytest.approx((first * second).mean(), rel=1e-6)


def test_colour_error_is_the_distance_of_chroma_only():
    colours = [np.full((8, 8, 3), (60, *chroma), np.float32) for chroma in ((10, 20), (13, 24))]
    colours[1][..., 0] = 50  # another lightness
    assert measures.colour_error(*map(colour.to_rgb, colours)) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize(
    ("make", "checkerboard", "stripes"),
    [
        (lambda y, x: 9 * (-1) ** (x + y), 81, 0),
        (lambda y, x: 9 * (-1) ** x, 81 / 2, 81),
        (lambda y, x: 9 * (-1) ** (x // 2), 81 / 2, 81 * 5 / 6),  # the window moves 1/6 below 1/4
        (lambda y, x: np.where(y % 3, -6, 6), 0, 32),  # less the mean: 8, -4 and -4
        (lambda y, x: 9 + 0 * x, 0, 0),
    ],
)
def test_artefacts_of_a_pattern_have_its_energy(make, checkerboard, stripes):
    image = pattern(make)
    assert measures.checkerboard(image) == pytest.approx(checkerboard, abs=1e-6)
    assert measures.stripes(image) == pytest.approx(stripes, rel=0.1, abs=2)
    image[..., :2] = 128  # each channel counts a third
    assert measures.checkerboard(image[:, :-1]) == pytest.approx(checkerboard / 3, abs=1e-6)


def test_checkerboard_is_found_on_a_picture_and_not_in_noise_or_at_other_frequencies():
    rng = np.random.default_rng(0)
    noise = rng.integers(100, 156, (256, 256, 1), dtype=np.uint8).repeat(3, 2)
    # The noise's variance is 261, and 30 of 256 frequencies are looked at.
    assert abs(measures.checkerboard(noise)) < 3
    assert abs(measures.checkerboard(pattern(lambda y, x: 20 * np.cos(2 * np.pi * x * 3 / 8)))) < 1e-1
    picture = cv2.resize(rng.integers(20, 200, (4, 4, 3), dtype=np.uint8), (128, 128), interpolation=0)
    painted = (picture + (6 * (-1) ** np.indices((128, 128)).sum(0))[..., None]).astype(np.uint8)
    assert measures.checkerboard(painted) - measures.checkerboard(picture) == pytest.approx(36, rel=0.1)


def test_noise_has_no_stripes():
    noise = np.random.default_rng(0).normal(128, 20, (128, 128, 1)).clip(0, 255).astype(np.uint8)
    # The axes hold 18 of the noise's 400; the geometric mean of noise is 0.56 of its mean.
    assert measures.stripes(noise.repeat(3, 2)) == pytest.approx(0.44 * 18, rel=0.2)


def test_each_measure_is_computed_from_its_inputs_where_they_exist():
    board, tinted = pattern(lambda y, x: 9 * (-1) ** (x + y)), GREY + np.uint8([10, 0, 0])
    board[:, 60] = 0  # a line
    views = measures.Views(result=GREY, photo=tinted, clear=None, full=board, full_photo=GREY)
    row = measures.measure(views)
    assert row["checkerboard"] == measures.checkerboard(board) > 1 > abs(row["checkerboard_photo"])
    assert row["flat"] == 1 > row["ssim"] and row["colour"] == measures.colour_error(GREY, tinted) > 1
    assert row["new_lines"] == 1 / 128 and row["at_contours"] == row["by_chance"] == row["lines"] == 0
    assert "psnr_clear" not in row
    row = measures.measure(views._replace(clear=GREY + 10, photo=None, full_photo=None))
    assert row["psnr_clear"] == pytest.approx(20 * math.log10(255 / 10)) and row["ssim_clear"] < 1
    assert row.keys() >= {"psnr_clear", "ssim_clear", "flat", "lines", "checkerboard", "stripes"}
    assert not {"ssim", "colour", "new_lines", "by_chance", "checkerboard_photo"} & row.keys()  # no photo
    tiny = measures.measure(views._replace(full=GREY[:11], full_photo=GREY[:11]))
    assert not {"checkerboard", "stripes", "stripes_photo", "at_contours"} & tiny.keys()  # no lines either
