"""The measures, as functions of arrays. Images are uint8 H,W,3, RGB."""

import math
import warnings

import numpy as np
import torch

from pictures.colour import to_lab
from pictures.images import luminance

SUBSETS, SUBSET = 100, 1000  # of the KID: how many, and of how many images at most (Bińkowski et al.)
TINY = 1e-12  # energy that is added, so that no logarithm is of 0


def squares(image, size):
    """Cut `image`, whose sides are at least `size`, into squares: as few, evenly spaced, as cover it.

    A rest of at most an eighth of a square is cut off, in equal parts at both ends.
    """
    places = [_starts(side, size) for side in image.shape[:2]]
    return [image[top : top + size, left : left + size] for top in places[0] for left in places[1]]


def _starts(side, size):
    count = max(1, math.ceil(side / size - 1 / 8))
    if count == 1:
        return [(side - size) // 2]
    return np.linspace(0, side - size, count).round().astype(int)


# Between sets of images


def kid(features, others):
    """Kernel Inception Distance of two sets of features (n,d): (mean, standard deviation) over subsets.

    The unbiased squared maximum mean discrepancy under the kernel (x·y / d + 1)^3, which may be below 0
    (Bińkowski et al., ICLR 2018). There are 100 subsets, always the same, each of 1000 features, or of half
    of the smaller set if that is fewer, but of at least 2. None if a set has fewer than 2 features.
    """
    fewer = min(len(features), len(others))
    if fewer < 2:
        return None
    from torchmetrics.image.kid import KernelInceptionDistance  # takes two seconds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features in memory
        metric = KernelInceptionDistance(torch.nn.Identity(), SUBSETS, max(2, min(SUBSET, fewer // 2)))
    metric.update(features, real=True)
    metric.update(others, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        mean, deviation = metric.compute()
    return mean.item(), deviation.item()


def fid(features, others):
    """Fréchet Inception Distance of two sets of features (n,d) (Heusel et al., NeurIPS 2017).

    |difference of the means|^2 + trace(A + B - 2 sqrt(A B)), where A and B are the covariances. It depends on
    the number of images: compare only values that were measured with equally many.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    identity = torch.nn.Identity()
    identity.num_features = features.shape[1]
    metric = FrechetInceptionDistance(identity)
    metric.update(features, real=True)
    metric.update(others, real=False)
    return metric.compute().item()


# Of an image beside another


def ssim(image, other):
    """Structural similarity of the luminance of two images, at most 1 (Wang et al., TIP 2004)."""
    from skimage.metrics import structural_similarity  # brings SciPy, which a run need not wait for

    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(
        structural_similarity(luminance(image)[..., 0], luminance(other)[..., 0], data_range=255, **settings)
    )


def psnr(image, other):
    """Peak signal-to-noise ratio of two RGB images in dB; infinite where they are the same."""
    from skimage.metrics import peak_signal_noise_ratio

    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(image, other, data_range=255))


def colour_error(image, other):
    """Mean distance of the chroma (a, b) of two RGB images in CIE Lab; a difference of 2 is just seen."""
    chroma = [to_lab(each)[..., 1:] for each in (image, other)]
    return float(np.linalg.norm(chroma[0] - chroma[1], axis=2).mean())


# Of an image alone

NARROWEST = 12  # pixels a side; the spectrum of fewer has nothing beside its peaks


def checkerboard(image):
    """Energy of the pattern that transposed convolutions paint, in grey levels squared.

    Two of stride 2 repeat it every 2 and every 4 pixels (Odena et al., Distill 2016). The power spectrum of
    the rows is added up within 1/64 cycle a pixel of the frequencies 1/4 and 1/2, less the level that it has
    1/32 to 1/16 beside them. The result is the mean of this over rows, columns and channels. A checkerboard
    of single pixels, a levels up and a levels down, gives a^2; stripes give a^2 / 2. Photographs have no such
    peak, so theirs is near 0, above or below. Sides should have at least 64 pixels; below 12 the result is
    not a number.
    """
    image = image.astype(np.float64)
    return float(_excess(image) + _excess(image.transpose(1, 0, 2))) / 2


def _excess(image):
    """What the peaks of the spectrum of the rows of an image (H,W,C) have above the level beside them."""
    side = image.shape[1] // 4 * 4  # so that 1/4 and 1/2 are frequencies of the transform
    rows = image[:, :side] - image[:, :side].mean(1, keepdims=True)
    window = np.hanning(side + 1)[:-1]
    spectrum = np.fft.fft(rows * window[:, None], axis=1)
    power = (np.abs(spectrum) ** 2).mean((0, 2)) / (side * (window**2).sum())  # adds up to the mean square
    reach = max(2, side // 64)  # the window spreads a pattern over three of them
    excess = 0
    for peak in (side // 4, side // 2, 3 * side // 4):
        away = np.abs((np.arange(side) - peak + side // 2) % side - side // 2)
        beside = power[(away > 2 * reach) & (away <= 4 * reach)]
        # The geometric mean: an image's spectrum is a power law, and the arithmetic mean of its values on
        # both sides of a frequency is above its value there (by 1.2 of 12 at 1/4, mean of 21 photographs).
        usual = np.exp(np.log(beside + TINY).mean())
        excess += (power[away <= reach] - usual).sum()
    return excess


def stripes(image):
    """Energy of fine stripes along rows and along columns, in grey levels squared.

    Stripes change across themselves and hardly along themselves: they lie on the axes of the spectrum of the
    luminance. This is what the axes hold from 1/4 to 1/2 cycle a pixel, within 1/64 of them, in excess of
    what lies beside them, 1/32 to 1/16 away. Stripes of single pixels that add and take a levels give
    a^2. Photographs have some, buildings most: compare with the photo's own. Sides of at least 12 pixels.
    """
    grey = luminance(image)[..., 0].astype(np.float64)
    window = np.outer(*(np.hanning(side + 1)[:-1] for side in grey.shape))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / (grey.size * (window**2).sum())
    return float(_axis_excess(power) + _axis_excess(power.T))


def _axis_excess(power):
    """The excess on the axis of frequencies down the columns of a spectrum (H,W)."""
    down, across = (np.abs(np.fft.fftfreq(side)) for side in power.shape)
    fine = power[down >= 1 / 4]
    on, beside = fine[:, across <= 1 / 64], fine[:, (across >= 1 / 32) & (across <= 1 / 16)]
    # The geometric mean: a few strong edges beside the axis must not hide stripes.
    usual = np.exp(np.log(beside + TINY).mean(1))
    return (on - usual[:, None]).sum()
