"""What the discriminator is shown, changed at random (DiffAugment: Zhao et al., NeurIPS 2020)."""

import numpy as np
import torch

from training import processes
from training.batches import AUGMENT


def shown(args, place, *batches):
    """The batches (each N,C,H,W in [-1, 1]) in which D looks for drawings: as they are, or with --diffaugment
    with brightness, saturation and contrast of each picture changed, as DiffAugment's policy "color" does.

    So D cannot judge by the tones of a picture, and G gains nothing by a tint. Values may leave [-1, 1]. The
    draws are a function of the seed and of `place`, (phase, epoch, step, which look), whatever the number of
    processes. Gradients pass.
    """
    if args.diffaugment == "none":
        return batches
    rng = np.random.default_rng((args.seed, AUGMENT, *place))
    return [_other_tones(batch, rng) for batch in batches]


def _other_tones(x, rng):
    draws = torch.from_numpy(rng.random((len(x) * processes.count(), 3, 1, 1, 1), np.float32))
    draws = processes.share(draws)
    draws = draws.pin_memory() if x.is_cuda else draws  # a copy from other memory may wait for the GPU
    brightness, saturation, contrast = draws.to(x.device, non_blocking=True).unbind(1)
    x = x + brightness - 0.5
    grey = x.mean(1, keepdim=True)
    x = grey + 2 * saturation * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (contrast + 0.5) * (x - mean)
