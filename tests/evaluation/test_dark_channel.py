"""The dark channel prior on scenes that satisfy it, by hand."""

import numpy as np
import pytest

from evaluation import dark_channel


def test_the_dark_channel_is_the_least_value_of_the_window():
    image = np.ones((40, 40, 3))
    image[20, 20, 1] = 0.25
    dark = dark_channel.dark_channel(image)
    assert (dark[13:28, 13:28] == 0.25).all()
    assert (dark == 0.25).sum() == 15 * 15 and (dark[dark != 0.25] == 1).all()


def test_uniform_haze_is_removed_to_the_share_omega_of_the_paper():
    scene = np.random.default_rng(0).uniform(0, 0.7, (90, 120, 3))
    scene[::7, ::7] = 0  # a black pixel in every window, so the dark channel is 0
    airlight = np.array([0.9, 0.8, 0.7])
    hazy = scene * 0.4 + airlight * (1 - 0.4)  # the scattering model
    hazy[:10, :10], hazy[0, 0] = 0.98 * airlight, airlight  # the densest haze, and its brightest pixel
    hazy[60:64, 20:24] = 1  # a white wall smaller than the window is not haze
    assert dark_channel.find_airlight(hazy.astype(np.float32)) == pytest.approx(airlight)
    result = dark_channel.dehaze(np.rint(255 * hazy).astype(np.uint8)) / 255
    # The dark channel is A (1 - t), so the estimate is 1 - 0.95 (1 - t) where nothing else is near.
    estimated = 1 - 0.95 * (1 - 0.4)
    expected = (airlight + 0.4 / estimated * (scene - airlight)).clip(0, 1)
    assert np.abs(result - expected)[:, 80:].max() < 0.03


def test_transmission_is_at_least_a_tenth_and_nothing_is_divided_by_zero():
    image = np.full((60, 60, 3), (216, 206, 206), np.uint8)
    image[:30] = airlight = (220, 210, 210)
    result = dark_channel.dehaze(image)
    assert tuple(result[0, 0]) == airlight
    # The estimate is 1 - 0.95 * 206 / 210 = 0.07; the difference of 4 is divided by 0.1.
    assert tuple(result[59, 59]) == (180, 170, 170)
    assert not dark_channel.dehaze(np.zeros((40, 40, 3), np.uint8)).any()
