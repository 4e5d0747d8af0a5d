"""Read, check, resize and write images: uint8 arrays of height x width x channels, RGB or grey.

decoding.py decodes; OpenCV resizes.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from pictures.decoding import Unreadable, decode, refuse_long
from support.files import replacing
from utils import WrongUse, code_commit, cores, first_line

try:
    import cv2
except ImportError as error:
    raise SystemExit(
        f"error: OpenCV cannot be loaded ({error}): `apt-get install libgl1 libglib2.0-0`, "
        "or `pip uninstall opencv-python` and `pip install opencv-python-headless`"
    ) from error

MAX_COMMAND = 4000  # characters; a command may name thousands of pictures, and EXIF holds 64 KB


# Reading


class CannotRead(WrongUse):
    """An image file that cannot be read: its `path` and the `reason`."""

    def __init__(self, path, reason):
        super().__init__(f"cannot read {path}: {reason}")
        self.path, self.reason = path, reason


def read(path, channels=3, at_least=None):
    """Read an image file; arguments as decoding.decode. Raises CannotRead."""
    try:
        return decode(path.read_bytes(), channels, at_least)
    except (OSError, Unreadable) as error:
        reason = first_line(error)
    raise CannotRead(path, reason)  # without the error as its context, which would keep the file's bytes


class Checked(NamedTuple):
    """Image files that were read: paths, digests of their content, and {path: reason} of the bad ones."""

    paths: list
    digests: list
    unreadable: dict

    @classmethod
    def of(cls, paths, sources, results):
        """Make it from the (digest, reason) of each source; `paths` are kept where the source can be read."""
        good = [(path, digest) for path, (digest, reason) in zip(paths, results, strict=True) if not reason]
        bad = {source: reason for source, (_, reason) in zip(sources, results, strict=True) if reason}
        return cls([path for path, _ in good], [digest for _, digest in good], bad)


def check(paths, description, narrowest=1):
    """Read every image once, reduced if its format allows; returns Checked.

    Images less than `narrowest` pixels wide count as unreadable.
    """

    def check_one(path):
        try:
            data = path.read_bytes()
            width = decode(data, at_least=64).shape[1]
            if width < narrowest:
                raise Unreadable(f"{width} pixels wide, at least {narrowest} needed")
            return digest(data), None
        except (OSError, Unreadable) as error:
            return None, first_line(error)

    return Checked.of(paths, paths, for_each(check_one, paths, description))


def for_each(work, items, description):
    """[work(item) for item in items] on all cores, with a bar; decoding and OpenCV release the GIL."""
    from tqdm.contrib.concurrent import thread_map  # takes 0.1 s, which --help need not wait for

    cv2.setNumThreads(1)
    bar = {"desc": description, "unit": "image", "disable": None, "leave": False}
    return thread_map(work, items, max_workers=cores(), **bar)


def digest(data):
    """A short fingerprint of a file's bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


# Sizes and colours


def resize(image, width, height):
    """Resize to width x height: by area if either side shrinks, else cubic."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0] or width < image.shape[1]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.atleast_3d(resized)


def fit_training(image, size, how):
    """Resize so that the shorter side is `size` ("crop") or both are ("squash").

    Raises Unreadable if the image is more than a hundred times as long as wide.
    """
    height, width = image.shape[:2]
    refuse_long(width, height)
    if how == "squash":
        return resize(image, size, size)
    scale = size / min(height, width)
    return resize(image, max(size, round(width * scale)), max(size, round(height * scale)))


def fit_within(image, longest):
    """Shrink so that the longer side is at most `longest`, keeping the aspect ratio; never enlarges."""
    height, width = image.shape[:2]
    scale = min(1, longest / max(height, width))
    return resize(image, max(1, round(width * scale)), max(1, round(height * scale)))


def luminance(image):
    """The luminance of an RGB image, one channel (ITU-R BT.601)."""
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def with_luminance(image, wanted):
    """An RGB image with another luminance (one channel): the change is added to R, G and B, cut to 0..255.

    This keeps its chroma, R - Y and B - Y.
    """
    change = wanted.astype(np.int16) - luminance(image)
    return np.clip(image + change, 0, 255).astype(np.uint8)


def side_by_side(*row):
    """Join images of the same size from left to right; grey becomes RGB if any is RGB."""
    channels = max(x.shape[2] for x in row)
    return np.concatenate([np.broadcast_to(x, (*x.shape[:2], channels)) for x in row], axis=1)


# Writing


def write(path, image, **options):
    """Write an image atomically, in the format that the extension names; `options` go to Pillow."""
    with replacing(path, sync=False) as part:
        as_pillow(image).save(part, format=Image.registered_extensions()[path.suffix.lower()], **options)


def as_pillow(image):
    """A Pillow image from an array of 1 to 4 channels; with 2 or 4 channels, the last is alpha."""
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def describe_origin(checkpoint, command):
    """The origin of a result, {title: text}: commit of the code, model's file and SHA-256, command."""
    checkpoint = Path(checkpoint)
    with checkpoint.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    command = command.encode("utf-8", "backslashreplace").decode()  # names of files can be any bytes
    return {
        "Software": f"CartoonGAN {code_commit() or ''}".strip(),
        "Model": f"{Path(checkpoint.resolve().parent.name, checkpoint.name)}, SHA-256 {sha256[:16]}",
        "Command": command if len(command) <= MAX_COMMAND else command[:MAX_COMMAND] + "…",
    }


def origin_text(origin):
    """The result of `describe_origin` as lines of text."""
    return "\n".join(f"{title}: {text}" for title, text in origin.items())


def origin_options(kind, origin, exif=b""):
    """Pillow's options that write `describe_origin` into a file of format `kind`, in addition to `exif`."""
    text = origin_text(origin)
    if kind == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for title, value in origin.items():
            chunks.add_itxt(title, value)
        return {"pnginfo": chunks}
    if kind == "GIF":
        return {"comment": text.encode()}
    written = Image.Exif()
    written.load(exif)
    written[ExifTags.Base.Software] = origin["Software"]
    comment = b"UNICODE\0" + text.encode("utf-16-be")  # as image generators and ExifTool write and read it
    written.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return {"exif": written.tobytes(), "comment": text.encode()}
