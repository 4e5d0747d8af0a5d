"""One number for style: how far results stand from photographs (0) to drawings (1), with its error.

A linear discriminant is fitted to photographs and drawings. It sees the means and deviations of the channels
of VGG19's relu1_1, relu2_1 and relu3_1 over squares of grey pictures (style statistics as in Huang and
Belongie, ICCV 2017). All pictures get the same mean luminance first, so that tint and exposure count little.
Photographs with black lines drawn along their Canny edges count as photographs: lines alone make no drawing.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from networks import STYLE
from pictures import images, listing
from pictures.images import cv2, luminance

KINDS = ("photographs", "drawings")
LAYERS = STYLE[:3]
SQUARE = 64  # pixels a side, about
BRIGHTNESS, DARKEST = 0.5, 0.05  # of 1: the mean luminance that is given, and the lowest that is raised to it
MOST, FEWEST = 256, 40  # pictures of a kind that are fitted to
FEWEST_JUDGED = 5  # pictures: the bootstrap of fewer tells nothing
CANNY, WIDTHS = (60, 150), (1, 2, 3)  # thresholds and pixels: the lines that are drawn into photographs
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
def describe(image, maps):
    """Features (n,d) of the squares of an image (uint8 H,W,3).

    `maps(picture)` returns VGG19's feature maps at LAYERS for a picture 1,3,H,W in [-1, 1] or, where it is
    bright, above.
    """
    grey = torch.from_numpy(luminance(image)[..., 0].astype(np.float32)) / 255
    grey *= BRIGHTNESS / max(grey.mean().item(), DARKEST)
    squares = [max(1, round(side / SQUARE)) for side in grey.shape]
    features = []
    for layer in maps((2 * grey - 1).expand(1, 3, -1, -1)):
        layer = layer.float()
        mean, of_squares = (F.adaptive_avg_pool2d(each, squares) for each in (layer, layer**2))
        features += [mean, (of_squares - mean**2).clamp_min(0).sqrt()]
    return torch.cat(features, 1).sqrt()[0].flatten(1).T.cpu()


def draw_lines(image, width):
    """A photo with black lines of `width` pixels along its Canny edges."""
    edges = cv2.dilate(cv2.Canny(luminance(image)[..., 0], *CANNY), np.ones((width, width), np.uint8))
    return np.where(edges[..., None] > 0, np.uint8(0), image)


def learn(photos, drawings, describe):
    """The Style of photographs and drawings, lists of paths, of each of which at most 256 are looked at.

    `describe(path, alter)` gives the features of the image that `alter` makes of the file's, and raises
    images.CannotRead. Says why and returns None where the pictures are too few or differ too little.
    """
    seen, lined = ({}, {}), {}
    for found, paths, title in zip(seen, (photos, drawings), KINDS, strict=True):
        paths = [
            paths[at] for at in np.linspace(0, len(paths) - 1, min(MOST, len(paths))).round().astype(int)
        ]
        for number, path in enumerate(
            tqdm(paths, f"style, {title}", unit="picture", disable=None, leave=False)
        ):
            try:
                found[path] = describe(path)
                if title == "photographs" and number % 3 == 0:  # in both halves, whatever the names
                    width = WIDTHS[number // 3 % len(WIDTHS)]
                    lined[path] = describe(path, functools.partial(draw_lines, width=width))
            except images.CannotRead as error:
                listing.report_once(f"left out {error.path}: {error.reason}")
    counts = [
        f"{len(found)} {title}" for found, title in zip(seen, KINDS, strict=True) if len(found) < FEWEST
    ]
    if counts:
        listing.report_once(
            f"style is not measured: {' and '.join(counts)} to learn it from, at least {FEWEST} needed"
        )
        return None
    learned = fit(seen[0], lined, seen[1])
    if learned.auc < LOWEST_AUC:
        listing.report_once(
            f"style is not measured: the discriminant ranks only {learned.auc:.0%} of drawings above "
            f"photographs, at least {LOWEST_AUC:.0%} needed"
        )
        return None
    return learned


def fit(photos, lined, drawings):
    """A Style from the features of pictures, {path: (n,d)}; `lined` are some of the photos with lines.

    Pictures whose names differ in their last part alone (BOOK_PAGE_CROP) are in the same half, since they may
    overlap.
    """
    folds = [halves(list(kind)) for kind in (photos, drawings)]
    scores = [{}, {}]
    weights, offsets = [], []
    for half in (0, 1):
        fitted, with_lines, drawn = (
            torch.cat([each for path, each in kind.items() if fold[path] != half])
            for kind, fold in ((photos, folds[0]), (lined, folds[0]), (drawings, folds[1]))
        )
        direction = _discriminant(fitted.double(), with_lines.double(), drawn.double())
        held_out = [
            {
                path: float(each.double().mean(0) @ direction)
                for path, each in kind.items()
                if fold[path] == half
            }
            for kind, fold in zip((photos, drawings), folds, strict=True)
        ]
        low, high = (np.mean(list(kind.values())) for kind in held_out)
        apart = abs(high - low) + TINY  # where they are the wrong way round, the AUC will tell
        weights.append(direction / apart)
        offsets.append(low / apart)
        for kind, found in zip(scores, held_out, strict=True):
            kind |= {path: (score - low) / apart for path, score in found.items()}
    below, above = (np.array(list(kind.values())) for kind in scores)
    auc = float((above[:, None] > below).mean())
    return Style(torch.stack(weights, 1), torch.tensor(offsets), above.tolist(), auc)


def halves(paths):
    """{path: 0 or 1}: every second group of those that share their name up to its last part, after _ or -."""
    groups = {
        path: (path.parent, path.stem.replace("-", "_").rpartition("_")[0] or path.stem) for path in paths
    }
    order = {group: place for place, group in enumerate(dict.fromkeys(groups.values()))}
    if len(order) < FEWEST // 2:  # frames of a film: runs of them
        return {path: 10 * place // len(paths) % 2 for place, path in enumerate(paths)}
    return {path: order[group] % 2 for path, group in groups.items()}


def _discriminant(photos, lined, drawings):
    """Weights (d,) of Fisher's linear discriminant with a shrunken covariance, from features (n,d)."""
    shares = torch.cat(
        [torch.full((len(photos),), (1 - LINED) / len(photos)), torch.full((len(lined),), LINED / len(lined))]
    ).double()
    photos = torch.cat([photos, lined])
    centres = shares @ photos, drawings.mean(0)
    within = torch.cat(
        [
            (photos - centres[0]) * (shares / 2).sqrt()[:, None],
            (drawings - centres[1]) / math.sqrt(2 * len(drawings)),
        ]
    )
    deviation = within.norm(dim=0)
    deviation = deviation.clamp_min(1e-3 * deviation.max() + TINY)  # of channels that never respond
    within = within / deviation
    covariance = (1 - SHRINKAGE) * within.T @ within + SHRINKAGE * torch.eye(len(deviation)).double()
    return torch.linalg.solve(covariance, (centres[1] - centres[0]) / deviation) / deviation


def place(results, photos, drawings):
    """(where results stand from photographs, 0, to drawings, 1; its error), from the scores of pictures.

    The error is the standard deviation of a bootstrap that draws the pictures of each of the three anew.
    """
    resampled = np.random.default_rng(0)
    sets = [np.array(list(each)) for each in (results, photos, drawings)]
    means = [each[resampled.integers(0, len(each), (RESAMPLES, len(each)))].mean(1) for each in sets]
    share = lambda result, photo, drawing: (result - photo) / (drawing - photo)
    return float(share(*(each.mean() for each in sets))), float(share(*means).std())
