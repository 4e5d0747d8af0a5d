"""Colours that a PNG, an AVIF or a HEIC declares without a profile, and a PNG's transparency of 16 bits.

Pillow leaves them out. They become an ICC profile, which profiles.py follows as it does a file's own.
"""

import contextlib
import functools
import struct

import numpy as np

from pictures.listing import report_once

D50 = 0.9642, 1.0, 0.8249  # XYZ of the white of ICC profiles
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# x, y of red, green, blue and white, and curves, by the numbers of ITU-T H.273. 2: not known.
D65 = 0.3127, 0.329
BT709 = 0.64, 0.33, 0.3, 0.6, 0.15, 0.06, *D65
PRIMARIES = {
    1: BT709,
    2: BT709,
    5: (0.64, 0.33, 0.29, 0.6, 0.15, 0.06, *D65),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *D65),
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *D65),
    9: (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, *D65),
    11: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.314, 0.351),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, *D65),
}
SRGB = "sRGB"  # its curve; the others are powers
CURVES = {
    1: SRGB,
    4: 2.2,
    5: 2.8,
    6: SRGB,
    8: 1.0,
    13: SRGB,
    14: SRGB,
    15: SRGB,
}  # BT.709's is shown as sRGB's
USUAL = 1 / 2.2  # gAMA of what is sRGB: most programs that write it mean no more


def complete(image, data):
    """Give Pillow's image of the bytes `data` of a file, not yet decoded, what the file declares."""
    if (
        image.mode == "RGB"
        and image.tile
        and image.tile[0].args == "RGB;16B"
        and "transparency" in image.info
    ):
        image.info["transparency"] = tuple(value >> 8 for value in image.info["transparency"])
    with contextlib.suppress(np.linalg.LinAlgError, OverflowError, struct.error):  # impossible colours
        if declared := _of_png(image.info, data) if image.format == "PNG" else _of_heif(image.info, data):
            image.info["icc_profile"] = _profile(image.mode in ("L", "LA", "I;16"), *declared)


def _of_png(info, data):
    """(curve, primaries) that a PNG declares; None for sRGB, and where it has a profile.

    Its chunks count in the order of the specification (W3C, third edition, 4.3): cICP, iCCP, sRGB, then gAMA
    and cHRM.
    """
    cicp = _chunk(data, b"cICP")
    if cicp and len(cicp) == 4 and (declared := _by_number(info, *cicp[:2])):
        return declared
    if {"icc_profile", "srgb"} & info.keys() or not (info.get("gamma") or info.get("chromaticity")):
        return None
    *white, rx, ry, gx, gy, bx, by = info.get("chromaticity") or (*D65, *BT709[:6])
    gamma, primaries = info.get("gamma"), (rx, ry, gx, gy, bx, by, *white)
    if np.allclose(primaries, BT709, atol=0.005) and (not gamma or abs(gamma - USUAL) < 0.005):
        return None
    return 1 / gamma if gamma else SRGB, primaries


def _of_heif(info, data):
    """(curve, primaries) that the first colour box of an AVIF or HEIC has; None where it has a profile."""
    box = data.find(b"colrnclx")
    if box < 0 or info.get("icc_profile"):
        return None
    return _by_number(info, *struct.unpack(">HH", data[box + 8 : box + 12]))


def _by_number(info, primaries, curve):
    """(curve, primaries) by their numbers; None, and a line where there is no profile, for unknown ones."""
    if primaries in PRIMARIES and curve in CURVES:
        return CURVES[curve], PRIMARIES[primaries]
    if not info.get("icc_profile"):
        report_once("a picture declares colours that are not followed (HDR, as a rule): it will look pale")
    return None


def _chunk(data, kind):
    """The content of a PNG's chunk before the pixels, or None."""
    place = 8
    while len(data) >= place + 8:
        length, name = struct.unpack(">I4s", data[place : place + 8])
        if name == kind:
            return data[place + 8 : place + 8 + length]
        if name == b"IDAT":
            return None
        place += 12 + length
    return None


@functools.lru_cache(maxsize=32)
def _profile(is_grey, curve, primaries):
    """An ICC profile (version 2.4; a display's, by matrix and curves), as bytes."""
    values = np.arange(256) / 255
    if curve == SRGB:
        light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    else:
        light = values**curve
    table = np.rint(65535 * light).astype(">u2").tobytes()
    table = b"curv" + struct.pack(">II", 0, 256) + table
    tags = {b"wtpt": _xyz(D50)}
    if is_grey:
        tags[b"kTRC"] = table
    else:
        for colour, column in zip("rgb", _to_d50(primaries).T, strict=True):
            tags |= {f"{colour}XYZ".encode(): _xyz(column), f"{colour}TRC".encode(): table}
    start = 128 + 4 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        index += name + struct.pack(">II", start + len(body), len(content))
        body += content
    head = struct.pack(">II4s4s4s", 0, 0x02400000, b"mntr", b"GRAY" if is_grey else b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + _xyz(D50)[8:] + bytes(48)
    return struct.pack(">I", start + len(body)) + head + index + body


def _xyz(values):
    return b"XYZ " + bytes(4) + np.rint(65536 * np.array(values)).astype(">i4").tobytes()


def _to_d50(primaries):
    """The matrix from linear RGB to XYZ with the white D50, by Bradford's adaptation."""
    x, y = np.reshape(primaries, (4, 2)).T
    colours = np.stack([x, y, 1 - x - y])
    colours, white = colours[:, :3], colours[:, 3] / y[3]
    matrix = colours * np.linalg.solve(colours, white)
    return np.linalg.solve(BRADFORD, np.diag(BRADFORD @ D50 / (BRADFORD @ white)) @ BRADFORD @ matrix)
