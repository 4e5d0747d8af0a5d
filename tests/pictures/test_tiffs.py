"""TIFFs beside tifffile: every kind is read correctly, or refused in a line that says what to do."""

import io
import itertools
import struct

import numpy as np
import pytest
import tifffile
from bad_data import encoded
from PIL import Image

from pictures import decoding, profiles

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


TAGS = {
    "bits": 258,
    "compression": 259,
    "colours": 262,
    "samples": 277,
    "planes": 284,
    "kind": 339,
    "halved": 530,
}
LZW = 5


def strips(parts, width=WIDTH, height=HEIGHT, **tags):
    """The bytes of a TIFF made of the bytes of its strips and of TAGS, each a number or several."""
    starts = np.cumsum([8, *map(len, parts)]).tolist()
    values = {
        256: [width],
        257: [height],
        278: [height],
        273: starts[:-1],
        279: [len(part) for part in parts],
    }
    values |= {TAGS[name]: np.atleast_1d(value).tolist() for name, value in tags.items()}
    more, entries, place = b"", b"", starts[-1]
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        where = packed if len(numbers) == 1 else struct.pack("<I", place + len(more))
        more += packed if len(numbers) > 1 else b""
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + where
    head = b"II*\0" + struct.pack("<I", place + len(more))
    return head + b"".join(parts) + more + struct.pack("<H", len(values)) + entries + bytes(4)


def lzw(values):
    """LZW that packs nothing: its table is emptied before its codes grow to ten bits."""
    data = np.ascontiguousarray(values).tobytes()
    codes = [code for at in range(0, len(data), 250) for code in (256, *data[at : at + 250])]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")


def decoded(data):
    (frame,), _ = decoding.decode_frames(data)
    return frame.astype(float)


@pytest.mark.parametrize("kind", ["u1", "u2", "f2", "f4", "f8"])
@pytest.mark.parametrize(
    ("colours", "channels"),
    [("minisblack", 1), ("miniswhite", 1), ("minisblack", 2), ("rgb", 3), ("rgb", 4), ("separated", 4)],
)
def test_every_kind_is_read_as_tifffile_reads_it(kind, colours, channels):
    values = ramps(kind, channels)
    expected = in_255(values)
    if colours == "miniswhite":
        expected = 255 - expected
    if colours == "separated":
        expected = np.asarray(Image.fromarray(np.rint(expected).astype(np.uint8), "CMYK").convert("RGB"))
    if channels < 3:
        expected = expected[..., [0, 0, 0, 1][: 3 if channels == 1 else 4]]
    options = {"photometric": colours}
    if channels in (2, 4) and colours != "separated":
        options["extrasamples"] = ["unassalpha"]
    visible = expected[..., 3] > 0 if expected.shape[2] == 4 else np.full((HEIGHT, WIDTH), True)
    ways = itertools.product(["contig", "separate"], "<>", [None, "zlib"], [None, (16, 16)])
    for planes, order, packed, tile in ways:
        made = decoded(written(values, planes, byteorder=order, compression=packed, tile=tile, **options))
        assert made.shape == expected.shape
        far = np.abs(made - expected)[visible].max()
        assert far <= (2 if colours == "separated" else 1), (planes, order, packed, tile)


def test_kinds_that_tifffile_cannot_unpack():
    grey, real, colour = ramps("u2", 1), ramps("f4", 1), ramps("u2", 3)
    for colours in (0, 1):
        for values, tags in ((grey, {"bits": 16}), (real, {"bits": 32, "kind": 3})):
            expected = in_255(values) if colours else 255 - in_255(values)
            data = strips([lzw(values)], compression=LZW, colours=colours, samples=1, **tags)
            assert np.abs(decoded(data) - expected).max() <= 1
    planes = [lzw(colour[..., channel]) for channel in range(3)]
    data = strips(planes, compression=LZW, bits=[16] * 3, colours=2, samples=3, planes=2)
    assert np.abs(decoded(data) - in_255(colour)).max() <= 1
    values = (ramps("f8", 1)[..., 0] * 4095).astype(int)  # of 12 bits: two values in three bytes
    first, second = values[:, ::2], values[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8)
    data = strips([packed.tobytes()], bits=12, compression=1, colours=1, samples=1)
    assert np.abs(decoded(data)[..., 0] - values / 4095 * 255).max() <= 1


def test_premultiplied_alpha_and_channels_that_are_not_alpha():
    values = ramps("u2", 4)
    values[..., 3] = 32768
    premultiplied = np.concatenate([values[..., :3] // 2, values[..., 3:]], -1)
    made = decoded(written(premultiplied, photometric="rgb", extrasamples=["assocalpha"]))
    assert np.abs(made[..., :3] - in_255(values)[..., :3]).max() <= 2
    for kind in ("u1", "u2"):
        made = decoded(written(ramps(kind, 4), photometric="rgb", extrasamples=["unspecified"]))
        assert made.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(made - in_255(ramps(kind, 3))).max() <= 1


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_orientation_and_profile(kind):
    values = ramps(kind, 3)
    for orientation, turns in ((3, 2), (6, -1), (8, 1)):
        data = written(values, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
        assert np.abs(decoded(data) - np.rot90(in_255(values), turns)).max() <= 1
    swapped = profiles._profile(None, (0.15, 0.06, 0.3, 0.6, 0.64, 0.33, 0.3127, 0.329))  # red with blue
    made = decoded(written(values, photometric="rgb", iccprofile=swapped))
    assert np.abs(made - in_255(values)[..., ::-1]).max() <= 2


def ycbcr(halved):
    """Uncompressed Y, Cb, Cr of 16x16 pixels; Pillow ignores that chroma is `halved`."""
    samples = bytes(np.arange(16 * 16 * 3 // (1 if halved == 1 else 2)) % 256)
    tags = {"samples": 3, "bits": [8] * 3, "compression": 1, "colours": 6, "halved": [halved] * 2}
    return strips([samples], width=16, height=16, **tags)


REFUSED = {
    **{
        f"{kind} {order}": written(ramps(kind, 1), byteorder=order) for kind in ("u4", "i2") for order in "<>"
    },
    **{"i1": written(ramps("i1", 1)), "colour of u4": written(ramps("u4", 3), photometric="rgb")},
    "halved chroma": ycbcr(2),
    "LZW of floats": strips(
        [lzw(ramps("f4", 3))], samples=3, compression=LZW, bits=[32] * 3, kind=[3] * 3, colours=2
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_kinds_without_a_known_meaning_are_refused_with_a_remedy(name):
    with pytest.raises(decoding.Unreadable, match=r"^[^\n]+: save it as grey or RGB of 8 or 16 bits"):
        decoding.decode(REFUSED[name])


def test_whole_chroma_is_read():
    with Image.open(io.BytesIO(ycbcr(1))) as image:
        assert (decoded(ycbcr(1)) == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("packed", [None, "zlib"])
@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_a_truncated_file_is_refused(kind, packed):
    data = written(ramps(kind, 3), photometric="rgb", compression=packed)
    with pytest.raises(decoding.Unreadable, match="image file is truncated"):
        decoding.decode(data[:-500])


def test_libtiff_prints_nothing(run_cli, tmp_path):
    """It writes to the process's standard error, without the file's name, and capsys does not see it."""
    data = bytearray(encoded(Image.fromarray(ramps("u1", 3)), "tiff", compression="tiff_lzw"))
    data[40:60] = b"\xff" * 20
    (tmp_path / "a.tif").write_bytes(data)
    code = "from PIL import Image; {}; " + f"Image.open({str(tmp_path / 'a.tif')!r}).load()"
    assert not run_cli("-c", code.format("pass")).stderr.startswith("Traceback")
    assert run_cli("-c", code.format("import pictures.decoding")).stderr.startswith("Traceback")
