"""Haze removal by the dark channel prior, which needs no network: a baseline to compare networks with.

He, Sun, Tang: Single Image Haze Removal Using Dark Channel Prior (CVPR 2009). The transmission is refined by
their Guided Image Filtering (ECCV 2010) in place of soft matting.
"""

import numpy as np

from pictures.colour import guided_filter
from pictures.images import cv2

PATCH = 15  # side of the dark channel's window, pixels
OMEGA = 0.95  # share of the haze that is removed: a little must stay, or the picture loses its depth
T0 = 0.1  # the smallest transmission that is divided by
BRIGHTEST = 0.001  # share of the pixels, the brightest in the dark channel, that may give the airlight
RADIUS, EPS = 20, 1e-3  # of the guided filter, as in its example of haze removal; pixels, values in [0, 1]


def dehaze(hazy):
    """Remove the haze of an image: uint8 H,W,3 in, the same out."""
    hazy = hazy.astype(np.float32) / 255
    airlight = find_airlight(hazy)
    transmission = 1 - OMEGA * dark_channel(hazy / airlight)  # Section 4.1
    grey = cv2.cvtColor(hazy, cv2.COLOR_RGB2GRAY)
    transmission = guided_filter(grey, transmission, RADIUS, EPS)
    clear = (hazy - airlight) / np.maximum(transmission, T0)[..., None] + airlight  # Section 4.3
    return np.rint(255 * clear.clip(0, 1)).astype(np.uint8)


def dark_channel(image):
    """The smallest value of any channel in the window around each pixel: H,W,3 to H,W (Section 3)."""
    return cv2.erode(image.min(2), np.ones((PATCH, PATCH), np.uint8))


def find_airlight(hazy):
    """The colour (3,) of the brightest pixel where the haze is densest (Section 4.4)."""
    dark = dark_channel(hazy).ravel()
    count = max(1, int(BRIGHTEST * dark.size))
    densest = np.argpartition(dark, -count)[-count:]
    colours = hazy.reshape(-1, 3)[densest]
    return np.maximum(colours[colours.sum(1).argmax()], 1 / 255)  # never 0: `dehaze` divides by it
