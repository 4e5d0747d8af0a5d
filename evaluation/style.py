"""One number for style: where results lie from photographs (0) to drawings (1), with its error.

A linear discriminant is fitted to photographs and drawings. It sees the means and deviations of the channels
of VGG19's relu1_1, relu2_1 and relu3_1 over squares of grey pictures (style statistics as in Huang and
Belongie, ICCV 2017). All pictures get the same mean luminance first, so that tint and exposure count little.
Photographs with black lines drawn along their Canny edges count as photographs: lines are not enough.
"""

import itertools
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from networks import STYLE
from pictures import images
from pictures.images import cv2, luminance
from utils import report_once

LAYERS = STYLE[:3]
SQUARE = 64  # pixels a side, about
BRIGHTNESS, DARKEST = 0.5, 0.05  # in [0, 1]: the mean luminance to scale to; the smallest to divide by
MOST, FEWEST = 256, 40  # pictures of each kind that the discriminant is fitted to
FEWEST_JUDGED = 5  # pictures: the bootstrap error of fewer is meaningless
CANNY, WIDTHS = (60, 150), (1, 2, 3)  # thresholds, pixels: the lines that are drawn into photographs
LINED = 0.2  # weight of the photographs with lines among the photographs
SHRINKAGE = 0.05  # of the covariance of standardised features towards the identity
LOWEST_AUC = 0.8  # below this, photographs and drawings differ too little for the number to mean anything
RESAMPLES = 1000  # of the bootstrap
TINY = 1e-12


class Style(NamedTuple):
    """Two discriminants, each fitted to a half of the pictures and scaled by the other half."""

    weights: torch.Tensor  # (d,2), float64; the photographs of the other half have a mean score of 0,
    offsets: torch.Tensor  # (2,)            its drawings of 1
    drawings: list  # the score of each drawing by the discriminant that was not fitted to it
    auc: float  # share of the pairs of a drawing and a photograph in which the drawing has the higher score

    def score(self, features):
        """The mean score of the squares of a picture that neither discriminant was fitted to; (n,d)."""
        return float((features.double().mean(0) @ self.weights - self.offsets).mean())


@torch.inference_mode()
def describe(image, vgg):
    """Features (n,d), on the CPU, of the squares of an image (uint8 H,W,3)."""
    grey = torch.from_numpy(luminance(image)[..., 0].astype(np.float32)) / 255
    grey *= BRIGHTNESS / max(grey.mean().item(), DARKEST)
    squares = [max(1, round(side / SQUARE)) for side in grey.shape]
    picture = (2 * grey - 1).expand(1, 3, -1, -1).to(vgg.mean.device)
    features = []
    for layer in vgg.maps(picture, LAYERS):
        layer = layer.float()
        mean, of_squares = (F.adaptive_avg_pool2d(each, squares) for each in (layer, layer**2))
        features += [mean, (of_squares - mean**2).clamp_min(0).sqrt()]
    return torch.cat(features, 1).sqrt()[0].flatten(1).T.cpu()


def draw_lines(image, width):
    """A photo with black lines of `width` pixels along its Canny edges."""
    edges = cv2.dilate(cv2.Canny(luminance(image)[..., 0], *CANNY), np.ones((width, width), np.uint8))
    return np.where(edges[..., None] > 0, np.uint8(0), image)


def learn(photos, drawings, extractor):
    """The Style of photographs and drawings, lists of paths, from at most 256 of each.

    `extractor` is a judge.Extractor. Reports why and returns None if the pictures are too few or differ too
    little.
    """
    photos = _describe_all(photos, "photographs", extractor)
    drawings = _describe_all(drawings, "drawings", extractor)
    if min(len(photos), len(drawings)) < FEWEST:
        found = f"{len(photos)} photographs and {len(drawings)} drawings"
        report_once(f"style is not measured: there are {found}, but at least {FEWEST} of each are needed")
        return None
    widths = dict(zip(list(photos)[::3], itertools.cycle(WIDTHS), strict=False))  # in both halves
    with_lines = lambda path, image: draw_lines(image, widths[path])
    lined = _describe_all(list(widths), "photographs with lines", extractor, with_lines)
    learned = fit(photos, lined, drawings)
    if learned.auc < LOWEST_AUC:
        report_once(
            f"style is not measured: the discriminant ranks only {learned.auc:.0%} of drawings above "
            f"photographs, but at least {LOWEST_AUC:.0%} are needed"
        )
        return None
    return learned


def _describe_all(paths, title, extractor, alter=lambda path, image: image):
    """{path: features of alter(path, image)} of at most 256 images, evenly spaced, that can be read."""
    places = np.linspace(0, len(paths) - 1, min(MOST, len(paths))).round().astype(int)
    found = {}
    for place in tqdm(places, f"style, {title}", unit="picture", disable=None, leave=False):
        try:
            _, image = extractor.read(paths[place])
            found[paths[place]] = extractor.describe(alter(paths[place], image))
        except images.CannotRead as error:
            report_once(f"left out {error.path}: {error.reason}")
    return found


def fit(photos, lined, drawings):
    """A Style from the features of pictures, {path: (n,d)}; `lined` are some of the photos with lines."""
    half_of = split(list(photos)) | split(list(drawings))
    of = lambda half, kind: [each.double() for path, each in kind.items() if half_of[path] == half]
    weights, offsets, below, above = [], [], [], []
    for half in (0, 1):
        direction = _discriminant(*(torch.cat(of(1 - half, kind)) for kind in (photos, lined, drawings)))
        low, high = (
            torch.stack([each.mean(0) @ direction for each in of(half, kind)]) for kind in (photos, drawings)
        )
        scale = (high.mean() - low.mean()).abs() + TINY  # if their order is reversed, the AUC shows it
        weights.append(direction / scale)
        offsets.append(low.mean() / scale)
        below.append(low / scale - offsets[half])
        above.append(high / scale - offsets[half])
    scores = torch.cat(above)
    auc = (scores[:, None] > torch.cat(below)).double().mean().item()
    return Style(torch.stack(weights, 1), torch.stack(offsets), scores.tolist(), auc)


def split(paths):
    """{path: 0 or 1}, its half. Pictures whose names differ only after the last _ or - (crops) share one."""
    groups = {
        path: (path.parent, path.stem.replace("-", "_").rpartition("_")[0] or path.stem) for path in paths
    }
    order = {group: number for number, group in enumerate(dict.fromkeys(groups.values()))}
    if len(order) < FEWEST // 2:  # frames of a film: ten consecutive parts
        return {path: 10 * number // len(paths) % 2 for number, path in enumerate(paths)}
    return {path: order[group] % 2 for path, group in groups.items()}


def _discriminant(photos, lined, drawings):
    """Weights (d,) of Fisher's linear discriminant with a shrunken covariance, from features (n,d)."""
    shares = [(1 - LINED) / len(photos)] * len(photos) + [LINED / len(lined)] * len(lined)
    shares = torch.tensor(shares, dtype=torch.float64)
    photos = torch.cat([photos, lined])
    within = torch.cov(photos.T, correction=0, aweights=shares) + torch.cov(drawings.T, correction=0)
    scale = (within.diag() / 2).sqrt()
    scale = scale.clamp_min(1e-3 * scale.max() + TINY)  # of channels that never respond
    correlation = within / 2 / scale.outer(scale)
    shrunken = (1 - SHRINKAGE) * correlation + SHRINKAGE * torch.eye(len(scale)).double()
    return torch.linalg.solve(shrunken, (drawings.mean(0) - shares @ photos) / scale) / scale


def place(results, photos, drawings):
    """(where results lie from photographs, 0, to drawings, 1; its error), from the scores of pictures.

    The error is the standard deviation of a bootstrap that resamples the pictures of all three.
    """
    resampled = np.random.default_rng(0)
    sets = [np.array(list(each)) for each in (results, photos, drawings)]
    means = [each[resampled.integers(0, len(each), (RESAMPLES, len(each)))].mean(1) for each in sets]
    share = lambda result, photo, drawing: (result - photo) / (drawing - photo)
    return float(share(*(each.mean() for each in sets))), float(share(*means).std())
