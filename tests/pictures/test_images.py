"""Image files read, resized, written with their origin and their dates; luminance changed."""

import hashlib
import io

import numpy as np
import pytest
from bad_data import encoded, noise
from PIL import ExifTags, Image

from pictures import decoding, images
from utils import WrongUse

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes decoding.py's own filter


def pixels(width, height):
    return np.array(noise(width, height))


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    good, same, text, gone = (tmp_path / f"{name}.png" for name in ("good", "same", "text", "gone"))
    images.write(good, pixels(20, 10))
    assert (images.read(good) == pixels(20, 10)).all()
    same.write_bytes(good.read_bytes())
    text.write_text("no image")
    reasons = {text: "not an image", gone: "No such file or directory"}
    checked = images.check([good, text, same, gone], "photographs")
    assert checked.paths == [good, same] and checked.unreadable == reasons
    assert checked.digests == [images.digest(good.read_bytes())] * 2
    for path, reason in reasons.items():
        with pytest.raises(WrongUse, match=f"cannot read {path}: {reason}"):
            images.read(path)
    assert images.check([good], "", narrowest=20).paths == [good]
    assert "20 pixels wide, at least 21" in images.check([good], "", narrowest=21).unreadable[good]


def test_fit_training_and_the_longest_image_that_it_accepts():
    for size, expected in (((33, 47), (46, 32)), ((20, 10), (32, 64))):
        assert images.fit_training(pixels(*size), 32, "crop").shape == (*expected, 3)
    assert images.fit_training(pixels(9, 5)[..., :1], 32, "squash").shape == (32, 32, 1)
    for how in ("crop", "squash"):
        images.fit_training(pixels(1, 100), 16, how)
        with pytest.raises(decoding.Unreadable, match="1x101 pixels, more than 100 times as long as wide"):
            images.fit_training(pixels(1, 101), 16, how)


def test_images_shrink_by_the_mean_of_the_area_and_fit_within_never_enlarges():
    checkerboard = np.indices((8, 8)).sum(0)[..., None].astype(np.uint8) % 2 * 200
    assert np.array_equal(images.resize(checkerboard, 4, 4), np.full((4, 4, 1), 100))
    for size, expected in (((50, 100), (30, 60)), ((50, 20), (50, 20)), ((999, 2), (60, 1))):
        assert images.fit_within(pixels(*size), 60).shape[1::-1] == expected


def test_side_by_side():
    colour = pixels(32, 16)
    grey = colour[..., 1:2]
    both = images.side_by_side(colour, grey)
    assert np.array_equal(both[:, :32], colour) and np.array_equal(both[:, 32:], grey.repeat(3, axis=2))


def test_luminance_changes_and_chroma_stays():
    """Chroma by its definition in ITU-R BT.601: R - Y and B - Y."""
    photo = pixels(9, 8) // 4 + 90
    grey = images.luminance(photo)
    assert np.abs(grey[..., 0] - photo @ [0.299, 0.587, 0.114]).max() <= 0.51
    wanted = np.clip(grey + np.linspace(-30, 30, 9)[:, None], 0, 255).astype(np.uint8)
    result = images.with_luminance(photo, wanted)
    assert np.abs(images.luminance(result).astype(int) - wanted).max() <= 1
    chroma = lambda image: image[..., [0, 2]] - (image @ [0.299, 0.587, 0.114])[..., None]
    assert np.abs(chroma(result) - chroma(photo)).max() < 1e-9
    red = np.full((1, 1, 3), [250, 10, 10], np.uint8)  # of luminance 82; values end at 0 and 255
    assert images.with_luminance(red, np.full((1, 1, 1), 255, np.uint8)).tolist() == [[[255, 183, 183]]]
    assert images.with_luminance(red, np.zeros((1, 1, 1), np.uint8)).tolist() == [[[168, 0, 0]]]


# Writing

DATES = {ExifTags.Base.DateTimeOriginal: "2019:01:02 03:04:05", ExifTags.Base.OffsetTimeOriginal: "+09:00"}
ORIGIN = {"Software": "CartoonGAN 1a2b", "Model": "P/net.pth, SHA-256 12ab", "Command": "python test.py é …"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_result_keeps_the_dates_and_resolution_of_its_photograph_and_records_its_origin(tmp_path, kind):
    given = Image.Exif()
    given[ExifTags.Base.DateTime] = "2020:02:03 04:05:06"
    given[ExifTags.Base.Make] = "Maker"
    given[ExifTags.Base.Orientation] = 6
    given.get_ifd(ExifTags.IFD.Exif).update(DATES)
    given.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    photograph = encoded(Image.new("RGB", (24, 16), "teal"), "jpeg", exif=given, dpi=(300, 300))
    (frame,), kept = decoding.decode_frames(photograph)
    path = tmp_path / f"a.{kind.lower()}"
    images.write(path, frame, **kept | images.origin_options(kind, ORIGIN, kept["exif"]))
    with Image.open(path) as made:
        made.load()
        exif, info, size = made.getexif(), made.info, made.size
    assert size == (16, 24)
    assert kind == "WEBP" or info["dpi"] == pytest.approx((300, 300), abs=0.1)
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    assert exif[ExifTags.Base.DateTime] == "2020:02:03 04:05:06" and inner.items() >= DATES.items()
    assert ExifTags.Base.Make not in exif and not exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    if kind == "PNG":
        assert info.items() >= ORIGIN.items()
        return
    text = "Software: CartoonGAN 1a2b\nModel: P/net.pth, SHA-256 12ab\nCommand: python test.py é …"
    comment = bytes(inner[ExifTags.Base.UserComment])
    assert comment.startswith(b"UNICODE\0") and comment[8:].decode("utf-16-be") == text
    assert exif[ExifTags.Base.Software] == "CartoonGAN 1a2b"
    assert kind != "JPEG" or info["comment"].decode() == text


def test_the_origin_names_the_model_with_its_hash_and_part_of_a_long_command(tmp_path):
    (tmp_path / "net.pth").write_bytes(b"weights")
    origin = images.describe_origin(tmp_path / "net.pth", "test.py \udcff" + " a.jpg" * 10_000)
    sha256 = hashlib.sha256(b"weights").hexdigest()[:16]
    assert origin["Model"] == f"{tmp_path.name}/net.pth, SHA-256 {sha256}"
    assert origin["Command"].startswith(r"test.py \udcff a.jpg") and origin["Command"].endswith("…")
    options = images.origin_options("JPEG", origin)
    Image.new("RGB", (8, 8)).save(io.BytesIO(), "jpeg", **options)  # EXIF holds 64 KB
