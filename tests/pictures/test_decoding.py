"""Image files decoded: upright, in sRGB, reduced where asked; unusable ones are refused with the reason."""

import io
import struct

import numpy as np
import pytest
import tifffile
from bad_data import DAMAGED, PHOTO, encoded, noise, png
from PIL import Image, PngImagePlugin

from pictures import decoding, images

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest resets the filters of decoding.py

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def two_colours(width=32, height=16):
    """A Pillow image with a red left and a blue right half."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height))
    return image


def test_exif_orientation():
    exif = Image.Exif()
    for exif[0x0112], turns in ((6, -1), (8, 1)):
        data, upright = encoded(PHOTO, exif=exif), np.rot90(PHOTO, turns)
        assert np.array_equal(decoding.decode(data), upright)
        assert np.array_equal(decoding.decode_frames(data)[0][0], upright)


@pytest.mark.parametrize(
    ("image", "kind", "colour"),
    [
        (Image.new("1", (4, 4), 1), "png", WHITE),
        (Image.new("RGB", (4, 4), BLUE).convert("P", palette=Image.Palette.ADAPTIVE), "png", BLUE),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "jpeg", RED),
        (Image.fromarray(np.full((4, 4), 77 * 257, np.uint16)), "png", (77, 77, 77)),
        (Image.new("RGBA", (4, 4), (*RED, 128)), "png", (255, 127, 127)),
        (Image.new("LA", (4, 4), (0, 0)), "png", WHITE),
    ],
)
def test_kinds_of_pixel(image, kind, colour):
    decoded = decoding.decode(encoded(image, kind))
    assert decoded.shape[2] == 3 and np.abs(decoded.astype(int) - colour).max() <= 2


def test_a_transparent_colour_of_16_bits():
    grey = png(np.array([[0, 256, 30_000, 65_535]], np.uint16), tRNS=struct.pack(">H", 256))
    assert decoding.decode(grey)[0, :, 0].tolist() == [0, 255, 116, 255]
    (frame,), _ = decoding.decode_frames(grey)
    assert frame[0, :, 3].tolist() == [255, 0, 255, 255]
    colours = np.array([[[0x1234, 0x5678, 0x9ABC], [0xFFFF, 0, 0]]], np.uint16)
    data = png(colours, tRNS=struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    assert decoding.decode(data).tolist() == [[[255] * 3, [255, 0, 0]]]


def test_a_still_that_is_not_a_frame_of_an_animation_is_left_out():
    frames = [Image.new("RGB", (8, 4), colour) for colour in ("blue", "red", "lime", "white")]
    options = {"save_all": True, "default_image": True, "append_images": frames[1:], "duration": [50, 60, 70]}
    made, info = decoding.decode_frames(encoded(frames[0], **options))
    assert [frame[0, 0].tolist() for frame in made] == [[255, 0, 0], [0, 255, 0], [255] * 3]
    assert info["duration"] == [50, 60, 70]


def test_a_png_with_megabytes_of_text_is_read():
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 5 * 2**20, zip=True)
    assert (decoding.decode(encoded(PHOTO, pnginfo=text)) == np.asarray(PHOTO)).all()


# Limits and errors


def test_a_jpeg_is_decoded_reduced_but_not_smaller_than_asked():
    data = encoded(two_colours(800, 400), "jpeg")
    reduced = decoding.decode(data, at_least=64)
    assert reduced.shape == (200, 400, 3)  # the smallest that leaves twice the size for averaging
    assert np.abs(reduced[10, 10].astype(int) - RED).max() < 16
    assert decoding.decode(data, at_least=399).shape == decoding.decode(data).shape == (400, 800, 3)


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


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("kind", ["jpeg", "progressive", "png", "tiff of floats"])
def test_too_many_pixels_are_refused_with_a_remedy(kind):
    file = io.BytesIO()
    if kind == "tiff of floats":
        tifffile.imwrite(file, np.zeros((400, 800, 3), np.float32), photometric="rgb")
    else:
        options = {"progressive": True} if kind == "progressive" else {}
        two_colours(800, 400).save(file, "png" if kind == "png" else "jpeg", **options)
    message = "^0 million pixels, at most 0 million can be read: "
    with pytest.raises(decoding.Unreadable, match=f"{message}give --size N .*, or make it smaller$"):
        decoding.decode_frames(file.getvalue(), longest=None if kind == "jpeg" else 50)
    with pytest.raises(decoding.Unreadable, match=f"{message}make it smaller$"):
        decoding.decode(file.getvalue())


def test_animations_that_are_too_large_or_of_several_sizes_are_refused():
    small = [Image.new("L", (8, 8), shade) for shade in range(4)]
    data = bytearray(encoded(small[0], "gif", save_all=True, append_images=small[1:]))
    data[6:10] = struct.pack("<HH", 13000, 13000)  # the canvas; each frame is still 8x8
    with pytest.raises(decoding.Unreadable, match="4 frames of 13000x13000 pixels are too much at once"):
        decoding.decode_frames(bytes(data))
    first, wider = (encoded(noise(width, 20).quantize(16), "gif") for width in (24, 60))
    data = first[:-1] + wider[wider.index(b",\0\0\0\0") :]  # beyond the first one's canvas
    with pytest.raises(decoding.Unreadable, match="its frames differ in size"):
        decoding.decode_frames(data)


@pytest.mark.parametrize("decode", [decoding.decode, decoding.decode_frames])
def test_damaged_images_have_a_reason_and_leave_no_pixels_behind(decode):
    for data, reason in DAMAGED.values():
        with pytest.raises(decoding.Unreadable) as error:
            decode(data)
        assert reason in str(error.value)
        assert error.value.__context__ is None  # whose traceback would keep the pixels


@pytest.mark.parametrize("how", ["crop", "squash"])
def test_sides_of_more_than_1_to_100_are_refused_in_training(how):
    data = encoded(noise(1, 101))
    whole = decoding.decode(data)
    for train in (lambda: decoding.decode(data, at_least=16), lambda: images.fit_training(whole, 16, how)):
        with pytest.raises(decoding.Unreadable, match="1x101 pixels, more than 100 times as long as wide"):
            train()
    images.fit_training(whole[:100], 16, how)


def test_libraries_print_nothing(run_cli, tmp_path):
    """Pillow and libtiff would not name the file, in warnings, logs and on standard error."""
    samples = bytearray(encoded(PHOTO, "tiff"))
    place = samples.index(struct.pack("<HHI", 277, 3, 1))  # the tag SamplesPerPixel, a short
    samples[place + 8 : place + 10] = struct.pack("<H", 20000)
    packed = bytearray(encoded(PHOTO, "tiff", compression="tiff_lzw"))
    packed[40:60] = b"\xff" * 20
    exif = encoded(PHOTO, "jpeg", exif=b"Exif\0\0II*\0\x08\0\0\0\x03\0\x12\x01")
    for number, data in enumerate((samples, packed, exif)):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    code = "import pathlib; from pictures import images; "
    code += f"print(images.check(sorted(pathlib.Path({str(tmp_path)!r}).iterdir()), ''))"
    done = run_cli("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.jpg'): 'image file is truncated'" in done.stdout and "2.jpg'): " not in done.stdout
