"""Edge-smoothed copies of drawings, which the discriminator must classify as fake (CartoonGAN, Section 3.2).

    python edge_promoting.py DRAWINGS OUT

A pair is one PNG: the drawing on the left, its smoothed copy on the right. It holds the digest of the
drawing's file and the settings, so it is made again only when one of them has changed.
"""

import errno
import os
import shutil
import sys

import numpy as np
from PIL import Image, PngImagePlugin

if sys.flags.safe_path:  # python -P does not search the folder of the script
    sys.path.insert(0, os.path.dirname(__file__))

from pictures import decoding, images, listing
from pictures.images import cv2
from support.arguments import Parser, image_size, path
from support.files import locked
from utils import WrongUse, exit_status, first_line, report

CANNY = (100, 200)  # thresholds of the public PyTorch script; the paper names the detector only
WIDTH = 5  # pixels: side of the dilation and of the Gaussian kernel 1-4-6-4-1
BYTES = 2.2  # of a pair for each pixel of a square drawing, measured on the sample data at 256 pixels
REPORTED = 1e8  # bytes of new pairs from which their size is reported
NOT_WRITABLE = errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG


def smooth_edges(drawing):
    """Blur a drawing near its edges only: uint8 H,W,3 in, the same out.

    The blurred pixels are the Canny edges, dilated by a 5x5 square. Each becomes the Gaussian mean of the 5x5
    pixels around it, with the border reflected about the outermost pixel. The others are unchanged.
    """
    edges = cv2.Canny(cv2.cvtColor(drawing, cv2.COLOR_RGB2GRAY), *CANNY)
    near = cv2.dilate(edges, np.ones((WIDTH, WIDTH), np.uint8))
    blurred = cv2.GaussianBlur(drawing, (WIDTH, WIDTH), 0, borderType=cv2.BORDER_REFLECT_101)
    return cv2.copyTo(blurred, near, drawing.copy())


def make_pairs(drawings, out, size, how="crop"):
    """Write the pair of every drawing below the folder `drawings` to out/<relative path>.png.

    Returns the pairs as images.Checked. `size` and `how` are those of images.fit_training. Pairs that are up
    to date are kept. Raises WrongUse when `out` cannot be written.
    """
    names = listing.find_images(drawings)
    paths = [out / f"{name}.png" for name in names]
    make = lambda name: _make_pair(drawings / name, out / f"{name}.png", size, how)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with locked(out, wait=True):
            new = sum(not os.path.exists(path) for path in paths)
            if (needed := new * BYTES * size**2) >= REPORTED:
                free = shutil.disk_usage(out).free
                report(
                    f"edge smoothing {new} drawings: about {needed / 1e9:.1f} GB in {out}, "
                    f"where {free / 1e9:.1f} GB are free"
                )
            results = images.for_each(make, names, "edge smoothing")
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        advice = "name another folder, in training with --pair_dir DIR"
        raise WrongUse(f"cannot write {out} ({error.strerror}): {advice}") from None
    return images.Checked.of(paths, [drawings / name for name in names], results)


def _make_pair(source, path, size, how):
    """Write the pair of a drawing; returns (digest, None), or (None, the reason why it has no pair)."""
    try:
        data = source.read_bytes()
        digest = images.digest(data)
        stamp = f"{digest} size={size} resize={how} canny={CANNY} width={WIDTH} colours=sRGB"
        if _stamp(path) == stamp:
            return digest, None
        drawing = images.fit_training(decoding.decode(data, at_least=size), size, how)
    except (OSError, images.Unreadable) as error:
        return None, first_line(error)
    pair, info = images.side_by_side(drawing, smooth_edges(drawing)), PngImagePlugin.PngInfo()
    info.add_text("pair", stamp)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, pair, pnginfo=info, compress_level=1)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # a pair's name is longer than its drawing's
            raise
        return None, first_line(error)
    return digest, None


def _stamp(path):
    """The stamp of a pair; None if there is none or a power loss has damaged the file."""
    try:
        with Image.open(path) as image:
            image.verify()  # reads the whole file and compares its checksums
            return image.info.get("pair")
    except (OSError, SyntaxError, ValueError):
        return None


def main(argv=None):
    parser = Parser("Write each drawing and its edge-smoothed copy side by side, one PNG per drawing.")
    parser.add_argument("drawings", type=path, help="folder of drawings, searched with its subfolders")
    parser.add_argument("out", type=path, help="folder for the pairs")
    add = parser.group()
    add("size", 256, image_size, "shorter side in pixels")
    add("resize", "crop", ("crop", "squash"), "as in training: keep the aspect ratio, or squash to a square")
    args = parser.parse_args(argv)
    if not args.drawings.is_dir():
        raise WrongUse(f"no folder {args.drawings}: name a folder of drawings")
    pairs = make_pairs(args.drawings, args.out, args.size, args.resize)
    for drawing, reason in pairs.unreadable.items():
        report(f"cannot read {drawing}: {reason}")
    failed = f"; {len(pairs.unreadable)} drawings cannot be read" if pairs.unreadable else ""
    print(f"{len(pairs.paths)} pairs in {args.out}{failed}")
    return 1 if pairs.unreadable or not pairs.paths else 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
