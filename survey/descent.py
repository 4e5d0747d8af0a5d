"""Optimise the pixels of a picture."""

import math

import torch
from tqdm import tqdm

from utils import RunFailed

OPTIMISERS = ("adam", "lbfgs")
RATE = 0.02  # Adam's learning rate, for the range [-1, 1]
OUTSIDE = 3  # weight of the mean squared distance from the range, to which the result is clamped


def descend(start, objective, steps, optimiser="lbfgs", description=""):
    """Minimise an objective over the pixels of a picture (N,C,H,W); returns it in [-1, 1], and its losses.

    `objective(picture)` returns {name: weighted loss}; their sum is evaluated `steps` times, or a few more
    during a line search of L-BFGS. Values outside [-1, 1] are penalised. Raises RunFailed if the loss is not
    finite.
    """
    picture = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    with tqdm(total=steps, desc=description, unit="step", disable=None, leave=False) as bar:

        def evaluate():
            search.zero_grad()
            outside = (picture - picture.clamp(-1, 1)).square().mean()
            total = sum(objective(picture).values()) + OUTSIDE * outside
            # Losses are means: a pixel's gradient in a large picture would be too small for both optimisers.
            scaled = total * picture.numel()
            scaled.backward()
            loss = total.item()
            if not math.isfinite(loss):
                raise RunFailed(f"the loss is {loss} after {bar.n} steps: lower a weight")
            bar.set_postfix_str(f"{loss:.4g}", refresh=False)
            bar.update()
            return scaled

        if optimiser == "lbfgs":
            search = lbfgs(picture, steps)
            search.step(evaluate)
        else:
            search = torch.optim.Adam([picture], RATE)
            for _ in range(steps):
                search.step(evaluate)
    with torch.no_grad():
        picture = picture.clamp(-1, 1)
        return picture, {name: loss.item() for name, loss in objective(picture).items()}


def lbfgs(tensor, steps):
    """L-BFGS for one call of `step` with at most about `steps` evaluations.

    Its tolerances depend on the scale of the loss, so they are 0; the first steps need a line search.
    """
    tolerances = {"tolerance_grad": 0, "tolerance_change": 0}
    return torch.optim.LBFGS([tensor], 1, steps, steps, **tolerances, line_search_fn="strong_wolfe")
