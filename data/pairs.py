"""Hazy pictures and the clear pictures that belong to them, laid out for training by links.

    python data/pairs.py O-HAZE data/o-haze --test 5

The pairs are found in data sets as they are downloaded, or in a pairs.csv. Training is unpaired and does not
read them; `--pairs` of `python -m evaluation` does.
"""

import csv
import os
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from data import haze_sets
from data.haze_sets import Pair
from support.arguments import Parser, number
from utils import WrongUse, exit_status, report

NAME = "pairs.csv"
TESTS = 5


def find_pairs(folder):
    """The clear picture of every hazy picture below `folder`: {name: Path}.

    A name is the hazy picture's path below its data set or its pairs.csv, without extension ("test/cat"), and
    also each end of that path that stands for one clear picture only ("cat"): so a result can be looked up by
    its path below any folder that was given to test.py. `folder` may also be one of the hazy folders. Raises
    WrongUse if it has no pairs.
    """
    found = defaultdict(set)
    for pair in _listed(folder) or haze_sets.find(folder):
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
    """Make `path` a relative symbolic link to the file `target`, valid if both move together."""
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
    """(names to train on hazy, names to train on clear): all for both, or every other one if `disjoint`."""
    return (set(training[::2]), set(training[1::2])) if disjoint else (set(training), set(training))


def _relative(path, folder):
    # Links to folders are resolved, since ".." follows them; a link that is the picture itself is not.
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def _listed(folder):
    """The Pairs of the hazy pictures in `folder`, from the pairs.csv in it or in a folder above."""
    for home in (folder, *folder.resolve().parents):
        if (home / NAME).is_file():
            with open(home / NAME, newline="", encoding="utf-8", errors="surrogateescape") as file:
                rows = list(csv.DictReader(file))
            if not rows or not {"hazy", "clear"} <= rows[0].keys():
                raise WrongUse(f"{home / NAME} is not a table of pairs, with columns hazy,clear")
            real = lambda path: Path(os.path.realpath(path))  # Path.resolve fails for circular links
            names = [(Path(row["hazy"]), home / row["clear"]) for row in rows]
            found = [Pair(name, home / name, clear, clear) for name, clear in names]
            return [pair for pair in found if real(pair.hazy.parent).is_relative_to(real(folder))]
    return []


def lay_out(folder, out, tests=None, disjoint=False):
    """Link the data set in `folder` to out/hazy/{train,test} and out/clear/{train,test}; write the pairs.

    The last `tests` scenes are for testing; if None, the data set's own test part, or else the last five.
    With `disjoint` half of the other scenes are hazy and the other half clear. Returns the number of hazy
    pictures. Raises WrongUse if the data set has no pairs, too few, or is laid out already.
    """
    if (folder / NAME).is_file():
        raise WrongUse(f"{folder} is already laid out, as it has a {NAME}: train on it")
    pairs = haze_sets.find(folder)
    own = {pair.scene for pair in pairs if haze_sets.part_of(pair.name)[0] == "test"}
    scenes = sorted({pair.scene for pair in pairs}, key=lambda path: (len(path.name), path))  # 2 before 10
    if tests is None and 0 < len(own) < len(scenes):
        report("the data set's own train and test parts are kept; --test N would choose others")
        pairs = [pair._replace(name=haze_sets.part_of(pair.name)[1]) for pair in pairs]
        scenes.sort(key=lambda scene: scene in own)
        tests = len(own)
    tests = tests or TESTS
    if tests >= len(scenes):
        many = f"{len(scenes)} {'folders of frames' if scenes[0].is_dir() else 'clear pictures'}"
        raise WrongUse(f"--test {tests} leaves none of {many} to train on: give a smaller --test")
    new_folder(out, folder)
    train, test = scenes[:-tests], set(scenes[-tests:])
    train_hazy, train_clear = halves(train, disjoint)
    rows, linked = [], set()
    for name, hazy, clear, scene in pairs:
        part = "test" if scene in test else "train"
        if clear not in linked and scene in test | train_clear:
            link(out / "clear" / part / name.parent / clear.name, clear)
            linked.add(clear)
        if scene in test | train_hazy:
            rows.append({"hazy": out / "hazy" / part / name, "clear": clear})
            link(rows[-1]["hazy"], hazy)
    write(out, rows)
    return len(rows)


def main(argv=None):
    parser = Parser("Lay out a data set of hazy and clear pictures for training, by links.")
    text = "RESIDE, O-HAZE, REVIDE, …, as downloaded (data/README.md)"
    parser.add_argument("dataset", type=Path, help=text)
    text = "new folder; then train with --src_data OUT/hazy --tgt_data OUT/clear"
    parser.add_argument("out", type=Path, help=text)
    add, unset = parser.group(), f"the data set's own test part, or else {TESTS}"
    add("test", None, number(int, 1), "number of scenes, the last, for testing", unset)
    add("disjoint", False, bool, "train on half of the scenes hazy, on the other half clear")
    args = parser.parse_args(argv)
    count = lay_out(args.dataset, args.out, args.test, args.disjoint)
    print(f"{count} hazy pictures in {args.out}/hazy, pairs in {args.out / NAME}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
