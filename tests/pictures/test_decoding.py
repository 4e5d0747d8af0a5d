"""Decoding image files: upright, in sRGB, reduced where asked; unusable ones are refused with the reason."""

import io
import resource
import struct

import numpy as np
import pytest
import tifffile
from bad_data import DAMAGED, PHOTO, UNUSUAL, encoded, noise, with_chunks
from helpers import SLOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pictures import decoding, images, listing, pipeline

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest resets the filters of decoding.py

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
BIG = Image.new("RGB", (800, 400), BLUE)
BIG.paste(RED, (0, 0, 400, 400))


def tiff(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="rgb", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("image", "kind", "colour"),
    [
        (Image.new("RGB", (4, 4), BLUE).convert("P", palette=Image.Palette.ADAPTIVE), "png", BLUE),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "jpeg", RED),
        (Image.fromarray(np.full((4, 4), 77 * 257, np.uint16)), "png", (77, 77, 77)),
        (Image.new("RGBA", (4, 4), (*RED, 128)), "png", (255, 127, 127)),
        (Image.new("LA", (4, 4), (0, 0)), "png", WHITE),
    ],
)
def test_pixel_formats(image, kind, colour):
    decoded = decoding.decode(encoded(image, kind))
    assert decoded.shape[2] == 3 and np.abs(decoded.astype(int) - colour).max() <= 2


def test_a_transparent_colour_of_16_bits_is_white():
    grey = images.cv2.imencode(".png", np.array([[0, 256, 30_000, 65_535]], np.uint16))[1].tobytes()
    decoded = decoding.decode(with_chunks(grey, tRNS=struct.pack(">H", 256)))
    assert decoded[0, :, 0].tolist() == [0, 255, 116, 255]
    colours = np.array([[[0x9ABC, 0x5678, 0x1234], [0, 0, 0xFFFF]]], np.uint16)  # BGR
    colours = images.cv2.imencode(".png", colours)[1].tobytes()
    decoded = decoding.decode(with_chunks(colours, tRNS=struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)))
    assert decoded.tolist() == [[[255] * 3, [255, 0, 0]]]


def test_a_still_that_is_not_a_frame_of_an_animation_is_left_out():
    frames = [Image.new("RGB", (8, 4), colour) for colour in ("blue", "red", "lime", "white")]
    options = {"save_all": True, "default_image": True, "append_images": frames[1:], "duration": [50, 60, 70]}
    made, info = decoding.decode_frames(encoded(frames[0], **options))
    assert [frame[0, 0].tolist() for frame in made] == [[255, 0, 0], [0, 255, 0], [255] * 3]
    assert info["duration"] == [50, 60, 70]


def test_a_jpeg_is_decoded_reduced_but_not_smaller_than_asked():
    data = encoded(BIG, "jpeg")
    reduced = decoding.decode(data, at_least=64)
    assert reduced.shape == (200, 400, 3)  # the smallest that leaves twice the size for averaging
    assert np.abs(reduced[10, 10].astype(int) - RED).max() < 16
    assert decoding.decode(data, at_least=399).shape == decoding.decode(data).shape == (400, 800, 3)


@pytest.fixture
def small_limit(monkeypatch):
    """20,000 pixels at most."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 20_000)


@pytest.mark.usefixtures("small_limit")
def test_a_jpeg_over_the_limit_is_decoded_reduced():
    data = encoded(BIG, "jpeg")
    for longest, size in ((50, (50, 100)), (100, (100, 200)), (200, (100, 200))):
        (frame,), _ = decoding.decode_frames(data, longest)
        assert frame.shape[:2] == size and np.abs(frame[10, 10].astype(int) - RED).max() < 16
    assert decoding.decode(data, at_least=100).shape == (100, 200, 3)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize(
    ("data", "longest"),
    [
        (encoded(BIG, "jpeg"), None),
        (encoded(BIG, "jpeg", progressive=True), 50),
        (tiff(np.zeros((400, 800, 3), np.float32)), 50),
    ],
    ids=["jpeg", "progressive", "tiff of floats"],
)
def test_too_many_pixels_are_refused_with_a_remedy(data, longest):
    message = "^0 million pixels, at most 0 million can be read: "
    with pytest.raises(decoding.Unreadable, match=f"{message}give --size N .*, or make it smaller$"):
        decoding.decode_frames(data, longest)
    with pytest.raises(decoding.Unreadable, match=f"{message}make it smaller$"):
        decoding.decode(data)


def test_an_animation_that_is_too_large_is_refused():
    small = [Image.new("L", (8, 8), shade) for shade in range(4)]
    data = bytearray(encoded(small[0], "gif", save_all=True, append_images=small[1:]))
    data[6:10] = struct.pack("<HH", 13000, 13000)  # the canvas; each frame is still 8x8
    with pytest.raises(decoding.Unreadable, match="4 frames of 13000x13000 pixels are too many at once"):
        decoding.decode_frames(bytes(data))


@pytest.mark.parametrize("decode", [decoding.decode, decoding.decode_frames])
def test_damaged_images_have_a_reason_and_leave_no_pixels_behind(decode):
    for data, reason in DAMAGED.values():
        with pytest.raises(decoding.Unreadable) as error:
            decode(data)
        assert reason in str(error.value)
        assert error.value.__context__ is None  # whose traceback would keep the pixels


# Any bytes give an image or a one-line error. `pytest -m slow` tries ten thousand new inputs.

QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
SHORT = settings(max_examples=200, derandomize=True, **QUIET)
LONG = settings(max_examples=round(10000 * SLOW), print_blob=True, **QUIET)
MEMORY = 6 * 2**20  # KiB: a few copies of the largest picture


def seeds():
    """Small valid files of every format, and with the options that make a decoder use other code."""
    clear, exif, values = noise(24, 20, 4), Image.Exif(), np.asarray(PHOTO)
    exif[0x0112] = 6
    moving = {"save_all": True, "append_images": [PHOTO.rotate(180), PHOTO], "duration": 40, "loop": 2}
    return [
        *UNUSUAL.values(),
        *(encoded(PHOTO, "jpeg", **options) for options in ({"progressive": True}, {"exif": exif})),
        *(encoded(PHOTO.quantize(16), kind, **moving) for kind in ("png", "webp", "gif")),
        *(encoded(clear, kind, lossless=True) for kind in ("webp", "avif", "bmp")),
        *(encoded(PHOTO, "tiff", compression=packing) for packing in ("tiff_lzw", "packbits", "jpeg")),
        tiff(np.moveaxis(values, -1, 0) * np.uint16(257), planarconfig="separate"),
        tiff(values / np.float32(255), compression="zlib", byteorder=">", tile=(16, 16)),
    ]


def damage(data, faults):
    """Replace bytes: each fault is a place, how many bytes are removed there, and what is inserted."""
    data = bytearray(data)
    for place, removed, inserted in faults:
        data[place : place + removed] = inserted
    return bytes(data)


# Most faults are in the header, which holds the lengths, but not in the first bytes, which name the format.
PLACES = st.integers(8, 120) | st.integers(8, 1200)
NUMBERS = st.sampled_from([b"\xff\xff", b"\0\0\0\1", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"])
FAULT = st.tuples(PLACES, st.sampled_from([0, 1, 2, 4, 4, 2000]), NUMBERS | st.binary(max_size=8))
FAULTY = st.builds(damage, st.sampled_from(seeds()), st.lists(FAULT, min_size=1, max_size=4))


@pytest.mark.parametrize("effort", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)], ids=["short", "long"])
def test_any_bytes_give_an_image_or_a_one_line_error(effort, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @effort
    @given(st.one_of(*[FAULTY] * 5, st.binary(max_size=300)), st.sampled_from(sorted(listing.EXTENSIONS)))
    def each(data, extension):
        path, target = tmp_path / "picture.jpg", tmp_path / f"result{extension}"
        path.write_bytes(data)
        target.unlink(missing_ok=True)
        for channels, at_least in ((1, None), (3, 16)):  # as training decodes
            try:
                image = decoding.decode(data, channels, at_least)
                assert image.dtype == np.uint8 and image.shape[2] == channels and image.size
            except decoding.Unreadable as error:
                assert str(error) and "\n" not in str(error)
        picture = pipeline.read(listing.Picture(path, target), longest=64)
        if not picture.failure:
            pipeline.convert([picture], lambda photos: photos, 1)
        pipeline.write(picture, side_by_side=False)
        assert "\n" not in picture.failure
        assert picture.failure or decoding.decode(target.read_bytes()).size

    each()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY
