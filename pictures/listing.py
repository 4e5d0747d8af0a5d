"""Finds image files in folders. It imports no decoder, so that a missing folder is reported at once."""

import collections
import functools
import os
from importlib.util import find_spec
from pathlib import Path

from utils import first_line, report

HEIF = {".heic", ".heif"}
EXTENSIONS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".pjpeg", ".pjp"),
    *(".png", ".apng", ".webp", ".avif", ".bmp", ".tif", ".tiff"),
    *(HEIF if find_spec("pillow_heif") else ()),
}
FILMS = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".m2ts", ".vob", ".ogv", ".3gp", ".h264", ".hevc"),
}
# Pictures that people have and that are not read: whoever has a folder of them must hear why it is empty.
OTHERS = {
    *(".gif", ".svg", ".psd", ".xcf", ".jp2", ".jxl", ".tga", ".exr", ".hdr", ".ppm", ".pgm", ".ico"),
    *(".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw"),
}
OTHERS |= HEIF | FILMS
# Thumbnails, resource forks and bins that network drives, macOS and Windows put among pictures.
NOT_PICTURES = {"@eaDir", "__MACOSX", "@Recycle", "#recycle", "$RECYCLE.BIN"}
RARE = {
    *(".pcx", ".dib", ".pnm", ".pbm", ".pam", ".j2k", ".jpf", ".jpx", ".jxr", ".wdp", ".sgi", ".dds", ".icns")
}
NAMELESS = "without an ending"
BEGINNINGS = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*"  # of JPEG, PNG, GIF, TIFF


def find_images(folder, extensions=EXTENSIONS):
    """The image files below `folder`, as sorted paths relative to it. Hidden files are left out.

    Links to folders are not followed (they may lead in a circle). Those, and folders that cannot be read,
    are reported once, a line each; pictures of other kinds in one line together.
    """
    found = []
    for base, folders, names in os.walk(folder, onerror=_unread_folder):
        folders[:] = [name for name in folders if not (name.startswith(".") or name in NOT_PICTURES)]
        for link in filter(os.path.islink, (os.path.join(base, name) for name in folders)):
            report_once(f"left out {link}: a link to a folder")
        found += [Path(base, name) for name in names if not name.startswith(".")]
    return sorted(path.relative_to(folder) for path in of_kinds(found, extensions, folder))


def of_kinds(paths, extensions, where):
    """Those of the paths that have one of the extensions. One line, once, counts other kinds of picture."""
    kinds = [path.suffix.lower() for path in paths]
    counts = collections.Counter(filter(None, map(functools.partial(_other_kind, extensions), paths, kinds)))
    if counts:
        advice = "; `pip install pillow-heif` to read HEIC" if HEIF & counts.keys() else ""
        if FILMS & counts.keys():
            advice += "; of films, data/frames.py takes pictures, and test.py --video changes one"
        if any(kind == NAMELESS or kind.startswith(tuple(extensions)) for kind in counts):
            advice += "; rename those that are JPEG or PNG to .jpg or .png"
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        report_once(f"left out in {where}, kinds that are not read: {told}{advice}")
    return [path for path, kind in zip(paths, kinds, strict=True) if kind in extensions]


def _other_kind(extensions, path, kind):
    """The kind of a file that is left out though it, or its name, is a picture's; None for all others."""
    if kind in extensions:
        return None
    if kind in OTHERS | RARE or kind.startswith(tuple(extensions)):  # as .jpg_large, .png!d
        return kind
    return NAMELESS if not kind and _is_picture(path) else None


def _is_picture(path):
    """Whether a file begins as a picture of a common kind does."""
    try:
        if not path.is_file():  # a pipe would wait for ever
            return False
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(BEGINNINGS) or (start[:4], start[8:]) == (b"RIFF", b"WEBP")


def looked_for(extensions=EXTENSIONS):
    """What is said where there is no image: the names of files that would be one."""
    return f"looked for {' '.join(sorted(extensions))}"


def _unread_folder(error):
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        report_once(f"left out {error.filename}: {first_line(error)}")


@functools.cache
def report_once(line, everywhere=False):
    """Say a line, but not again what this process has said: files are met several times."""
    report(line, everywhere)
