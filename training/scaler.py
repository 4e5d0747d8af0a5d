"""Steps down a loss in float16, whose gradients overflow now and then."""

import math

import torch


class Scaler(torch.amp.GradScaler):
    """PyTorch's gradient scaler; `skipped` counts the steps that it has left out since it was set to 0."""

    skipped = 0

    def descend(self, adam, loss):
        """One step of the optimiser `adam` down a loss; none where float16 overflowed, there or behind."""
        adam.zero_grad(set_to_none=True)
        if self.is_enabled():  # gradients of an infinite loss can be finite
            loss = loss * torch.where(loss.isfinite(), 1, math.nan)
        self.scale(loss).backward()
        before = _steps_taken(adam) if self.is_enabled() else None
        self.step(adam)
        if self.is_enabled():
            self.skipped += 1 - (_steps_taken(adam) - before)


def _steps_taken(adam):
    """How many steps an Adam has taken, without those that were left out: a tensor on its device."""
    return next((state["step"].clone() for state in adam.state.values()), 0)
