"""How much of the photograph a result keeps: its colours, and a share of the whole.

Images are uint8 H,W,3, RGB, photograph and result of one size. Colours are changed in CIE Lab, where L is the
lightness and a, b are the chroma.
"""

import numpy as np

from pictures.images import cv2

# Of the guided filter that fits the photograph's chroma to the edges of the result's lightness, L in [0, 1]:
# its radius as a share of the shorter side, and its eps.
RADIUS, EPS = 1 / 64, 1e-4


def keep(photo, result, colour="off", strength=1):
    """The result with the colours of its photograph, mixed with the photograph.

    `colour` is "off"; "chroma", the photograph's a and b, smoothed along the edges of the result's lightness;
    or "mean", the result's a and b moved and scaled to the photograph's mean and deviation (Reinhard et al.,
    Color Transfer between Images, 2001). `strength` in [0, 1] is the share of the result; 0 gives the photo.
    """
    if colour != "off":
        lab, wanted = to_lab(result), to_lab(photo)
        if colour == "chroma":
            guide, radius = lab[..., 0] / 100, max(1, round(RADIUS * min(photo.shape[:2])))
            for channel in (1, 2):
                lab[..., channel] = guided_filter(guide, wanted[..., channel], radius, EPS)
        else:
            mean, deviation = lab[..., 1:].mean((0, 1)), lab[..., 1:].std((0, 1))
            scale = wanted[..., 1:].std((0, 1)) / np.maximum(deviation, 1e-3)
            lab[..., 1:] = (lab[..., 1:] - mean) * scale + wanted[..., 1:].mean((0, 1))
        result = to_rgb(lab)
    if strength == 1:
        return result
    mixed = strength * result.astype(np.float32) + (1 - strength) * photo
    return np.rint(mixed).astype(np.uint8)


def to_lab(image):
    """RGB (uint8 H,W,3) to CIE Lab (float32 H,W,3): L in [0, 100], a and b about -100 to 100 (D65)."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def to_rgb(lab):
    """CIE Lab to RGB (uint8); colours outside of RGB are cut off."""
    return np.rint(255 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1)).astype(np.uint8)


def guided_filter(guide, image, radius, eps):
    """Smooth `image` but for the edges that `guide` has, both H,W (He et al., ECCV 2010, Eq. 5, 6 and 8).

    Windows have 2 radius + 1 pixels a side; `eps` is the variance of `guide` below which it has no edge.
    """
    side = 2 * radius + 1

    def total(values):  # in double precision; what lies outside is 0
        border = {"normalize": False, "borderType": cv2.BORDER_CONSTANT}
        return cv2.boxFilter(values.astype(np.float64), -1, (side, side), **border)

    inside = total(np.ones_like(guide))
    mean = lambda values: total(values) / inside
    mean_guide, mean_image = mean(guide), mean(image)
    slope = (mean(guide * image) - mean_guide * mean_image) / (mean(guide**2) - mean_guide**2 + eps)
    return mean(slope) * guide + mean(mean_image - slope * mean_guide)
