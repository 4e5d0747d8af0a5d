"""Sample images: the same few photographs beside the generator's results, at each sampled epoch."""

import re

import numpy as np
import torch

import networks
import utils
from pictures import images
from support.gpu import no_search
from training.config import load_size
from training.steps import shown_generator

COUNT = 5  # of the training photographs, and as many of the test photographs
QUALITY = {"png": {}, "jpg": {"quality": 95, "subsampling": 0}, "webp": {"quality": 95}}


def choose(data, args, device):
    """(name, photo) of a few training and test photographs, uncropped, at most twice load_size long."""
    longest, chosen = 2 * load_size(args), []
    for name, paths in (("train", data.photos), ("test", data.tests)):
        places = np.unique(np.linspace(0, len(paths) - 1, COUNT).round().astype(int))
        for number, place in enumerate(places, 1):
            photo = images.read(paths[place], args.in_ngc, at_least=longest)
            chosen.append((f"{name}_{number}", utils.to_batch(images.fit_within(photo, longest), device)))
    return chosen


@torch.no_grad()
@no_search()
def draw(run):
    """Write each of a run's photos beside its result, into Reconstruction/ (the newest) or Transfer/.

    A generator to photographs adds a third picture, and `_cycle` to the name. Returns uint8 H,W,C arrays.
    """
    run_name, extension = run.folder.name.removesuffix("_results"), run.args.sample_format
    where = run.folder / ("Reconstruction" if run.phase == 1 else "Transfer")
    where.mkdir(exist_ok=True)
    back = [getattr(run.model, name) for name in run.model.generators[1:]]
    cycle = "_cycle" if back else ""
    pictures = []
    for label, photo in run.photos:
        row = [photo]
        with run.model.autocast():
            for generator in (shown_generator(run.model), *back):
                row.append(networks.stylise(generator, row[-1]))
        file = f"{run.epoch}_epoch_{run_name}_{label}{cycle}.{extension}"
        if run.phase == 1:
            file = "{}_{}_recon_{}.{}".format(run_name, *label.split("_"), extension)
        pictures.append(images.side_by_side(*(utils.to_image(picture[0]) for picture in row)))
        images.write(where / file, pictures[-1], **QUALITY[extension])
    return pictures


def removable(folder, every, last):
    """The samples in Transfer/ to remove: all but the `last` epochs and the 1st, 2nd, 4th, 8th, …

    These are counted in epochs and, with --sample_every `every`, in samples too. Other files are kept.
    """
    run = re.escape(folder.name.removesuffix("_results"))
    pattern = re.compile(rf"(\d+)_epoch_{run}_(?:train|test)_\d+(?:_cycle)?\.(?:{'|'.join(QUALITY)})")
    found = [(pattern.fullmatch(path.name), path) for path in (folder / "Transfer").iterdir()]
    drawn = [(int(match[1]), path) for match, path in found if match]
    kept = {*sorted({epoch for epoch, _ in drawn})[-last:]}
    kept |= {2**power * step for power in range(64) for step in (1, every)}
    return [path for epoch, path in drawn if epoch not in kept]


def grid(pictures, width=256):
    """Pictures as one, in two columns, each at most `width` pixels wide and high: uint8 H,W,C."""
    small = [images.fit_within(picture, width) for picture in pictures]
    height = max(picture.shape[0] for picture in small)
    cells = np.full((len(small) + len(small) % 2, height, width, small[0].shape[2]), 255, np.uint8)
    for cell, picture in zip(cells, small, strict=False):
        cell[: picture.shape[0], : picture.shape[1]] = picture
    return np.concatenate(np.split(np.concatenate(cells, 0), 2), 1)
