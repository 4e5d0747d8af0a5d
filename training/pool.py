"""Older results that the discriminator is shown again."""

import numpy as np


class Pool:
    """Older batches of results (Shrivastava et al., CVPR 2017, in the form of CycleGAN's Torch code).

    Half of the time the discriminator is shown one of the last `size` batches in place of the newest, which
    takes its place in the pool. Empty with size 0.
    """

    def __init__(self, size):
        self.size, self.batches = size, []

    def exchange(self, batch, key):
        """The batch to show; `key`, a tuple of whole numbers, seeds the choice."""
        if len(self.batches) < self.size:
            self.batches.append(batch)
            return batch
        rng = np.random.default_rng(key)
        if not self.size or rng.random() < 0.5:
            return batch
        place = int(rng.integers(self.size))
        older, self.batches[place] = self.batches[place], batch
        return older
