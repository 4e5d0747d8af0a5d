"""What files declare beside their pixels: colours, transparency of 16 bits, stills that are no frames."""

import io
import struct
import zlib

import numpy as np
import pytest
from helpers import SHARED
from PIL import Image, ImageCms

from pictures import decoding, listing
from pictures.images import cv2

COLOURS = np.array([[[200, 100, 50], [40, 180, 90]], [[128, 128, 128], [60, 70, 210]]], np.uint8)
ADOBE = 0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06  # x, y of white, red, green, blue
P3 = 0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06
BT709 = 0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06


def png(image, **chunks):
    """A PNG of an image (uint8 or uint16), with chunks before its pixels."""
    data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)[1].tobytes()
    for kind, content in chunks.items():
        whole = kind.encode() + content
        data = (
            data[:33]
            + struct.pack(">I", len(content))
            + whole
            + struct.pack(">I", zlib.crc32(whole))
            + data[33:]
        )
    return data


def gamma(value):
    return struct.pack(">I", round(value * 100_000))


def chromaticity(*values):
    return struct.pack(">8I", *(round(value * 100_000) for value in values))


def in_srgb(light, primaries=BT709):
    """sRGB (0 to 255) of linear light for primaries whose white is D65."""

    def to_xyz(white_x, white_y, *primaries):
        x, y = np.reshape(primaries, (3, 2)).T
        colours = np.stack([x / y, np.ones(3), (1 - x - y) / y])
        white = np.array([white_x / white_y, 1, (1 - white_x - white_y) / white_y])
        return colours * np.linalg.solve(colours, white)

    light = light @ (np.linalg.inv(to_xyz(*BT709)) @ to_xyz(*primaries)).T
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def linear(values):
    """Linear light of sRGB values from 0 to 1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(
    ("chunks", "wanted"),
    [
        ({"gAMA": gamma(1)}, in_srgb(COLOURS / 255)),
        ({"gAMA": gamma(1 / 1.8)}, in_srgb((COLOURS / 255) ** 1.8)),
        ({"gAMA": gamma(1 / 2.2), "cHRM": chromaticity(*ADOBE)}, in_srgb((COLOURS / 255) ** 2.2, ADOBE)),
        ({"cHRM": chromaticity(*P3)}, in_srgb(linear(COLOURS / 255), P3)),
        ({"cICP": bytes([12, 13, 0, 1])}, in_srgb(linear(COLOURS / 255), P3)),
        (
            {"cICP": bytes([12, 13, 0, 1]), "sRGB": b"\0", "gAMA": gamma(1)},
            in_srgb(linear(COLOURS / 255), P3),
        ),
        ({"sRGB": b"\0", "gAMA": gamma(1)}, COLOURS),
        ({"gAMA": gamma(0.45455), "cHRM": chromaticity(*BT709)}, COLOURS),  # what ImageMagick writes
        ({"gAMA": gamma(0)}, COLOURS),
        ({"cHRM": chromaticity(*[0.3] * 8)}, COLOURS),
        ({"cICP": b"\0"}, COLOURS),
    ],
)
def test_declared_colours_become_srgb(chunks, wanted):
    made = decoding.decode(png(COLOURS, **chunks)).astype(int)
    assert np.abs(made - wanted).max() <= 2


def test_a_profile_counts_more_than_gamma_and_less_than_cicp():
    image = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(COLOURS).save(image, "png", icc_profile=profile)
    profile = image.getvalue()
    for chunks, wanted in (
        ({"gAMA": gamma(1)}, COLOURS),
        ({"cICP": bytes([12, 13, 0, 1])}, in_srgb(linear(COLOURS / 255), P3)),
    ):
        data = png(COLOURS, **chunks)
        both = data[:33] + profile[33 : profile.index(b"IDAT") - 4] + data[33:]
        assert np.abs(decoding.decode(both).astype(int) - wanted).max() <= 2


def test_declared_colours_of_grey_and_of_all_frames():
    grey = COLOURS[..., 0]
    wanted = in_srgb(COLOURS[..., :1].repeat(3, 2) / 255)
    for values in (grey, grey.astype(np.uint16) * 257):
        assert np.abs(decoding.decode(png(values, gAMA=gamma(1))) - wanted).max() <= 1
    file, frames = io.BytesIO(), [Image.fromarray(each) for each in (COLOURS, COLOURS[::-1])]
    frames[0].save(file, "png", save_all=True, append_images=frames[1:], duration=100)
    moving = file.getvalue()
    declared = png(COLOURS, gAMA=gamma(1))[33:49]
    made, _ = decoding.decode_frames(moving[:33] + declared + moving[33:])
    assert len(made) == 2
    for frame, given in zip(made, (COLOURS, COLOURS[::-1]), strict=True):
        assert np.abs(frame - in_srgb(given / 255)).max() <= 2


def heif(kind, primaries, curve):
    """A picture of COLOURS as an AVIF or HEIC that declares them by numbers of ITU-T H.273."""
    file = io.BytesIO()
    image = Image.fromarray(COLOURS.repeat(8, 0).repeat(8, 1))
    image.save(file, kind, quality=100, **{"subsampling": "4:4:4"} if kind == "avif" else {"chroma": 444})
    start, end = file.getvalue().split(b"colrnclx", 1)
    return start + b"colrnclx" + struct.pack(">HH", primaries, curve) + end[4:]


@pytest.mark.parametrize("kind", ["avif", "heif"])
def test_declared_colours_of_avif_and_heic(kind, capsys):
    if kind == "heif":
        pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif")
    wanted = {
        (12, 13): in_srgb(linear(COLOURS / 255), P3),
        (1, 13): COLOURS,
        (2, 2): COLOURS,
        (9, 16): COLOURS,
    }
    for numbers, colours in wanted.items():
        made = decoding.decode(heif(kind, *numbers))[4::8, 4::8].astype(int)
        assert np.abs(made - colours).max() <= 6


def test_hdr_is_read_as_it_is_and_named(capsys):
    listing.report_once.cache_clear()
    assert (decoding.decode(png(COLOURS, cICP=bytes([9, 16, 0, 1]))) == COLOURS).all()
    assert "declares colours that are not supported (usually HDR" in capsys.readouterr().err


def test_transparency_of_16_bits():
    grey = np.array([[0, 256, 30_000, 65_535]], np.uint16)
    data = png(grey, tRNS=struct.pack(">H", 256))
    assert decoding.decode(data)[0, :, 0].tolist() == [0, 255, 116, 255]
    (frame,), _ = decoding.decode_frames(data)
    assert frame[0, :, 3].tolist() == [255, 0, 255, 255]
    colours = np.array([[[0x1234, 0x5678, 0x9ABC], [0xFFFF, 0, 0]]], np.uint16)
    data = png(colours, tRNS=struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    assert decoding.decode(data).tolist() == [[[255] * 3, [255, 0, 0]]]


def test_a_still_that_is_no_frame_is_left_out_of_an_animation():
    file, frames = io.BytesIO(), [Image.new("RGB", (8, 4), each) for each in ("blue", "red", "lime", "white")]
    options = {"save_all": True, "default_image": True, "append_images": frames[1:], "duration": [50, 60, 70]}
    frames[0].save(file, "png", **options)
    made, info = decoding.decode_frames(file.getvalue())
    assert [frame[0, 0].tolist() for frame in made] == [[255, 0, 0], [0, 255, 0], [255] * 3]
    assert info["duration"] == [50, 60, 70]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_the_cases():
    read = lambda name: decoding.decode((SHARED / "cases" / name).read_bytes())
    # The numbers of the cases are of a screen of gamma 2.2; sRGB's own curve is darker in shadows.
    assert np.abs(read("gama1.png").mean((0, 1)) - (131, 153, 76)).max() < 4
    grey = read("g16_trns.png")
    assert grey.min() > 150 and (grey == 255).mean() == pytest.approx(0.5, abs=0.05)
    assert len(decoding.decode_frames((SHARED / "cases/apng_def.png").read_bytes())[0]) == 5
