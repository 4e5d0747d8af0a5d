"""The search for one picture that makes an objective small, by its own pixels."""

import torch
from tqdm import tqdm

from utils import RunFailed

OPTIMISERS = ("lbfgs", "adam")
RATE = 0.02  # Adam's, in units of the range [-1, 1]


def descend(start, objective, steps, optimiser="lbfgs", description=""):
    """Change a picture (N,C,H,W) from `start` on, and return it, clamped to [-1, 1], and its last losses.

    `objective(picture)` gives {name: weighted loss}, whose sum is made small in `steps` evaluations of it. A
    bar shows the sum. Raises RunFailed where it is not finite.
    """
    picture = start.detach().clone().requires_grad_()
    if (
        optimiser == "lbfgs"
    ):  # with its line search alone it takes steps of a sensible length from the first on
        search = torch.optim.LBFGS([picture], max_iter=steps, max_eval=steps, line_search_fn="strong_wolfe")
    else:
        search = torch.optim.Adam([picture], RATE)
    losses, done = {}, 0
    with tqdm(total=steps, desc=description, unit="step", disable=None, leave=False) as bar:

        def evaluate():
            nonlocal losses, done
            search.zero_grad()
            terms = objective(picture)
            total = sum(terms.values())
            total.backward()
            losses, done = {name: loss.item() for name, loss in terms.items()}, done + 1
            if not total.isfinite():
                raise RunFailed(f"the loss is {total.item()} after {done} steps: lower a weight")
            bar.set_postfix_str(f"{total.item():.4g}", refresh=False)
            bar.update()
            return total

        while done < steps:
            before = done
            search.step(evaluate)
            if optimiser == "lbfgs" and done == before + 1:  # its gradient is 0: nothing is left to do
                break
    return picture.detach().clamp(-1, 1), losses
