"""Every measure against a value worked by hand or known in closed form."""

import math

import numpy as np
import pytest
import torch

from evaluation import metrics
from pictures import colour

GREY = np.full((96, 128, 3), 128, np.uint8)


def pattern(make, height=96, width=128):
    """An image that is 128 + make(y, x) in all channels."""
    values = np.rint(128 + make(*np.mgrid[:height, :width]))
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("height", "width", "tops", "lefts"),
    [
        (8, 8, [0], [0]),
        (8, 9, [0], [0]),  # an eighth over: cut off
        (8, 12, [0], [0, 4]),
        (8, 16, [0], [0, 8]),
        (8, 20, [0], [0, 6, 12]),
        (14, 8, [0, 6], [0]),
        (10, 10, [0, 2], [0, 2]),
    ],
)
def test_squares_cover_the_image_evenly(height, width, tops, lefts):
    image = np.stack(np.mgrid[:height, :width], axis=2)
    found = metrics.squares(image, 8)
    assert {square.shape for square in found} == {(8, 8, 2)}
    assert [tuple(square[0, 0]) for square in found] == [(top, left) for top in tops for left in lefts]


def test_a_single_square_is_the_middle():
    assert metrics.squares(np.arange(18).reshape(1, 18), 1)[0] == 0
    (square,) = metrics.squares(np.zeros((100, 110)) + np.arange(110), 100)
    assert square[0, 0] == 5


# Between sets


def test_kid_of_two_by_two_worked_by_hand():
    # x·y / 2 + 1, cubed: within the first set (1·1/2 + 1)^3, within the second 1, between the sets 1.
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    others = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    mean, deviation = metrics.kid(features, others)
    assert mean == pytest.approx(1.5**3 + 1 - 2 * 1)
    assert deviation == pytest.approx(0, abs=1e-6)


def test_kid_is_about_zero_between_halves_and_grows_with_a_shift():
    features = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    mean, deviation = metrics.kid(features[:200], features[200:])
    assert abs(mean) < 2 * deviation
    shifts = [metrics.kid(features[:200], features[200:] + shift)[0] for shift in (0.5, 1, 2)]
    assert mean < shifts[0] < shifts[1] < shifts[2]


def test_kid_of_a_set_to_itself_is_just_below_zero():
    """By what each image's likeness to itself adds to the mean of the kernel between the sets."""
    features = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    kernel = (features @ features.T / 8 + 1) ** 3
    others = (kernel.sum() - kernel.trace()) / (100 * 99)
    mean, deviation = metrics.kid(features, features)
    assert mean == pytest.approx(2 * float(others - kernel.mean()), abs=3 * deviation / 100**0.5)
    assert mean < 0


def test_kid_is_always_the_same_and_leaves_the_random_state_alone():
    features = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    first = metrics.kid(features[:20], features[20:])
    torch.manual_seed(5)
    assert metrics.kid(features[:20], features[20:]) == first
    torch.set_rng_state(before)
    metrics.kid(features[:20], features[20:])
    assert torch.equal(torch.get_rng_state(), before)


def test_kid_takes_few_and_refuses_one():
    features = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert all(map(math.isfinite, metrics.kid(features, features[:2])))
    assert metrics.kid(features, features[:1]) is None


def test_fid_of_a_shift_is_its_square_and_of_a_scale_that_of_the_deviations():
    features = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)).double()
    assert metrics.fid(features, features) == pytest.approx(0, abs=1e-6)
    assert metrics.fid(features, features + torch.tensor([3.0, 4.0, 0, 0])) == pytest.approx(25)
    centred = features - features.mean(0)
    # Covariances C and 4 C: trace(C + 4 C - 2 * 2 C) = trace(C).
    assert metrics.fid(centred, 2 * centred) == pytest.approx(float(centred.T.cov().trace()))


# Beside another


def test_psnr_of_a_constant_shift():
    assert metrics.psnr(GREY, GREY + 10) == pytest.approx(20 * math.log10(255 / 10))
    assert metrics.psnr(GREY, GREY) == math.inf


def test_ssim_of_a_constant_shift_is_the_term_of_luminance():
    constant = (0.01 * 255) ** 2
    expected = (2 * 128 * 138 + constant) / (128**2 + 138**2 + constant)
    assert metrics.ssim(GREY, GREY + 10) == pytest.approx(expected)
    assert metrics.ssim(GREY, GREY) == 1


def test_ssim_looks_at_luminance_alone():
    red, green = np.zeros_like(GREY), np.zeros_like(GREY)
    red[..., 0], green[..., 1] = 150, 76  # a luminance of 45 both
    assert metrics.ssim(red, green) == pytest.approx(1)


# Alone


@pytest.mark.parametrize(
    ("make", "energy"),
    [
        (lambda y, x: 9 * (-1) ** (x + y), 81),
        (lambda y, x: 9 * (-1) ** x, 81 / 2),
        (lambda y, x: 9 * (-1) ** y, 81 / 2),
        (lambda y, x: 9 * (-1) ** (x // 2), 81 / 2),  # every 4 pixels
        (lambda y, x: 9 * np.cos(np.pi * x / 2), 81 / 4),  # values 9 0 -9 0
        (lambda y, x: 9 + 0 * x, 0),
    ],
)
def test_checkerboard_of_a_pattern_is_its_energy(make, energy):
    assert metrics.checkerboard(pattern(make)) == pytest.approx(energy, abs=1e-9)


def test_checkerboard_of_each_channel_counts_a_third():
    image = GREY.copy()
    image[..., 2] += (9 * (-1) ** np.arange(128)).astype(np.int8).view(np.uint8)
    assert metrics.checkerboard(image) == pytest.approx(81 / 2 / 3)


@pytest.mark.parametrize("width", [127, 128, 130, 171])
def test_checkerboard_does_not_depend_on_the_size(width):
    image = pattern(lambda y, x: 9 * (-1) ** (x + y), 101, width)
    assert metrics.checkerboard(image) == pytest.approx(81)


def test_checkerboard_of_noise_of_a_step_and_of_another_stripe_is_about_nothing():
    rng = np.random.default_rng(0)
    noise = np.repeat(rng.integers(100, 156, (256, 256, 1), dtype=np.uint8), 3, axis=2)
    # The noise's variance is 261, and 30 of 256 frequencies are looked at.
    assert abs(metrics.checkerboard(noise)) < 3
    assert abs(metrics.checkerboard(pattern(lambda y, x: np.where(x < 50, 0, 100)))) < 1
    assert abs(metrics.checkerboard(pattern(lambda y, x: 20 * np.cos(2 * np.pi * x * 3 / 8)))) < 1e-1


def test_checkerboard_is_found_on_a_picture_and_only_where_it_is():
    rng = np.random.default_rng(0)
    smooth = np.repeat(np.repeat(rng.integers(20, 200, (4, 4, 1)), 32, axis=0), 32, axis=1)
    picture = np.repeat(smooth, 3, axis=2).astype(np.uint8)
    y, x = np.mgrid[:128, :128]
    painted = (picture + (6 * (-1) ** (y + x))[..., None]).astype(np.uint8)
    assert metrics.checkerboard(painted) - metrics.checkerboard(picture) == pytest.approx(36, rel=0.1)


def test_colour_error_is_the_distance_of_chroma_alone():
    grey = np.full((8, 8, 3), 120, np.uint8)
    assert metrics.colour_error(grey, grey // 2) < 0.5  # another lightness
    lab = colour.to_lab(grey)
    lab[..., 1:] = (3, 4)
    assert metrics.colour_error(grey, colour.to_rgb(lab)) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize(("period", "energy"), [(2, 36), (3, 32)])
def test_stripes_have_their_energy(across, period, energy):
    level = np.where(np.arange(120) % period == 0, 6, -6)
    level = level - level.mean()
    image = np.broadcast_to((128 + level)[:, None, None], (120, 120, 3)).round().astype(np.uint8)
    image = image.transpose(1, 0, 2) if across else image
    assert metrics.stripes(image) == pytest.approx(energy, rel=0.1)


def test_noise_a_checkerboard_and_flat_colour_have_no_stripes():
    rng = np.random.default_rng(0)
    noise = np.repeat(rng.normal(128, 6, (128, 128, 1)).clip(0, 255).astype(np.uint8), 3, 2)
    board = np.repeat((128 + 6 * (np.indices((128, 128)).sum(0) % 2)[..., None]).astype(np.uint8), 3, 2)
    for image in (noise, board, np.full((64, 64, 3), 9, np.uint8)):
        assert abs(metrics.stripes(image)) < 2
