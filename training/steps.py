"""Parts of a training step that methods share: what the discriminator sees, float16, the running mean.

All random draws are functions of the seed and of the place in the run, (phase, epoch, step).
"""

import math

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training import processes
from training.batches import AUGMENT, NOISE, POOL


class Pool:
    """Older batches of results (Shrivastava et al., CVPR 2017, in the form of CycleGAN's Torch code).

    Half of the time D sees one of `size` older batches instead of the newest, which replaces it in the pool.
    With size 0 it always sees the newest.
    """

    def __init__(self, size, seed, stream=POOL):
        self.size, self.seed, self.batches = size, (seed, stream), []

    def exchange(self, batch, place):
        """The batch that D sees in the step at `place`."""
        if not self.size:
            return batch
        if len(self.batches) < self.size:
            self.batches.append(batch)
            return batch
        rng = np.random.default_rng((*self.seed, *place))
        if rng.random() < 0.5:
            return batch
        index = int(rng.integers(self.size))
        older, self.batches[index] = self.batches[index], batch
        return older


def augment(args, place, *batches):
    """The batches (N,C,H,W in [-1, 1]) that D sees: as they are, or with --diffaugment in other tones.

    DiffAugment's policy "color" (Zhao et al., NeurIPS 2020): brightness, saturation and contrast of each
    picture change at random, so D cannot judge by tones, and G gains nothing by a tint. Values may leave
    [-1, 1]. `place` is (phase, epoch, step, number of the call in the step). Each batch has its own draws,
    which do not depend on the number of processes. Gradients pass through.
    """
    if args.diffaugment == "none":
        return batches
    rng = np.random.default_rng((args.seed, AUGMENT, *place))
    return [_change_tones(batch, rng) for batch in batches]


def _change_tones(x, rng):
    draws = torch.from_numpy(rng.random((len(x) * processes.count(), 3, 1, 1, 1), np.float32))
    draws = processes.share(draws)
    draws = draws.pin_memory() if x.is_cuda else draws  # a copy from other memory may wait for the GPU
    brightness, saturation, contrast = draws.to(x.device, non_blocking=True).unbind(1)
    x = x + brightness - 0.5
    grey = x.mean(1, keepdim=True)
    x = grey + 2 * saturation * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (contrast + 0.5) * (x - mean)


def add_noise(args, place, smoothed):
    """Edge-smoothed drawings (N,C,H,W in [-1, 1]) with Gaussian noise of deviation --smoothed_noise.

    D learns that grain is not a drawing, as in AnimeGANv3, and G to leave flat areas flat. Values may leave
    [-1, 1]. The noise depends on the seed, on `place` and on the picture's index in the batch of all
    processes. It is drawn on the device; GPU and CPU draw different values.
    """
    if not args.smoothed_noise:
        return smoothed
    first, random, noise = processes.rank() * len(smoothed), torch.Generator(smoothed.device), []
    for number in range(first, first + len(smoothed)):
        (seed,) = np.random.SeedSequence((args.seed, NOISE, *place, number)).generate_state(1)
        random.manual_seed(int(seed))
        noise.append(torch.randn(smoothed.shape[1:], generator=random, device=smoothed.device))
    return smoothed + args.smoothed_noise * torch.stack(noise)


def auc(on_real, on_fake):
    """How well D's logits separate real from fake patches: the area under the ROC curve, a tensor.

    The share of pairs of a real and a fake patch in which the real one has the higher logit: 0.5 is chance, 1
    perfect, and equal logits count half. The patches of all processes are ranked together.
    """
    real, fake = (processes.gather(logits.detach()).flatten() for logits in (on_real, on_fake))
    fake = fake.sort().values
    below = torch.searchsorted(fake, real) + torch.searchsorted(fake, real, right=True)
    return below.float().mean() / (2 * len(fake))


class Scaler(torch.amp.GradScaler):
    """PyTorch's gradient scaler; `skipped` counts the optimiser steps that it skipped."""

    skipped = 0

    def optimise(self, adam, loss):
        """Take one step of the optimiser `adam` on the loss; skip it if a float16 number overflowed."""
        adam.zero_grad(set_to_none=True)
        if self.is_enabled():  # an infinite loss can have finite gradients: make them NaN
            loss = loss * torch.where(loss.isfinite(), 1, math.nan)
        self.scale(loss).backward()
        before = _steps_of(adam) if self.is_enabled() else None
        self.step(adam)
        if self.is_enabled():
            self.skipped += 1 - (_steps_of(adam) - before)


def _steps_of(adam):
    """How many steps an Adam has taken, without skipped ones: a tensor on its device."""
    return next((state["step"].clone() for state in adam.state.values()), 0)


class RunningMean(AveragedModel):
    """PyTorch's AveragedModel with its counter on the CPU: a copy to a GPU would synchronise with it."""

    def update_parameters(self, model):
        """Add the weights of `model` to the mean, which starts as a copy of the first ones."""
        means, weights = ([x.detach() for x in part.parameters()] for part in (self.module, model))
        if self.n_averaged:
            self.multi_avg_fn(means, weights, None)
        else:
            for mean, weight in zip(means, weights, strict=True):
                mean.copy_(weight)
        self.n_averaged += 1


def running_mean(generator, decay):
    """The exponential running mean of a generator's weights; None for a decay of 0."""
    return RunningMean(generator, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None


def shown_generator(model):
    """The generator of samples and measures: the running mean once phase two has begun, if there is one."""
    return model.ema.module if model.ema and model.ema.n_averaged else model.generator
