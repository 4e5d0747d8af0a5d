"""Image files decoded: upright, in sRGB, with 8 bits a channel, the same for training and for applying.

Pillow decodes most: it knows EXIF orientation, palettes and CMYK, and says why a file cannot be read. TIFFs of
more than 8 bits are decoded by tifffile: Pillow 13 mixes up their planes, byte order and black with white.
"""

import contextlib
import ctypes
import io
import itertools
import logging
import re
import warnings

import numpy as np
import tifffile
from PIL import Image, ImageOps, ImageSequence, PngImagePlugin, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from pictures import profiles, record
from utils import first_line

with contextlib.suppress(ImportError):  # optional
    import pillow_heif

    pillow_heif.register_heif_opener()

ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}  # Pillow's formats that hold frames over time

LONGEST = 100  # times its width; fit_training would enlarge a line of 1x20000 pixels to four gigabytes
LIMIT = 2 * Image.MAX_IMAGE_PIXELS  # 179 million pixels; Pillow refuses more (a decompression bomb)
ALL_FRAMES = 2**29  # pixels held at once: 1.6 GB, and as much for the results
SMALLER = "make it smaller"
REDUCED = f"give --size N (for a JPEG that is not progressive), or {SMALLER}"

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the first bytes
SAVE_AS = "save it as grey or RGB of 8 or 16 bits, uncompressed"
WHITE_IS_0 = 0  # of the tag PhotometricInterpretation
COLOURS = {WHITE_IS_0: "L", 1: "L", 2: "RGB", 5: "CMYK"}
PACKED = 1032  # the most by which deflate reduces data

# Warnings and log lines of libraries do not name the file; what matters in them is also raised.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
# libtiff, which Pillow brings, writes to standard error itself. Its functions are found where it is a library
# of its own: in Pillow's wheels for Linux and macOS, and in Linux distributions.
with contextlib.suppress(AttributeError, OSError):
    _libtiff = ctypes.CDLL(Image.core.__file__)
    _libtiff.TIFFSetWarningHandler(None)
    _libtiff.TIFFSetErrorHandler(None)
# Image generators write whole workflows into PNGs, scanners profiles of megabytes; Pillow accepts 1 MiB.
PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = 2**26, 2**28
for _name in (".jfi", ".pjpeg", ".pjp"):
    Image.register_extension("JPEG", _name)


class Unreadable(Exception):
    """An image that cannot be decoded or used; the text is the reason, without the file's name."""


def decode(data, channels=3, at_least=None):
    """Decode the bytes of an image file, upright and in sRGB, to uint8 H,W,`channels`: 3 (RGB) or 1 (grey).

    Transparent pixels become white; 16-bit and floating point values are scaled to 8 bits. With `at_least`,
    for training, a JPEG may be decoded at a half, quarter or eighth of its size, with a shorter side of at
    least so many pixels, and images that fit_training refuses are refused. Raises Unreadable.
    """
    try:
        return pixels(_open(data, at_least=at_least), channels)
    except Exception as error:  # a damaged file can fail anywhere in a decoder, in any way
        reason = _reason(error, data, SMALLER)
    # Raised here it has no context, which would keep the decoder's frames and with them the pixels.
    raise Unreadable(reason)


def pixels(image, channels=3):
    """A Pillow image, which is turned upright in place, as `decode` returns it."""
    image = _normalise(image)
    if image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    mode = "RGB" if channels == 3 else "L"
    return np.atleast_3d(np.asarray(image if image.mode == mode else image.convert(mode)))


def decode_frames(data, longest=None):
    """Decode every frame of an image file, upright and in sRGB, with its transparency.

    Returns (frames, info): uint8 arrays of RGB with, where there is transparency, a fourth channel for alpha;
    and the options with which Pillow writes them as they were (durations, loops, dates, resolution). Only the
    first page of a TIFF is read, and no still of an animated PNG that is not one of its frames. With
    `longest` a JPEG may be decoded reduced, with a longer side of at least so many pixels. Raises Unreadable,
    also where frames differ in size or have more than 2**29 pixels in all, and MemoryError.
    """
    try:
        with _open(data, longest=longest) as file:
            if file.format not in ANIMATED or getattr(file, "n_frames", 1) == 1:
                return [_with_alpha(file)], record.kept(file)
            width, height = file.size
            profile, still = file.info.get("icc_profile"), file.info.get("default_image", False)
            if file.n_frames * width * height > ALL_FRAMES:
                raise Unreadable(f"{file.n_frames} frames of {width}x{height} pixels are too much at once")
            frames, info = [], {"duration": [], "loop": file.info.get("loop")}
            for frame in itertools.islice(ImageSequence.Iterator(file), still, None):
                frame = frame.copy()
                frame.info["icc_profile"] = profile  # of the whole file; Pillow forgets it between frames
                frames.append(_with_alpha(frame))
                info["duration"].append(frame.info.get("duration", 0))
            if len({frame.shape[:2] for frame in frames}) > 1:
                raise Unreadable("its frames differ in size")
            info = {key: value for key, value in info.items() if value is not None}
            return frames, info | record.kept(file)
    except MemoryError:
        raise
    except Exception as error:
        reason = _reason(error, data, REDUCED)
    raise Unreadable(reason)


def refuse_long(width, height):
    """Raise Unreadable for an image that is too long and thin for training."""
    if max(width, height) > LONGEST * min(width, height):
        raise Unreadable(f"{width}x{height} pixels, more than {LONGEST} times as long as wide")


def _open(data, at_least=None, longest=None):
    """The Pillow image of the bytes of a file, a JPEG reduced as in `decode` and `decode_frames`.

    Raises Image.DecompressionBombError where it has too many pixels even so.
    """
    for spare in (2, 1):  # first twice the wanted size, so that the resize that follows still averages
        image = _identify(data)
        width, height = image.size
        if at_least:
            refuse_long(width, height)
        if wanted := at_least or longest:
            scale = spare * wanted / (min(image.size) if at_least else max(image.size))
            image.draft(None, (max(1, int(width * scale)), max(1, int(height * scale))))
        # A progressive JPEG needs the memory of the whole, however far it is reduced.
        decoded = width * height if image.info.get("progressive") else image.width * image.height
        if decoded <= LIMIT:
            return image
    raise Image.DecompressionBombError(f"{width * height} pixels")


def _identify(data):
    """The Pillow image of the bytes of a file, usually not decoded yet; a JPEG may have any size."""
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        if not data.startswith(b"\xff\xd8"):
            raise
        return JpegImageFile(io.BytesIO(data))
    except UnidentifiedImageError:
        if data[:4] not in TIFF:
            raise
        image = None
    if data[:4] in TIFF:
        return _open_tiff(image, data)
    if (
        image.mode == "RGB"
        and image.tile
        and image.tile[0].args == "RGB;16B"
        and "transparency" in image.info
    ):
        image.info["transparency"] = tuple(value >> 8 for value in image.info["transparency"])
    if image.format in ("PNG", "AVIF", "HEIF"):
        profiles.add_declared(image, data)
    return image


def _normalise(image):
    """Upright, 8 bits a channel, in sRGB; transparency as LA or RGBA."""
    # To convert or turn, Pillow copies an image even where nothing changes.
    ImageOps.exif_transpose(image, in_place=True)
    profile = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):
        values, transparent = np.asarray(image), image.info.get("transparency")
        image = Image.fromarray(_eight_bits(values))
        if transparent is not None:
            image.putalpha(Image.fromarray((values != transparent).astype(np.uint8) * 255))
    elif image.has_transparency_data:
        image = image.convert("LA" if profile and image.mode in ("L", "LA", "La") else "RGBA")
    return profiles.to_srgb(image, profile)


def _eight_bits(values, white=65535):
    """Values from 0 to `white`, or floating point from 0 to 1, as uint8. Raises ValueError for others."""
    if values.dtype.kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):  # also where one is not a number
            raise ValueError("floating point values outside 0 to 1: save it with 8 or 16 bits")
        return np.rint(255 * values.astype(np.float32)).astype(np.uint8)
    # Rounded down, as Pillow does with 16 bits.
    return (np.clip(values, 0, white).astype(np.uint32) * 255 // white).astype(np.uint8)


def _with_alpha(image):
    """A Pillow image as an array of RGB, with a fourth channel for alpha where it has transparency."""
    image = _normalise(image)
    if image.mode not in ("LA", "RGBA"):
        return np.asarray(image.convert("RGB"))
    pixels = np.array(image.convert("RGBA"))
    # Invisible pixels are white, as in `decode`: files hold anything there, and networks see it all.
    np.copyto(pixels[..., :3], 255, where=pixels[..., 3:] == 0)
    return pixels


def _reason(error, data, advice):
    """Why the bytes of an image file could not be decoded, in one line."""
    text = first_line(error)
    if isinstance(error, UnidentifiedImageError):
        if data[4:8] == b"ftyp":
            return "not an image that can be read: HEIC needs `pip install pillow-heif`, AVIF Pillow 11.3"
        return "not an image" if data else "the file is empty"
    if "MAX_TEXT" in text:
        return "more than 64 MiB of text beside the picture: save it without"
    if isinstance(error, Image.DecompressionBombError):
        pixels = int(re.search(r"\d+", text)[0]) / 1e6
        return f"{pixels:.0f} million pixels, at most {LIMIT / 1e6:.0f} million can be read: {advice}"
    return text


# TIFF


def _open_tiff(image, data):
    """The Pillow image of a TIFF's first page; `image` is what Pillow opened, None where it could not.

    Raises ValueError with the reason, Image.DecompressionBombError, and what tifffile raises.
    """
    if image and _pillow_reads_correctly(image.tag_v2):
        return image
    try:
        return _by_tifffile(data)
    except (NotImplementedError, ValueError, tifffile.TiffFileError) as error:
        if isinstance(error, ValueError) and "imagecodecs" not in str(error):  # a compression such as LZW
            raise
        if image and (made := _by_pillow(image)):
            return made
        reason = first_line(error).strip("\"'")
        raise ValueError(f"a kind of TIFF that cannot be read ({reason}): {SAVE_AS}") from None


def _pillow_reads_correctly(tags):
    """Whether a TIFF has at most 8 bits, unsigned, the channels of a pixel together and chroma not halved."""
    halved = tags.get(262) == 6 and tags.get(259, 1) == 1 and tuple(tags.get(530, (2, 2))) != (1, 1)
    unsigned = set(tags.get(339, (1,))) <= {1, 4}
    return max(tags.get(258, (1,))) <= 8 and unsigned and tags.get(284, 1) == 1 and not halved


def _by_tifffile(data):
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        kind, mode = page.dtype, COLOURS.get(page.photometric)
        mixed = len(set(np.atleast_1d(page.tags.valueof(258, default=1)))) > 1
        if kind is None or mode is None or mixed or page.imagedepth > 1:
            colours = getattr(page.photometric, "name", "unknown")
            raise NotImplementedError(f"{page.bitspersample} bits, colours {colours}")
        if kind.char not in "BHefd":
            raise ValueError(f"values of type {kind}, of no known range: {SAVE_AS}")
        if (pixels := page.imagewidth * page.imagelength) > LIMIT:
            raise Image.DecompressionBombError(f"{pixels} pixels")
        ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
        if page.nbytes > PACKED * len(data) or max(ends, default=0) > len(data):
            raise ValueError("image file is truncated")
        planes = page.asarray().reshape(page.shaped)[:, 0]  # planes, height, width, channels
        planes = planes.transpose(1, 2, 0, 3).reshape(*planes.shape[1:3], -1)
        alpha = {1: "a", 2: "A"}.get(next(iter(page.extrasamples), 0), "") if mode != "CMYK" else ""
        planes, white = planes[..., : len(mode) + len(alpha)], 2**page.bitspersample - 1
        made = _tiff_image(planes, mode + alpha, page.photometric, white)
        made.info["icc_profile"] = page.tags.valueof(34675)
        made.getexif()[274] = page.tags.valueof(274, default=1)  # the orientation
    return made


def _by_pillow(image):
    """A TIFF that tifffile cannot unpack, if Pillow reads its kind correctly: compressed or of 12 bits."""
    tags = image.tag_v2
    bits, kind, packed = tags.get(258, (1,))[0], tags.get(339, (1,))[0], tags.get(259, 1) != 1
    if bits <= 8:
        right = kind == 1 and packed and image.mode in ("L", "P", "RGB", "RGBA", "CMYK")
    elif kind == 1:
        right = bits == 12 or (bits == 16 and packed)
    else:
        right = kind == 3 and tags.prefix == b"II"
    if not right:
        return None
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    made = _tiff_image(np.asarray(image)[..., None], "L", tags.get(262), 4095 if bits == 12 else 65535)
    made.info["icc_profile"] = image.info.get("icc_profile")
    return made


def _tiff_image(values, mode, colours, white):
    """The Pillow image of H,W,C values; "a" at the end of `mode` is alpha by which colours are multiplied."""
    if values.shape[2] != len(mode):
        raise NotImplementedError(f"{values.shape[2]} channels, {len(mode)} expected")
    values = values if white == 255 else _eight_bits(values, white)
    if colours == WHITE_IS_0:
        values = np.concatenate([255 - values[..., :1], values[..., 1:]], axis=2)
    made = Image.frombytes(mode, values.shape[1::-1], np.ascontiguousarray(values).tobytes())
    return made.convert(mode.upper()) if "a" in mode else made
