"""Give a result the colours of its photograph, or mix the two. Images are uint8 H,W,3, RGB, of one size."""

import numpy as np

from pictures.images import cv2

# The guided filter for chroma: its radius as a share of the shorter side, and its eps for L in [0, 1].
RADIUS, EPS = 1 / 64, 1e-4


def keep(photo, result, colour="off", strength=1):
    """The result with the colours of its photograph, mixed with the photograph.

    `colour` "chroma" takes the photograph's a and b of CIE Lab, smoothed along the edges of the result's
    lightness; "mean" shifts and scales the result's a and b to the photograph's mean and deviation (Reinhard
    et al., Color Transfer between Images, 2001). `strength` in [0, 1] is the share of the result.
    """
    if colour != "off":
        lab, target = to_lab(result), to_lab(photo)
        if colour == "chroma":
            guide, radius = lab[..., 0] / 100, max(1, round(RADIUS * min(photo.shape[:2])))
            for channel in (1, 2):
                lab[..., channel] = guided_filter(guide, target[..., channel], radius, EPS)
        else:
            mean, deviation = lab[..., 1:].mean((0, 1)), lab[..., 1:].std((0, 1))
            scale = target[..., 1:].std((0, 1)) / np.maximum(deviation, 1e-3)
            lab[..., 1:] = (lab[..., 1:] - mean) * scale + target[..., 1:].mean((0, 1))
        result = to_rgb(lab)
    if strength == 1:
        return result
    return np.rint(strength * result.astype(np.float32) + (1 - strength) * photo).astype(np.uint8)


def to_lab(image):
    """RGB (uint8) to CIE Lab (float32): L in [0, 100], a and b about -100 to 100 (D65)."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def to_rgb(lab):
    """CIE Lab to RGB (uint8), clipped."""
    return np.rint(255 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1)).astype(np.uint8)


def guided_filter(guide, image, radius, eps):
    """Smooth `image` except at the edges of `guide`, both H,W (He et al., ECCV 2010, Eq. 5, 6 and 8).

    Windows have 2 radius + 1 pixels a side; where the variance of `guide` is below `eps` it has no edge.
    """
    side = 2 * radius + 1

    def total(values):  # in double precision; values outside are 0
        border = {"normalize": False, "borderType": cv2.BORDER_CONSTANT}
        return cv2.boxFilter(values.astype(np.float64), -1, (side, side), **border)

    inside = total(np.ones_like(guide))
    mean = lambda values: total(values) / inside
    mean_guide, mean_image = mean(guide), mean(image)
    slope = (mean(guide * image) - mean_guide * mean_image) / (mean(guide**2) - mean_guide**2 + eps)
    return mean(slope) * guide + mean(mean_image - slope * mean_guide)
