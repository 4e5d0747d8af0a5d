"""Which frames of a film to keep: not black, no credits, sharp, and unlike those kept before.

Frames are grey, uint8 H,W, with a shorter side of 256 pixels.
"""

import collections

import numpy as np

from pictures import images
from pictures.images import cv2

SIDE = 256  # pixels: the default size of training
DARK = 24  # of 255, the lightest grey of a black bar: compression leaves noise in black
# The sharpness of 654 drawings of one comic, 256 pixels a side, is 0.65 (median; 5th percentile 0.50), and
# 0.28 after a Gaussian blur of 1.5 pixels.
BLURRED = 0.5  # of the film's own sharpness: a soft old film is not dropped as a whole
# Measured on 654 drawings of one comic, 256 pixels a side: two differ in at least 0.345 of the fingerprint;
# one moved by 2%, enlarged by 5%, with noise, or with a sixteenth of it changed, in 0.26 (99 of 100).
ALIKE = 0.3
# Of the pairs of 120 drawings each of three artists (7140 pairs each), only crops of one drawing, or of the
# same icons, shared more than 0.35; two crops of a page that overlap by a half were measured as 0.49.
SIMILAR = 0.6
RECENT = 8  # frames kept last that are searched for parts: a pan, or a dialogue's shots in turn
FEATURES, INLIERS = 300, 12  # points looked for in a frame; those that two frames must have in common
OFF = 3  # pixels by which a common point may be off
SAME = 16  # of 255, the largest difference of pixels that show the same, after a blur of 2 pixels


def small(grey):
    """Shrink a grey picture, uint8 H,W, to a shorter side of SIDE pixels. Enlarging would blur it."""
    return images.fit_training(grey[..., None], min(SIDE, *grey.shape), "crop")[..., 0]


def sharpness(grey):
    """How much of an edge's contrast lies between two neighbouring pixels: 1 is a step, 0 means no edge.

    It is the median over all 7x7 neighbourhoods with a contrast of at least 48. So it depends little on the
    number and strength of edges, and flat drawings do not count as blurred.
    """
    grey, square = grey.astype(np.int16), np.ones((7, 7), np.uint8)
    contrast = cv2.dilate(grey, square) - cv2.erode(grey, square)
    steps = [np.abs(np.diff(grey, axis=axis, prepend=grey.take([0], axis))) for axis in (0, 1)]
    step = cv2.dilate(np.maximum(*steps), square)
    edges = contrast >= 48
    return float(np.median(step[edges] / contrast[edges])) if edges.mean() > 0.005 else 0.0


def is_black(grey):
    """Whether a frame is black, nearly black (a fade), or of one colour."""
    return np.percentile(grey, 99) < 48 or grey.std() < 5


def is_credits(grey):
    """Whether a frame looks like credits: at least ten light marks of a letter's size on one dark ground."""
    ground = np.median(grey)
    if ground > 60 or (abs(grey - ground) < 16).mean() < 0.75:
        return False
    light = (grey > ground + 80).astype(np.uint8)
    sizes = cv2.connectedComponentsWithStats(light)[2][1:, cv2.CC_STAT_AREA]
    return ((sizes >= 4) & (sizes < 0.02 * grey.size)).sum() >= 10


def fault(grey, usual):
    """Why this frame must be dropped, or None. `usual` is the typical sharpness of the film."""
    if is_black(grey):
        return "black"
    if is_credits(grey):
        return "credits"
    return "blurred" if sharpness(grey) < BLURRED * usual else None


def survey(greys):
    """(the part of the frames without black bars, the film's own sharpness), of frames of any size."""
    greys = [grey for grey in greys if not is_black(small(grey))]
    area = picture_area(greys)
    sharp = [sharpness(grey) for grey in (small(grey[area]) for grey in greys) if not is_credits(grey)]
    return area, np.median([value for value in sharp if value] or [0])


def picture_area(greys):
    """The part of the frames without black bars, as slices of rows and columns: one for all `greys`.

    A row or column belongs to the picture if it is lit in more than 5% of the frames, so that neither dark
    scenes nor a stray subtitle matter. Two more are cut off beside each bar: compression blurs its edge.
    """
    area = []
    for axis in (0, 1):
        lit = [(grey > DARK).mean(1 - axis) > 0.02 for grey in greys]
        inside = np.flatnonzero(np.mean(lit, axis=0) > 0.05) if lit else []
        first, end, size = (inside[0], inside[-1] + 1, len(lit[0])) if len(inside) else (0, None, None)
        area.append(slice(first + 2 * (first > 0), end if end == size else end - 2))
    return tuple(area)


# Near-duplicates


class Kept:
    """The frames that were kept, to find near-duplicates of them.

    These have nearly the same fingerprint as any of them, or show a share of `similar` of a recent one. With
    `similar` 1 only fingerprints are compared.
    """

    def __init__(self, similar):
        self.similar, self.times, self.fingerprints = similar, [], []
        self.recent = collections.deque(maxlen=RECENT)  # (time, grey, points, descriptors)

    def add(self, time, grey):
        """Keep a frame, or return the time of the kept frame that it nearly duplicates."""
        mark = fingerprint(grey)
        if self.times:
            distances = (np.array(self.fingerprints) != mark).mean(1)
            if distances.min() < ALIKE:
                return self.times[distances.argmin()]
        features = find_features(grey)
        if self.similar < 1:
            for before, *other in reversed(self.recent):
                if shared(*other, grey, *features) >= self.similar:
                    return before
        self.times.append(time)
        self.fingerprints.append(mark)
        self.recent.append((time, grey, *features))
        return None


def fingerprint(grey):
    """A perceptual hash: which of the 255 lowest frequencies (DCT of 64x64 pixels) are above their median.

    Films return to a shot again and again, so each frame is compared with all that were kept, for which SSIM
    would take hours.
    """
    reduced = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(reduced)[:16, :16].ravel()[1:]
    return waves > np.median(waves)


def find_features(grey):
    """The places (N,2; x and y in pixels) and descriptors (N,32) of a frame's ORB features."""
    points, descriptors = cv2.ORB_create(FEATURES, fastThreshold=10).detectAndCompute(grey, None)
    places = np.float32([point.pt for point in points]).reshape(-1, 2)
    return places, np.zeros((0, 32), np.uint8) if descriptors is None else descriptors


def shared(before, points, descriptors, grey, own_points, own_descriptors):
    """The share of a frame that an earlier one, `before`, also shows, moved, turned or enlarged; 0 if none.

    The camera's movement is estimated from the features that both have (RANSAC). A place counts as shown if
    both have the same grey there after the movement is undone, so a moving figure does not count.
    """
    if min(len(points), len(own_points)) < INLIERS:
        return 0.0
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(descriptors, own_descriptors)
    if len(pairs) < INLIERS:
        return 0.0
    there, here = points[[pair.queryIdx for pair in pairs]], own_points[[pair.trainIdx for pair in pairs]]
    movement, fits = cv2.estimateAffinePartial2D(there, here, ransacReprojThreshold=OFF)
    if movement is None or fits.sum() < INLIERS:
        return 0.0
    size = grey.shape[::-1]
    inside = cv2.warpAffine(np.ones_like(before), movement, size, flags=cv2.INTER_NEAREST) > 0
    moved = cv2.warpAffine(before, movement, size)
    soft = lambda picture: cv2.GaussianBlur(picture, (0, 0), 2).astype(np.int16)
    return float((inside & (abs(soft(moved) - soft(grey)) < SAME)).mean())
