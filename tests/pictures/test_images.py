"""Image files read, made to fit, written; luminance changed; what cannot be read is told."""

import numpy as np
import pytest
from bad_data import encoded
from PIL import Image

from pictures import decoding, images
from utils import WrongUse


def noise(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def two_colours():
    """Left half red, right half blue."""
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, :16, 0] = image[:, 16:, 2] = 255
    return image


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    for name, reason in (("a.png", "not an image"), ("gone.png", "No such file or directory")):
        with pytest.raises(WrongUse, match=f"cannot read {tmp_path / name}: {reason}"):
            images.read(tmp_path / name)


def test_check_parts_the_good_from_the_bad(tmp_path):
    good, same, text, gone = (tmp_path / f"{name}.png" for name in ("good", "same", "text", "gone"))
    images.write(good, two_colours())
    same.write_bytes(good.read_bytes())
    text.write_text("no image")
    checked = images.check([good, text, same, gone], "photographs")
    assert checked.paths == [good, same]
    assert checked.digests == [images.digest(good.read_bytes())] * 2
    assert checked.unreadable == {text: "not an image", gone: "No such file or directory"}


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
    assert (grey == decoding.decode(encoded(Image.fromarray(photo)), channels=1)).all()
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
