"""Which clear picture belongs to which hazy one, in data sets as they are downloaded."""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from pictures import listing
from utils import WrongUse, report_once

HAZY, CLEAR = "(.*_)?haz[ey]", "(.*_)?(clear|gt)"
# {folder of hazy pictures: folder of clear ones beside it}: patterns of their names in lower case
SIDES = {
    HAZY: CLEAR,
    "input": "target",  # SateHaze1k
    "cloud": "label",  # RICE
    "synthetic": "original",  # RESIDE HSTS
    "simu": "img",  # HazeRD
    "leftimg8bit_foggy(dbf)?": "leftimg8bit",  # Foggy Cityscapes
}
# Folders of a data set's own parts, in any case.
PARTS = {"train": "train", "test": "test", "val": "test", "valid": "test"}


class Pair(NamedTuple):
    """A hazy picture and its clear one."""

    name: Path  # of the hazy picture, below the data set; folders such as hazy/ left out
    hazy: Path
    clear: Path
    scene: Path  # the clear picture, or the folder of frames that it is one of


def find(folder):
    """The Pairs of the data sets below `folder`; reports the number of hazy pictures without a clear one.

    Hazy pictures lie in a folder beside one of clear pictures, or in one folder with them. `folder` may also
    be one of the hazy folders. Raises WrongUse if there is no pair.
    """
    if not folder.is_dir():
        raise WrongUse(f"no folder {folder}: name the folder of a data set")
    if clear_dir := _clear_beside(folder):
        pairs, alone = _pair_folders(folder, clear_dir, folder.parent)
    else:
        pairs, alone = _pair_in_one_folder(folder)
        for hazy_dir in sorted(path for path in folder.rglob("*") if path.is_dir()):
            if clear_dir := _clear_beside(hazy_dir):
                more, left = _pair_folders(hazy_dir, clear_dir, folder)
                pairs, alone = pairs + more, alone + left
    if not pairs:
        missing = "it needs folders hazy and clear or gt side by side, or pictures NN_hazy and NN_GT"
        if alone:
            missing = f"none of {alone} hazy pictures has a clear one with its name or its first number"
        raise WrongUse(f"no pairs in {folder}: {missing} (data/README.md)")
    if alone:
        report_once(f"left out {alone} hazy pictures of {folder} that have no clear one")
    return pairs


def _clear_beside(folder):
    """The folder of clear pictures beside a folder of hazy ones; None if `folder` is not such a folder."""
    clear = next((clear for hazy, clear in SIDES.items() if re.fullmatch(hazy, folder.name.lower())), None)
    beside = sorted(path for path in folder.parent.iterdir() if path.is_dir()) if clear else []
    return next((path for path in beside if re.fullmatch(clear, path.name.lower())), None)


def _pair_folders(hazy_dir, clear_dir, root):
    """(Pairs, number of hazy pictures without a clear one) of a hazy folder and its clear folder.

    Where both hold folders of the same names, the pictures of a pair lie in folders of the same name.
    """
    hazy, clear = listing.find_images(hazy_dir), listing.find_images(clear_dir)
    nested = {path.parent for path in hazy} & {path.parent for path in clear} - {Path()}
    pairs = []
    for path, found in _match(hazy, clear, bool(nested)).items():
        # Frames of one film are one scene: those of its folder. Folders of parts are not scenes.
        frames = nested and any(name.lower() not in PARTS for name in path.parent.parts)
        clear_path = clear_dir / found
        scene = clear_path.parent if frames else clear_path
        pairs.append(Pair(hazy_dir.parent.relative_to(root) / path, hazy_dir / path, clear_path, scene))
    return pairs, len(hazy) - len(pairs)


def _pair_in_one_folder(root):
    """(Pairs, number of hazy pictures without a clear one) of pictures NN_hazy and NN_GT in one folder."""
    images = listing.find_images(root)
    clear = [path for path in images if re.fullmatch(CLEAR, path.stem.lower())]
    folders = {path.parent for path in clear}
    hazy = [path for path in images if re.fullmatch(HAZY, path.stem.lower()) and path.parent in folders]
    found = _match(hazy, clear, by_folder=True)
    pairs = [Pair(path, root / path, root / found[path], root / found[path]) for path in found]
    return pairs, len(hazy) - len(pairs)


def _match(hazy, clear, by_folder):
    """{hazy path: its clear path}, of relative paths; `by_folder`: only in folders of the same name.

    The clear picture has the same name, or else one of its `_names` is the beginning of the hazy name; the
    longest wins. Where several clear pictures fit equally, the hazy one has none.
    """
    folder = lambda path: path.parent if by_folder else None
    clears = defaultdict(list)
    for path in clear:
        for name in {path.stem, *_names(path)}:
            clears[folder(path), name].append(path)
    found = {}
    for path in hazy:
        parts = _parts(path)
        names = [path.stem, *(parts[:count] for count in range(len(parts), 0, -1))]
        fitting = next(filter(None, (clears.get((folder(path), name)) for name in names)), [])
        if len(fitting) == 1:
            found[path] = fitting[0]
    return found


def _parts(path):
    """The parts of a picture's name between `_` and `-`, numbers without leading zeros."""
    return tuple(part.lstrip("0") or part for part in re.split(r"[_-]", path.stem))


def _names(path):
    """The beginnings, as _parts, of the names of hazy pictures that belong to a clear one.

    These are its name, its name without a last word such as GT or RGB, and the number at its beginning.
    """
    parts = _parts(path)
    yield parts
    if not re.search(r"\d", parts[-1]):
        yield parts[:-1]
    if re.search(r"\d", parts[0]):
        yield parts[:1]


def part_of(name):
    """("train", "test" or "", the name without a folder of that name) of a Pair's name."""
    for place, folder in enumerate(name.parent.parts):
        if part := PARTS.get(folder.lower()):
            return part, Path(*name.parts[:place], *name.parts[place + (folder.lower() == part) :])
    return "", name
