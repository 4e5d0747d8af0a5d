"""Sample images: the same few photographs beside what the generator makes of them, epoch after epoch."""

import functools
import re

import numpy as np
import torch

import networks
import utils
from pictures import images, listing
from support.gpu import no_search
from training import batches
from training.config import load_size
from training.steps import shown_generator

COUNT = 5  # photographs of train, and as many of test


def choose(data, args, device):
    """(name, photo) of a few training and test photographs, whole, of at most twice load_size.

    For one that got lost since it was checked the next takes its place. Raises RunFailed as first_readable.
    """
    chosen = []
    read = functools.partial(images.read, channels=args.in_ngc, at_least=2 * load_size(args))
    for name, paths in (("train", data.photos), ("test", data.tests)):
        places = np.unique(np.linspace(0, len(paths) - 1, COUNT).round().astype(int))
        for number, place in enumerate(places, 1):
            photo, lost = batches.first_readable(paths, int(place), read)
            for path in lost:
                listing.report_once(batches.lost_line(path, *lost[path]), everywhere=True)
            photo = images.fit_within(photo, 2 * load_size(args))
            chosen.append((f"{name}_{number}", utils.to_batch(photo, device)))
    return chosen


QUALITY = {"png": {}, "jpg": {"quality": 95, "subsampling": 0}, "webp": {"quality": 95}}


@torch.no_grad()
@no_search()
def draw(run):
    """Write each of a run's photos beside the result, into Reconstruction/ (phase one) or Transfer/.

    Where there is a way back, what it makes of the result comes last, and `_cycle` in the file's name.
    Reconstruction/ holds the newest only. Returns the pictures: uint8 H,W,C arrays.
    """
    name, extension = run.folder.name.removesuffix("_results"), run.args.sample_format
    where = run.folder / ("Reconstruction" if run.phase == 1 else "Transfer")
    where.mkdir(exist_ok=True)
    pictures = []
    generators = [
        shown_generator(run.model),
        *(getattr(run.model, name) for name in run.model.generators[1:]),
    ]
    for label, photo in run.photos:
        row = [photo]
        with run.model.autocast():
            for generator in generators:
                row.append(networks.stylise(generator, row[-1]))
        cycle = "_cycle" if len(row) > 2 else ""
        file = f"{run.epoch}_epoch_{name}_{label}{cycle}.{extension}"
        if run.phase == 1:
            file = "{}_{}_recon_{}.{}".format(name, *label.split("_"), extension)
        pictures.append(images.side_by_side(*(utils.to_image(picture[0]) for picture in row)))
        images.write(where / file, pictures[-1], **QUALITY[extension])
    return pictures


def thin(folder, every, last):
    """Remove the samples that `spare` finds."""
    for path in spare(folder, every, last):
        path.unlink()


def spare(folder, every, last):
    """The paths of the samples in Transfer/ but those of the `last` epochs and of the 1st, 2nd, 4th, 8th, …

    They are counted in epochs and, with --sample_every `every`, in samples too. Other files are none.
    """
    run = re.escape(folder.name.removesuffix("_results"))
    pattern = re.compile(rf"(\d+)_epoch_{run}_(?:train|test)_\d+(?:_cycle)?\.(?:{'|'.join(QUALITY)})")
    drawn = [
        (int(found[1]), path)
        for path in (folder / "Transfer").iterdir()
        if (found := pattern.fullmatch(path.name))
    ]
    newest = sorted({epoch for epoch, _ in drawn})[-last:]
    found = []
    for epoch, path in drawn:
        counts = [epoch] if epoch % every else [epoch, epoch // every]
        if epoch not in newest and not any(count & (count - 1) == 0 for count in counts):
            found.append(path)
    return found


def grid(pictures, width=256):
    """Pictures as one, in two columns, each at most `width` pixels wide and high: uint8 H,W,C."""
    small = [images.fit_within(picture, width) for picture in pictures]
    height = max(picture.shape[0] for picture in small)
    cells = np.full((len(small) + len(small) % 2, height, width, small[0].shape[2]), 255, np.uint8)
    for cell, picture in zip(cells, small, strict=False):
        cell[: picture.shape[0], : picture.shape[1]] = picture
    return np.concatenate(np.split(np.concatenate(cells, 0), 2), 1)
