"""Which pictures a command line names, and where their results go."""

import dataclasses
import glob
import itertools
import os
import re
from pathlib import Path

from pictures import listing
from utils import WrongUse

EXTENSIONS = listing.EXTENSIONS | {".gif"}


@dataclasses.dataclass
class Picture:
    """A picture file on its way: its frames, what Pillow must know of them, or why it failed."""

    source: Path
    target: Path
    frames: list = dataclasses.field(default_factory=list)
    info: dict = dataclasses.field(default_factory=dict)
    results: list = dataclasses.field(default_factory=list)
    failure: str = ""


def find_pictures(sources, out):
    """[(file, its path below `out`)] of files, folders and globs. Raises WrongUse where there is nothing."""
    found = []
    for source in sources:
        base = Path(source)
        if base.is_file():
            if base.suffix.lower() in listing.FILMS:
                raise WrongUse(f"{source} is a film: give --video {source} --output NAME.mp4 in its place")
            found.append((base, Path(base.name)))
            continue
        if base.is_dir():
            paths = [base / name for name in listing.find_images(base, EXTENSIONS)]
        else:
            base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), base.parts[:-1]))
            matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
            inside = [path for path in matches if not listing.NOT_PICTURES & {*path.relative_to(base).parts}]
            paths = [path for path in listing.of_kinds(inside, EXTENSIONS, source) if not path.is_dir()]
        if _real(base) in _real(out).parents:  # the results of an earlier run are no pictures
            paths = [path for path in paths if _real(out) not in _real(path).parents]
        if not paths:
            refuse_stream(source)
            if not glob.has_magic(source) and not Path(source).exists():
                raise WrongUse(f"no file or folder {source}")
            raise WrongUse(f"no pictures at {source}: {listing.looked_for(EXTENSIONS)}")
        found += [(path, path.relative_to(base)) for path in paths]
    return found


def refuse_stream(source):
    """Raise WrongUse where `source`, no file or folder, is what other programs read pictures and films from.

    The error says what works in its place.
    """
    source = str(source)
    if re.match(r"\w{2,}:/", source):
        raise WrongUse(f"{source} is an address: download it, and name the file")
    if source == "-" or Path(source).is_fifo():
        raise WrongUse(f"{source} is standard input or a pipe: write it to a file, and name that")
    if source.isdecimal() or source.startswith("/dev/video"):
        raise WrongUse(f"{source} is no file or folder: of a camera, record a film, and name that")
    if re.search(r"%\d*d", source):
        pattern = re.sub(r"%\d*d", "*", source)
        raise WrongUse(f"{source} is no file: for a sequence of pictures, give --image_dir '{pattern}'")


def plan(found, out, extension, suffix=""):
    """A Picture for each that find_pictures found, to be written as it is named or with `extension`.

    `suffix` is added to its name before the extension.

    Raises WrongUse where a result would take the place of a picture, or of another result.
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
    return Path(os.path.realpath(path))  # Path.resolve fails where a link leads in a circle


def _identity(path):
    try:
        stat = path.stat()
    except OSError:  # a link to nowhere; it is told when its turn comes
        return path
    return stat.st_dev, stat.st_ino
