"""TIFFs compared with tifffile: each is read correctly, or refused with a line that says what to do."""

import io
import itertools
import struct

import numpy as np
import pytest
import tifffile
from bad_data import encoded
from PIL import Image

from pictures import decoding, profiles
from pictures.images import cv2

HEIGHT, WIDTH = 24, 36


def ramps(kind, channels):
    """H,W,channels values from black to white, different in each channel."""
    down, across = np.meshgrid(np.linspace(0, 1, HEIGHT), np.linspace(0, 1, WIDTH), indexing="ij")
    values = np.stack([down, across, 1 - down * across, 0.2 + 0.8 * across][:channels], axis=-1)
    kind = np.dtype(kind)
    return values.astype(kind) if kind.kind == "f" else (values * np.iinfo(kind).max).astype(kind)


def in_255(values):
    return 255 * values.astype(float) / (1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max)


def written(values, planes="contig", **options):
    """The bytes of tifffile's file of H,W,C values."""
    if planes == "separate" and values.shape[-1] > 1:
        values = np.moveaxis(values, -1, 0)
    values = values[..., 0] if values.shape[-1] == 1 else values
    options = options if values.ndim == 2 else {"planarconfig": planes, **options}
    file = io.BytesIO()
    tifffile.imwrite(file, np.ascontiguousarray(values), **options)
    return file.getvalue()


def by_opencv(values):
    """The bytes of OpenCV's file of H,W,C values, compressed by LZW, which tifffile cannot unpack."""
    return cv2.imencode(".tif", values[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()


def decoded(data):
    (frame,), _ = decoding.decode_frames(data)
    return frame.astype(float)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize(
    ("colours", "channels"),
    [("minisblack", 1), ("miniswhite", 1), ("minisblack", 2), ("rgb", 3), ("rgb", 4)],
)
def test_every_kind_is_read_as_tifffile_reads_it(kind, colours, channels):
    values = ramps(kind, channels)
    expected = in_255(values)
    if colours == "miniswhite":
        expected = 255 - expected
    if channels < 3:
        expected = expected[..., [0, 0, 0, 1][: 3 if channels == 1 else 4]]
    options = {"photometric": colours}
    if channels in (2, 4):
        options["extrasamples"] = ["unassalpha"]
    visible = expected[..., 3] > 0 if expected.shape[2] == 4 else np.full((HEIGHT, WIDTH), True)
    ways = itertools.product(["contig", "separate"], "<>", [None, "zlib"], [None, (16, 16)])
    for planes, order, packed, tile in ways:
        made = decoded(written(values, planes, byteorder=order, compression=packed, tile=tile, **options))
        assert made.shape == expected.shape
        assert np.abs(made - expected)[visible].max() <= 1, (planes, order, packed, tile)


def test_kinds_that_tifffile_cannot_unpack():
    for kind, channels in (("u2", 1), ("u2", 3), ("f4", 1)):
        values = ramps(kind, channels)
        assert np.abs(decoded(by_opencv(values)) - in_255(values)).max() <= 1
    grey = ramps("u2", 1)
    white_is_0 = encoded(Image.fromarray(grey[..., 0]), "tiff", compression="tiff_lzw", tiffinfo={262: 0})
    assert np.abs(decoded(white_is_0) - (255 - in_255(grey))).max() <= 1
    picture = Image.fromarray(ramps("u1", 1)[..., 0])
    separate = encoded(picture, "tiff", compression="tiff_lzw", tiffinfo={284: 2})
    assert (decoded(separate) == np.asarray(picture.convert("RGB"))).all()


def test_premultiplied_alpha_and_channels_that_are_not_alpha():
    values = ramps("u2", 4)
    values[..., 3] = 32768
    premultiplied = np.concatenate([values[..., :3] // 2, values[..., 3:]], -1)
    made = decoded(written(premultiplied, photometric="rgb", extrasamples=["assocalpha"]))
    assert np.abs(made[..., :3] - in_255(values)[..., :3]).max() <= 2
    made = decoded(written(values, photometric="rgb", extrasamples=["unspecified"]))
    assert np.abs(made - in_255(values)[..., :3]).max() <= 1


def test_orientation_and_profile():
    values = ramps("u2", 3)
    for orientation, turns in ((6, -1), (8, 1)):
        data = written(values, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
        assert np.abs(decoded(data) - np.rot90(in_255(values), turns)).max() <= 1
    swapped = profiles._profile(None, (0.15, 0.06, 0.3, 0.6, 0.64, 0.33, 0.3127, 0.329))  # red with blue
    made = decoded(written(values, photometric="rgb", iccprofile=swapped))
    assert np.abs(made - in_255(values)[..., ::-1]).max() <= 2


REFUSED = {
    **{kind: written(ramps(kind, 1)) for kind in ("i1", "i2", "u4")},
    "below 0": written(ramps("f4", 1) - 0.1),
    "above 1": written(ramps("f4", 1) + 0.1),
    "not a number": written(ramps("f4", 1) * np.float32(np.nan)),
    "floats that only libtiff unpacks": by_opencv(ramps("f4", 3)),
    "Lab": written(ramps("u2", 3), photometric="cielab"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_kinds_without_a_known_meaning_are_refused_with_a_remedy(name):
    with pytest.raises(decoding.Unreadable, match=r"^[^\n]+: save it (as grey or RGB of|with) 8 or 16 bits"):
        decoding.decode(REFUSED[name])


@pytest.mark.parametrize("packed", [None, "zlib"])
def test_a_truncated_file_is_refused(packed):
    data = written(ramps("u2", 3), photometric="rgb", compression=packed)
    with pytest.raises(decoding.Unreadable, match="image file is truncated"):
        decoding.decode(data[:-500])


def test_12_bits_span_black_to_white():
    """A file made by hand: tifffile writes no such depth. Two values are packed into three bytes."""
    values = (ramps("f4", 1)[..., 0] * 4095).astype(int)
    first, second = values[:, ::2], values[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    pixels = packed.astype(np.uint8).tobytes()
    tags = {256: WIDTH, 257: HEIGHT, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: HEIGHT, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels))
    made = decoded(head + pixels + struct.pack("<H", len(tags)) + entries + bytes(4))
    assert np.abs(made[..., 0] - values / 4095 * 255).max() <= 1
