"""Colours of ICC profiles beside their definition: what a matrix profile says, computed here by NumPy."""

import io
import struct

import numpy as np
import pytest
from bad_data import encoded
from PIL import Image, ImageCms

from pictures import decoding, profiles
from training.batches import TrainingImages

# XYZ (D50) of red, green and blue at full strength, as the profiles of these names have them.
SRGB = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]
P3 = [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]
ADOBE = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
POWER, LIGHT = (563 / 256, 1, 0, 0, 0), (1.8, 1, 0, 0, 0)


def fixed(*numbers):
    return struct.pack(f">{len(numbers)}i", *(round(65536 * number) for number in numbers))


def profile(space, tags):
    """The bytes of an ICC profile of a display (or, in CMYK, of a printer)."""
    device, connection = ("prtr", "Lab ") if space == "CMYK" else ("mntr", "XYZ ")
    kinds = f"{device}{space:4}{connection}".encode()
    head = bytes(8) + struct.pack(">I", 0x02400000) + kinds + bytes(12) + b"acsp" + bytes(28)
    head = head.ljust(128 - 60) + fixed(0.9642, 1, 0.8249) + bytes(48)
    text = b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(78)
    tags = {
        "desc": text,
        "cprt": b"text\0\0\0\0free\0",
        "wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
    } | tags
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name.encode() + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return struct.pack(">I", start + len(body)) + head[4:] + table + body


def curve(numbers):
    return b"para\0\0\0\0\0\3\0\0" + fixed(*numbers)


def of_matrix(primaries, numbers):
    tags = {f"{name}XYZ": b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in zip("rgb", primaries, strict=True)}
    return profile("RGB", tags | {f"{name}TRC": curve(numbers) for name in "rgb"})


def linear(values, numbers):
    power, a, b, c, d = numbers
    return np.where(values >= d, (a * values + b).clip(0) ** power, c * values)


def by_definition(image, primaries, numbers):
    """RGB in sRGB, in floating point."""
    light = linear(image / 255, numbers) @ np.array(primaries) @ np.linalg.inv(SRGB)
    light = light.clip(0, 1)
    return 255 * np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)


def colours():
    return np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


SPACES = {"Display P3": (P3, SRGB_CURVE, 40), "Adobe RGB": (ADOBE, POWER, 60)}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_wide_colours_are_made_srgb(space, kind):
    *described, changed = SPACES[space]
    lossless = {"lossless": True} if kind == "webp" else {}
    data = encoded(Image.fromarray(colours()), kind, icc_profile=of_matrix(*described), **lossless)
    wanted = by_definition(colours(), *described)
    assert np.abs(wanted - colours()).max() > changed
    (frame,), _ = decoding.decode_frames(data)
    for made in (decoding.decode(data), frame):
        assert np.abs(made - wanted).max() < 2
    grey = decoding.decode(data, channels=1)
    assert np.abs(grey[..., 0] - wanted @ [0.299, 0.587, 0.114]).max() < 2


def test_a_jpeg_is_trained_on_in_srgb(tmp_path):
    photo = np.full((64, 64, 3), (200, 60, 40), np.uint8)
    wide = of_matrix(ADOBE, POWER)
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(photo), "jpeg", quality=100, icc_profile=wide))
    squares = TrainingImages([tmp_path / "a.jpg"], [], 16, "crop", 3, 3)[[(0, (1, 2))]]
    wanted = by_definition(photo[:16, :16], ADOBE, POWER)
    assert np.abs(squares[0].permute(1, 2, 0).numpy() - wanted).max() < 4


def test_transparency_stays():
    picture = Image.fromarray(colours())
    picture.putalpha(Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 6 + 1, (30, 1))))
    data = encoded(picture, icc_profile=of_matrix(P3, SRGB_CURVE))
    (frame,), _ = decoding.decode_frames(data)
    assert (frame[..., 3] == np.asarray(picture)[..., 3]).all()
    wanted = by_definition(colours(), P3, SRGB_CURVE)
    assert np.abs(frame[..., :3] - wanted).max() < 2
    opaque = frame[..., 3:] / 255
    assert np.abs(decoding.decode(data) - (wanted * opaque + 255 * (1 - opaque))).max() < 3


def test_every_frame_of_an_animation():
    frames = [Image.fromarray(np.roll(colours(), step, 0)) for step in range(3)]
    wide = of_matrix(ADOBE, POWER)
    data = encoded(frames[0], "png", save_all=True, append_images=frames[1:], icc_profile=wide)
    made, _ = decoding.decode_frames(data)
    for frame, given in zip(made, frames, strict=True):
        assert np.abs(frame - by_definition(np.asarray(given), ADOBE, POWER)).max() < 2


def test_a_palette_is_of_the_profiles_colours():
    picture = Image.fromarray(colours()).quantize(64)
    data = encoded(picture, icc_profile=of_matrix(P3, SRGB_CURVE))
    wanted = by_definition(np.asarray(picture.convert("RGB")), P3, SRGB_CURVE)
    assert np.abs(decoding.decode(data) - wanted).max() < 2


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profile(mode):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    light = profile("GRAY", {"kTRC": curve(LIGHT)})
    picture = Image.fromarray(ramp).convert(mode)
    made = decoding.decode(encoded(picture, icc_profile=light), channels=1)[..., 0].astype(int)
    wanted = by_definition(ramp[..., None].repeat(3, -1), SRGB, LIGHT)[..., 0]
    assert np.abs(wanted - ramp).max() > 15
    assert np.abs(made - wanted).max() < 2


def of_inks():
    """A profile of CMYK by a table: each ink takes light away, and black is not quite black."""
    corners = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    light = 95 * np.prod(1 - corners * [0.4, 0.5, 0.1, 0.85], axis=1)
    lab = np.stack([light * 2.55, 128 - 60 * corners[:, 0] + 70 * corners[:, 1], 128 + 80 * corners[:, 2]], 1)
    unit = fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    straight = bytes(range(256))
    table = (
        b"mft1\0\0\0\0\4\3\2\0" + unit + straight * 4 + lab.round().astype(np.uint8).tobytes() + straight * 3
    )
    return profile("CMYK", {"A2B0": table, "A2B1": table})


def test_inks_are_those_of_the_profile():
    inks = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    inks[0, 0], inks[0, 1] = 0, (0, 0, 0, 255)
    picture = Image.fromarray(inks, "CMYK")
    data = encoded(picture, "tiff", icc_profile=of_inks())
    made = decoding.decode(data).astype(int)
    wanted = ImageCms.profileToProfile(
        picture,
        ImageCms.getOpenProfile(io.BytesIO(of_inks())),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert (made == np.asarray(wanted)).all()
    assert np.abs(made - np.asarray(picture.convert("RGB"))).mean() > 20


IGNORED = {
    "no profile": b"nothing that begins like one",
    "empty": b"",
    "cut": of_matrix(P3, SRGB_CURVE)[:200],
    "of inks": of_inks(),
    "of grey": profile("GRAY", {"kTRC": curve(LIGHT)}),
    "of sRGB": of_matrix(SRGB, SRGB_CURVE),
    "Pillow's sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
}


@pytest.mark.parametrize("name", IGNORED)
def test_a_profile_that_says_nothing_of_these_colours_is_ignored(name):
    data = encoded(Image.fromarray(colours()), icc_profile=IGNORED[name])
    assert (decoding.decode(data) == colours()).all()


def test_a_transform_is_made_once():
    image = Image.fromarray(colours())
    assert profiles.to_srgb(image, None) is image
    before = profiles._transform.cache_info().misses
    for _ in range(3):
        profiles.to_srgb(image, of_matrix(ADOBE, (2, 1, 0, 0, 0)))
    assert profiles._transform.cache_info().misses == before + 1
