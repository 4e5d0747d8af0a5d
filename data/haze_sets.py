"""Which clear picture belongs to which hazy one, in data sets as they are downloaded."""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from pictures import listing
from utils import WrongUse

HAZY, CLEAR = re.compile(r"(.*_)?haz[ey]", re.I), re.compile(r"(.*_)?(clear|gt)", re.I)
# A folder of hazy pictures, and one of clear ones beside it: the table in data/README.md shows each layout.
SIDES = (
    (HAZY, CLEAR),
    (re.compile(r"input", re.I), re.compile(r"target", re.I)),  # SateHaze1k
    (re.compile(r"cloud", re.I), re.compile(r"label", re.I)),  # RICE
    (re.compile(r"synthetic", re.I), re.compile(r"original", re.I)),  # RESIDE HSTS
    (re.compile(r"simu", re.I), re.compile(r"img", re.I)),  # HazeRD
    (re.compile(r"leftImg8bit_foggy(DBF)?"), re.compile(r"leftImg8bit")),  # Foggy Cityscapes
)
# Folders of a data set's own parts, in any case.
PARTS = {"train": "train", "test": "test", "val": "test", "valid": "test"}


class Pair(NamedTuple):
    """A hazy picture and its clear one."""

    name: Path  # of the hazy picture, below the data set; folders such as hazy/ left out
    hazy: Path
    clear: Path
    scene: Path  # the clear picture, or the folder of frames that it is one of


def find(folder, before=""):
    """(Pairs, number of hazy pictures without a clear one) of the data sets below `folder`.

    Hazy pictures lie in a folder beside one of clear pictures, or in one folder with them. Raises WrongUse
    without any pair; `before` is said before what is missing.
    """
    if not folder.is_dir():
        raise WrongUse(f"no folder {folder}")
    root = folder.parent if _clear_beside(folder) else folder
    hazy_dirs = [folder] if root != folder else sorted(x for x in root.rglob("*") if _clear_of(x.name))
    sides = {x: _clear_beside(x) for x in hazy_dirs if x.is_dir()}
    pairs, alone = [], 0
    for hazy_dir, clear_dir in sides.items():
        more, left = _beside(hazy_dir, clear_dir, root) if clear_dir else ([], 0)
        pairs, alone = pairs + more, alone + left
    if root == folder:
        more, left = _together(folder)
        pairs, alone = pairs + more, alone + left
    if not pairs:
        raise WrongUse(f"no pairs in {folder}: {before}{_missing(folder, sides, alone)} (data/README.md)")
    return pairs, alone


def _beside(hazy_dir, clear_dir, root):
    """(Pairs, number of hazy pictures left) of a folder of hazy pictures and one of clear ones.

    A hazy picture's clear one has the same name, or else one of whose `_names` the hazy name begins with, the
    longest first. Where both hold folders of the same names, it lies in the one of the same name.
    """
    hazy, clear = listing.find_images(hazy_dir), listing.find_images(clear_dir)
    nested = {path.parent for path in hazy} & {path.parent for path in clear} - {Path()}
    place = lambda path: path.parent if nested else None
    clears = defaultdict(list)
    for path in clear:
        for name in {path.stem, *_names(path)}:
            clears[place(path), name].append(clear_dir / path)
    pairs = []
    for path in hazy:
        parts = _parts(path)
        names = [path.stem, *(parts[:count] for count in range(len(parts), 0, -1))]
        found = next(filter(None, (clears.get((place(path), name)) for name in names)), [])
        if len(found) == 1:
            # Frames of one film are one scene: those of its folder. Folders of parts are none.
            frames = nested and any(name.lower() not in PARTS for name in path.parent.parts)
            name = hazy_dir.parent.relative_to(root) / path
            pairs.append(Pair(name, hazy_dir / path, *found, found[0].parent if frames else found[0]))
    return pairs, len(hazy) - len(pairs)


def _parts(path):
    """The parts of a picture's name between `_` and `-`, numbers without leading zeros."""
    return tuple(part.lstrip("0") or part for part in re.split(r"[_-]", path.stem))


def _names(path):
    """What hazy names may begin with that belong to a clear picture, as _parts.

    Its whole name; that without a last word, as GT or RGB; and the number with which it begins.
    """
    parts = _parts(path)
    yield parts
    if not re.search(r"\d", parts[-1]):
        yield parts[:-1]
    if re.search(r"\d", parts[0]):
        yield parts[:1]


def _together(folder):
    """(Pairs, number of hazy pictures left) of pictures NN_hazy and NN_GT that lie in one folder."""
    named = lambda pattern, path: pattern.fullmatch(path.stem) and path.parent / path.stem.rpartition("_")[0]
    images = listing.find_images(folder)
    clears = defaultdict(list)
    for path in images:
        if key := named(CLEAR, path):
            clears[key].append(folder / path)
    homes = {key.parent for key in clears}
    hazy = {path: key for path in images if (key := named(HAZY, path)) and key.parent in homes}
    pairs = [
        Pair(path, folder / path, *clears[key] * 2) for path, key in hazy.items() if len(clears[key]) == 1
    ]
    return pairs, len(hazy) - len(pairs)


def _missing(folder, sides, alone):
    """What a folder without pairs lacks, in words. `sides`: {folder of hazy pictures: of clear ones}."""
    hazy, clear = next(iter(sides.items()), (folder, folder))
    if alone:
        wanted = "a clear one of its name, or number before the first _"
        return f"none of {alone} hazy pictures has {wanted}, in {clear}"
    if not clear:
        return f"{hazy} has no folder clear or gt beside it"
    if sides:
        return f"no pictures in {hazy}"
    if any(
        clear and clear.fullmatch(folder.name)
        for clear in (_clear_of(x.name) for x in folder.parent.iterdir())
    ):
        return f"the hazy pictures lie beside it, so name {folder.parent}"
    return "no folders hazy and clear or gt side by side in it, and no pictures NN_hazy and NN_GT"


def _clear_of(name):
    """The pattern of the names of clear pictures' folders, beside a hazy folder of this name; else None."""
    return next((clear for hazy, clear in SIDES if hazy.fullmatch(name)), None)


def _clear_beside(folder):
    """The folder of clear pictures beside a folder of hazy ones; None if `folder` is no such folder."""
    if not (clear := _clear_of(folder.name)):
        return None
    return next((x for x in sorted(folder.parent.iterdir()) if x.is_dir() and clear.fullmatch(x.name)), None)


def part_of(name):
    """("train", "test" or "", the name without a folder of that name) of a Pair's name."""
    for place, folder in enumerate(name.parent.parts):
        if part := PARTS.get(folder.lower()):
            return part, Path(*name.parts[:place], *name.parts[place + (folder.lower() == part) :])
    return "", name
