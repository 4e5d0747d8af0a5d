"""The pictures of a run: found, read once, edge-smoothed and recorded."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from pictures.listing import EXTENSIONS, find_images, looked_for
from training.config import load_size
from utils import WrongUse, report, report_once

MEASURABLE = 2  # drawings, at least, to compute distances from
FEWEST_SHARED = 10  # test photographs, to be shared between choosing a generator and measuring it
LAYOUT = (
    "SRC_DATA/{train,test} hold photographs and TGT_DATA/train drawings, "
    "or one folder for both holds trainA, testA and trainB (data/README.md)"
)


class Data(NamedTuple):
    """Paths of what is trained on and sampled, and the record of it for settings.json."""

    photos: list
    tests: list
    pairs: list  # of a drawing and its smoothed copy side by side, or if not `smoothed`, drawings
    record: dict
    smoothed: bool = True
    test_digests: tuple = ()  # of the tests' content


def find_data(args, fewest):
    """List the images in the folders that the options name: (photographs, tests, ready-made pairs), paths.

    The losses need at least `fewest` drawings (0: none); --eval_every needs some too. Nothing is read, so
    this is quick. Raises WrongUse if a folder is missing, empty or smaller than a batch.
    """
    photo_dir, test_dir, drawing_dir = folders(args)
    if photo_dir.name == "trainA" or drawing_dir.name == "trainB":
        report_once(f"CycleGAN's layout: photographs {photo_dir} and {test_dir}, drawings {drawing_dir}")
    photos = require_images(photo_dir, args.batch_size, "photographs")
    tests = require_images(test_dir, 1, "photographs")
    ready = _ready_pairs(_pair_dir(args)) if fewest and "pair_dir" in args else []
    if fewest and not ready:
        require_images(drawing_dir, fewest, "drawings")
    if args.eval_every and (count := len(find_images(drawing_dir))) < MEASURABLE:
        raise WrongUse(
            f"--eval_every compares the results with at least {MEASURABLE} drawings, but {drawing_dir} holds "
            f"{count}: add drawings, or use --eval_every 0"
        )
    return photos, tests, ready


def prepare(args, fewest, make_pairs=None):
    """Read all images once, make the pairs that are missing, and return Data.

    `fewest` is find_data's. `make_pairs` is edge_promoting's, or None for drawings alone. Reports images that
    cannot be read, and photographs that are in both train and test. Raises WrongUse as `find_data` does, and
    if too few images can be read.
    """
    from pictures import images  # OpenCV, which a wrong command need not wait for

    photos, tests, ready = find_data(args, fewest)
    photo_dir, test_dir, drawing_dir = folders(args)
    photos = readable(images.check(photos, "photographs"), args.batch_size, "photographs", photo_dir)
    tests = readable(images.check(tests, "test photographs"), 1, "photographs", test_dir)
    if twice := len(set(photos.digests) & set(tests.digests)):
        report(f"warning: {twice} photographs are in both {photo_dir} and {test_dir}: remove them from one")
    paths, record = [], {"photographs": _record(photos), "test photographs": _record(tests)}
    if fewest:
        if ready:
            report(f"using the {len(ready)} ready-made pairs in {_pair_dir(args)}")
            pairs = images.check(ready, "pairs", narrowest=2)  # each half of a pair is a picture
        elif make_pairs:
            size = f"{load_size(args)}{'_squash' if args.resize == 'squash' else ''}"
            pairs = make_pairs(drawing_dir, _pair_dir(args) / size, load_size(args), args.resize)
        else:
            pairs = images.check(require_images(drawing_dir, fewest, "drawings"), "drawings")
        pairs = readable(pairs, fewest, "drawings", drawing_dir)
        paths, record["drawings"] = pairs.paths, _record(pairs)
    return Data(photos.paths, tests.paths, paths, record, make_pairs is not None, tuple(tests.digests))


def choosing(tests):
    """The test photographs that --eval_every measures to choose generator_best.pth: every second one.

    The others remain for measuring the chosen generator. If there are too few to share, all are returned.
    """
    return tests[::2] if len(tests) >= FEWEST_SHARED else tests


def folders(args):
    """The folders of photographs, of test photographs and of drawings.

    If there is no train folder, those of CycleGAN's data sets: trainA, testA and trainB.
    """
    source, target = Path(args.src_data), Path(args.tgt_data)
    a, b = (
        letter if (home / f"train{letter}").is_dir() and not (home / "train").is_dir() else ""
        for home, letter in ((source, "A"), (target, "B"))
    )
    return source / f"train{a}", source / f"test{a}", target / f"train{b}"


def _pair_dir(args):
    return Path(args.pair_dir or Path(args.tgt_data, "pair"))


def require_images(folder, least, wanted):
    """The image files below `folder`. Raises WrongUse if it is missing or holds fewer than `least`."""
    if not folder.is_dir():
        named = folder.parent
        if not named.is_absolute() and Path("data", named).is_dir():
            raise WrongUse(f"no folder {folder}: did you mean {Path('data', named)}?")
        above = f"name the folder above {named}: " if named.name in ("train", "test") else ""
        raise WrongUse(f"no folder {folder}: {above}{LAYOUT}")
    paths = [folder / name for name in find_images(folder)]
    if not paths:
        raise WrongUse(f"no images in {folder}: {LAYOUT}; {looked_for()}")
    _require(len(paths), least, wanted, folder)
    return paths


def readable(checked, least, wanted, folder):
    """Report which images of images.Checked cannot be read. Raises WrongUse if fewer than `least` remain."""
    for path, reason in checked.unreadable.items():
        report_once(f"left out {path}: {reason}")
    _require(len(checked.paths), least, f"readable {wanted}", folder)
    return checked


def _require(count, least, wanted, folder):
    if count < least:
        choice = " or choose a smaller --batch_size" if least > 1 else ""
        raise WrongUse(f"{folder} holds {count} {wanted}, but at least {least} are needed: add some{choice}")


def _record(checked):
    """Counts, and a digest of the files' content that is independent of their names and order."""
    joined = hashlib.blake2b("".join(sorted(checked.digests)).encode(), digest_size=8).hexdigest()
    return {"count": len(checked.paths), "left out": len(checked.unreadable), "fingerprint": joined}


def _ready_pairs(pair_dir):
    """Numbered files directly in `pair_dir`, drawing and smoothed, as the old public script wrote them.

    Empty if `pair_dir` has a folder of this program's (named by a size).
    """
    inside = list(pair_dir.iterdir()) if pair_dir.is_dir() else []
    if any(path.is_dir() and path.name[0].isdigit() for path in inside):
        return []
    numbered = [path for path in inside if path.stem.isdigit() and path.suffix.lower() in EXTENSIONS]
    return sorted(numbered, key=lambda path: int(path.stem))
