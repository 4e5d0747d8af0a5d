"""What the methods that train a network share: photographs, losses, training."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

import utils
from pictures import images
from pictures.listing import find_images
from survey import layers, style
from training.data import readable
from utils import RunFailed

RATE = 1e-3  # Adam's learning rate, that of Wang et al. and of Huang et al.
LAST = 0.1  # share of the steps, at the end, whose mean losses are reported


def photographs(folder):
    """The readable images in a folder and below; reports the others. Raises WrongUse if there are none."""
    paths = [folder / name for name in find_images(folder)]
    return readable(images.check(paths, "photographs"), 1, "photographs", folder).paths


def random_photo(paths, side, random):
    """One of the photographs, its shorter side `side` pixels, flipped at random: uint8 H,W,3."""
    path = paths[random.integers(len(paths))]
    photo = images.fit_training(images.read(path, at_least=side), side, "crop")
    return photo[:, ::-1] if random.random() < 0.5 else photo


def to_batch(pictures, device):
    """uint8 pictures (H,W,3) of one size as a batch: float32 (N,3,H,W) in [-1, 1]."""
    return utils.to_range(torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2))


def make_loss(vgg, drawing, content, names):
    """The function of results and their photos (N,3,H,W) that returns two losses, means over the pictures.

    {"content": the mean squared error of the layer `content` over the mean square of the drawing's features
    there; "style": that of style.py by Gram matrices over the layers `names`}. The photo's own features, by
    which gatys.py divides, are nearly 0 for a window on a plain sky.
    """
    drawn = layers.features(vgg, drawing, [*names, content])
    size = drawn[content].square().mean().clamp(min=style.TINY)
    losses_of = {name: style.loss_to(drawn[name], "gram") for name in names}

    def losses(results, photos):
        maps = layers.features(vgg, results, [*names, content])
        target = layers.features(vgg, photos, [content])[content]
        styles = [
            style.style_loss({name: maps[name][n : n + 1] for name in names}, losses_of)
            for n in range(len(results))
        ]
        return {"content": F.mse_loss(maps[content], target) / size, "style": sum(styles) / len(styles)}

    return losses


def train(network, batches, objective, steps, description):
    """Train a network with Adam; returns {name: weighted loss}, means over the last tenth of the steps.

    `objective(*batch)` returns {name: weighted loss}, whose sum is minimised. Raises RunFailed if it is not
    finite.
    """
    adam, last = torch.optim.Adam(network.parameters(), RATE, fused=True), []
    with tqdm(total=steps, desc=description, unit="step", disable=None, leave=False) as bar:
        for step in range(steps):
            losses = objective(*next(batches))
            total = sum(losses.values())
            if not math.isfinite(total.item()):
                raise RunFailed(f"the loss is {total.item()} after {step} steps: lower a weight")
            adam.zero_grad()
            total.backward()
            adam.step()
            if step >= steps - math.ceil(LAST * steps):
                last.append({name: loss.item() for name, loss in losses.items()})
            bar.set_postfix_str(f"{total.item():.4g}", refresh=False)
            bar.update()
    return {name: sum(each[name] for each in last) / len(last) for name in last[0]}
