"""Image files that are unusual, too long or damaged, and the message about each."""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

from pictures import images

BROKEN = os.fsdecode(b"br\xf6ken.jpg")  # Latin-1, as old archives and cameras write it; not UTF-8


def noise(width, height, channels=3, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return images.as_pillow(pixels)


def encoded(image, kind="png", **how):
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def with_chunks(data, **chunks):
    """The bytes of a PNG with chunks after its header."""
    for kind, content in chunks.items():
        whole = kind.encode() + content
        whole = struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))
        data = data[:33] + whole + data[33:]
    return data


def bomb():
    """A PNG of a few bytes that claims to have 60,000 x 60,000 pixels."""
    data = bytearray(encoded(noise(1, 1)))
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


PHOTO = noise(24, 20)
BITS = Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160)
UNUSUAL = {
    "grey.jpg": encoded(PHOTO.convert("L"), "jpeg"),
    "palette.png": encoded(PHOTO.quantize(16), transparency=3),
    "cmyk.jpg": encoded(PHOTO.convert("CMYK"), "jpeg"),
    "bits.png": encoded(BITS),
    "tiff bits.tif": encoded(BITS, "tiff"),
    "alpha.png": encoded(noise(24, 20, 4)),
    "pixel.png": encoded(noise(1, 1)),
    "new\nline.png": encoded(PHOTO),
    BROKEN: encoded(PHOTO, "jpeg"),
}
DAMAGED = {
    "cut.jpg": (encoded(PHOTO, "jpeg")[:-200], "image file is truncated"),
    "empty.jpg": (b"", "the file is empty"),
    "bomb.png": (bomb(), "3600 million pixels, at most 179 million can be read: "),
    "unknown.avif": (b"\0\0\0\x18ftypxxxx" + bytes(40), "HEIC needs `pip install pillow-heif`"),
    f"bad {BROKEN}": (b"<html>404 not found</html>", "not an image"),
}
# Everything that cannot be trained on; a string is the target of a link.
BAD = DAMAGED | {
    "row.png": (encoded(noise(1010, 10)), "1010x10 pixels, more than 100 times as long as wide"),
    "dangling.jpg": ("gone.jpg", "No such file or directory"),
    "circle.jpg": ("circle.jpg", "Too many levels of symbolic links"),
}


def fill(folder):
    """Write every kind into a folder; returns {path: reason} of those that cannot be trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in UNUSUAL.items():
        (folder / name).write_bytes(data)
    for name, (content, _) in BAD.items():
        if isinstance(content, str):
            (folder / name).symlink_to(content)
        else:
            (folder / name).write_bytes(content)
    return {folder / name: reason for name, (_, reason) in BAD.items()}


def assert_reported(stderr, reasons, before="left out "):
    """One line for each, with the path and the reason, and nothing else."""
    others = "using ", "style is not measured", "warning: "
    lines = [line for line in stderr.splitlines() if not line.startswith(others)]
    for path, reason in reasons.items():
        # Python's own stderr writes what is not UTF-8 as \\udcf6, pytest's as a question mark.
        begins = [f"{before}{path}: ".encode("utf-8", how) for how in ("backslashreplace", "replace")]
        found = [line for line in lines if line.encode().startswith(tuple(begins))]
        assert len(found) == 1 and reason in found[0], (path, reason, lines)
        lines.remove(found[0])
    assert lines == []
