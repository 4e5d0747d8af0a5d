"""Unusual and damaged images one by one: each is used, or refused with its reason."""

import gc
import struct

import numpy as np
import pytest
from bad_data import DAMAGED, LONG, PHOTO, UNUSUAL, encoded, noise
from PIL import Image

from pictures import decoding, images

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes decoding.py's own filter


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_images_are_used(name):
    for decoded in (decoding.decode(UNUSUAL[name], at_least=16), decoding.decode_frames(UNUSUAL[name])[0][0]):
        assert decoded.dtype == np.uint8 and decoded.shape[2] in (3, 4)
    assert decoding.decode(UNUSUAL[name], channels=1).shape[2] == 1
    assert images.fit_training(decoding.decode(UNUSUAL[name]), 16, "crop").shape[2] == 3


def test_floating_point_black_is_0_and_white_is_1():
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    decoded = decoding.decode(encoded(Image.fromarray(values), "tiff"))
    assert (decoded == np.arange(256).reshape(16, 16, 1)).all()


@pytest.mark.parametrize("decode", [decoding.decode, decoding.decode_frames])
def test_damaged_images_have_a_reason_and_leave_no_pixels_behind(decode):
    """An exception refers to the frames that it went through: who keeps one would keep the pixels."""
    errors, alive = [], lambda: sum(issubclass(type(each), Image.Image) for each in gc.get_objects())
    decode(UNUSUAL["grey.jpg"])
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for data, reason in DAMAGED.values():
            try:
                decode(data)
            except images.Unreadable as error:
                errors.append(error.__context__)
                assert reason in str(error)
        assert errors == [None] * len(DAMAGED) and alive() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["crop", "squash"])
@pytest.mark.parametrize("name", LONG)
def test_the_longest_and_thinnest_are_refused_in_training_only(name, how):
    data, reason = LONG[name]
    whole = decoding.decode(data)
    assert max(whole.shape) == 20000
    for refused in (lambda: decoding.decode(data, at_least=16), lambda: images.fit_training(whole, 16, how)):
        with pytest.raises(images.Unreadable, match=f"^{reason}$"):
            refused()
    assert images.fit_training(np.zeros((1, 100, 3), np.uint8), 16, "crop").shape == (16, 1600, 3)


def test_animations_that_are_too_large_or_of_several_sizes_are_refused():
    small = [Image.new("L", (8, 8), shade) for shade in range(4)]
    data = bytearray(encoded(small[0], "gif", save_all=True, append_images=small[1:]))
    data[6:10] = struct.pack("<HH", 13000, 13000)  # the canvas; each frame is still 8x8
    with pytest.raises(images.Unreadable, match="4 frames of 13000x13000 pixels are too much at once"):
        decoding.decode_frames(bytes(data))
    first, wider = (encoded(noise(width, 20).quantize(16), "gif") for width in (24, 60))
    data = first[:-1] + wider[wider.index(b",\0\0\0\0") :]  # beyond the first one's canvas
    with pytest.raises(images.Unreadable, match="its frames differ in size"):
        decoding.decode_frames(data)


def test_pillow_reports_nothing_itself(run_cli, tmp_path):
    """It would not name the file: neither in warnings nor through its logger."""
    samples = bytearray(encoded(PHOTO, "tiff"))
    place = samples.index(struct.pack("<HHI", 277, 3, 1))  # the tag SamplesPerPixel, a short
    samples[place + 8 : place + 10] = struct.pack("<H", 20000)
    exif = encoded(PHOTO, "jpeg", exif=b"Exif\0\0II*\0\x08\0\0\0\x03\0\x12\x01")
    for number, data in enumerate((bytes(samples), exif)):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    code = "import pathlib; from pictures import images; "
    code += f"print(images.check(sorted(pathlib.Path({str(tmp_path)!r}).iterdir()), ''))"
    done = run_cli("-c", code)
    assert done.returncode == 0 and done.stderr == ""
    assert "0.jpg'): 'image file is truncated'" in done.stdout and "1.jpg'): " not in done.stdout
