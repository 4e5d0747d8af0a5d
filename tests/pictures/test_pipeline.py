"""Picture files converted by a function that replaces the network: the results and the reports."""

import concurrent.futures
import errno

import numpy as np
import pytest
from bad_data import noise
from PIL import Image, ImageColor

from pictures import images, pipeline
from pictures.listing import Picture
from utils import RunFailed


def negative(photos):
    """Replaces the network; like it, takes only photos of one size."""
    return list(255 - np.stack(photos))


def fail(error):
    raise error


@pytest.fixture
def run(tmp_path):
    """Converts the pictures of tmp_path/in with `apply` to tmp_path/out; returns how many failed."""

    def call(apply=negative, most=1, extension="", **options):
        pictures = []
        for path in sorted((tmp_path / "in").iterdir()):
            name = path.with_suffix(extension).name if extension else path.name
            pictures.append(Picture(path, tmp_path / "out" / name))
        failed = pipeline.run(pictures, apply, lambda height, width: most, **options)
        assert not any(picture.frames or picture.results for picture in pictures)  # memory of thousands
        return failed

    (tmp_path / "in").mkdir()
    return call


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_size_format_and_transparency_are_kept(run, tmp_path, name):
    transparent = noise(33, 18).quantize(16) if name == "a.png" else noise(33, 18, 4)
    transparent.save(tmp_path / "in" / name, transparency=3)
    noise(1, 1, 1).save(tmp_path / "in/pixel.JPEG")
    assert run() == 0 and images.read(tmp_path / "out/pixel.JPEG").shape == (1, 1, 3)
    with Image.open(tmp_path / "in" / name) as given, Image.open(tmp_path / "out" / name) as made:
        assert (made.size, made.format, made.mode) == (given.size, given.format, "RGBA")
        assert (np.asarray(made)[..., 3] == np.asarray(given.convert("RGBA"))[..., 3]).all()


@pytest.mark.parametrize("extension", ["gif", "png", "webp"])
def test_every_frame_of_an_animation_with_its_origin(run, tmp_path, extension):
    colours, frames = ("maroon", "teal", "gold"), []
    for place, colour in enumerate(colours):  # a moving step
        frames.append(Image.new("RGBA", (24, 20)))
        frames[-1].paste(colour, (8 * place, 0, 8 * place + 8, 10))
        frames[-1].paste(colour, (8 * place, 10, 8 * place + 4, 20))
    options = {"save_all": True, "append_images": frames[1:], "duration": [100, 200, 300], "loop": 2}
    frames[0].save(tmp_path / f"in/a.{extension}", disposal=2, **options)
    one_by_one = lambda photos: negative(photos) if len(photos) == 1 else fail(MemoryError())
    assert run(one_by_one, most=2, origin={"Software": "CartoonGAN 1a2b"}) == 0
    with Image.open(tmp_path / f"out/a.{extension}") as made:
        assert (made.n_frames, made.size, made.info["loop"]) == (3, (24, 20), 2)
        assert "CartoonGAN 1a2b" in f"{made.info} {made.getexif()}"
        for place, colour in enumerate(colours):
            made.seek(place)
            shown = np.asarray(made.convert("RGBA"), float)
            opaque = np.asarray(frames[place])[..., 3] > 0
            assert ((shown[..., 3] > 0) == opaque).all()
            inside = shown[2:8, 8 * place + 2 : 8 * place + 6, :3]
            assert abs(255 - inside - ImageColor.getrgb(colour)).max() <= 10
            assert made.info["duration"] == [100, 200, 300][place]  # WebP's is known after decoding


def test_a_jpeg_has_full_colour_resolution_and_white_where_the_picture_is_transparent(run, tmp_path):
    given = np.full((16, 32, 4), (200, 40, 40, 255), np.uint8)
    given[:, :16:2, :3] = 40, 40, 200  # stripes
    given[:, 16:, 3] = 51
    images.as_pillow(given).save(tmp_path / "in/a.png")
    assert run(extension=".jpg") == 0
    made = images.read(tmp_path / "out/a.jpg")
    assert abs(255.0 - given[:, :16, :3] - made[:, :16]).max() < 40
    assert abs(made[:, 16:] - np.array([215.0, 247, 247])).max() <= 3


def test_pictures_of_equal_size_share_a_batch_and_keep_their_order(run, tmp_path):
    sizes = [(16, 20), (16, 20), (16, 20), (24, 16), (16, 20)]
    for place, size in enumerate(sizes):
        noise(*size, seed=place).save(tmp_path / f"in/{place}.png")
    together = []
    assert run(lambda photos: together.append(len(photos)) or negative(photos), most=2) == 0
    assert together == [2, 1, 1, 1]
    for place in range(5):
        made, given = (images.read(tmp_path / folder / f"{place}.png") for folder in ("out", "in"))
        assert (made == 255 - given).all()


def test_map_ahead_keeps_the_order_and_its_limit():
    started = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        results = pipeline.map_ahead(pool, lambda item: started.append(item) or item**2, range(20), 3)
        assert next(results) == 0
        pool.submit(str).result()  # runs after everything that was submitted
        assert max(started) == 2
        assert list(results) == [item**2 for item in range(1, 20)]


def test_an_extension_that_cannot_hold_the_result_is_reported(run, tmp_path, capsys):
    noise(16, 16).save(tmp_path / "in/b.png")
    noise(8, 8).save(tmp_path / "in/e.gif", save_all=True, append_images=[noise(8, 8, seed=1)])
    (tmp_path / "in/e.gif").rename(tmp_path / "in/e.bmp")
    (tmp_path / "in/g.xyz").write_bytes((tmp_path / "in/b.png").read_bytes())
    assert run() == 2
    assert [line.split("/in/")[1] for line in capsys.readouterr().err.splitlines()] == [
        "e.bmp: 2 frames do not fit a .bmp: use --format gif, png or webp",
        "g.xyz: cannot be written as .xyz: give a --format",
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (MemoryError(), "out of memory: limit the size"),
        (ValueError("in two lines\nof text"), "in two lines: limit the size"),
        (RunFailed("not finite"), "not finite (it has 16x16 pixels)"),
    ],
)
def test_a_failure_in_the_network(run, tmp_path, capsys, fault, message, most):
    for place, name in enumerate("abc"):
        noise(16, 16, seed=place).save(tmp_path / f"in/{name}.png")
    bad = images.read(tmp_path / "in/b.png")
    is_bad = lambda photos: any((photo == bad).all() for photo in photos)
    assert run(lambda photos: fail(fault) if is_bad(photos) else negative(photos), most=most) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"b.png: {message}" in line
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_a_name_that_is_too_long_is_reported_and_a_full_disk_ends_the_run(run, tmp_path, monkeypatch, capsys):
    noise(16, 16).save(tmp_path / "in/a.png")
    monkeypatch.setattr(images, "write", lambda *_, **__: fail(OSError(errno.ENAMETOOLONG, "not here")))
    assert run() == 1
    assert f"a.png: cannot be written to {tmp_path}/out/a.png: not here" in capsys.readouterr().err
    monkeypatch.setattr(images, "write", lambda *_, **__: fail(OSError(errno.ENOSPC, "not here")))
    with pytest.raises(OSError, match="not here"):
        run()
