"""Decode image files: upright, in sRGB, 8 bits per channel, the same for training and for test.py.

Pillow decodes: it knows EXIF orientation, palettes and CMYK, and says why a file cannot be read. tiffs.py
reads the TIFFs that it misreads, profiles.py converts the colours.
"""

import contextlib
import io
import itertools
import logging
import re
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageOps, ImageSequence, PngImagePlugin, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from pictures import profiles, tiffs
from utils import first_line

with contextlib.suppress(ImportError):  # optional
    import pillow_heif

    pillow_heif.register_heif_opener()

ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}  # Pillow's names of the formats that can hold animations

MAX_ASPECT = 100  # longer side to shorter; fit_training would enlarge 1x20000 pixels to four gigabytes
MAX_PIXELS = 2 * Image.MAX_IMAGE_PIXELS  # 179 million pixels; Pillow refuses more (a decompression bomb)
MAX_FRAME_PIXELS = 2**29  # pixels held at once: 1.6 GB, and as much for the results
DATES = [tag for tag in ExifTags.Base if tag.name.startswith(("DateTime", "OffsetTime", "SubsecTime"))]
SMALLER = "make it smaller"
REDUCED = f"give --size N (for a JPEG that is not progressive), or {SMALLER}"

# Warnings and log lines of libraries do not name the file; what matters in them is also raised.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# Image generators write workflows of megabytes into PNGs, and scanners such profiles; Pillow accepts 1 MiB.
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
    """The array that `decode` returns, from a Pillow image, which is turned upright in place."""
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
    first page of a TIFF is read; a still in an animated PNG that is not one of its frames is skipped. With
    `longest` a JPEG may be decoded reduced, with a longer side of at least so many pixels. Raises Unreadable,
    also where frames differ in size or have more than 2**29 pixels in all, and MemoryError.
    """
    try:
        with _open(data, longest=longest) as file:
            if file.format not in ANIMATED or getattr(file, "n_frames", 1) == 1:
                return [_with_alpha(file)], _metadata(file)
            width, height = file.size
            if file.n_frames * width * height > MAX_FRAME_PIXELS:
                raise Unreadable(f"{file.n_frames} frames of {width}x{height} pixels are too many at once")
            frames, durations, profile = [], [], file.info.get("icc_profile")
            for frame in itertools.islice(ImageSequence.Iterator(file), file.info.get("default_image"), None):
                frame = frame.copy()
                frame.info["icc_profile"] = profile  # of the whole file; Pillow forgets it between frames
                frames.append(_with_alpha(frame))
                durations.append(frame.info.get("duration", 0))
            if len({frame.shape[:2] for frame in frames}) > 1:
                raise Unreadable("its frames differ in size")
            loop = {"loop": file.info["loop"]} if "loop" in file.info else {}
            return frames, {"duration": durations, **loop, **_metadata(file)}
    except MemoryError:
        raise
    except Exception as error:
        reason = _reason(error, data, REDUCED)
    raise Unreadable(reason)


def _metadata(image):
    """Pillow's options that keep the dates and the resolution of a photograph."""
    kept = {}
    with contextlib.suppress(Exception):  # damaged EXIF can fail in any way, but does not affect the picture
        resolution = tuple(float(value) for value in image.info["dpi"])
        if all(0 < value < 2**16 for value in resolution):
            kept["dpi"] = resolution
    with contextlib.suppress(Exception):
        old, new, inner = image.getexif(), Image.Exif(), ExifTags.IFD.Exif
        for source, target in ((old, new), (old.get_ifd(inner), new.get_ifd(inner))):
            target.update({tag: source[tag] for tag in DATES if isinstance(source.get(tag), str)})
        if new or new.get_ifd(inner):
            kept["exif"] = new.tobytes()  # of an object, Pillow's TIFF writer writes the first part only
    return kept


def refuse_long(width, height):
    """Raise Unreadable for an image that is too long and thin for training."""
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise Unreadable(f"{width}x{height} pixels, more than {MAX_ASPECT} times as long as wide")


def _open(data, at_least=None, longest=None):
    """The Pillow image of the bytes of a file, a JPEG reduced as in `decode` and `decode_frames`.

    Raises Image.DecompressionBombError where it has too many pixels even so.
    """
    for spare in (2, 1):  # first at twice the wanted size, so that the resize that follows averages
        image = _identify(data)
        width, height = image.size
        if at_least:
            refuse_long(width, height)
        if wanted := at_least or longest:
            scale = spare * wanted / (min(image.size) if at_least else max(image.size))
            image.draft(None, (max(1, int(width * scale)), max(1, int(height * scale))))
        # A progressive JPEG needs the memory of the whole, however far it is reduced.
        decoded = width * height if image.info.get("progressive") else image.width * image.height
        if decoded <= MAX_PIXELS:
            return image
    raise Image.DecompressionBombError(f"{width * height} pixels")


def _identify(data):
    """The Pillow image of the bytes of a file, usually not decoded yet; a JPEG may have any size."""
    if data[:4] in tiffs.MAGIC:
        return tiffs.open_tiff(data)
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        if not data.startswith(b"\xff\xd8"):
            raise
        return JpegImageFile(io.BytesIO(data))
    if image.tile and image.tile[0].args == "RGB;16B" and "transparency" in image.info:
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
        image = Image.fromarray(tiffs.eight_bits(values))
        if transparent is not None:
            image.putalpha(Image.fromarray((values != transparent).astype(np.uint8) * 255))
    elif image.has_transparency_data:
        image = image.convert("LA" if profile and image.mode in ("L", "LA", "La") else "RGBA")
    return profiles.to_srgb(image, profile)


def _with_alpha(image):
    """A Pillow image as an array of RGB, with a fourth channel for alpha where it has transparency."""
    image = _normalise(image)
    if image.mode not in ("LA", "RGBA"):
        return np.asarray(image.convert("RGB"))
    rgba = np.array(image.convert("RGBA"))
    # Invisible pixels become white, as in `decode`: files hold any colour there, and a network would see it.
    np.copyto(rgba[..., :3], 255, where=rgba[..., 3:] == 0)
    return rgba


def _reason(error, data, advice):
    """Why the bytes of an image file could not be decoded, in one line."""
    text = first_line(error)
    if isinstance(error, UnidentifiedImageError):
        if data[4:8] == b"ftyp":
            return "not an image that can be read: HEIC needs `pip install pillow-heif`, AVIF Pillow 11.3"
        return "not an image" if data else "the file is empty"
    if "MAX_TEXT" in text:
        return "more than 64 MiB of text in its metadata: save it without"
    if isinstance(error, Image.DecompressionBombError):
        millions = int(re.search(r"\d+", text)[0]) / 1e6
        return f"{millions:.0f} million pixels, at most {MAX_PIXELS / 1e6:.0f} million can be read: {advice}"
    return text
