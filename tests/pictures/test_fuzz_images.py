"""Bytes that nobody made on purpose, through everything that reads images: only documented errors come out.

The short form is the same at every run; `pytest -m slow` tries ten thousand new inputs.
"""

import io
import resource
import struct
import time
import zlib

import numpy as np
import pytest
import tifffile
import torch
from helpers import SLOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import networks
from pictures import decoding, images, inference, listing, pipeline
from training import batches
from utils import RunFailed

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes what decoding.py has said of these

QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
SHORT = settings(max_examples=80, derandomize=True, **QUIET)
LONG = settings(max_examples=round(10000 * SLOW), print_blob=True, **QUIET)
MEMORY = 6 * 2**20  # KiB: a few copies of such a picture
EXTENSIONS = sorted(listing.TO_APPLY)


def seeds():
    """Small valid files of every format, pixel and extra that images.py knows, in a list."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    clear = Image.fromarray(rng.integers(0, 256, (20, 24, 4), dtype=np.uint8))
    grey, cmyk, black = (colour.convert(mode) for mode in ("L", "CMYK", "1"))
    palette = colour.quantize(16)
    deep = Image.fromarray(np.arange(480, dtype=np.uint16).reshape(20, 24) * 130)
    real = Image.fromarray(np.linspace(0, 1, 480, dtype=np.float32).reshape(20, 24))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a photo"
    turned = [palette.rotate(90), palette.rotate(180)]
    film = {"save_all": True, "append_images": turned, "duration": [50, 0, 70]}
    wide = {"save_all": True, "append_images": [colour.rotate(90), clear], "duration": 40, "loop": 2}
    kinds = {
        "jpeg": [colour, grey, cmyk, (colour, {"progressive": True}), (colour, {"exif": exif})],
        "png": [colour, (palette, {"transparency": 3}), deep, black, (clear, {"exif": exif}), (colour, wide)],
        "webp": [colour, (clear, {"lossless": True}), (colour, {"exif": exif}), (colour, wide)],
        "avif": [colour, clear],
        "bmp": [colour, palette, black, clear],
        "gif": [palette, (palette, {"transparency": 2}), (palette, film)],
        "tiff": [
            colour,
            deep,
            real,
            cmyk,
            clear,
            (colour, {"exif": exif}),
            (black, {"compression": "group4"}),
        ],
    }
    packed = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    kinds["tiff"] += [(colour, {"compression": kind}) for kind in packed]
    found = []
    for kind, made in kinds.items():
        for each in made:
            image, how = each if isinstance(each, tuple) else (each, {})
            file = io.BytesIO()
            image.save(file, kind, **how)
            found.append(file.getvalue())
    planes = np.moveaxis(np.asarray(colour), -1, 0)
    for values, how in (
        (planes * np.uint16(257), {"planarconfig": "separate"}),
        (np.asarray(colour, np.float32) / 255, {"compression": "zlib", "byteorder": ">"}),
        (np.asarray(colour, np.float64) / 255, {"tile": (16, 16)}),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, values, photometric="rgb", **how)
        found.append(file.getvalue())
    return found


SEEDS = seeds()


def mend(data):
    """Make the check sums of a PNG right, so that its decoder looks at what was changed."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 8 + length]
        parts += [data[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place += 12 + length
    return b"".join(parts) if data.startswith(b"\x89PNG") else data


@st.composite
def damaged(draw):
    """The bytes of a valid file after one to four accidents."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    accidents = st.sampled_from(["flip", "cut", "drop", "insert", "number", "splice"])
    for accident in draw(st.lists(accidents, min_size=1, max_size=4)):
        # Headers are where lengths are; but without its first bytes a file is soon told to be no image.
        header = st.integers(8 if accident in ("flip", "number") else 30, 120)
        place = draw(header | st.integers(8, max(8, len(data))))
        if accident == "flip" and place < len(data):
            data[place] ^= draw(st.integers(1, 255))
        elif accident == "cut":
            del data[place:]
        elif accident == "drop":
            del data[place : place + draw(st.integers(1, 40))]
        elif accident == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=20))
        elif accident == "number":
            form = draw(st.sampled_from(["<H", ">H", "<I", ">I"]))
            most = 2 ** (8 * struct.calcsize(form)) - 1
            edges = st.sampled_from([0, 1, 2, 255, 256, 32767, 32768, 65535, most // 2, most])
            number = draw(edges | st.integers(0, most)) & most
            data[place : place + struct.calcsize(form)] = struct.pack(form, number)
        elif accident == "splice":
            other = draw(st.sampled_from(SEEDS))
            data[place:] = other[draw(st.integers(0, len(other))) :]
    return mend(bytes(data)) if draw(st.booleans()) else bytes(data)


@pytest.fixture(scope="module")
def apply():
    torch.manual_seed(0)
    generator = inference.prepare(networks.Generator(ngf=4, nb=1), torch.device("cpu"), "fp32")
    return lambda photos: inference.convert(generator, photos)


def decoded(data):
    """Whether decoding.decode takes the bytes; if so, in every way that it is asked."""
    taken = set()
    for channels in (1, 3):
        for at_least in (None, 16):
            try:
                image = decoding.decode(data, channels, at_least)
            except images.Unreadable as error:
                assert str(error) and "\n" not in str(error)
                taken.add(at_least and "long" if "as long as wide" in str(error) else False)
            else:
                assert image.dtype == np.uint8 and image.shape[2] == channels and image.size
                taken.add(True)
    return taken


def decode_all_frames(data):
    try:
        frames, info = decoding.decode_frames(data)
    except images.Unreadable as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert len({frame.shape[:2] for frame in frames}) == 1 and frames[0].size
        assert all(frame.dtype == np.uint8 and frame.shape[2] in (3, 4) for frame in frames)
        assert len(info.get("duration", frames)) == len(frames)


def load(path):
    """What passed the check before training is a training square, whole; the rest is a loss in a line."""
    checked = images.check([path], "photographs")
    dataset = batches.TrainingImages([path], [path], 16, "crop", 3, 1)
    draw = (0, (1, 2))
    if checked.paths:
        assert [square.shape for square in dataset[[draw]]] == [(3, 16, 16)]
    else:
        assert checked.unreadable[path] and "\n" not in checked.unreadable[path]
        with pytest.raises(RunFailed):
            dataset[[draw]]
    try:
        assert [square.shape for square in dataset[[draw] * 3][1:]] == [(1, 16, 16)] * 2
    except RunFailed as error:
        assert "\n" not in str(error)


def convert(path, target, apply):
    """test.py's way of a picture: it is written, and can be read, or the failure is a line."""
    picture = pipeline.read(listing.Picture(path, target), longest=64)
    if not picture.failure:
        pipeline.convert([picture], apply, 1)
    pipeline.write(picture, side_by_side=False)
    assert "\n" not in picture.failure
    if not picture.failure:
        assert decoding.decode(target.read_bytes()).size


@pytest.mark.parametrize("effort", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)], ids=["short", "long"])
def test_any_bytes_end_in_an_image_or_in_a_line(effort, apply, tmp_path):
    before, tried, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, (0, b"")

    @effort
    @given(st.one_of(*[damaged()] * 5, st.binary(max_size=300)), st.sampled_from(EXTENSIONS))
    def each(data, extension):
        nonlocal tried, slowest
        tried, began = tried + 1, time.monotonic()
        path, target = tmp_path / "picture.jpg", tmp_path / f"result{extension}"
        path.write_bytes(data)
        target.unlink(missing_ok=True)
        decoded(data)
        decode_all_frames(data)
        load(path)
        convert(path, target, apply)
        slowest = max(slowest, (time.monotonic() - began, data))

    each()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{tried} inputs, the slowest {slowest[0]:.2f} s ({slowest[1][:32]}), {used / 2**20:.2f} GiB more")
    assert used < MEMORY


def test_the_seeds_are_images():
    assert len(SEEDS) > 30
    for data in SEEDS:
        assert decoded(data) == {True}
        decode_all_frames(data)
        assert decoded(mend(data)) == {True}
