"""What the discriminator is shown, changed at random (DiffAugment: Zhao et al., NeurIPS 2020)."""

import numpy as np
import torch

from training import processes
from training.batches import AUGMENT, NOISE


def augment(args, place, *batches):
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


def add_noise(args, place, smoothed):
    """Edge-smoothed drawings (N,C,H,W in [-1, 1]) with normal noise of deviation --smoothed_noise on them.

    So D learns that what is grainy is no drawing, as AnimeGANv3 has it, and G to leave plain areas plain.
    Values may leave [-1, 1]. The noise of a picture is a function of the seed, of `place`, (phase, epoch,
    step), and of its number in the batch of all processes. It is drawn where the pictures are, and a GPU's
    is not a CPU's.
    """
    if not args.smoothed_noise:
        return smoothed
    first, random, noise = processes.rank() * len(smoothed), torch.Generator(smoothed.device), []
    for number in range(first, first + len(smoothed)):
        (seed,) = np.random.SeedSequence((args.seed, NOISE, *place, number)).generate_state(1)
        random.manual_seed(int(seed))
        noise.append(torch.randn(smoothed.shape[1:], generator=random, device=smoothed.device))
    return smoothed + args.smoothed_noise * torch.stack(noise)


def _other_tones(x, rng):
    draws = torch.from_numpy(rng.random((len(x) * processes.count(), 3, 1, 1, 1), np.float32))
    brightness, saturation, contrast = _moved(processes.share(draws), x).unbind(1)
    x = x + brightness - 0.5
    grey = x.mean(1, keepdim=True)
    x = grey + 2 * saturation * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (contrast + 0.5) * (x - mean)


def _moved(draws, x):
    """Draws of the CPU on the device of `x`."""
    draws = draws.pin_memory() if x.is_cuda else draws  # a copy from other memory may wait for the GPU
    return draws.to(x.device, non_blocking=True)
