"""The measures of results: name, meaning and computation of each. The pages import this without PyTorch.

To add a measure, write its function and its line in MEASURES: the printed table, evaluation.json, metrics.csv
and the pages take it from there. A function returns a number, or a map of which pixels count: the measure is
then their share. Images are uint8 H,W,3, RGB.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pictures.colour import to_lab
from pictures.images import cv2, luminance, resize

TINY = 1e-12  # energy that is added, so that no logarithm is of 0

# Of an image alone: areas and lines

FLAT = 2  # grey levels: the deviation below which a pixel's surroundings are flat
FLAT_SIDE = 256  # shorter side at which this is measured, pixels
DARK = 50  # grey levels by which a line must be darker than its surroundings
PEN = 9  # pixels: lines are narrower than this
CONTOUR = (40, 100)  # Canny's thresholds for contours
NEAR = 3  # pixels: the largest distance of a line that is at a contour


def flat(image):
    """Where the luminance has a standard deviation below 2 of 255 in the 5x5 around a pixel.

    The image is resized to a shorter side of 256 pixels first: noise and texture depend on the size.
    """
    scale = FLAT_SIDE / min(image.shape[:2])
    height, width = (round(side * scale) for side in image.shape[:2])
    grey = luminance(resize(image, width, height)).astype(np.float64)
    mean, mean_square = cv2.blur(grey, (5, 5)), cv2.blur(grey**2, (5, 5))
    return mean_square - mean**2 < FLAT**2


def lines(image):
    """Where an image has thin dark lines: their black-hat by an ellipse of 9x9 pixels is over 50 of 255."""
    return cv2.morphologyEx(luminance(image), cv2.MORPH_BLACKHAT, _disc(PEN)) > DARK


def new_lines(image, photo):
    """Where a result has lines that are not within a pixel of its photo's."""
    return lines(image) & ~_within(1, lines(photo))


def near_contours(photo):
    """Where a pixel is within 3 pixels of a contour of the photo.

    Contours are Canny's edges (thresholds 40 and 100 of 255, after a Gaussian of 1 pixel).
    """
    smooth = cv2.GaussianBlur(luminance(photo), (0, 0), 1)
    return _within(NEAR, cv2.Canny(smooth, *CONTOUR) > 0)


def at_contours(image, photo):
    """Which of the pixels of new lines are near a contour of the photo; NaN without new lines."""
    found = near_contours(photo)[new_lines(image, photo)]
    return found if found.size else math.nan


def _within(distance, mask):
    """Where a pixel is at most `distance` from one of the mask, both bool H,W."""
    return cv2.dilate(mask.astype(np.uint8), _disc(2 * distance + 1)) > 0


def _disc(diameter):
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))


# Of an image alone: artefacts

NARROWEST = 12  # pixels a side: smaller spectra have no frequencies beside the peaks


def checkerboard(image):
    """Energy of the pattern that transposed convolutions cause, in grey levels squared.

    Two of stride 2 repeat it every 2 and every 4 pixels (Odena et al., Distill 2016). This is the energy of
    rows and of columns within 1/64 cycle a pixel of the frequencies 1/4 and 1/2, less the level that it has
    1/32 to 1/16 beside them: the mean over both and over channels. A checkerboard of single pixels, a levels
    up and a levels down, gives a^2, stripes give a^2 / 2, and photographs about 0. Below 64 pixels a side
    there are too few frequencies for this to mean anything; NaN below 12.
    """
    if min(image.shape[:2]) < NARROWEST:
        return math.nan
    image = image.astype(np.float64)
    return (_peak_energy(image) + _peak_energy(image.transpose(1, 0, 2))) / 2


def _peak_energy(image):
    """Energy of the peaks in the spectrum of the rows of an image (H,W,C) above the level beside them."""
    side = image.shape[1] // 4 * 4  # so that 1/4 and 1/2 are frequencies of the transform
    rows = image[:, :side] - image[:, :side].mean(1, keepdims=True)
    window = np.hanning(side + 1)[:-1]
    spectrum = np.fft.fft(rows * window[:, None], axis=1)
    power = (np.abs(spectrum) ** 2).mean((0, 2)) / (side * (window**2).sum())  # adds up to the mean square
    reach = max(2, side // 64)  # the window spreads a pattern over three of them
    energy = 0
    for peak in (side // 4, side // 2, 3 * side // 4):
        away = np.abs((np.arange(side) - peak + side // 2) % side - side // 2)
        beside = power[(away > 2 * reach) & (away <= 4 * reach)]
        # The geometric mean: an image's spectrum is a power law, and the arithmetic mean of its values on
        # both sides of a frequency is above its value there (by 1.2 of 12 at 1/4, mean of 21 photographs).
        level = np.exp(np.log(beside + TINY).mean())
        energy += (power[away <= reach] - level).sum()
    return energy


def stripes(image):
    """Energy of fine stripes along rows and along columns, in grey levels squared.

    Stripes change across themselves and hardly along themselves: they lie on the axes of the spectrum of the
    luminance. This is the energy on the axes from 1/4 to 1/2 cycle a pixel, within 1/64 of them, above the
    level beside them, 1/32 to 1/16 away. Stripes of single pixels that add and subtract a levels give a^2.
    Photographs have some, buildings most: compare with the photo's own. NaN for sides below 12 pixels.
    """
    if min(image.shape[:2]) < NARROWEST:
        return math.nan
    grey = luminance(image)[..., 0].astype(np.float64)
    window = np.outer(*(np.hanning(side + 1)[:-1] for side in grey.shape))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / (grey.size * (window**2).sum())
    return _axis_energy(power) + _axis_energy(power.T)


def _axis_energy(power):
    """Energy on the axis of frequencies down the columns of a spectrum (H,W) above the level beside it."""
    down, across = (np.abs(np.fft.fftfreq(side)) for side in power.shape)
    fine = power[down >= 1 / 4]
    on, beside = fine[:, across <= 1 / 64], fine[:, (across >= 1 / 32) & (across <= 1 / 16)]
    # The geometric mean: a few strong edges beside the axis must not hide stripes.
    level = np.exp(np.log(beside + TINY).mean(1))
    return (on - level[:, None]).sum()


# Of an image beside another of the same size


def ssim(image, other):
    """Structural similarity of the luminance of two images, at most 1 (Wang et al., TIP 2004)."""
    from skimage.metrics import structural_similarity  # imports SciPy, which a run need not wait for

    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return structural_similarity(luminance(image)[..., 0], luminance(other)[..., 0], **settings)


def psnr(image, other):
    """Peak signal-to-noise ratio of two images in dB; infinite if they are equal."""
    from skimage.metrics import peak_signal_noise_ratio

    with np.errstate(divide="ignore"):
        return peak_signal_noise_ratio(image, other, data_range=255)


def colour_error(image, other):
    """Mean distance of the chroma (a, b) of two images in CIE Lab; a difference of 2 is just visible."""
    chroma = [to_lab(each)[..., 1:] for each in (image, other)]
    return np.linalg.norm(chroma[0] - chroma[1], axis=2).mean()


# The table


class Views(NamedTuple):
    """A result and what it is compared with; None where that does not exist."""

    result: np.ndarray  # in the size of training, as `photo` and `clear`
    photo: np.ndarray | None
    clear: np.ndarray | None  # the clear picture of a hazy photo
    full: np.ndarray  # the result in its own size
    full_photo: np.ndarray | None  # the photo in that size


class Measure(NamedTuple):
    """A measure: its title in the printed table, its meaning as the pages print it, its function."""

    title: str
    meaning: str
    compute: Callable | None = None  # None: evaluation/judge.py computes it, from features of sets
    inputs: str = ""  # the fields of Views that it takes


OWN = "the photographs' own value, to compare"
MEASURES = {  # in the order of the printed table, which shows as many as fit
    "drawn": Measure("style", "0: the photographs, 1: the drawings; compare differences with the error"),
    "psnr_clear": Measure("PSNR to clear", "likeness to the clear picture, dB", psnr, "result clear"),
    "ssim_clear": Measure("SSIM to clear", "likeness to the clear picture; 1: equal", ssim, "result clear"),
    "kid_drawings": Measure(
        "KID to drawings", "distance from the drawings; compare differences with the error"
    ),
    "content_change": Measure("content change", "mean change of conv4_4 relative to its mean size; 0: none"),
    "flat": Measure("flat", "share of flat pixels; drawings have more than photographs", flat, "result"),
    "lines": Measure("lines", "share of pixels on thin dark lines", lines, "result"),
    "colour": Measure("colour", "chroma distance, CIE Lab; 2 is just visible", colour_error, "result photo"),
    "ssim": Measure("SSIM", "structural similarity to the photograph; 1: equal", ssim, "result photo"),
    "new_lines": Measure("new lines", "share of pixels on added lines", new_lines, "full full_photo"),
    "at_contours": Measure(
        "at contours", "share of new lines at the photo's contours", at_contours, "full full_photo"
    ),
    "by_chance": Measure("by chance", "at_contours of lines at random places", near_contours, "full_photo"),
    "checkerboard": Measure("checkerboard", "upsampling pattern; photographs have 0", checkerboard, "full"),
    "checkerboard_photo": Measure("checkerboard of the photos", OWN, checkerboard, "full_photo"),
    "stripes": Measure("stripes", "energy of fine stripes, grey levels squared", stripes, "full"),
    "stripes_photo": Measure("stripes of the photos", OWN, stripes, "full_photo"),
    "kid_photos": Measure("KID to photos", "distance from the photographs"),
    "fid_drawings": Measure("FID to drawings", "distance from the drawings"),
    "fid_photos": Measure("FID to photos", "distance from the photographs"),
}


def measure(views):
    """{name: number} of one result; a measure whose inputs do not exist, or that is NaN, is left out."""
    row = {}
    for name, each in MEASURES.items():
        inputs = [getattr(views, field) for field in each.inputs.split()]
        if each.compute and all(image is not None for image in inputs):
            row[name] = float(np.mean(each.compute(*inputs)))
    return {name: value for name, value in row.items() if not math.isnan(value)}
