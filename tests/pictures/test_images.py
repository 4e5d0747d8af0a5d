"""Image files of every kind read, made to fit, written; luminance changed; what cannot be read is told."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from pictures import images, listing
from utils import WrongUse

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
    image = images.decode(encoded(two_colours(), kind))
    assert image.dtype == np.uint8 and image.shape == (16, 32, 3)
    assert np.abs(image.astype(int) - two_colours())[:, [4, 28]].max() < 16


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_exif_orientation_is_applied(orientation, turns):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = two_colours()
    assert np.array_equal(images.decode(encoded(stored, exif=exif)), np.rot90(stored, turns))


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
    decoded = images.decode(encoded(image, kind, **options))
    assert decoded.shape[2] == 3
    assert np.abs(decoded.astype(int) - colour).max() <= 2


def test_a_transparent_palette_colour_is_white():
    palette = Image.fromarray(two_colours()).convert("P", palette=Image.Palette.ADAPTIVE)
    transparent = palette.getpixel((0, 0))
    decoded = images.decode(encoded(palette, transparency=transparent))
    assert tuple(decoded[0, 0]) == WHITE and tuple(decoded[0, -1]) == BLUE


def test_grey_has_one_channel():
    grey = images.decode(encoded(two_colours()), channels=1)
    assert grey.shape == (16, 32, 1)
    assert (grey[0, 0, 0], grey[0, -1, 0]) == (76, 29)  # ITU-R 601: 0.299 R + 0.587 G + 0.114 B


def test_a_jpeg_is_decoded_at_reduced_size_and_never_below_what_is_wanted():
    data = encoded(two_colours(800, 400), "jpeg")
    reduced = images.decode(data, at_least=64)
    assert 64 <= reduced.shape[0] < 400 and reduced.shape[1] == 2 * reduced.shape[0]
    assert np.abs(reduced[10, 10].astype(int) - RED).max() < 16
    assert images.decode(data, at_least=399).shape == images.decode(data).shape == (400, 800, 3)


UNREADABLE = {
    "truncated.jpg": (encoded(noise(64, 64), "jpeg")[:-500], "truncated"),
    "truncated.png": (encoded(noise(64, 64))[:-500], "truncated"),
    "empty.jpg": (b"", "the file is empty"),
    "text.jpg": (b"<html>404 not found</html>", "not an image"),
    "header.png": (encoded(two_colours())[:20], "."),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_files_are_told_with_a_reason(name, tmp_path):
    data, told = UNREADABLE[name]
    with pytest.raises(images.Unreadable, match=told) as error:
        images.decode(data)
    assert "\n" not in str(error.value)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WrongUse, match=f"cannot read {tmp_path / name}: "):
        images.read(tmp_path / name)


def test_whatever_a_decoder_raises_is_a_reason(monkeypatch):
    def fail(*_, **__):
        raise struct.error("required argument is not an integer")

    monkeypatch.setattr(images.ImageOps, "exif_transpose", fail)
    with pytest.raises(images.Unreadable, match="required argument is not an integer"):
        images.decode(encoded(two_colours()))


def test_check_parts_the_good_from_the_bad(tmp_path):
    good, same, text, gone = (tmp_path / f"{name}.png" for name in ("good", "same", "text", "gone"))
    images.write(good, two_colours())
    same.write_bytes(good.read_bytes())
    text.write_text("no image")
    checked = images.check([good, text, same, gone], "photographs")
    assert checked.paths == [good, same]
    assert checked.digests == [images.digest(good.read_bytes())] * 2
    assert checked.unreadable == {text: "not an image", gone: "No such file or directory"}


def test_find_goes_into_folders_and_leaves_hidden_and_other_files_out(tmp_path):
    folder = tmp_path / ".hidden above"
    wanted = ["B.JPG", "a.jpeg", "c.Png", "deep/er/d.webp", "e.tif", "f.TIFF", "g.bmp"]
    for name in [*wanted, ".h.jpg", ".thumbnails/i.png", "j.txt", "k.gif", "jpg"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert [str(path) for path in listing.find_images(folder)] == wanted


@pytest.mark.parametrize(
    ("width", "height", "how", "expected"),
    [
        (100, 50, "crop", (64, 32)),
        (50, 100, "crop", (32, 64)),
        (33, 47, "crop", (32, 46)),
        (20, 10, "crop", (64, 32)),
        (32, 32, "crop", (32, 32)),
        (100, 50, "squash", (32, 32)),
        (10, 20, "squash", (32, 32)),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_fit_training(width, height, how, expected, channels):
    image = images.fit_training(noise(width, height)[..., :channels], 32, how)
    assert image.shape == (*expected[::-1], channels) and image.dtype == np.uint8


def test_shrinking_takes_the_mean_of_the_area():
    checkerboard = np.indices((8, 8)).sum(0)[..., None].astype(np.uint8) % 2 * 200
    assert np.array_equal(images.resize(checkerboard, 4, 4), np.full((4, 4, 1), 100))


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(100, 50, (60, 30)), (50, 100, (30, 60)), (50, 20, (50, 20)), (999, 2, (60, 1))],
)
def test_fit_within_shrinks_and_never_enlarges(width, height, expected):
    assert images.fit_within(noise(width, height), 60).shape[1::-1] == expected


def test_side_by_side():
    colour, grey = two_colours(), two_colours()[..., :1]
    both = images.side_by_side(colour, grey)
    assert np.array_equal(both[:, :32], colour) and np.array_equal(both[:, 32:], grey.repeat(3, axis=2))
    assert images.side_by_side(grey, grey).shape == (16, 64, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_write_is_whole_and_reads_back_the_same(tmp_path, channels):
    path, image = tmp_path / "picture.png", noise(20, 10)[..., :channels]
    images.write(path, image)
    assert np.array_equal(images.read(path, channels), image)
    assert list(tmp_path.iterdir()) == [path]


def test_work_is_done_in_the_order_of_the_items(capsys):
    assert images.for_each(lambda item: item**2, range(50), "squares") == [n**2 for n in range(50)]
    assert capsys.readouterr() == ("", "")


def test_a_missing_libgl_is_told_with_both_mends(run_cli):
    end = run_cli("-c", "import sys; sys.modules['cv2'] = None; import CartoonGAN")
    assert end.returncode == 1 and end.stderr.count("\n") == 1
    assert "apt-get install libgl1 libglib2.0-0" in end.stderr and "opencv-python-headless" in end.stderr


def test_luminance_is_changed_and_chroma_is_kept():
    """Chroma by its definition in ITU-R BT.601: R - Y and B - Y."""
    photo = np.random.default_rng(0).integers(90, 160, (8, 9, 3)).astype(np.uint8)
    grey = images.luminance(photo)
    assert (grey == images.decode(encoded(Image.fromarray(photo)), channels=1)).all()
    assert (images.with_luminance(photo, grey) == photo).all()
    wanted = np.clip(grey + np.linspace(-30, 30, 9)[:, None], 0, 255).astype(np.uint8)
    result = images.with_luminance(photo, wanted)
    assert np.abs(images.luminance(result).astype(int) - wanted).max() <= 1
    chroma = lambda image: image[..., [0, 2]] - (image @ [0.299, 0.587, 0.114])[..., None]
    assert np.abs(chroma(result) - chroma(photo)).max() < 1e-9


def test_grey_stays_grey_and_values_end_at_black_and_white():
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    wanted = grey[::-1, ::-1, :1]
    assert (images.with_luminance(grey, wanted) == wanted).all()
    red = np.full((1, 1, 3), [250, 10, 10], np.uint8)
    assert images.with_luminance(red, np.full((1, 1, 1), 255, np.uint8)).tolist() == [[[255, 183, 183]]]
    assert images.with_luminance(red, np.zeros((1, 1, 1), np.uint8)).tolist() == [[[168, 0, 0]]]
