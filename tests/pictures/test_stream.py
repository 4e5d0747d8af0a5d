"""Pictures of every kind through a network, here a function: what comes out, and how failures are told."""

import concurrent.futures
import errno
import types

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor, ImageOps

from pictures import decoding, images, stream
from pictures.listing import Picture
from utils import RunFailed


def negative(photos):
    """Stands for the network; as it does, it takes photos of one size alone."""
    return list(255 - np.stack(photos))


@pytest.fixture
def run(tmp_path):
    """Puts the pictures of tmp_path/in through `apply` to tmp_path/out; returns how many failed."""

    def call(apply=negative, most=1, extension="", size=None, side_by_side=False):
        pictures = []
        for path in sorted((tmp_path / "in").iterdir()):
            name = path.with_suffix(extension).name if extension else path.name
            pictures.append(Picture(path, tmp_path / "out" / name))
        args = types.SimpleNamespace(size=size, side_by_side=side_by_side)
        return stream.run_pictures(pictures, apply, args, lambda height, width: most)

    (tmp_path / "in").mkdir()
    return call


def noise(height, width, channels=3, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def rows(path, mode="RGB"):
    with Image.open(path) as image:
        return np.asarray(image.convert(mode))


# Kinds of picture


BITS = Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160)


@pytest.mark.parametrize(
    ("name", "image", "options", "mode"),
    [
        ("a.jpg", noise(33, 18), {}, "RGB"),
        ("a.JPEG", noise(33, 18, 1), {}, "RGB"),
        ("cmyk.jpg", noise(20, 20).convert("CMYK"), {}, "RGB"),
        ("a.png", noise(33, 18), {}, "RGB"),
        ("a.webp", noise(33, 18), {}, "RGB"),
        ("a.bmp", noise(33, 18), {}, "RGB"),
        ("a.tif", noise(33, 18), {}, "RGB"),
        ("still.gif", noise(33, 18).quantize(16), {}, "P"),
        ("palette.png", noise(33, 18).quantize(16), {}, "RGB"),
        ("seen_through.png", noise(33, 18).quantize(16), {"transparency": 3}, "RGBA"),
        ("bits.png", BITS, {}, "RGB"),
        ("bits.tif", BITS, {}, "RGB"),
        ("black.png", noise(17, 20, 1).convert("1"), {}, "RGB"),
        ("alpha.png", noise(33, 18, 4), {}, "RGBA"),
        ("grey_alpha.png", noise(33, 18, 2), {}, "RGBA"),
        ("alpha.webp", noise(33, 18, 4), {"exact": True}, "RGBA"),
        ("alpha.tif", noise(33, 18, 4), {}, "RGBA"),
        ("pixel.png", noise(1, 1), {}, "RGB"),
        ("row.png", noise(1, 50), {}, "RGB"),
        ("column.webp", noise(100, 2), {}, "RGB"),
    ],
)
def test_kinds_keep_their_size_and_format(run, tmp_path, name, image, options, mode):
    image.save(tmp_path / "in" / name, **options)
    assert run() == 0
    with Image.open(tmp_path / "in" / name) as given, Image.open(tmp_path / "out" / name) as made:
        assert (made.size, made.format, made.mode) == (given.size, given.format, mode)
        if mode == "RGBA" and made.format != "WEBP":
            assert (np.asarray(made)[..., 3] == np.asarray(given.convert("RGBA"))[..., 3]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_the_pixels(run, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise(20, 36).save(tmp_path / "in/turned.png", exif=exif)
    assert run() == 0
    with Image.open(tmp_path / "in/turned.png") as turned, Image.open(tmp_path / "out/turned.png") as made:
        upright = np.asarray(ImageOps.exif_transpose(turned))
        assert made.getexif().get(0x0112, 1) == 1
        assert (np.asarray(made) == 255 - upright).all()


COLOURS = ("maroon", "teal", "gold")


def animation(path):
    made = [Image.new("RGB", (24, 20), colour) for colour in COLOURS]
    made[0].save(path, save_all=True, append_images=made[1:], duration=[100, 200, 300], loop=0)


@pytest.mark.parametrize("extension", ["gif", "png", "webp"])
def test_every_frame_of_an_animation(run, tmp_path, extension):
    animation(tmp_path / f"in/a.{extension}")
    assert run(most=2) == 0
    with Image.open(tmp_path / f"out/a.{extension}") as made:
        assert (made.n_frames, made.size) == (3, (24, 20))
        seen, durations = [], []
        for place in range(3):
            made.seek(place)
            seen.append(np.asarray(made.convert("RGB")))
            durations.append(made.info["duration"])
    assert durations == [100, 200, 300]
    for frame, colour in zip(seen, COLOURS, strict=True):
        assert abs(255.0 - frame - ImageColor.getrgb(colour)).max() <= 4


def test_transparent_animation_stays_transparent(run, tmp_path):
    frames = [Image.new("RGBA", (20, 20), (0, 0, 0, 0)) for _ in range(2)]
    for place, frame in enumerate(frames):
        frame.paste((200, 20, 20, 255), (place * 10, 0, place * 10 + 8, 20))
    frames[0].save(tmp_path / "in/a.gif", save_all=True, append_images=frames[1:], disposal=2)
    assert run() == 0
    with Image.open(tmp_path / "out/a.gif") as made:
        for place in range(2):
            made.seek(place)
            alpha = np.asarray(made.convert("RGBA"))[..., 3]
            assert alpha[:, place * 10 : place * 10 + 8].min() == 255
            assert alpha[:, (1 - place) * 10 : (1 - place) * 10 + 8].max() == 0


def test_where_a_format_has_no_transparency_white_shines_through(run, tmp_path):
    picture = Image.new("RGBA", (16, 16), (55, 105, 155, 255))
    picture.paste((55, 105, 155, 51), (8, 0, 16, 16))
    picture.save(tmp_path / "in/a.png")
    assert run(extension=".jpg") == 0
    made = rows(tmp_path / "out/a.jpg").astype(int)
    assert abs(made[:, :8] - [200, 150, 100]).max() <= 3
    assert abs(made[:, 8:] - [244, 234, 224]).max() <= 3


def test_size_and_side_by_side(run, tmp_path):
    noise(30, 60, 4).save(tmp_path / "in/a.png")
    assert run(side_by_side=True) == 0
    made, given = rows(tmp_path / "out/a.png", "RGBA"), rows(tmp_path / "in/a.png", "RGBA")
    seen = given[..., 3] > 0
    assert (made[:, :60][seen] == given[seen]).all()
    assert (made[:, 60:, :3][seen] == 255 - given[..., :3][seen]).all()
    assert (made[:, 60:, 3] == given[..., 3]).all()
    assert run(side_by_side=True, size=40) == 0
    assert rows(tmp_path / "out/a.png").shape == (20, 80, 3)
    assert run(size=999) == 0
    assert rows(tmp_path / "out/a.png").shape == (30, 60, 3)  # never enlarged


# Many of them


def test_pictures_of_one_size_go_together_and_come_out_in_order(run, tmp_path):
    sizes = [(16, 20), (16, 20), (16, 20), (24, 16), (16, 20)]
    for place, size in enumerate(sizes):
        noise(*size, seed=place).save(tmp_path / f"in/{place}.png")
    together = []

    def watched(photos):
        together.append(len(photos))
        return negative(photos)

    assert run(watched, most=2) == 0
    assert together == [2, 1, 1, 1]
    for place in range(5):
        assert (rows(tmp_path / f"out/{place}.png") == 255 - rows(tmp_path / f"in/{place}.png")).all()


def test_work_ahead_keeps_its_order_and_its_distance():
    begun = []

    def work(item):
        begun.append(item)
        return item * item

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        results = stream.ahead(pool, work, range(20), 3)
        assert next(results) == 0 and max(begun) <= 2
        assert list(results) == [item * item for item in range(1, 20)]


def test_unreadable_files_are_named_and_the_rest_goes_on(run, tmp_path, capsys):
    noise(16, 16).save(tmp_path / "in/b.png")
    (tmp_path / "in/a.jpg").write_bytes(b"no picture")
    (tmp_path / "in/c.png").write_bytes((tmp_path / "in/b.png").read_bytes()[:200])
    (tmp_path / "in/d.webp").write_bytes(b"")
    animation(tmp_path / "in/e.gif")
    (tmp_path / "in/e.gif").rename(tmp_path / "in/e.bmp")
    (tmp_path / "in/f.png").symlink_to("gone")
    (tmp_path / "in/g.xyz").write_bytes((tmp_path / "in/b.png").read_bytes())
    assert run() == 6
    told = [line.split("/in/")[1] for line in capsys.readouterr().err.splitlines()]
    assert told[0] == "a.jpg: cannot be read: not an image"
    assert told[1].startswith("c.png: cannot be read: ")
    assert told[2:] == [
        "d.webp: cannot be read: the file is empty",
        "e.bmp: 3 frames do not fit a .bmp: use --format gif, png or webp",
        "f.png: cannot be read: No such file or directory",
        "g.xyz: cannot be written as .xyz: give a --format",
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_out_of_memory_costs_the_one_picture_that_is_too_large(run, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        noise(16, 16).save(tmp_path / "in" / name)
    noise(20, 24).save(tmp_path / "in/c.png")

    def greedy(photos):
        if len(photos) > 1 or photos[0].shape[0] > 16:
            torch.empty(1 << 60, dtype=torch.uint8)
        return negative(photos)

    assert run(greedy, most=2) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert "c.png: out of memory" in told and "--size" in told and "--tile" in told and "24x20" in told
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def test_a_picture_that_is_too_large_to_be_read_is_told(run, tmp_path, monkeypatch, capsys):
    def greedy(*_):
        raise MemoryError

    noise(16, 16).save(tmp_path / "in/a.png")
    monkeypatch.setattr(decoding, "decode_frames", greedy)
    assert run() == 1
    assert "a.png: out of memory" in capsys.readouterr().err


FAULTS = [
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
    RuntimeError("Expected canUse32BitIndexMath(input) to be true, but got false."),
    ValueError("of a kind that nobody thought of\nin two lines"),
    RunFailed("the result has values that are not finite: try another checkpoint of the run"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault)[:12])
@pytest.mark.parametrize("most", [1, 3])
def test_a_failure_of_any_kind_costs_the_one_picture_that_has_it(run, tmp_path, capsys, fault, most):
    for place, name in enumerate("abc"):
        noise(16, 16, seed=place).save(tmp_path / f"in/{name}.png")
    bad = rows(tmp_path / "in/b.png")

    def faulty(photos):
        if any((photo == bad).all() for photo in photos):
            raise fault
        return negative(photos)

    assert run(faulty, most=most) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert f"b.png: {str(fault).splitlines()[0]}" in told and "16x16 pixels" in told
    assert ("--tile" in told) == (type(fault) is not RunFailed)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


@pytest.mark.parametrize("fault", [*FAULTS[2:4], MemoryError()], ids=lambda fault: str(fault)[:12])
@pytest.mark.parametrize("where", ["fit_within", "side_by_side"])
def test_so_does_a_failure_around_the_network(run, tmp_path, monkeypatch, capsys, fault, where):
    for width in (16, 20):
        noise(16, width).save(tmp_path / f"in/{width}.png")
    done = getattr(images, where)

    def faulty(image, other):
        if image.shape[1] == 16:
            raise fault
        return done(image, other)

    monkeypatch.setattr(images, where, faulty)
    assert run(side_by_side=True, size=20) == 1
    assert "16.png: " in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["20.png"]


def test_a_result_that_cannot_be_written_is_told_a_full_disk_ends_it(run, tmp_path, monkeypatch, capsys):
    def failing(number):
        def write(*_, **__):
            raise OSError(number, "not here")

        return write

    noise(16, 16).save(tmp_path / "in/a.png")
    monkeypatch.setattr(images, "write", failing(errno.ENAMETOOLONG))
    assert run() == 1
    assert f"a.png: cannot be written to {tmp_path}/out/a.png: not here" in capsys.readouterr().err
    monkeypatch.setattr(images, "write", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="not here"):
        run()
