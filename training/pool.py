"""Older results that the discriminator is shown again."""

import numpy as np

from training.batches import POOL


class Pool:
    """Older batches of results (Shrivastava et al., CVPR 2017, in the form of CycleGAN's Torch code).

    Half of the time the discriminator is shown one of the last `size` batches in place of the newest, which
    takes its place in the pool. Empty with size 0.
    """

    def __init__(self, size, seed, stream=POOL):
        self.size, self.seed, self.batches = size, (seed, stream), []

    def exchange(self, batch, place):
        """The batch to show, a function of the seed and of `place`, (phase, epoch, step)."""
        if not self.size:
            return batch
        if len(self.batches) < self.size:
            self.batches.append(batch)
            return batch
        rng = np.random.default_rng((*self.seed, *place))
        if rng.random() < 0.5:
            return batch
        place = int(rng.integers(self.size))
        older, self.batches[place] = self.batches[place], batch
        return older
