"""Colours that a file's ICC profile describes, made sRGB: what networks learn and what untagged files are."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # Pillow's modes and ICC's names
EQUAL = 1  # of 255; profiles of sRGB differ by that


def to_srgb(image, profile):
    """An image of 8 bits with the colours of an ICC `profile` (bytes or None) in sRGB; alpha stays.

    Relative colorimetric with black point compensation. A profile that is damaged, that is for other colours
    than the image has, or that is sRGB leaves the image as it is.
    """
    if not profile:
        return image
    has_alpha = image.mode in ("LA", "RGBA")
    colours = image.convert(image.mode[:-1]) if has_alpha else image
    colours = colours if colours.mode in SPACES else colours.convert("RGB")
    transform = _transform(bytes(profile), colours.mode)
    if not transform:
        return image
    made = transform.apply(colours)
    if has_alpha:
        made.putalpha(image.getchannel("A"))
    return made


@functools.lru_cache(maxsize=32)  # a folder's pictures are from a few cameras
def _transform(profile, mode):
    """ImageCms's transform to sRGB, or None where there is nothing to do."""
    try:
        given = ImageCms.getOpenProfile(io.BytesIO(profile))
        if given.profile.xcolor_space.strip() != SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            given,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if mode == "CMYK":
        return transform
    steps = np.arange(0, 256, 15, dtype=np.uint8)  # 18 of each channel, black and white among them
    grid = np.stack(np.meshgrid(*[steps] * len(mode)), axis=-1).reshape(1, -1, len(mode))
    made = np.asarray(transform.apply(Image.fromarray(grid.squeeze(-1) if mode == "L" else grid)))
    return None if np.abs(made.astype(int) - grid).max() <= EQUAL else transform
