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


def add_haze(image, depth, beta, airlight):
    """A hazy copy: uint8 H,W,C in, the same out. `depth` is H,W in [0, 1], `airlight` in [0, 1]."""
    transmission = np.exp(-beta * depth)[..., None]
    return np.rint(image * transmission + 255 * airlight * (1 - transmission)).astype(np.uint8)


def make_depth(height, width, rng):
    """A random smooth depth, H,W in [0, 1]: a ramp from the ground to the sky plus low-frequency noise."""
    ramp = np.linspace(1, 0, height)[:, None] ** rng.uniform(0.7, 1.5)
    noise = cv2.resize(rng.uniform(-1, 1, (4, 4)), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(0.1 + 0.8 * ramp + 0.2 * noise, 0, 1)


def find_depths(folder, names):
    """{name: its depth file, which may have another extension}. Raises WrongUse if one has no depth file."""
    files = {path.with_suffix(""): folder / path for path in listing.find_images(folder)}
    for name in names:
        if name.with_suffix("") not in files:
            raise WrongUse(f"no depth for {name}: save it as {folder / name.with_suffix('.png')}")
    return {name: files[name.with_suffix("")] for name in names}


def parse(argv=None):
    parser = Parser("Write hazy copies of clear pictures by the scattering model, and a table of the pairs.")
    text = "clear pictures, with subfolders train/ and test/ if they are to train"
    parser.add_argument("clear_dir", type=Path, help=text)
    text = "new folder; then train with --src_data OUT/hazy --tgt_data OUT/clear"
    parser.add_argument("out", type=Path, help=text)
    add, two = parser.group(), {"nargs": 2, "metavar": ("LO", "HI")}
    text = "density of the haze, drawn for each picture (0.6 1.8); thick haze: 2.5 4"
    parser.add_argument("--beta", default=(0.6, 1.8), type=number(float, 0), help=text, **two)
    text = "light of the haze, drawn for each picture; 0 is black, 1 white (0.7 1.0)"
    parser.add_argument("--airlight", default=(0.7, 1.0), type=number(float, 0, 1), help=text, **two)
    add("seed", 0, number(int, 0), "seed of the random haze")
    text = (
        "depths: grey pictures of the same names, white is far; without it a smooth ramp from the ground to "
    )
    add("depth_dir", None, Path, f"{text}the sky, which does not depend on what the picture shows")
    add("disjoint", False, bool, "train on half of the pictures hazy, on the other half clear")
    args = parser.parse_args(argv)
    for name in ("beta", "airlight"):
        low, high = getattr(args, name)
        if low > high:
            parser.error(f"argument --{name}: {low:g} is more than {high:g}")
    return args


def main(argv=None):
    args = parse(argv)
    if not args.clear_dir.is_dir():
        raise WrongUse(f"no folder {args.clear_dir}: name the folder of clear pictures")
    names = listing.find_images(args.clear_dir)
    if not names:
        raise WrongUse(f"no images in {args.clear_dir}: {listing.looked_for()}")
    if twice := len(names) - len({name.with_suffix("") for name in names}):
        raise WrongUse(f"{twice} pictures in {args.clear_dir} differ only in extension: rename them")
    depths = find_depths(args.depth_dir, names) if args.depth_dir else {}
    tests = {name for name in names if name.parts[0] == "test"}
    hazy, clear = pairs.halves([name for name in names if name not in tests], args.disjoint)
    pairs.new_folder(args.out, args.clear_dir)

    def make(name):
        """Write a hazy copy; return its row of pairs.csv, or None if it cannot be read."""
        # The haze depends on the seed and the name only, not on other files.
        rng = np.random.default_rng([args.seed, int(images.digest(os.fsencode(name.as_posix())), 16)])
        beta, airlight = rng.uniform(*args.beta), rng.uniform(*args.airlight)
        source, target = args.clear_dir / name, args.out / "hazy" / name.with_suffix(".png")
        try:
            image = images.read(source)
            height, width = image.shape[:2]
            if depths:
                depth = images.resize(images.read(depths[name], channels=1), width, height)[..., 0] / 255
            else:
                depth = make_depth(height, width, rng)
        except images.CannotRead as error:
            report(f"left out {source}: {error.reason if error.path == source else error}")
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        images.write(target, add_haze(image, depth, beta, airlight))
        return {"hazy": target, "clear": source, "beta": f"{beta:.4f}", "airlight": f"{airlight:.4f}"}

    sources = sorted(hazy | tests)
    rows = dict(zip(sources, images.for_each(make, sources, "haze"), strict=True))
    made = [row for row in rows.values() if row]
    if not made:
        raise RunFailed(f"no image in {args.clear_dir} can be read")
    for name in sorted((clear | tests) - {name for name, row in rows.items() if not row}):
        pairs.link(args.out / "clear" / name, args.clear_dir / name)
    pairs.write(args.out, made)
    print(f"{len(made)} hazy pictures in {args.out}/hazy, pairs in {args.out / pairs.NAME}")
    return 1 if len(made) < len(rows) else 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
