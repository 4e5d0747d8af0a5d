"""The search for one picture that makes an objective small, by its own pixels."""

import math

import torch
from tqdm import tqdm

from utils import RunFailed

RATE = 0.02  # Adam's, in units of the range [-1, 1]
OUTSIDE = 3  # weight of the mean squared distance from the range: what lies outside is cut off at last


def descend(start, objective, steps, optimiser="lbfgs", description=""):
    """Change a picture (N,C,H,W) from `start` on, and return it, clamped to [-1, 1], and its losses.

    `objective(picture)` gives {name: weighted loss}, whose sum is made small in `steps` evaluations of it, or
    some more, where L-BFGS is in a line search. What lies outside [-1, 1] is drawn back. A bar shows the sum.
    Raises RunFailed where it is not finite.
    """
    picture = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    with tqdm(total=steps, desc=description, unit="step", disable=None, leave=False) as bar:

        def evaluate():
            search.zero_grad()
            outside = (picture - picture.clamp(-1, 1)).square().mean()
            total = sum(objective(picture).values()) + OUTSIDE * outside
            # Losses are means: a pixel of a large picture would have a gradient that both take for none.
            whole = total * picture.numel()
            whole.backward()
            loss = total.item()
            if not math.isfinite(loss):
                raise RunFailed(f"the loss is {loss} after {bar.n} steps: lower a weight")
            bar.set_postfix_str(f"{loss:.4g}", refresh=False)
            bar.update()
            return whole

        if optimiser == "lbfgs":
            # Tolerances know no scale of a loss, and only a line search makes the first steps long enough.
            none = {"tolerance_grad": 0, "tolerance_change": 0}
            search = torch.optim.LBFGS([picture], 1, steps, steps, **none, line_search_fn="strong_wolfe")
            search.step(evaluate)
        else:
            search = torch.optim.Adam([picture], RATE)
            for _ in range(steps):
                search.step(evaluate)
    with torch.no_grad():
        picture = picture.clamp(-1, 1)
        return picture, {name: loss.item() for name, loss in objective(picture).items()}
