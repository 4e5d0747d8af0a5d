"""Find picture files and plan where results go. Loads no decoder: wrong paths are reported at once."""

import collections
import dataclasses
import glob
import itertools
import os
import re
from importlib.util import find_spec
from pathlib import Path

from utils import WrongUse, first_line, report_once

HEIF = {".heic", ".heif"}
EXTENSIONS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".pjpeg", ".pjp"),
    *(".png", ".apng", ".webp", ".avif", ".bmp", ".tif", ".tiff"),
    *(HEIF if find_spec("pillow_heif") else ()),
}
TO_APPLY = EXTENSIONS | {".gif"}  # what test.py takes
FILMS = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".m2ts", ".vob", ".ogv", ".3gp", ".h264", ".hevc"),
}
# Pictures that are not read; they are counted, so that a folder of them does not just seem empty.
OTHERS = {
    *(".gif", ".svg", ".psd", ".xcf", ".jp2", ".jxl", ".tga", ".exr", ".hdr", ".ppm", ".pgm", ".ico"),
    *(".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw"),
    *(".pcx", ".dib", ".pnm", ".pbm", ".pam", ".j2k", ".jpf", ".jpx", ".jxr", ".wdp", ".sgi", ".dds"),
    ".icns",
    *(HEIF | FILMS),
}
# Folders of thumbnails, resource forks and deleted files that network drives, macOS and Windows create.
NOT_PICTURES = {"@eaDir", "__MACOSX", "@Recycle", "#recycle", "$RECYCLE.BIN"}
NAMELESS = "without an extension"
BEGINNINGS = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*"  # of JPEG, PNG, GIF, TIFF


# The images of a folder, for training and evaluation


def looked_for(extensions=EXTENSIONS):
    """The extensions of images, for errors about folders without one."""
    return f"looked for {' '.join(sorted(extensions))}"


def find_images(folder, extensions=EXTENSIONS):
    """The image files below `folder`, as sorted paths relative to it, without hidden files.

    Links to folders, which may be circular, and unreadable folders are each reported once; pictures of other
    kinds are counted in one line.
    """
    found = []
    for base, folders, names in os.walk(folder, onerror=_report_folder):
        folders[:] = [name for name in folders if not (name.startswith(".") or name in NOT_PICTURES)]
        for link in filter(os.path.islink, (os.path.join(base, name) for name in folders)):
            report_once(f"left out {link}: a link to a folder")
        found += [Path(base, name) for name in names if not name.startswith(".")]
    return sorted(path.relative_to(folder) for path in _readable(found, extensions, folder))


def _report_folder(error):
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        report_once(f"left out {error.filename}: {first_line(error)}")


def _readable(paths, extensions, where):
    """Those of the paths that have one of the extensions. Other kinds of picture are counted in one line."""
    left_out = collections.Counter(_other_kind(path, extensions) for path in paths)
    del left_out[None]
    if left_out:
        advice = "; `pip install pillow-heif` to read HEIC" if HEIF & left_out.keys() else ""
        if FILMS & left_out.keys():
            advice += "; data/frames.py extracts frames from films, and test.py --video converts one"
        if any(kind == NAMELESS or kind.startswith(tuple(extensions)) for kind in left_out):
            advice += "; rename those that are JPEG or PNG to .jpg or .png"
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
        report_once(f"left out pictures of unsupported kinds in {where}: {counts}{advice}")
    return [path for path in paths if path.suffix.lower() in extensions]


def _other_kind(path, extensions):
    """The extension of a picture of another kind (also .jpg_large), or NAMELESS; None for other files."""
    kind = path.suffix.lower()
    if kind not in extensions and (kind in OTHERS or kind.startswith(tuple(extensions))):
        return kind
    try:
        if kind or not path.is_file():  # a pipe would block
            return None
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return None
    is_picture = start.startswith(BEGINNINGS) or (start[:4], start[8:]) == (b"RIFF", b"WEBP")
    return NAMELESS if is_picture else None


# test.py: pictures and their results


@dataclasses.dataclass
class Picture:
    """A picture file, its frames, results, Pillow's options (`info`) to write them with, and failure."""

    source: Path
    target: Path
    frames: list = dataclasses.field(default_factory=list)
    info: dict = dataclasses.field(default_factory=dict)
    results: list = dataclasses.field(default_factory=list)
    failure: str = ""


def find_pictures(sources, out):
    """[(file, its path below `out`)] of files, folders and globs. Raises WrongUse if one has no pictures."""
    found = []
    for source in sources:
        base = Path(source)
        if base.is_file():
            if base.suffix.lower() in FILMS:
                raise WrongUse(f"{source} is a film: use --video {source} --output NAME.mp4 instead")
            found.append((base, Path(base.name)))
            continue
        if base.is_dir():
            paths = [base / name for name in find_images(base, TO_APPLY)]
        else:
            base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), base.parts[:-1]))
            matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
            inside = [path for path in matches if not NOT_PICTURES & {*path.relative_to(base).parts}]
            paths = [path for path in _readable(inside, TO_APPLY, source) if not path.is_dir()]
        if _real(base) in _real(out).parents:  # the results of an earlier run are not pictures to change
            paths = [path for path in paths if _real(out) not in _real(path).parents]
        if not paths:
            refuse_stream(source)
            if not glob.has_magic(source) and not Path(source).exists():
                raise WrongUse(f"no file or folder {source}")
            raise WrongUse(f"no pictures at {source}: {looked_for(TO_APPLY)}")
        found += [(path, path.relative_to(base)) for path in paths]
    return found


def refuse_stream(source):
    """Raise WrongUse, with an alternative, for addresses, pipes, cameras and FFmpeg's frame_%04d.png."""
    source = str(source)
    if re.match(r"\w{2,}:/", source):
        raise WrongUse(f"{source} is an address: download it, and name the file")
    if source == "-" or source.isdecimal() or source.startswith("/dev/") or Path(source).is_fifo():
        raise WrongUse(f"{source} is a pipe or a camera: write it to a file, and name that")
    if re.search(r"%\d*d", source):
        pattern = re.sub(r"%\d*d", "*", source)
        raise WrongUse(f"{source} is not a file: for a sequence of pictures, use --image_dir '{pattern}'")


def plan_results(found, out, extension=None, suffix=""):
    """A Picture for each that find_pictures found; `suffix` and `extension` change the names of the results.

    Raises WrongUse if a result would overwrite a picture or another result.
    """
    sources, planned = {_identity(source) for source, _ in found}, {}
    for source, name in found:
        name = name.with_stem(name.stem + suffix)
        target = out / (name.with_suffix(f".{extension}") if extension else name)
        if target.exists() and _identity(target) in sources:
            raise WrongUse(f"{target} would overwrite a picture: name another --output_image_dir")
        other = planned.setdefault(target, Picture(source, target))
        if other.source != source:
            raise WrongUse(f"{other.source} and {source} would both become {target}: leave one of them out")
    return list(planned.values())


def _real(path):
    return Path(os.path.realpath(path))  # Path.resolve fails for a circular link


def _identity(path):
    try:
        stat = path.stat()
    except OSError:  # a broken link; reported when it is read
        return path
    return stat.st_dev, stat.st_ino
