"""Flat areas, and lines drawn by hand on pictures whose values are known."""

import numpy as np
import pytest

from evaluation import drawing
from pictures.images import cv2


def grey(width=64, height=64, value=200):
    return np.full((height, width, 3), value, np.uint8)


def test_flat_is_the_share_without_texture_whatever_the_size():
    image = grey(512, 512)
    image[:, 256:] = np.random.default_rng(0).integers(0, 256, (512, 256, 3))
    assert drawing.flat(grey()) == 1
    assert drawing.flat(image) == pytest.approx(0.5, abs=0.02)
    faint = grey(256, 256)
    faint[::2] += 3  # a deviation of 1.5; of 5 it is 2.5
    assert drawing.flat(faint) == 1
    faint[::2] += 2
    assert drawing.flat(faint) == 0


def test_a_line_is_thin_dark_and_new():
    photo = grey()
    for width, ink, found in ((3, 0, True), (3, 140, True), (3, 160, False), (20, 0, False)):
        result = cv2.line(photo.copy(), (32, 0), (32, 63), (ink,) * 3, width)
        share = (result[..., 0] == ink).mean()
        assert drawing.lines(result) == drawing.new_lines(result, photo) == (share if found else 0)
    line = cv2.line(photo.copy(), (32, 0), (32, 63), (0, 0, 0), 3)
    assert drawing.new_lines(line, line) == drawing.lines(photo) == 0
    assert drawing.new_lines(np.roll(line, 1, 1), line) == 0  # a pixel beside the photo's own
    assert drawing.new_lines(np.roll(line, 2, 1), line) == 1 / 64


def test_lines_at_contours_beside_chance():
    photo = grey()
    photo[:, 32:] = 80  # one contour, at column 31 or 32
    line = lambda column: cv2.line(photo.copy(), (column, 0), (column, 63), (0, 0, 0), 1)
    at, chance = drawing.at_contours(line(30), photo)
    assert at == 1 and chance == pytest.approx(7 / 64)
    assert drawing.at_contours(line(10), photo) == (0, chance)
    nothing, same = drawing.at_contours(photo, photo)
    assert np.isnan(nothing) and same == chance
