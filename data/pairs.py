"""Hazy pictures and the clear pictures that belong to them, laid out for training by links.

    python data/pairs.py O-HAZE data/o-haze --test 5

The pairs are found in data sets as they are downloaded, or in a pairs.csv. Training is unpaired and does not
read them; `--pairs` of `python -m evaluation` does.
"""

import csv
import os
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from pictures import listing
from support.arguments import Parser, number
from utils import WrongUse, exit_status, say

NAME = "pairs.csv"
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
TESTS = 5


class Pair(NamedTuple):
    """A hazy picture and its clear one."""

    name: Path  # of the hazy picture, below the data set; folders such as hazy/ left out
    hazy: Path
    clear: Path
    scene: Path  # the clear picture, or the folder of frames that it is one of


def find_pairs(folder):
    """The clear picture of every hazy picture below `folder`: {name: Path}.

    A name is the hazy picture's path below its data set or its pairs.csv, without extension ("test/cat"), and
    also each end of that path that stands for one clear picture only ("cat"): so a result can be looked up by
    its path below whatever folder test.py was given. `folder` may also be one of the hazy folders. Raises
    WrongUse if it has no pairs.
    """
    found = defaultdict(set)
    for pair in _listed(folder) or _dataset(folder, f"no {NAME}, and ")[0]:
        parts = pair.name.with_suffix("").parts
        for start in range(len(parts)):
            found["/".join(parts[start:])].add(pair.clear)
    return {name: clears.pop() for name, clears in found.items() if len(clears) == 1}


def write(out, rows):
    """Write out/pairs.csv. A row is a dict: paths `hazy` and `clear`, written relative to `out`, and more."""
    with open(out / NAME, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(
            {**row, **{key: _relative(row[key], out) for key in ("hazy", "clear")}} for row in rows
        )


def link(path, target):
    """Make `path` a relative symbolic link to the file `target`: it holds as long as both move together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(_relative(target, path.parent))


def new_folder(out, source):
    """Make the folder `out`. Raises WrongUse if it holds anything already, or lies in `source`."""
    if out.resolve().is_relative_to(source.resolve()):
        raise WrongUse(f"{out} lies in {source}: name a folder outside")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUse(f"cannot write {out} ({error.strerror}): name another folder") from None
    if any(out.iterdir()):
        raise WrongUse(f"{out} is not empty: name a new folder, or empty it first")


def halves(training, disjoint):
    """(what is trained on hazy, what clear): all of it both ways, or with `disjoint` every second one."""
    return (set(training[::2]), set(training[1::2])) if disjoint else (set(training), set(training))


def _relative(path, folder):
    # Links to folders are resolved, since ".." follows them; a link that is the picture itself is not.
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def _listed(folder):
    """The Pairs of the hazy pictures in `folder`, by the pairs.csv in it or in a folder above."""
    for home in (folder, *folder.resolve().parents):
        if (home / NAME).is_file():
            with open(home / NAME, newline="", encoding="utf-8", errors="surrogateescape") as file:
                rows = list(csv.DictReader(file))
            if not rows or not {"hazy", "clear"} <= rows[0].keys():
                raise WrongUse(f"{home / NAME} is no table of pairs: its columns are hazy,clear and any more")
            found = [
                Pair(Path(row["hazy"]), *[home / row[key] for key in ("hazy", "clear", "clear")])
                for row in rows
            ]
            # Path.resolve fails where a link leads in a circle.
            real = lambda path: Path(os.path.realpath(path))
            return [pair for pair in found if real(pair.hazy).is_relative_to(real(folder))]
    return []


def _dataset(folder, before=""):
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


def lay_out(folder, out, tests=None, disjoint=False):
    """Link the data set in `folder` to out/hazy/{train,test} and out/clear/{train,test}; write the pairs.

    The last `tests` scenes are for testing; if None, the data set's own test part, or else the last five.
    With `disjoint` every second scene of the others is trained on hazy, and the rest clear. Returns the
    number of hazy pictures. Raises WrongUse if the data set has no pairs, too few, or is laid out already.
    """
    if (folder / NAME).is_file():
        raise WrongUse(f"{folder} is laid out already: it has a {NAME}")
    pairs, alone = _dataset(folder)
    own = {pair.scene for pair in pairs if _part(pair.name)[0] == "test"}
    scenes = sorted({pair.scene for pair in pairs}, key=lambda path: (len(path.name), path))  # 2 before 10
    if tests is None and 0 < len(own) < len(scenes):
        say("the data set's own train and test parts are kept; --test N would choose others")
        pairs = [pair._replace(name=_part(pair.name)[1]) for pair in pairs]
        scenes = [scene for scene in scenes if scene not in own] + [scene for scene in scenes if scene in own]
        tests = len(own)
    tests = tests or TESTS
    if not tests < len(scenes):
        many = "folders of frames" if scenes[0].is_dir() else "clear pictures"
        raise WrongUse(
            f"--test {tests}, but there are {len(scenes)} {many}, and some must be left to train on: "
            "give a smaller --test"
        )
    new_folder(out, folder)
    train, test = scenes[:-tests], set(scenes[-tests:])
    shown_hazy, shown_clear = halves(train, disjoint)
    rows, linked = [], set()
    for name, hazy, clear, scene in pairs:
        part = "test" if scene in test else "train"
        if clear not in linked and (scene in test or scene in shown_clear):
            link(out / "clear" / part / name.parent / clear.name, clear)
            linked.add(clear)
        if scene in test or scene in shown_hazy:
            rows.append({"hazy": out / "hazy" / part / name, "clear": clear})
            link(rows[-1]["hazy"], hazy)
    write(out, rows)
    if alone:
        say(f"left out {alone} hazy pictures that have no clear one")
    return len(rows)


def _part(name):
    """("train", "test" or "", the name without a folder of that name) of a Pair's name."""
    for place, folder in enumerate(name.parent.parts):
        if part := PARTS.get(folder.lower()):
            return part, Path(*name.parts[:place], *name.parts[place + (folder.lower() == part) :])
    return "", name


def main(argv=None):
    parser = Parser("Lay out a data set of hazy and clear pictures for training, by links.")
    add = parser.add_argument
    add("dataset", type=Path, help="RESIDE, O-HAZE, REVIDE, …, as downloaded (data/README.md)")
    add("out", type=Path, help="new folder; then train with --src_data OUT/hazy --tgt_data OUT/clear")
    add(
        "--test",
        type=number(int, 1),
        metavar="N",
        help=f"the last N scenes are for testing (the data set's own test part, or else {TESTS})",
    )
    add("--disjoint", action="store_true", help="train on no scene both hazy and clear: half of them each")
    args = parser.parse_args(argv)
    count = lay_out(args.dataset, args.out, args.test, args.disjoint)
    print(f"{count} hazy pictures in {args.out}/hazy, pairs in {args.out / NAME}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
