"""The generator that a run shows and measures: the trained one, or the running mean of its weights."""

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def running_mean(generator, decay):
    """The exponential running mean of a generator's weights; None with a decay of 0.

    Its own counter stays on the CPU, so that an update never waits for a GPU.
    """
    return AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None


def shown_generator(model):
    """The generator whose results are shown: the running mean as soon as it has begun, in phase two."""
    return model.ema.module if model.ema and model.ema.n_averaged else model.generator
