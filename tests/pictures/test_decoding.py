"""Image files of every kind decoded: upright, in sRGB, reduced where told; what cannot be read is told."""

import io
import struct
from importlib.util import find_spec

import numpy as np
import pytest
import tifffile
from bad_data import DAMAGED
from PIL import Image, PngImagePlugin

from pictures import decoding

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes what decoding.py has said of these

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def two_colours(width=32, height=16):
    """Left half red, right half blue."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = RED, BLUE
    return image


def encoded(image, kind="png", **options):
    """The bytes of an image file; `image` is an array or a Pillow image."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "bmp", "tiff"])
def test_kinds_of_file(kind):
    image = decoding.decode(encoded(two_colours(), kind))
    assert image.dtype == np.uint8 and image.shape == (16, 32, 3)
    assert np.abs(image.astype(int) - two_colours())[:, [4, 28]].max() < 16


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_exif_orientation_is_applied(orientation, turns):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = two_colours()
    assert np.array_equal(decoding.decode(encoded(stored, exif=exif)), np.rot90(stored, turns))


@pytest.mark.parametrize(
    ("image", "kind", "colour"),
    [
        (Image.new("L", (4, 4), 77), "png", (77, 77, 77)),
        (Image.new("1", (4, 4), 1), "png", WHITE),
        (Image.new("RGB", (4, 4), BLUE).convert("P", palette=Image.Palette.ADAPTIVE), "png", BLUE),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "jpeg", RED),
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "tiff", RED),
        (np.full((4, 4), 77 * 257, np.uint16), "png", (77, 77, 77)),
        (np.full((4, 4), 77 * 257, np.uint16), "tiff", (77, 77, 77)),
        (Image.new("RGBA", (4, 4), (*RED, 255)), "png", RED),
        (Image.new("RGBA", (4, 4), (*RED, 0)), "png", WHITE),
        (Image.new("RGBA", (4, 4), (*RED, 128)), "webp", (255, 127, 127)),
        (Image.new("LA", (4, 4), (0, 0)), "png", WHITE),
    ],
    ids=lambda value: getattr(value, "mode", None) or getattr(value, "dtype", None) or str(value),
)
def test_kinds_of_pixel(image, kind, colour):
    options = {"lossless": True} if kind == "webp" else {}
    decoded = decoding.decode(encoded(image, kind, **options))
    assert decoded.shape[2] == 3
    assert np.abs(decoded.astype(int) - colour).max() <= 2


def test_a_transparent_palette_colour_is_white():
    palette = Image.fromarray(two_colours()).convert("P", palette=Image.Palette.ADAPTIVE)
    transparent = palette.getpixel((0, 0))
    decoded = decoding.decode(encoded(palette, transparency=transparent))
    assert tuple(decoded[0, 0]) == WHITE and tuple(decoded[0, -1]) == BLUE


def test_grey_has_one_channel():
    grey = decoding.decode(encoded(two_colours()), channels=1)
    assert grey.shape == (16, 32, 1)
    assert (grey[0, 0, 0], grey[0, -1, 0]) == (76, 29)  # ITU-R 601: 0.299 R + 0.587 G + 0.114 B


def test_a_jpeg_is_decoded_at_reduced_size_and_never_below_what_is_wanted():
    data = encoded(two_colours(800, 400), "jpeg")
    reduced = decoding.decode(data, at_least=64)
    assert 64 <= reduced.shape[0] < 400 and reduced.shape[1] == 2 * reduced.shape[0]
    assert np.abs(reduced[10, 10].astype(int) - RED).max() < 16
    assert decoding.decode(data, at_least=399).shape == decoding.decode(data).shape == (400, 800, 3)


# Beside the picture, and beyond what is welcome


def with_text(kind, size):
    text = PngImagePlugin.PngInfo()
    match kind:
        case "tEXt" | "zTXt":
            text.add_text("workflow", "{}" * (size // 2), zip=kind == "zTXt")
        case "iTXt":
            text.add_itxt("workflow", "{}" * (size // 2), zip=True)
        case "iCCP":
            return encoded(two_colours(), icc_profile=bytes(size))
    return encoded(two_colours(), pnginfo=text)


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iCCP"])
def test_a_png_with_megabytes_of_text_is_read(kind):
    data = with_text(kind, 5 * 2**20)
    assert (decoding.decode(data) == two_colours()).all()
    assert (decoding.decode_frames(data)[0][0] == two_colours()).all()


def test_a_png_with_more_text_than_memory_is_told(monkeypatch):
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 10000)
    with pytest.raises(decoding.Unreadable, match="more than 64 MiB of text beside the picture: save it wi"):
        decoding.decode(with_text("zTXt", 20000))


@pytest.fixture
def small_limit(monkeypatch):
    """20,000 pixels at most."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10000)
    monkeypatch.setattr(decoding, "LIMIT", 20000)


@pytest.mark.usefixtures("small_limit")
def test_a_jpeg_beyond_the_limit_is_decoded_reduced():
    data = encoded(two_colours(800, 400), "jpeg")
    for longest, size in ((50, (50, 100)), (100, (100, 200)), (200, (100, 200))):
        (frame,), _ = decoding.decode_frames(data, longest)
        assert frame.shape[:2] == size and np.abs(frame[10, 10].astype(int) - RED).max() < 16
    assert decoding.decode(data, at_least=100).shape == (100, 200, 3)


TOO_LARGE = "0 million pixels, at most 0 million can be read"


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_what_cannot_be_decoded_reduced_is_told_with_what_to_do(kind):
    data = encoded(two_colours(800, 400), kind)
    reduced = {} if kind == "jpeg" else {"longest": 50}
    with pytest.raises(decoding.Unreadable, match=f"^{TOO_LARGE}: give --size N .*, or make it smaller$"):
        decoding.decode_frames(data, **reduced)
    with pytest.raises(decoding.Unreadable, match=f"^{TOO_LARGE}: make it smaller$"):
        decoding.decode(data)


@pytest.mark.usefixtures("small_limit")
def test_a_progressive_jpeg_beyond_the_limit_would_be_held_whole():
    with pytest.raises(decoding.Unreadable, match=TOO_LARGE):
        decoding.decode_frames(encoded(two_colours(800, 400), "jpeg", progressive=True), 50)
    small = encoded(two_colours(160, 80), "jpeg", progressive=True)
    assert decoding.decode_frames(small, 40)[0][0].shape == (40, 80, 3)


@pytest.mark.usefixtures("small_limit")
def test_a_tiff_that_tifffile_reads_has_the_same_limit():
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((400, 800, 3), np.float32), photometric="rgb")
    with pytest.raises(decoding.Unreadable, match=TOO_LARGE):
        decoding.decode(file.getvalue())


def test_the_pixels_and_the_limit_are_named():
    with pytest.raises(decoding.Unreadable, match="3600 million pixels, at most 179 million can be read"):
        decoding.decode_frames(DAMAGED["bomb.png"][0])


def test_avif_is_read():
    picture = Image.fromarray(two_colours())
    decoded = decoding.decode(encoded(picture, "avif", quality=100, subsampling="4:4:4"))
    assert np.abs(decoded.astype(int) - two_colours()).max() < 16


def heif(picture):
    pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif")
    return encoded(picture, "heif", quality=-1, chroma=444, matrix_coefficients=0)


def test_heic_is_read():
    assert np.abs(decoding.decode(heif(Image.fromarray(two_colours()))).astype(int) - two_colours()).max() < 4


@pytest.mark.skipif(bool(find_spec("pillow_heif")), reason="pillow-heif is installed")
def test_heic_without_its_package_is_told():
    data = b"\0\0\0\x18ftypheic" + bytes(40)
    with pytest.raises(decoding.Unreadable, match="HEIC needs `pip install pillow-heif`"):
        decoding.decode(data)


UNREADABLE = {
    "truncated.jpg": (encoded(noise(64, 64), "jpeg")[:-500], "truncated"),
    "truncated.png": (encoded(noise(64, 64))[:-500], "truncated"),
    "empty.jpg": (b"", "the file is empty"),
    "text.jpg": (b"<html>404 not found</html>", "not an image"),
    "header.png": (encoded(two_colours())[:20], "."),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_files_are_told_with_a_reason(name):
    data, told = UNREADABLE[name]
    with pytest.raises(decoding.Unreadable, match=told) as error:
        decoding.decode(data)
    assert "\n" not in str(error.value)


def test_whatever_a_decoder_raises_is_a_reason(monkeypatch):
    def fail(*_, **__):
        raise struct.error("required argument is not an integer")

    monkeypatch.setattr(decoding.ImageOps, "exif_transpose", fail)
    with pytest.raises(decoding.Unreadable, match="required argument is not an integer"):
        decoding.decode(encoded(two_colours()))
