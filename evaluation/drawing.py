"""How drawn an image is: flat areas, and thin dark lines and where they are. Images are uint8 H,W,3, RGB."""

import math

import numpy as np

from pictures.images import cv2, luminance, resize

FLAT = 2  # grey levels: the deviation below which a pixel's surroundings are flat
FLAT_SIDE = 256  # shorter side at which this is measured, pixels
DARK = 50  # grey levels by which a line is at least darker than its surroundings
PEN = 9  # pixels: lines are narrower than this
CONTOUR = (40, 100)  # Canny's thresholds for contours
NEAR = 3  # pixels: the largest distance of a line that is at a contour


def flat(image):
    """Share of the pixels whose luminance has a standard deviation below 2 of 255 in the 5x5 around them.

    The image is resized to a shorter side of 256 pixels first: noise and texture depend on the size.
    """
    scale = FLAT_SIDE / min(image.shape[:2])
    height, width = (round(side * scale) for side in image.shape[:2])
    grey = luminance(resize(image, width, height)).astype(np.float64)
    mean, mean_square = cv2.blur(grey, (5, 5)), cv2.blur(grey**2, (5, 5))
    return float((mean_square - mean**2 < FLAT**2).mean())


def lines(image):
    """Share of the pixels in thin dark lines: a black-hat with an ellipse of 9x9 pixels is over 50 of 255."""
    return float(_lines(image).mean())


def new_lines(image, photo):
    """Share of the pixels of a result in lines (see `lines`) that are not within a pixel of its photo's.

    Both images have the same size.
    """
    return float(_new_lines(image, photo).mean())


def at_contours(image, photo):
    """(share of the pixels of new lines within 3 pixels of a contour of the photo, share expected by chance).

    Contours are Canny's edges of the photo (thresholds 40 and 100 of 255, after a Gaussian of 1 pixel). The
    share expected by chance is that of all pixels. NaN without new lines. Both images have the same size.
    """
    smooth = cv2.GaussianBlur(luminance(photo), (0, 0), 1)
    near = _within(NEAR, cv2.Canny(smooth, *CONTOUR) > 0)
    new = _new_lines(image, photo)
    return float(near[new].mean()) if new.any() else math.nan, float(near.mean())


def _lines(image):
    return cv2.morphologyEx(luminance(image), cv2.MORPH_BLACKHAT, _disc(PEN)) > DARK


def _new_lines(image, photo):
    return _lines(image) & ~_within(1, _lines(photo))


def _within(distance, places):
    """Where a pixel is at most `distance` from one of the `places`, both bool H,W."""
    return cv2.dilate(places.astype(np.uint8), _disc(2 * distance + 1)) > 0


def _disc(diameter):
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
