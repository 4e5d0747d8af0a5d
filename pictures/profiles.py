"""Convert colours to sRGB, from an ICC profile or from what a PNG, AVIF or HEIC declares without one.

Pillow does not read such declarations: they become an ICC profile here, so that there is one conversion.
"""

import contextlib
import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms

from utils import report_once

SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # Pillow's modes and their names in ICC profiles
TOLERANCE = 1  # of 255; profiles of sRGB differ by that
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

# By the numbers of ITU-T H.273. Primaries: x, y of red, green, blue and white. 2 is "unspecified".
D65 = 0.3127, 0.329
BT709 = 0.64, 0.33, 0.3, 0.6, 0.15, 0.06, *D65
NTSC = 0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *D65
PRIMARIES = {
    **{1: BT709, 2: BT709, 6: NTSC, 7: NTSC},
    5: (0.64, 0.33, 0.29, 0.6, 0.15, 0.06, *D65),
    9: (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, *D65),
    11: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.314, 0.351),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, *D65),
}
SRGB = None  # its curve; the others are powers. BT.709's is shown as sRGB's
CURVES = {1: SRGB, 6: SRGB, 13: SRGB, 14: SRGB, 15: SRGB, 4: 2.2, 5: 2.8, 8: 1.0}
USUAL_GAMMA = 1 / 2.2  # most programs that write it in a PNG mean sRGB

D50 = 0.9642, 1.0, 0.8249  # XYZ of the white of ICC profiles
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def to_srgb(image, profile):
    """Convert a Pillow image of 8 bits from the colours of an ICC `profile` (bytes or None); alpha stays.

    Relative colorimetric with black point compensation. The image is returned as it is if the profile is
    damaged, describes other colours than the image has, or is sRGB.
    """
    if not profile:
        return image
    has_alpha = image.mode in ("LA", "RGBA")
    colours = image.convert(image.mode[:-1]) if has_alpha else image
    colours = colours if colours.mode in SPACES else colours.convert("RGB")
    transform = _transform(bytes(profile), colours.mode)
    if not transform and colours.mode == "L":  # grey as equal values of red, green and blue
        colours = colours.convert("RGB")
        transform = _transform(bytes(profile), "RGB")
    if not transform:
        return image
    converted = transform.apply(colours)
    if has_alpha:
        converted.putalpha(image.getchannel("A"))
    return converted


@functools.lru_cache(maxsize=32)  # the pictures of a folder come from a few cameras
def _transform(profile, mode):
    """The ImageCms transform to sRGB; None if it would change nothing or `profile` does not fit `mode`."""
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != SPACES[mode]:
            return None
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB", intent, flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if mode == "CMYK":
        return transform
    steps = np.arange(0, 256, 15, dtype=np.uint8)  # 18 values of each channel, with black and white
    grid = np.stack(np.meshgrid(*[steps] * len(mode)), axis=-1).reshape(1, -1, len(mode))
    converted = np.asarray(transform.apply(Image.fromarray(grid.squeeze(-1) if mode == "L" else grid)))
    return None if np.abs(converted.astype(int) - grid).max() <= TOLERANCE else transform


def add_declared(image, data):
    """Add the colours that a PNG, AVIF or HEIC declares to a Pillow image, as an ICC profile.

    `data` are the bytes of the file. Colours that are impossible are ignored.
    """
    with contextlib.suppress(np.linalg.LinAlgError, OverflowError, struct.error):
        if declared := _of_png(image.info, data) if image.format == "PNG" else _of_heif(image.info, data):
            image.info["icc_profile"] = _profile(*declared)


def _of_png(info, data):
    """(curve, primaries) that a PNG declares; None for sRGB, and where it has a profile.

    The order of precedence is that of the specification (W3C, third edition, 4.3): cICP, iCCP, sRGB, then
    gAMA and cHRM.
    """
    chunk = data.find(b"\0\0\0\x04cICP", 0, data.find(b"IDAT"))
    if chunk > 0 and (declared := _by_number(info, *data[chunk + 8 : chunk + 10])):
        return declared
    gamma, chromaticity = info.get("gamma"), info.get("chromaticity")
    if {"icc_profile", "srgb"} & info.keys() or not (gamma or chromaticity):
        return None
    *white, rx, ry, gx, gy, bx, by = chromaticity or (*D65, *BT709[:6])
    primaries = rx, ry, gx, gy, bx, by, *white
    if np.allclose(primaries, BT709, atol=0.005) and (not gamma or abs(gamma - USUAL_GAMMA) < 0.005):
        return None
    return 1 / gamma if gamma else SRGB, primaries


def _of_heif(info, data):
    """(curve, primaries) of the first colour box of an AVIF or HEIC; None where it has a profile."""
    box = data.find(b"colrnclx")
    if box < 0 or info.get("icc_profile"):
        return None
    return _by_number(info, *struct.unpack(">HH", data[box + 8 : box + 12]))


def _by_number(info, primaries, curve):
    """(curve, primaries) by their numbers; None if unknown, which is reported if there is no profile."""
    if primaries in PRIMARIES and curve in CURVES:
        return CURVES[curve], PRIMARIES[primaries]
    if not info.get("icc_profile"):
        report_once("a picture declares unsupported colours (usually HDR) and will look pale: use sRGB")
    return None


def _profile(curve, primaries):
    """The sRGB profile with other primaries and, unless `curve` is SRGB, a power in place of its curve."""
    profile = bytearray(SRGB_PROFILE)

    def put(tag, offset, numbers):
        (start,) = struct.unpack_from(">I", profile, profile.index(tag, 128) + 4)
        fixed = [round(65536 * number) for number in numbers]
        struct.pack_into(f">{len(fixed)}i", profile, start + offset, *fixed)

    for colour, column in zip((b"r", b"g", b"b"), _to_d50(primaries).T, strict=True):
        put(colour + b"XYZ", 8, column)
        if curve != SRGB:
            put(colour + b"TRC", 12, (curve, 1, 0, 0, 0))
    return bytes(profile)


def _to_d50(primaries):
    """The matrix from linear RGB to XYZ with the white D50, by Bradford's adaptation."""
    x, y = np.reshape(primaries, (4, 2)).T
    colours = np.stack([x, y, 1 - x - y])
    colours, white = colours[:, :3], colours[:, 3] / y[3]
    matrix = colours * np.linalg.solve(colours, white)
    return np.linalg.solve(BRADFORD, np.diag(BRADFORD @ D50 / (BRADFORD @ white)) @ BRADFORD @ matrix)
