"""Damaged image files in everything that reads images: they end in an image or in a one-line error.

The short form is the same in every run; `pytest -m slow` tries ten thousand new inputs.
"""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
import tifffile
from bad_data import UNUSUAL, encoded, noise
from helpers import SLOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pictures import decoding, listing, pipeline
from utils import RunFailed

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest resets the filters of decoding.py

QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
SHORT = settings(max_examples=200, derandomize=True, **QUIET)
LONG = settings(max_examples=round(10000 * SLOW), print_blob=True, **QUIET)
MEMORY = 6 * 2**20  # KiB: a few copies of the largest picture


def tiff(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="rgb", **options)
    return file.getvalue()


def seeds():
    """Small valid files of every format, and of the options that make a decoder take another path."""
    colour, clear, exif = noise(24, 20), noise(24, 20, 4), Image.Exif()
    palette, exif[0x0112] = colour.quantize(16), 6
    moving = {"save_all": True, "append_images": [colour.rotate(180), clear], "duration": 40, "loop": 2}
    return [
        *UNUSUAL.values(),
        *(encoded(colour, "jpeg", **options) for options in ({"progressive": True}, {"exif": exif})),
        *(encoded(colour, kind, **moving) for kind in ("png", "webp")),
        *(encoded(clear, kind, lossless=True) for kind in ("webp", "avif")),
        *(encoded(palette, kind) for kind in ("bmp", "gif")),
        encoded(palette, "gif", **moving | {"append_images": [palette]}),
        *(encoded(colour, "tiff", compression=packing) for packing in ("tiff_lzw", "packbits", "jpeg")),
        tiff(np.moveaxis(np.asarray(colour), -1, 0) * np.uint16(257), planarconfig="separate"),
        tiff(np.asarray(colour, np.float32) / 255, compression="zlib", byteorder=">", tile=(16, 16)),
    ]


SEEDS = seeds()


def mend(data):
    """Correct the checksums of a PNG, so that its decoder reads what was changed."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 8 + length]
        parts += [data[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place += 12 + length
    return b"".join(parts) if data.startswith(b"\x89PNG") else data


def damage(data, faults, mended):
    """Replace bytes: each fault is a place, how many bytes are removed there, and what is inserted."""
    data = bytearray(data)
    for place, removed, inserted in faults:
        data[place : place + removed] = inserted
    return mend(bytes(data)) if mended else bytes(data)


# Most faults are in the header, which holds the lengths, but not in the first bytes, which name the format.
PLACES = st.integers(8, 120) | st.integers(8, 1200)
NUMBERS = st.sampled_from([b"\0\0", b"\xff\xff", b"\0\0\0\1", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"])
FAULT = NUMBERS.flatmap(lambda number: st.tuples(PLACES, st.just(len(number)), st.just(number)))
FAULT |= st.tuples(PLACES, st.sampled_from([0, 1, 4, 40, 2000]), st.binary(max_size=8))
DAMAGED = st.builds(damage, st.sampled_from(SEEDS), st.lists(FAULT, min_size=1, max_size=4), st.booleans())


def attempt(work, *args):
    """work(*args), or None where it raises a documented error, whose text must be one line."""
    try:
        return work(*args)
    except (decoding.Unreadable, RunFailed) as error:
        assert str(error) and "\n" not in str(error)
        return None


def decode_every_way(data):
    """Decode bytes as training and test.py do, or see them refused."""
    for channels in (1, 3):
        for at_least in (None, 16):
            if (image := attempt(decoding.decode, data, channels, at_least)) is not None:
                assert image.dtype == np.uint8 and image.shape[2] == channels and image.size
    frames, info = attempt(decoding.decode_frames, data) or ([], {})
    assert len({frame.shape[:2] for frame in frames}) <= 1
    assert all(frame.dtype == np.uint8 and frame.shape[2] in (3, 4) and frame.size for frame in frames)
    assert len(info.get("duration", frames)) == len(frames)


def convert(path, target):
    """As test.py converts a picture: a file that can be read is written, or the failure is one line."""
    picture = pipeline.read(listing.Picture(path, target), longest=64)
    if not picture.failure:
        pipeline.convert([picture], lambda photos: photos, 1)
    pipeline.write(picture, side_by_side=False)
    assert "\n" not in picture.failure
    assert picture.failure or decoding.decode(target.read_bytes()).size


@pytest.mark.parametrize("effort", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)], ids=["short", "long"])
def test_any_bytes_end_in_an_image_or_in_one_line(effort, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @effort
    @given(st.one_of(*[DAMAGED] * 5, st.binary(max_size=300)), st.sampled_from(sorted(listing.EXTENSIONS)))
    def each(data, extension):
        path, target = tmp_path / "picture.jpg", tmp_path / f"result{extension}"
        path.write_bytes(data)
        target.unlink(missing_ok=True)
        decode_every_way(data)
        convert(path, target)

    each()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY
