"""Reading, writing and resizing images. An image here is a uint8 array of height x width x channels.

Three channels are RGB, one is grey. Pillow decodes (it knows EXIF orientation, palettes and CMYK, and it
says why a file cannot be read); OpenCV resizes.
"""

import functools
import hashlib
import io
import logging
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from utils import WrongUse, cores, first_line, replacing

try:
    import cv2
except ImportError as error:
    raise SystemExit(
        f"error: OpenCV cannot be loaded ({error}): `apt-get install libgl1 libglib2.0-0`, "
        "or `pip uninstall opencv-python` and `pip install opencv-python-headless` in its place"
    ) from error

ANIMATED = {"GIF", "PNG", "WEBP"}  # Pillow's formats that hold frames over time

LONGEST = 100  # times its width; fit_training would enlarge a line of 1x20000 pixels to four gigabytes
ALL_FRAMES = 2**29  # pixels that are held at once: 1.6 GB of them, and as much of results

# Large photographs are welcome; Pillow still refuses what is twice over its limit (a decompression bomb).
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Of damaged files Pillow warns in lines without the file's name; what matters of it is raised as well.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


class Unreadable(Exception):
    """An image that cannot be decoded or used; the text is the reason, without the file's name."""


class CannotRead(WrongUse):
    """An image file that cannot be read: its `path` and the `reason`."""

    def __init__(self, path, reason):
        super().__init__(f"cannot read {path}: {reason}")
        self.path, self.reason = path, reason


def decode(data, channels=3, at_least=None):
    """Decode the bytes of an image file, upright, to `channels` 3 (RGB) or 1 (grey).

    Transparent pixels are laid on white; 16-bit and floating point values are scaled to 8 bits. With
    `at_least`, for training, a JPEG may be decoded at a half, quarter or eighth of its size, its shorter side
    staying at least so many pixels; and what fit_training refuses is refused. Raises Unreadable.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if at_least:
            refuse_long(*image.size)
            image.draft(None, _draft_size(image.size, at_least))
        # Asked to convert or to turn, Pillow copies an image even where it changes nothing.
        ImageOps.exif_transpose(image, in_place=True)
        image, mode = _plain(image), "RGB" if channels == 3 else "L"
        return np.atleast_3d(np.asarray(image if image.mode == mode else image.convert(mode)))
    except Exception as error:  # a damaged file can fail anywhere in a decoder, in any way
        reason = _reason(error, data)
    # Out here it has no context: that would hold the decoder's frames, and with them the pixels.
    raise Unreadable(reason)


def decode_frames(data):
    """Decode every frame of an image file, upright, with its transparency.

    Returns (frames, info): uint8 arrays of RGB and, where there is transparency, a fourth channel for alpha;
    and what Pillow must be told to write them as they were (durations, loops), empty for a still. Only the
    first page of a TIFF is read. Raises Unreadable, also where frames differ in size or have more than 2**29
    pixels in all, and MemoryError.
    """
    try:
        with Image.open(io.BytesIO(data)) as file:
            if file.format not in ANIMATED or getattr(file, "n_frames", 1) == 1:
                return [_with_alpha(ImageOps.exif_transpose(file))], {}
            width, height = file.size
            if file.n_frames * width * height > ALL_FRAMES:
                raise Unreadable(f"{file.n_frames} frames of {width}x{height} pixels are too much at once")
            frames, info = [], {"duration": [], "loop": file.info.get("loop")}
            for frame in ImageSequence.Iterator(file):
                frames.append(_with_alpha(ImageOps.exif_transpose(frame)))
                info["duration"].append(frame.info.get("duration", 0))
            if len({frame.shape[:2] for frame in frames}) > 1:
                raise Unreadable("its frames differ in size")
            return frames, {key: value for key, value in info.items() if value is not None}
    except MemoryError:
        raise
    except Exception as error:
        reason = _reason(error, data)
    raise Unreadable(reason)


def read(path, channels=3, at_least=None):
    """Read an image file as `decode` does. Raises CannotRead."""
    try:
        return decode(path.read_bytes(), channels, at_least)
    except (OSError, Unreadable) as error:
        reason = first_line(error)
    raise CannotRead(path, reason)


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


def check(paths, description, narrowest=1):
    """Read every image through once, at reduced size where its format allows, and return Checked.

    Those less than `narrowest` pixels wide count as unreadable.
    """
    work = functools.partial(_check, narrowest=narrowest)
    return Checked.of(paths, paths, for_each(work, paths, description))


def for_each(work, items, description):
    """[work(item) for item in items] on all cores, with a bar; decoding and OpenCV let other threads run."""
    from tqdm.contrib.concurrent import thread_map  # a tenth of a second, which --help need not wait for

    cv2.setNumThreads(1)
    return thread_map(
        work, items, max_workers=cores(), desc=description, unit="image", disable=None, leave=False
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
    """Make the shorter side `size` ("crop": a square is cut later), or the whole a square ("squash").

    Raises Unreadable where the image is more than a hundred times as long as wide, or the reverse.
    """
    height, width = image.shape[:2]
    refuse_long(width, height)
    if how == "squash":
        return resize(image, size, size)
    scale = size / min(height, width)
    return resize(image, max(size, round(width * scale)), max(size, round(height * scale)))


def refuse_long(width, height):
    """Raises Unreadable for an image that is too long and thin to be trained on."""
    if max(width, height) > LONGEST * min(width, height):
        raise Unreadable(f"{width}x{height} pixels, more than {LONGEST} times as long as wide")


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


def _check(path, narrowest):
    """Returns (digest, None) or (None, the reason why the image cannot be read)."""
    try:
        data = path.read_bytes()
        width = decode(data, at_least=64).shape[1]
        if width < narrowest:
            raise Unreadable(f"{width} pixels wide, at least {narrowest} needed")
        return digest(data), None
    except (OSError, Unreadable) as error:
        return None, first_line(error)


def _reason(error, data):
    """Why the bytes of an image file could not be decoded, in a line."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image" if data else "the file is empty"
    return first_line(error)


def _draft_size(size, at_least):
    # Twice the wanted size, so that the resize that follows still averages.
    scale = 2 * at_least / min(size)
    return (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))


def _with_alpha(image):
    """Pillow's image as an array of RGB, and a fourth channel for alpha where it has transparency."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return np.asarray(_plain(image).convert("RGB"))
    pixels = np.array(image.convert("RGBA"))
    # What nobody sees is white, as in `decode`: files hold anything there, and networks look at it all.
    np.copyto(pixels[..., :3], 255, where=pixels[..., 3:] == 0)
    return pixels


def _plain(image):
    """Without transparency and with 8 bits a channel. Raises Unreadable for values of no known range."""
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):  # also where one is not a number
            raise Unreadable("floating point values outside 0 to 1: save it with 8 or 16 bits")
        return Image.fromarray(np.rint(255 * values).astype(np.uint8))
    if image.mode.startswith("I"):
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image
