"""Reading, writing and resizing images. An image here is a uint8 array of height x width x channels.

Three channels are RGB, one is grey. Pillow decodes (it knows EXIF orientation, palettes and CMYK, and it
says why a file cannot be read); OpenCV resizes.
"""

import hashlib
import io
import os
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError
from tqdm.contrib.concurrent import thread_map

from errors import WrongUse, first_line
from files import replacing

try:
    import cv2
except ImportError as error:
    raise SystemExit(
        f"error: OpenCV cannot be loaded ({error}): `apt-get install libgl1 libglib2.0-0`, "
        "or `pip uninstall opencv-python` and `pip install opencv-python-headless` in its place"
    ) from error

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
ANIMATED = {"GIF", "PNG", "WEBP"}  # Pillow's formats that hold frames over time

# Large photographs are welcome; Pillow still refuses what is twice over its limit (a decompression bomb).
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Unreadable(Exception):
    """An image that cannot be decoded; the text is the reason, without the file's name."""


def find(folder, extensions=EXTENSIONS):
    """The image files below `folder`, as sorted paths relative to it. Hidden files are left out."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in extensions)
    return sorted(path for path in found if not any(part.startswith(".") for part in path.parts))


def decode(data, channels=3, at_least=None):
    """Decode the bytes of an image file, upright, to `channels` 3 (RGB) or 1 (grey).

    Transparent pixels are laid on white; 16-bit values are scaled to 8. With `at_least` a JPEG may be
    decoded at a half, quarter or eighth of its size, its shorter side staying at least so many pixels.
    Raises Unreadable.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if at_least:
            image.draft(None, _draft_size(image.size, at_least))
        # Asked to convert or to turn, Pillow copies an image even where it changes nothing.
        ImageOps.exif_transpose(image, in_place=True)
        image, mode = _plain(image), "RGB" if channels == 3 else "L"
        return np.atleast_3d(np.asarray(image if image.mode == mode else image.convert(mode)))
    except UnidentifiedImageError:
        raise Unreadable("not an image" if data else "the file is empty") from None
    except Exception as error:  # a damaged file can fail anywhere in a decoder, in any way
        raise Unreadable(first_line(error)) from None


def decode_frames(data):
    """Decode every frame of an image file, upright, with its transparency.

    Returns (frames, info): uint8 arrays of RGB and, where there is transparency, a fourth channel for alpha;
    and what Pillow must be told to write them as they were (durations, loops), empty for a still. Only the
    first page of a TIFF is read. Raises Unreadable.
    """
    try:
        with Image.open(io.BytesIO(data)) as file:
            if file.format not in ANIMATED or getattr(file, "n_frames", 1) == 1:
                return [_with_alpha(ImageOps.exif_transpose(file))], {}
            frames, info = [], {"duration": [], "loop": file.info.get("loop")}
            for frame in ImageSequence.Iterator(file):
                frames.append(_with_alpha(ImageOps.exif_transpose(frame)))
                info["duration"].append(frame.info.get("duration", 0))
            return frames, {key: value for key, value in info.items() if value is not None}
    except UnidentifiedImageError:
        raise Unreadable("not an image" if data else "the file is empty") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in a decoder, in any way
        raise Unreadable(first_line(error)) from None


def read(path, channels=3, at_least=None):
    """Read an image file as `decode` does. Raises WrongUse naming the file."""
    try:
        return decode(path.read_bytes(), channels, at_least)
    except Unreadable as error:
        raise WrongUse(f"cannot read {path}: {error}") from None


class Checked(NamedTuple):
    """Image files that were read through: paths, digests of their content, {path: reason} of the bad ones."""

    paths: list
    digests: list
    unreadable: dict

    @classmethod
    def of(cls, paths, sources, results):
        """From the (digest, reason) of each source: `paths` are kept where the source could be read."""
        good = [(path, digest) for path, (digest, reason) in zip(paths, results, strict=True) if not reason]
        bad = {source: reason for source, (_, reason) in zip(sources, results, strict=True) if reason}
        return cls([path for path, _ in good], [digest for _, digest in good], bad)


def check(paths, description):
    """Read every image through once, at reduced size where its format allows, and return Checked."""
    return Checked.of(paths, paths, for_each(_check, paths, description))


def for_each(work, items, description):
    """[work(item) for item in items] on all cores, with a bar; decoding and OpenCV let other threads run."""
    cv2.setNumThreads(1)
    workers = len(os.sched_getaffinity(0))
    return thread_map(
        work, items, max_workers=workers, desc=description, unit="image", disable=None, leave=False
    )


def digest(data):
    """A short fingerprint of a file's bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def write(path, image, **options):
    """Write an image whole, in the format that the extension names; `options` go to Pillow."""
    with replacing(path, sync=False) as part:
        as_pillow(image).save(part, format=Image.registered_extensions()[path.suffix.lower()], **options)


def as_pillow(image):
    """An image of 1 to 4 channels (an even number: the last is alpha) as Pillow's."""
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def resize(image, width, height):
    """Resize to width x height: by area when either side shrinks, else cubic."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0] or width < image.shape[1]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.atleast_3d(resized)


def fit_training(image, size, how):
    """Make the shorter side `size` ("crop": a square is cut later), or the whole a square ("squash")."""
    height, width = image.shape[:2]
    if how == "squash":
        return resize(image, size, size)
    scale = size / min(height, width)
    return resize(image, max(size, round(width * scale)), max(size, round(height * scale)))


def fit_within(image, longest):
    """Shrink so that the longer side is at most `longest`, keeping the aspect; never enlarges."""
    height, width = image.shape[:2]
    scale = min(1, longest / max(height, width))
    return resize(image, max(1, round(width * scale)), max(1, round(height * scale)))


def luminance(image):
    """The luminance of an RGB image, one channel: what `decode` makes of it in grey (ITU-R BT.601)."""
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def with_luminance(image, wanted):
    """An RGB image with another luminance (one channel) and its own chroma, R - Y and B - Y.

    Adding the change to all three leaves chroma as it is, but where a value would leave 0 to 255. Grey stays
    grey, and an image's own luminance gives back the image.
    """
    change = wanted.astype(np.int16) - luminance(image)
    return np.clip(image + change, 0, 255).astype(np.uint8)


def side_by_side(left, right):
    """Two images of the same size in one, left and right; grey becomes RGB if either is RGB."""
    channels = max(left.shape[2], right.shape[2])
    return np.concatenate([np.broadcast_to(x, (*x.shape[:2], channels)) for x in (left, right)], axis=1)


def _check(path):
    """Returns (digest, None) or (None, the reason why the image cannot be read)."""
    try:
        data = path.read_bytes()
        decode(data, at_least=64)
        return digest(data), None
    except (OSError, Unreadable) as error:
        return None, first_line(error)


def _draft_size(size, at_least):
    # Twice the wanted size, so that the resize that follows still averages.
    scale = 2 * at_least / min(size)
    return (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))


def _with_alpha(image):
    """Pillow's image as an array of RGB, and a fourth channel for alpha where it has transparency."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return np.asarray(_plain(image).convert("RGB"))
    image = image.convert("RGBA")
    alpha = np.asarray(image.getchannel("A"))[..., None]
    # What nobody sees is white, as in `decode`: files hold anything there, and networks look at it all.
    colour = np.where(alpha == 0, 255, np.asarray(image.convert("RGB")))
    return np.concatenate([colour.astype(np.uint8), alpha], axis=2)


def _plain(image):
    """Without transparency and with 8 bits a channel."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image
