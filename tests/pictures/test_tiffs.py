"""TIFFs beside tifffile: every kind is read right, or refused in a line that says what to do."""

import io
import itertools
import struct

import numpy as np
import pytest
import tifffile
from bad_data import encoded
from helpers import SHARED
from PIL import Image, ImageCms

from pictures import decoding

HEIGHT, WIDTH = 24, 36
TAGS = {  # of `strips`
    **{"width": 256, "height": 257, "bits": 258, "compression": 259, "colours": 262, "samples": 277},
    **{"rows": 278, "planes": 284, "halved": 530, "kind": 339},
}


def ramps(kind, channels):
    """H,W,channels values from black to white, other ones in each channel."""
    down, across = np.meshgrid(np.linspace(0, 1, HEIGHT), np.linspace(0, 1, WIDTH), indexing="ij")
    values = np.stack([down, across, 1 - down * across, 0.2 + 0.8 * across][:channels], axis=-1)
    kind = np.dtype(kind)
    return values.astype(kind) if kind.kind == "f" else (values * np.iinfo(kind).max).astype(kind)


def in_255(values):
    return 255 * values.astype(float) / (1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max)


def written(values, planes="contig", **how):
    """The bytes of tifffile's file of H,W,C values."""
    if planes == "separate" and values.shape[-1] > 1:
        values = np.moveaxis(values, -1, 0)
    values = values[..., 0] if values.shape[-1] == 1 else values
    how = how if values.ndim == 2 else {"planarconfig": planes, **how}
    file = io.BytesIO()
    tifffile.imwrite(file, np.ascontiguousarray(values), **how)
    return file.getvalue()


def strips(parts, **tags):
    """The bytes of a TIFF made of the bytes of its strips and of TAGS, each a number or several."""
    values = {TAGS[name]: np.atleast_1d(value).tolist() for name, value in tags.items()}
    starts = np.cumsum([8, *map(len, parts)]).tolist()
    values |= {273: starts[:-1], 279: [len(part) for part in parts]}
    more, entries, place = b"", b"", starts[-1]
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        where = packed if len(numbers) == 1 else struct.pack("<I", place + len(more))
        more += packed if len(numbers) > 1 else b""
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + where
    head = b"II*\0" + struct.pack("<I", place + len(more))
    return head + b"".join(parts) + more + struct.pack("<H", len(values)) + entries + bytes(4)


def lzw(data):
    """LZW that packs nothing: its table is emptied before its codes grow to ten bits."""
    codes = [code for at in range(0, len(data), 250) for code in (256, *data[at : at + 250])]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")


def plain(data):
    (frame,), _ = decoding.decode_frames(data)
    return frame.astype(float)


@pytest.mark.parametrize("kind", ["u1", "u2", "f2", "f4", "f8"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize(
    ("colours", "channels"),
    [("minisblack", 1), ("miniswhite", 1), ("minisblack", 2), ("rgb", 3), ("rgb", 4), ("separated", 4)],
)
def test_every_kind_is_read_as_tifffile_reads_it(kind, planes, colours, channels):
    values = ramps(kind, channels)
    wanted = in_255(values)
    if colours == "miniswhite":
        wanted = 255 - wanted
    if colours == "separated":
        wanted = np.asarray(Image.fromarray(np.rint(wanted).astype(np.uint8), "CMYK").convert("RGB"))
    if channels < 3:
        wanted = wanted[..., [0, 0, 0, 1][: 3 if channels == 1 else 4]]
    how = {"photometric": colours}
    if channels in (2, 4) and colours != "separated":
        how["extrasamples"] = ["unassalpha"]
    kept = wanted[..., 3] > 0 if wanted.shape[2] == 4 else np.full((HEIGHT, WIDTH), True)
    for order, packed, tile in itertools.product("<>", [None, "zlib"], [None, (16, 16)]):
        data = written(values, planes, byteorder=order, compression=packed, tile=tile, **how)
        made = plain(data)
        assert made.shape == wanted.shape
        assert np.abs(made - wanted)[kept].max() <= (2 if colours == "separated" else 1), (
            order,
            packed,
            tile,
        )


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared")
@pytest.mark.parametrize(("name", "white"), [("rgb16_planar.tif", 65535), ("rgb_f32.tif", 1)])
def test_the_files_that_came_out_wrong(name, white):
    data = (SHARED / "cases" / name).read_bytes()
    values = tifffile.imread(io.BytesIO(data))
    wanted = (values.transpose(1, 2, 0) if values.shape[0] == 3 else values) / white * 255
    for made in (plain(data), decoding.decode(data, at_least=16)):
        assert np.abs(made - wanted).max() <= 1


def test_what_tifffile_cannot_unpack_pillow_reads():
    grey, size = ramps("u2", 1), {"width": WIDTH, "height": HEIGHT, "rows": HEIGHT, "compression": 5}
    for colours in (0, 1):
        data = strips([lzw(grey.tobytes())], bits=16, colours=colours, samples=1, **size)
        wanted = in_255(grey) if colours else 255 - in_255(grey)
        assert np.abs(plain(data) - wanted).max() <= 1
        real = ramps("f4", 1)
        data = strips([lzw(real.tobytes())], bits=32, colours=colours, samples=1, kind=3, **size)
        wanted = in_255(real) if colours else 255 - in_255(real)
        assert np.abs(plain(data) - wanted).max() <= 1
    colour = ramps("u2", 3)
    planes = [lzw(np.ascontiguousarray(colour[..., channel]).tobytes()) for channel in range(3)]
    data = strips(planes, bits=[16] * 3, colours=2, samples=3, planes=2, **size)
    assert np.abs(plain(data) - in_255(colour)).max() <= 1


def test_12_bits_go_from_black_to_white():
    values = (ramps("f4", 1)[..., 0] * 4095).astype(int)
    first, second = values[:, ::2], values[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8)
    size = {"width": WIDTH, "height": HEIGHT, "rows": HEIGHT}
    made = plain(strips([packed.tobytes()], bits=12, compression=1, colours=1, samples=1, **size))
    assert np.abs(made[..., 0] - values / 4095 * 255).max() <= 1


def test_alpha_that_the_colours_hold_is_taken_out():
    values = ramps("u2", 4)
    values[..., 3] = 32768
    held = values.copy()
    held[..., :3] = values[..., :3] // 2
    made = plain(written(held, photometric="rgb", extrasamples=["assocalpha"]))
    assert np.abs(made[..., :3] - in_255(values)[..., :3]).max() <= 2


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_a_fourth_channel_that_is_no_alpha_is_left_out(kind):
    values = ramps(kind, 4)
    made = plain(written(values, photometric="rgb", extrasamples=["unspecified"]))
    assert made.shape == (HEIGHT, WIDTH, 3) and np.abs(made - in_255(values)[..., :3]).max() <= 1


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_orientation(kind, orientation, turns):
    data = written(ramps(kind, 3), photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    assert np.abs(plain(data) - np.rot90(in_255(ramps(kind, 3)), turns)).max() <= 1


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_the_profile_is_found(kind):
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    places = [swapped.index(name, 128) + 4 for name in (b"rXYZ", b"bXYZ")]
    red, blue = (swapped[at : at + 8] for at in places)
    swapped = swapped.replace(b"rXYZ" + red, b"rXYZ" + blue).replace(b"bXYZ" + blue, b"bXYZ" + red)
    values = ramps(kind, 3)
    made = plain(written(values, photometric="rgb", iccprofile=swapped))
    assert np.abs(made - in_255(values)[..., ::-1]).max() <= 2


def ycbcr(halved):
    """Uncompressed Y, Cb, Cr of 16x16 pixels, of which Pillow takes no notice that chroma is `halved`."""
    samples = bytes(np.arange(16 * 16 * 3 // (1 if halved == 1 else 2)) % 256)
    size = {"width": 16, "height": 16, "rows": 16, "samples": 3, "bits": [8] * 3, "compression": 1}
    return strips([samples], colours=6, halved=[halved] * 2, **size)


REFUSED = {
    **{kind: written(ramps(kind, 1)) for kind in ("u4", "i1", "i2", "i4")},
    **{f"{kind}, big-endian": written(ramps(kind, 1), byteorder=">") for kind in ("u4", "i2")},
    "colour of 32 bits": written(ramps("u4", 3), photometric="rgb"),
    "halved chroma": ycbcr(2),
    "LZW of floats": strips(
        [lzw(ramps("f4", 3).tobytes())],
        **{"width": WIDTH, "height": HEIGHT, "rows": HEIGHT, "samples": 3, "compression": 5},
        **{"bits": [32] * 3, "kind": [3] * 3, "colours": 2},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_known_meaning_is_refused_with_what_to_do(name):
    for decode in (decoding.decode, decoding.decode_frames):
        with pytest.raises(decoding.Unreadable, match=r"^[^\n]+: save it as grey or RGB of 8 or 16 bits"):
            decode(REFUSED[name])


def test_whole_chroma_is_read():
    with Image.open(io.BytesIO(ycbcr(1))) as image:
        assert (plain(ycbcr(1)) == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("packed", [None, "zlib"])
@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_a_cut_file_is_told(kind, packed):
    data = written(ramps(kind, 3), photometric="rgb", compression=packed)
    with pytest.raises(decoding.Unreadable, match="image file is truncated"):
        decoding.decode(data[:-500])


def test_libtiff_says_nothing_of_its_own(run_cli, tmp_path):
    """It writes to the process's standard error, where capsys does not look, and names no file."""
    data = bytearray(encoded(Image.fromarray(ramps("u1", 3)), "tiff", compression="tiff_lzw"))
    data[40:60] = b"\xff" * 20
    (tmp_path / "a.tif").write_bytes(data)
    code = "import pathlib; from PIL import Image; {}"
    code += f"; Image.open({str(tmp_path / 'a.tif')!r}).load()"
    noisy = run_cli("-c", code.format("pass"))
    quiet = run_cli("-c", code.format("import pictures.decoding"))
    assert "LZW" in noisy.stderr or "code not yet" in noisy.stderr
    lines = quiet.stderr.splitlines()
    assert not lines or lines[0].startswith("Traceback")
