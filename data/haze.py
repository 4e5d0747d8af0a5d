"""Hazy copies of clear pictures, by the scattering model I = J t + A (1 - t), t = exp(-beta d).

    python data/haze.py CLEAR_DIR OUT

J is the clear picture, d in [0, 1] the depth, beta the density of the haze and A its light. The model and the
default ranges are RESIDE's (Li et al., "Benchmarking Single-Image Dehazing and Beyond", TIP 2019).
"""

import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from data import pairs
from pictures import images, listing
from pictures.images import cv2
from support.arguments import Parser, number
from utils import RunFailed, WrongUse, exit_status, report


def haze(image, depth, beta, airlight):
    """A hazy copy: uint8 H,W,C in, the same out. `depth` is H,W in [0, 1], `airlight` in [0, 1]."""
    through = np.exp(-beta * depth)[..., None]
    return np.rint(image * through + 255 * airlight * (1 - through)).astype(np.uint8)


def made_depth(height, width, rng):
    """A made-up depth, H,W in [0, 1]: a ramp from the ground to the sky, and wide swells."""
    ramp = np.linspace(1, 0, height)[:, None] ** rng.uniform(0.7, 1.5)
    swells = cv2.resize(rng.uniform(-1, 1, (4, 4)), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(0.1 + 0.8 * ramp + 0.2 * swells, 0, 1)


def make(source, target, depth, name, betas, airlights, seed):
    """Write the hazy copy of one file; returns (beta, airlight).

    All that is random depends on `seed` and `name` alone. `depth` is a file (white is far), or None for a
    made-up depth. Raises images.CannotRead, and OSError if the copy cannot be written.
    """
    rng = np.random.default_rng([seed, int(images.digest(os.fsencode(name)), 16)])
    beta, airlight = rng.uniform(*betas), rng.uniform(*airlights)
    image = images.read(source)
    height, width = image.shape[:2]
    if depth:
        far = images.resize(images.read(depth, channels=1), width, height)[..., 0] / 255
    else:
        far = made_depth(height, width, rng)
    target.parent.mkdir(parents=True, exist_ok=True)
    images.write(target, haze(image, far, beta, airlight))
    return beta, airlight


def parse(argv=None):
    parser = Parser(
        "Write hazy copies of clear pictures, by the scattering model, and which belong together."
    )
    add = parser.add_argument
    real, share = number(float, 0), number(float, 0, 1)
    add("clear_dir", type=Path, help="clear pictures, with subfolders train/ and test/ if they are to train")
    add("out", type=Path, help="new folder; then train with --src_data OUT/hazy --tgt_data OUT/clear")
    add(
        "--beta",
        nargs=2,
        type=real,
        default=(0.6, 1.8),
        metavar=("LO", "HI"),
        help="density of the haze, drawn for each picture (0.6 1.8); thick haze: 2.5 4",
    )
    add(
        "--airlight",
        nargs=2,
        type=share,
        default=(0.7, 1.0),
        metavar=("LO", "HI"),
        help="light of the haze, drawn for each picture; 0 is black, 1 white (0.7 1.0)",
    )
    add("--seed", type=number(int, 0), default=0, help="of all that is drawn (%(default)s)")
    add(
        "--depth_dir",
        type=Path,
        metavar="DIR",
        help="depths: grey pictures of the same names, white is far. Without it a smooth depth is made up, "
        "from the ground to the sky; it stands in for measured depth and knows nothing of what is shown",
    )
    add("--disjoint", action="store_true", help="train on no picture both hazy and clear: half of them each")
    args = parser.parse_args(argv)
    for name in ("beta", "airlight"):
        low, high = getattr(args, name)
        if low > high:
            parser.error(f"argument --{name}: {low:g} is more than {high:g}")
    return args


def find_depths(folder, names):
    """{name: its depth file, which may have another extension}. Raises WrongUse if one has no depth file."""
    if not folder:
        return dict.fromkeys(names)
    files = {path.with_suffix(""): folder / path for path in listing.find_images(folder)}
    for name in names:
        if name.with_suffix("") not in files:
            raise WrongUse(f"no depth for {name}: it must be {folder / name.with_suffix('.png')}")
    return {name: files[name.with_suffix("")] for name in names}


def main(argv=None):
    args = parse(argv)
    if not args.clear_dir.is_dir():
        raise WrongUse(f"no folder {args.clear_dir}")
    names = listing.find_images(args.clear_dir)
    if not names:
        raise WrongUse(f"no images in {args.clear_dir}: {listing.looked_for()}")
    twice = len(names) - len({name.with_suffix("") for name in names})
    if twice:
        raise WrongUse(f"{twice} pictures in {args.clear_dir} differ from another in their extension only")
    depths = find_depths(args.depth_dir, names)
    tests = {name for name in names if name.parts[0] == "test"}
    hazy, clear = pairs.halves([name for name in names if name not in tests], args.disjoint)
    pairs.new_folder(args.out, args.clear_dir)

    def work(name):
        row = {"hazy": args.out / "hazy" / name.with_suffix(".png"), "clear": args.clear_dir / name}
        try:
            beta, airlight = make(
                row["clear"], row["hazy"], depths[name], name.as_posix(), args.beta, args.airlight, args.seed
            )
        except images.CannotRead as error:
            report(f"left out {row['clear']}: {error.reason if error.path == row['clear'] else error}")
            return None
        return {**row, "beta": f"{beta:.4f}", "airlight": f"{airlight:.4f}"}

    wanted = sorted(hazy | tests)
    rows = images.for_each(work, wanted, "haze")
    made = [row for row in rows if row]
    lost = {name for name, row in zip(wanted, rows, strict=True) if not row}
    if not made:
        raise RunFailed(f"no image in {args.clear_dir} can be read")
    for name in sorted((clear | tests) - lost):
        pairs.link(args.out / "clear" / name, args.clear_dir / name)
    pairs.write(args.out, made)
    print(f"{len(made)} hazy pictures in {args.out}/hazy, pairs in {args.out / pairs.NAME}")
    return 1 if len(made) < len(rows) else 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
