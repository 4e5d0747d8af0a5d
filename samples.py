"""Sample images: the same few photographs beside what the generator makes of them, epoch after epoch."""

import numpy as np
import torch

import images
import networks
import utils

COUNT = 5  # photographs of train, and as many of test


def choose(data, args, device):
    """(name, photo) of a few training and test photographs, whole, of at most twice input_size."""
    chosen = []
    for name, paths in (("train", data.photos), ("test", data.tests)):
        places = np.unique(np.linspace(0, len(paths) - 1, COUNT).round().astype(int))
        for number, place in enumerate(places, 1):
            photo = images.fit_within(images.read(paths[place], args.in_ngc), 2 * args.input_size)
            chosen.append((f"{name}_{number}", utils.to_batch(photo, device)))
    return chosen


@torch.no_grad()
def draw(training, folder, photos):
    """Write each photo beside the result, into Reconstruction/ (phase one, the newest only) or Transfer/."""
    run = folder.name.removesuffix("_results")
    where = folder / ("Reconstruction" if training.phase == 1 else "Transfer")
    where.mkdir(exist_ok=True)
    for name, photo in photos:
        with training.autocast():
            result = networks.stylise(training.generator, photo)
        file = f"{training.epoch}_epoch_{run}_{name}.png"
        if training.phase == 1:
            file = "{}_{}_recon_{}.png".format(run, *name.split("_"))
        images.write(where / file, images.side_by_side(utils.to_image(photo[0]), utils.to_image(result[0])))
