"""TIFFs of more than 8 bits, decoded by tifffile.

With 8 bits and fewer Pillow reads every kind that it knows as tifffile does. With more, Pillow 13 silently
mixes up planes, byte order and black with white (tests/pictures/test_tiffs.py has all kinds).
"""

import contextlib
import ctypes
import io
import logging

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from utils import first_line

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the first bytes of a file
SAVE_AS = "save it as grey or RGB of 8 or 16 bits, uncompressed"
BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, PLANAR, FORMAT = 258, 259, 262, 274, 284, 339  # tags
SUBSAMPLING, PROFILE = 530, 34675
WHITE_IS_0 = 0  # a value of PHOTOMETRIC
UNSIGNED, FLOAT, UNKNOWN = 1, 3, 4  # values of FORMAT
COLOURS = {WHITE_IS_0: "L", 1: "L", 2: "RGB", 5: "CMYK"}
MAX_COMPRESSION = 1032  # of deflate

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its lines do not name the file
# libtiff, which Pillow brings, writes to standard error itself. Its functions are found where it is a library
# of its own: in Pillow's wheels for Linux and macOS, and in Linux distributions.
with contextlib.suppress(AttributeError, OSError):
    _libtiff = ctypes.CDLL(Image.core.__file__)
    _libtiff.TIFFSetWarningHandler(None)
    _libtiff.TIFFSetErrorHandler(None)


def open_tiff(data):
    """The Pillow image of a TIFF's first page, from the library that reads its kind correctly.

    Raises ValueError with the reason, Image.DecompressionBombError, and what tifffile raises.
    """
    image = None
    with contextlib.suppress(UnidentifiedImageError):
        image = Image.open(io.BytesIO(data))
        if _pillow_reads_correctly(image.tag_v2):
            return image
    try:
        return _by_tifffile(data)
    except (NotImplementedError, ValueError) as error:
        if isinstance(error, ValueError) and "imagecodecs" not in str(error):  # a compression such as LZW
            raise
        if image and (decoded := _by_pillow(image)):
            return decoded
        reason = first_line(error).strip("\"'")
        raise ValueError(f"a kind of TIFF that cannot be read ({reason}): {SAVE_AS}") from None


def eight_bits(values, white=65535):
    """Values from 0 to `white`, or floating point from 0 to 1, as uint8. Raises ValueError for others."""
    if values.dtype.kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):  # also where one is not a number
            raise ValueError("floating point values outside 0 to 1: save it with 8 or 16 bits")
        return np.rint(255 * values.astype(np.float32)).astype(np.uint8)
    # Rounded down, as Pillow does with 16 bits.
    return (np.clip(values, 0, white).astype(np.uint32) * 255 // white).astype(np.uint8)


def _pillow_reads_correctly(tags):
    """Whether a TIFF has at most 8 bits, unsigned, the channels of a pixel together and chroma not halved."""
    uncompressed_ycbcr = tags.get(PHOTOMETRIC) == 6 and tags.get(COMPRESSION, 1) == 1
    halved = uncompressed_ycbcr and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1)
    unsigned = set(tags.get(FORMAT, (UNSIGNED,))) <= {UNSIGNED, UNKNOWN}
    return max(tags.get(BITS, (1,))) <= 8 and unsigned and tags.get(PLANAR, 1) == 1 and not halved


def _by_tifffile(data):
    """The first page, read by tifffile. Raises NotImplementedError for a kind that Pillow may still read."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        kind, mode = page.dtype, COLOURS.get(page.photometric)
        mixed = len(set(np.atleast_1d(page.tags.valueof(BITS, default=1)))) > 1
        if kind is None or mode is None or mixed or page.imagedepth > 1:
            colours = getattr(page.photometric, "name", "unknown")
            raise NotImplementedError(f"{page.bitspersample} bits, colours {colours}")
        if kind.char not in "BHefd":
            raise ValueError(f"values of type {kind}, whose range is unknown: {SAVE_AS}")
        if (pixels := page.imagewidth * page.imagelength) > 2 * Image.MAX_IMAGE_PIXELS:  # as Pillow
            raise Image.DecompressionBombError(f"{pixels} pixels")
        ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
        if page.nbytes > MAX_COMPRESSION * len(data) or max(ends, default=0) > len(data):
            raise ValueError("image file is truncated")
        planes = page.asarray().reshape(page.shaped)[:, 0]  # planes, height, width, channels
        values = planes.transpose(1, 2, 0, 3).reshape(*planes.shape[1:3], -1)
        if mode != "CMYK":
            mode += {1: "a", 2: "A"}.get(next(iter(page.extrasamples), 0), "")
        white = 2**page.bitspersample - 1
        image = _tiff_image(values[..., : len(mode)], mode, page.photometric, white)
        image.info["icc_profile"] = page.tags.valueof(PROFILE)
        image.getexif()[ORIENTATION] = page.tags.valueof(ORIENTATION, default=1)
    return image


def _by_pillow(image):
    """A TIFF that tifffile cannot unpack, if Pillow reads its kind correctly: compressed or of 12 bits."""
    tags = image.tag_v2
    bits, kind = tags.get(BITS, (1,))[0], tags.get(FORMAT, (UNSIGNED,))[0]
    packed = tags.get(COMPRESSION, 1) != 1
    if bits <= 8:
        correct = kind == UNSIGNED and packed and image.mode in ("L", "P", "RGB", "RGBA", "CMYK")
    elif kind == UNSIGNED:
        correct = bits == 12 or (bits == 16 and packed)
    else:
        correct = kind == FLOAT and tags.prefix == b"II"
    if not correct:
        return None
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values, white = np.asarray(image)[..., None], 4095 if bits == 12 else 65535
    decoded = _tiff_image(values, "L", tags.get(PHOTOMETRIC), white)
    decoded.info["icc_profile"] = image.info.get("icc_profile")
    return decoded


def _tiff_image(values, mode, colours, white):
    """The Pillow image of H,W,C values; "a" at the end of `mode` is alpha by which colours are multiplied."""
    values = values if white == 255 else eight_bits(values, white)
    if colours == WHITE_IS_0:
        values = np.concatenate([255 - values[..., :1], values[..., 1:]], axis=2)
    return Image.frombytes(mode, values.shape[1::-1], np.ascontiguousarray(values).tobytes())
