"""How a result was made, in its file; and the dates and the resolution of its photograph."""

import hashlib
import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from pictures import decoding, images, record

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes what decoding.py has said of these

DATES = {ExifTags.Base.DateTimeOriginal: "2019:01:02 03:04:05", ExifTags.Base.OffsetTimeOriginal: "+09:00"}
ABOUT = {
    "Software": "CartoonGAN 1a2b",
    "Model": "Paprika/net.pth, SHA-256 12ab",
    "Command": "python test.py é …",
}


def photograph():
    """The bytes of a JPEG with dates, a resolution, and what is not kept."""
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = "2020:02:03 04:05:06"
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif).update(DATES)
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    file = io.BytesIO()
    Image.new("RGB", (24, 16), "teal").save(file, "jpeg", exif=exif, dpi=(300, 300))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "resolution"),
    [
        ("a.jpg", True),
        ("a.png", True),
        ("a.tif", True),
        ("a.webp", False),
        ("a.avif", False),
        ("a.bmp", True),
    ],
)
def test_the_dates_and_the_resolution_of_a_photograph_are_kept_and_the_record_is_written(
    tmp_path, name, resolution
):
    (frame,), kept = decoding.decode_frames(photograph())
    kind = Image.registered_extensions()[f".{name.split('.')[1]}"]
    images.write(tmp_path / name, frame, **kept | record.options(kind, ABOUT, kept))
    with Image.open(tmp_path / name) as made:
        made.load()
        exif, info, size = made.getexif(), made.info, made.size
    assert size == (16, 24) and (not resolution or info["dpi"] == pytest.approx((300, 300), abs=0.1))
    if name == "a.bmp":
        return
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    assert exif[ExifTags.Base.DateTime] == "2020:02:03 04:05:06" and inner.items() >= DATES.items()
    assert ExifTags.Base.Make not in exif and not exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    if name == "a.png":
        assert info.items() >= ABOUT.items()
        return
    comment = bytes(inner[ExifTags.Base.UserComment])
    assert comment.startswith(b"UNICODE\0") and comment[8:].decode("utf-16-be") == record.text(ABOUT)
    assert exif[ExifTags.Base.Software] == "CartoonGAN 1a2b"
    assert name != "a.jpg" or info["comment"].decode() == record.text(ABOUT)


def test_an_animation_keeps_its_frames_and_has_the_record(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("PNG", "GIF"):
        path = tmp_path / f"a.{kind.lower()}"
        options = record.options(kind, ABOUT, {})
        images.write(path, np.asarray(frames[0]), save_all=True, append_images=frames[1:], **options)
        with Image.open(path) as made:
            assert made.n_frames == 2
            written = made.info if kind == "PNG" else {"Command": made.info["comment"].decode()}
        assert ABOUT["Command"] in written["Command"]


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0", None])
def test_what_is_damaged_beside_a_picture_does_no_harm(exif):
    file = io.BytesIO()
    Image.new("RGB", (24, 16)).save(file, "png", **{"exif": exif} if exif else {})
    assert decoding.decode_frames(file.getvalue())[1] == {}


def test_the_model_is_named_with_its_hash(tmp_path):
    (tmp_path / "Paprika_results").mkdir()
    path = tmp_path / "Paprika_results/generator_latest.pth"
    path.write_bytes(b"weights")
    made = record.of(path, "python test.py " + "a.jpg " * 10_000 + "\udcff")
    digest = hashlib.sha256(b"weights").hexdigest()[:16]
    assert made["Model"] == f"Paprika_results/generator_latest.pth, SHA-256 {digest}"
    assert made["Software"].startswith("CartoonGAN")
    assert made["Command"].startswith("python test.py a.jpg") and made["Command"].endswith("…")
    file = io.BytesIO()  # EXIF holds 64 KB
    Image.new("RGB", (8, 8)).save(file, "jpeg", **record.options("JPEG", made, {}))
    assert record.of(path, "python test.py \udcff")["Command"] == r"python test.py \udcff"
