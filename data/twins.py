"""Frames of a film that show the same: a hash for frames alike as a whole, features for parts of a pan."""

import collections

import numpy as np

from pictures.images import cv2

# Measured on 654 drawings of one comic, 256 pixels a side: two differ in at least 0.345 of the fingerprint;
# one moved by 2%, enlarged by 5%, with noise, or with a sixteenth of it changed, in 0.26 (99 of 100).
ALIKE = 0.3
# Of the pairs of 120 drawings each of three artists (7140 pairs each), only crops of one drawing, or of the
# same icons, shared more than 0.35; two crops of a page that overlap by a half were measured as 0.49.
SIMILAR = 0.6
RECENT = 8  # frames kept last that are searched for parts: a pan, or a dialogue's shots in turn
FEATURES, INLIERS = (
    300,
    12,
)  # points looked for in a frame; those that two frames must at least have in common
OFF = 3  # pixels that a common point may be off
SAME = 16  # of 255, the difference of two pixels that show the same, after a blur of 2 pixels


def fingerprint(grey):
    """A perceptual hash: which of the 255 lowest frequencies (DCT of 64x64 pixels) are above their median.

    Films return to a shot again and again, so each frame is compared with every one that was kept. SSIM would
    take hours for that; this takes a few operations each.
    """
    reduced = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(reduced)[:16, :16].ravel()[1:]
    return waves > np.median(waves)


class Kept:
    """The frames that were kept, to find those that show the same again."""

    def __init__(self, similar=SIMILAR):
        """`similar` is the share of a frame that one kept before may show at most; from 1 on, any."""
        self.similar = similar
        self.times, self.fingerprints = [], []
        self.recent = collections.deque(maxlen=RECENT)  # (time, grey, points, descriptors)

    def add(self, time, grey):
        """Keep a frame (grey, uint8 H,W), or return the time of the kept one that it repeats."""
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


def find_features(grey):
    """The places (N,2; x and y in pixels) and descriptors (N,32) of a grey picture's ORB features."""
    points, descriptors = cv2.ORB_create(FEATURES, fastThreshold=10).detectAndCompute(grey, None)
    places = np.float32([point.pt for point in points]).reshape(-1, 2)
    return places, np.zeros((0, 32), np.uint8) if descriptors is None else descriptors


def shared(before, points, descriptors, grey, own_points, own_descriptors):
    """The share of a grey picture that one `before` shows too, moved, turned or enlarged; 0 if they differ.

    The camera's movement is taken from features that both have (RANSAC). A place counts as shown where both
    have the same grey once the movement is undone, so a figure that walks before a still background does not.
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
