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

sys.path.insert(0, str(Path(__file__).parents[1]))

from pictures import listing
from support.arguments import Parser, number
from utils import WrongUse, exit_status, say

NAME = "pairs.csv"
# As in RESIDE's ITS, OTS and SOTS, and in O-HAZE: the table in data/README.md shows each layout.
HAZY, CLEAR = re.compile(r"(.*_)?haz[ey]", re.I), re.compile(r"(.*_)?(clear|gt)", re.I)


def find_pairs(folder):
    """The clear picture of every hazy picture below `folder`: {name: Path}.

    A name is the hazy picture's path below its data set or its pairs.csv, without extension ("test/cat"), and
    also each end of that path that stands for one clear picture only ("cat"): so a result can be looked up by
    its path below whatever folder test.py was given. `folder` may also be one of the hazy folders. Raises
    WrongUse if it has no pairs.
    """
    found = defaultdict(set)
    for name, _, clear in _listed(folder) or _dataset(folder)[0]:
        parts = name.with_suffix("").parts
        for start in range(len(parts)):
            found["/".join(parts[start:])].add(clear)
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
    """[(name, hazy, clear)] of the hazy pictures in `folder`, by the pairs.csv in it or in a folder above."""
    for home in (folder, *folder.resolve().parents):
        if (home / NAME).is_file():
            with open(home / NAME, newline="", encoding="utf-8", errors="surrogateescape") as file:
                rows = list(csv.DictReader(file))
            if not rows or not {"hazy", "clear"} <= rows[0].keys():
                raise WrongUse(f"{home / NAME} is no table of pairs: its columns are hazy,clear and any more")
            found = [(Path(row["hazy"]), home / row["hazy"], home / row["clear"]) for row in rows]
            # Path.resolve fails where a link leads in a circle.
            real = lambda path: Path(os.path.realpath(path))
            return [row for row in found if real(row[1]).is_relative_to(real(folder))]
    return []


def _dataset(folder):
    """([(name, hazy, clear)], number of hazy pictures without a clear one) of the data sets below `folder`.

    A folder of hazy pictures stands beside one of clear pictures. A hazy picture's clear one has the same
    name, or else the same number, which is the name up to the first underscore.
    """
    if not folder.is_dir():
        raise WrongUse(f"no folder {folder}")
    pairs, alone = [], 0
    root = folder.parent if _clear_beside(folder) else folder
    for hazy_dir in [folder] if root != folder else sorted(x for x in root.rglob("*") if x.is_dir()):
        clear_dir = _clear_beside(hazy_dir)
        if not clear_dir:
            continue
        clears = defaultdict(list)
        for path in listing.find_images(clear_dir):
            for key in {path.stem, _number(path)}:
                clears[key].append(clear_dir / path)
        for path in listing.find_images(hazy_dir):
            clear = clears.get(path.stem) or clears.get(_number(path)) or []
            if len(clear) == 1:
                pairs.append((hazy_dir.parent.relative_to(root) / path, hazy_dir / path, clear[0]))
            alone += len(clear) != 1
    if not pairs:
        raise WrongUse(
            f"no pairs in {folder}: it needs a {NAME}, or a data set's folders hazy and clear or gt "
            "side by side (data/README.md)"
        )
    return pairs, alone


def _clear_beside(folder):
    """The folder of clear pictures beside a folder of hazy ones; None if `folder` is no such folder."""
    if not HAZY.fullmatch(folder.name):
        return None
    return next((x for x in sorted(folder.parent.iterdir()) if x.is_dir() and CLEAR.fullmatch(x.name)), None)


def _number(path):
    return path.stem.split("_")[0]


def lay_out(folder, out, tests, disjoint=False):
    """Link the data set in `folder` to out/hazy/{train,test} and out/clear/{train,test}; write the pairs.

    The last `tests` clear pictures and their hazy ones are for testing. With `disjoint` every second scene of
    the others is trained on hazy, and the rest clear. Returns the number of hazy pictures. Raises WrongUse if
    the data set has no pairs, too few, or is laid out already.
    """
    if (folder / NAME).is_file():
        raise WrongUse(f"{folder} is laid out already: it has a {NAME}")
    pairs, alone = _dataset(folder)
    places = {}
    for name, _, clear in pairs:
        places.setdefault(clear, name.parent)
    scenes = sorted(places, key=lambda path: (len(path.name), path))  # numbers in their order: 2 before 10
    if not 0 < tests < len(scenes):
        raise WrongUse(f"--test {tests}, but there are {len(scenes)} clear pictures: some must be left")
    new_folder(out, folder)
    train, test = scenes[:-tests], set(scenes[-tests:])
    shown_hazy, shown_clear = halves(train, disjoint)
    rows = []
    for scene in scenes:
        if scene in test or scene in shown_clear:
            link(out / "clear" / ("test" if scene in test else "train") / places[scene] / scene.name, scene)
    for name, hazy, clear in pairs:
        if clear in test or clear in shown_hazy:
            rows.append(
                {"hazy": out / "hazy" / ("test" if clear in test else "train") / name, "clear": clear}
            )
            link(rows[-1]["hazy"], hazy)
    write(out, rows)
    if alone:
        say(f"left out {alone} hazy pictures that have no clear one")
    return len(rows)


def main(argv=None):
    parser = Parser("Lay out a data set of hazy and clear pictures for training, by links.")
    add = parser.add_argument
    add("dataset", type=Path, help="RESIDE's ITS, OTS or SOTS, or O-HAZE, as downloaded (data/README.md)")
    add("out", type=Path, help="new folder; then train with --src_data OUT/hazy --tgt_data OUT/clear")
    add(
        "--test",
        type=number(int, 1),
        default=5,
        help="the last N clear pictures are for testing (%(default)s)",
    )
    add("--disjoint", action="store_true", help="train on no scene both hazy and clear: half of them each")
    args = parser.parse_args(argv)
    count = lay_out(args.dataset, args.out, args.test, args.disjoint)
    print(f"{count} hazy pictures in {args.out}/hazy, pairs in {args.out / NAME}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
