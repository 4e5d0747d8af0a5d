"""How a result was made, written into its file; and what it keeps of its photograph: dates and resolution."""

import contextlib
import hashlib
from pathlib import Path

from PIL import ExifTags, Image, PngImagePlugin

from support.version import commit

LONGEST = 4000  # letters of a command, which may name thousands of pictures; EXIF holds 64 KB
TAGS = ExifTags.Base
DATES = (
    *(TAGS.DateTimeOriginal, TAGS.DateTimeDigitized, TAGS.OffsetTime, TAGS.OffsetTimeOriginal),
    *(TAGS.OffsetTimeDigitized, TAGS.SubsecTime, TAGS.SubsecTimeOriginal, TAGS.SubsecTimeDigitized),
)  # and TAGS.DateTime, in another part of EXIF


def of(checkpoint, command):
    """{what: text}: the model's file and the start of its SHA-256, the command, and the code's commit."""
    checkpoint = Path(checkpoint)
    with checkpoint.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    command = command.encode("utf-8", "backslashreplace").decode()  # a file's name may be anything
    return {
        "Software": f"CartoonGAN {commit() or ''}".strip(),
        "Model": f"{Path(checkpoint.resolve().parent.name, checkpoint.name)}, SHA-256 {digest[:16]}",
        "Command": command if len(command) <= LONGEST else command[:LONGEST] + "…",
    }


def text(record):
    """A record of `of` in lines."""
    return "\n".join(f"{what}: {value}" for what, value in record.items())


def kept(image):
    """What Pillow must be told to keep the dates and the resolution of a photograph, its own image."""
    found = {}
    with contextlib.suppress(Exception):  # damaged EXIF can fail in any way, and does no harm to the picture
        resolution = tuple(float(value) for value in image.info["dpi"])
        if all(0 < value < 2**16 for value in resolution):
            found["dpi"] = resolution
    with contextlib.suppress(Exception):
        given, made = image.getexif(), Image.Exif()
        parts = [(given, made, [TAGS.DateTime])]
        parts += [(given.get_ifd(ExifTags.IFD.Exif), made.get_ifd(ExifTags.IFD.Exif), DATES)]
        for old, new, tags in parts:
            new.update({tag: old[tag] for tag in tags if isinstance(old.get(tag), str)})
        if any(new for _, new, _ in parts):
            found["exif"] = made.tobytes()  # Pillow's TIFF writer takes the first part alone of an object
    return found


def options(kind, record, info):
    """What Pillow must be told to write a record into a file of its format `kind`; `info` is from `kept`."""
    about = text(record)
    if kind == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for what, value in record.items():
            chunks.add_itxt(what, value)
        return {"pnginfo": chunks}
    if kind == "GIF":
        return {"comment": about.encode()}
    exif = Image.Exif()
    exif.load(info.get("exif", b""))
    exif[TAGS.Software] = record["Software"]
    comment = b"UNICODE\0" + about.encode("utf-16-be")  # as image generators and ExifTool write and read it
    exif.get_ifd(ExifTags.IFD.Exif)[TAGS.UserComment] = comment
    return {"exif": exif.tobytes(), "comment": about.encode()}
