"""Colours of ICC profiles, and those that files declare without one, compared with NumPy."""

import io
import struct
import zlib

import numpy as np
import pytest
from bad_data import encoded, with_chunks
from PIL import Image, ImageCms

from pictures import decoding, profiles

COLOURS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
PLAIN = encoded(Image.fromarray(COLOURS))
D65 = 0.3127, 0.329
BT709 = 0.64, 0.33, 0.3, 0.6, 0.15, 0.06, *D65  # x, y of red, green, blue, white
NEAR_BT709 = 0.6405, *BT709[1:]  # colours change by 1 of 255
ADOBE = 0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *D65
P3 = 0.68, 0.32, 0.265, 0.69, 0.15, 0.06, *D65


def in_srgb(values, curve=None, primaries=BT709):
    """sRGB (0 to 255) of values from 0 to 255 with a power or (None) the curve of sRGB, and primaries."""

    def to_xyz(*primaries):
        x, y = np.reshape(primaries, (4, 2)).T
        colours = np.stack([x / y, np.ones(4), (1 - x - y) / y])
        return colours[:, :3] * np.linalg.solve(colours[:, :3], colours[:, 3])

    values = np.asarray(values) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    light = values**curve if curve else light
    light = (light @ (np.linalg.inv(to_xyz(*BT709)) @ to_xyz(*primaries)).T).clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def error(made, expected):
    return np.abs(np.asarray(made, float) - expected).max()


def fixed(*numbers):
    return struct.pack(f">{len(numbers)}i", *(round(65536 * number) for number in numbers))


def cmyk_profile():
    """A profile of CMYK by a table: each ink absorbs light, and black is not quite black."""
    inks = np.array([*np.ndindex(2, 2, 2, 2)])
    light = 242 * np.prod(1 - inks * [0.4, 0.5, 0.1, 0.85], axis=1)
    lab = np.stack([light, 128 - 60 * inks[:, 0] + 70 * inks[:, 1], 128 + 80 * inks[:, 2]], 1)
    unit, straight = fixed(1, 0, 0, 0, 1, 0, 0, 0, 1), bytes(range(256))
    table = b"mft1\0\0\0\0\4\3\2\0" + unit + straight * 4 + lab.astype(np.uint8).tobytes() + straight * 3
    names = 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp", fixed(0.9642, 1, 0.8249)
    head = struct.pack(">I4xI4s4s4s12x4s28x12s48x", 144 + len(table), *names)
    return head + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


def grey_profile(power):
    """A profile of grey: one of RGB with other names."""
    return profiles._profile(power, BT709).replace(b"RGB ", b"GRAY", 1).replace(b"rTRC", b"kTRC", 1)


WIDE, IN_WIDE = profiles._profile(563 / 256, ADOBE), in_srgb(COLOURS, 563 / 256, ADOBE)


def test_a_wide_profile_with_transparency_and_of_a_palette():
    alpha = np.tile(np.arange(40, dtype=np.uint8) * 6 + 1, (30, 1))
    data = encoded(Image.fromarray(np.dstack([COLOURS, alpha])), icc_profile=WIDE)
    (frame,), _ = decoding.decode_frames(data)
    assert (frame[..., 3] == alpha).all() and error(frame[..., :3], IN_WIDE) < 2
    opaque = alpha[..., None] / 255
    assert error(decoding.decode(data), IN_WIDE * opaque + 255 * (1 - opaque)) < 3
    palette = Image.fromarray(COLOURS).quantize(64)
    expected = in_srgb(palette.convert("RGB"), 563 / 256, ADOBE)
    assert error(decoding.decode(encoded(palette, icc_profile=WIDE)), expected) < 2


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("profile", [grey_profile(1.8), profiles._profile(1.8, BT709)], ids=["grey", "rgb"])
def test_grey_pictures(mode, profile):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    data = encoded(Image.fromarray(ramp).convert(mode), icc_profile=profile)
    assert error(decoding.decode(data), in_srgb(ramp[..., None].repeat(3, -1), 1.8)) < 2


def test_cmyk_is_converted_by_its_profile():
    inks = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    picture = Image.fromarray(inks, "CMYK")
    made = decoding.decode(encoded(picture, "tiff", icc_profile=cmyk_profile()))
    profile = ImageCms.getOpenProfile(io.BytesIO(cmyk_profile()))
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    srgb = ImageCms.createProfile("sRGB")
    expected = ImageCms.profileToProfile(picture, profile, srgb, intent, "RGB", flags=flags)
    assert (made == np.asarray(expected)).all()


@pytest.mark.parametrize("profile", [WIDE[:200], cmyk_profile(), profiles._profile(None, NEAR_BT709)])
def test_a_profile_that_is_damaged_of_other_colours_or_srgb_is_ignored(profile):
    assert (decoding.decode(encoded(Image.fromarray(COLOURS), icc_profile=profile)) == COLOURS).all()


def gamma(value):
    return struct.pack(">I", round(value * 100_000))


def chromaticity(*primaries):
    return struct.pack(">8I", *(round(value * 100_000) for value in (*primaries[6:], *primaries[:6])))


P3_NUMBERS = bytes([12, 13, 0, 1])
SRGB_PROFILE = b"sRGB\0\0" + zlib.compress(profiles.SRGB_PROFILE)
IN_P3 = in_srgb(COLOURS, None, P3)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ({"gAMA": gamma(1)}, in_srgb(COLOURS, 1)),
        ({"gAMA": gamma(1 / 2.2), "cHRM": chromaticity(*ADOBE)}, in_srgb(COLOURS, 2.2, ADOBE)),
        ({"cHRM": chromaticity(*P3)}, IN_P3),
        ({"cICP": P3_NUMBERS, "sRGB": b"\0", "gAMA": gamma(1)}, IN_P3),
        ({"iCCP": SRGB_PROFILE, "gAMA": gamma(1)}, COLOURS),
        ({"sRGB": b"\0", "gAMA": gamma(1)}, COLOURS),
        ({"gAMA": gamma(0.45455), "cHRM": chromaticity(*BT709)}, COLOURS),  # what ImageMagick writes
        ({"cICP": bytes([9, 16, 0, 1])}, COLOURS),  # HDR
    ],
)
def test_colours_that_a_png_declares(chunks, expected):
    assert error(decoding.decode(with_chunks(PLAIN, **chunks)), expected) <= 2


def test_colours_that_an_avif_declares():
    flat = COLOURS[:2, :2]

    def declare(*numbers, **more):
        picture = Image.fromarray(flat.repeat(8, 0).repeat(8, 1))
        start, end = encoded(picture, "avif", quality=100, subsampling="4:4:4", **more).split(b"colrnclx", 1)
        return decoding.decode(start + b"colrnclx" + struct.pack(">HH", *numbers) + end[4:])[4::8, 4::8]

    assert error(declare(12, 13), IN_P3[:2, :2]) <= 6
    assert error(declare(1, 13), flat) <= 6
    assert error(declare(12, 13, icc_profile=WIDE), IN_WIDE[:2, :2]) <= 6  # a profile takes precedence
