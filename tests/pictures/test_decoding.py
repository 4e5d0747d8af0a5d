"""Image files of every kind decoded: upright, in sRGB, reduced where asked; errors name the reason."""

import io
import struct

import numpy as np
import pytest
import tifffile
from bad_data import DAMAGED, encoded, png
from PIL import Image, PngImagePlugin

from pictures import decoding

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest resets the filters of decoding.py

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def two_colours(width=32, height=16):
    """A Pillow image with a red left and a blue right half."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height))
    return image


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "bmp", "tiff", "avif", "heif"])
def test_kinds_of_file(kind):
    if kind == "heif":
        pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif")
    image = decoding.decode(encoded(two_colours(), kind))
    assert image.dtype == np.uint8 and image.shape == (16, 32, 3)
    assert np.abs(image.astype(int) - two_colours())[:, [4, 28]].max() < 16


def test_exif_orientation():
    stored = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    turned = [stored, stored[:, ::-1], stored[::-1, ::-1], stored[::-1]]
    turned += [x.swapaxes(0, 1) for x in (stored, stored[::-1], stored[::-1, ::-1], stored[:, ::-1])]
    for orientation, expected in enumerate(turned, start=1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(Image.fromarray(stored), exif=exif)
        assert np.array_equal(decoding.decode(data), expected)
        assert np.array_equal(decoding.decode_frames(data)[0][0], expected)


@pytest.mark.parametrize(
    ("image", "kind", "colour"),
    [
        (Image.new("L", (4, 4), 77), "png", (77, 77, 77)),
        (Image.new("1", (4, 4), 1), "png", WHITE),
        (Image.new("RGB", (4, 4), BLUE).convert("P", palette=Image.Palette.ADAPTIVE), "png", BLUE),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "jpeg", RED),
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "tiff", RED),
        (Image.fromarray(np.full((4, 4), 77 * 257, np.uint16)), "png", (77, 77, 77)),
        (Image.new("RGBA", (4, 4), (*RED, 255)), "png", RED),
        (Image.new("RGBA", (4, 4), (*RED, 0)), "png", WHITE),
        (Image.new("RGBA", (4, 4), (*RED, 128)), "webp", (255, 127, 127)),
        (Image.new("LA", (4, 4), (0, 0)), "png", WHITE),
    ],
)
def test_kinds_of_pixel(image, kind, colour):
    decoded = decoding.decode(encoded(image, kind, **{"lossless": True} if kind == "webp" else {}))
    assert decoded.shape[2] == 3 and np.abs(decoded.astype(int) - colour).max() <= 2


def test_a_transparent_colour_is_white():
    palette = two_colours().convert("P", palette=Image.Palette.ADAPTIVE)
    decoded = decoding.decode(encoded(palette, transparency=palette.getpixel((0, 0))))
    assert tuple(decoded[0, 0]) == WHITE and tuple(decoded[0, -1]) == BLUE
    grey = png(np.array([[0, 256, 30_000, 65_535]], np.uint16), tRNS=struct.pack(">H", 256))
    assert decoding.decode(grey)[0, :, 0].tolist() == [0, 255, 116, 255]
    (frame,), _ = decoding.decode_frames(grey)
    assert frame[0, :, 3].tolist() == [255, 0, 255, 255]
    colours = np.array([[[0x1234, 0x5678, 0x9ABC], [0xFFFF, 0, 0]]], np.uint16)
    data = png(colours, tRNS=struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    assert decoding.decode(data).tolist() == [[[255] * 3, [255, 0, 0]]]


def test_grey_has_one_channel():
    grey = decoding.decode(encoded(two_colours()), channels=1)
    assert grey.shape == (16, 32, 1)
    assert (grey[0, 0, 0], grey[0, -1, 0]) == (76, 29)  # ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B


def test_a_jpeg_is_decoded_reduced_but_not_smaller_than_asked():
    data = encoded(two_colours(800, 400), "jpeg")
    reduced = decoding.decode(data, at_least=64)
    assert reduced.shape == (200, 400, 3)  # the smallest that leaves twice the size for averaging
    assert np.abs(reduced[10, 10].astype(int) - RED).max() < 16
    assert decoding.decode(data, at_least=399).shape == decoding.decode(data).shape == (400, 800, 3)


def test_a_still_that_is_not_a_frame_of_an_animation_is_left_out():
    frames = [Image.new("RGB", (8, 4), colour) for colour in ("blue", "red", "lime", "white")]
    options = {"save_all": True, "default_image": True, "append_images": frames[1:], "duration": [50, 60, 70]}
    made, info = decoding.decode_frames(encoded(frames[0], **options))
    assert [frame[0, 0].tolist() for frame in made] == [[255, 0, 0], [0, 255, 0], [255] * 3]
    assert info["duration"] == [50, 60, 70]


# Limits and errors


def test_a_png_with_megabytes_of_text_or_profile_is_read(monkeypatch):
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 5 * 2**20, zip=True)
    for options in ({"pnginfo": text}, {"icc_profile": bytes(5 * 2**20)}):
        assert (decoding.decode(encoded(two_colours(), **options)) == np.asarray(two_colours())).all()
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 10_000)
    with pytest.raises(decoding.Unreadable, match="more than 64 MiB of text beside the picture: save it wi"):
        decoding.decode(encoded(two_colours(), pnginfo=text))


@pytest.fixture
def small_limit(monkeypatch):
    """20,000 pixels at most."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    monkeypatch.setattr(decoding, "LIMIT", 20_000)


@pytest.mark.usefixtures("small_limit")
def test_a_jpeg_over_the_limit_is_decoded_reduced():
    data = encoded(two_colours(800, 400), "jpeg")
    for longest, size in ((50, (50, 100)), (100, (100, 200)), (200, (100, 200))):
        (frame,), _ = decoding.decode_frames(data, longest)
        assert frame.shape[:2] == size and np.abs(frame[10, 10].astype(int) - RED).max() < 16
    assert decoding.decode(data, at_least=100).shape == (100, 200, 3)
    small = encoded(two_colours(160, 80), "jpeg", progressive=True)
    assert decoding.decode_frames(small, 40)[0][0].shape == (40, 80, 3)


def floats(width, height):
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((height, width, 3), np.float32), photometric="rgb")
    return file.getvalue()


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("kind", ["jpeg", "progressive jpeg", "png", "webp", "tiff", "tiff of floats"])
def test_too_many_pixels_are_refused_with_a_remedy(kind):
    options = {"progressive": True} if "progressive" in kind else {}
    big = two_colours(800, 400)
    data = floats(800, 400) if "floats" in kind else encoded(big, kind.split()[-1], **options)
    message = "^0 million pixels, at most 0 million can be read: "
    with pytest.raises(decoding.Unreadable, match=f"{message}give --size N .*, or make it smaller$"):
        decoding.decode_frames(data, longest=None if kind == "jpeg" else 50)
    with pytest.raises(decoding.Unreadable, match=f"{message}make it smaller$"):
        decoding.decode(data)


def test_errors_name_the_reason(monkeypatch):
    for data, message in (
        (DAMAGED["bomb.png"][0], "3600 million pixels, at most 179 million can be read"),
        (b"\0\0\0\x18ftypxxxx" + bytes(40), "HEIC needs `pip install pillow-heif`"),
        (encoded(two_colours())[:20], "."),
    ):
        with pytest.raises(decoding.Unreadable, match=message) as error:
            decoding.decode_frames(data)
        assert "\n" not in str(error.value)

    def fail(*_, **__):
        raise struct.error("required argument is not an integer")

    monkeypatch.setattr(decoding.ImageOps, "exif_transpose", fail)
    with pytest.raises(decoding.Unreadable, match="required argument is not an integer"):
        decoding.decode(encoded(two_colours()))
