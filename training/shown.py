"""The generator that a run shows and measures: the trained one, or the running mean of its weights."""

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class RunningMean(AveragedModel):
    """PyTorch's own, but for its counter, which stays on the CPU: a copy to a GPU would wait for it."""

    def update_parameters(self, model):
        """Take the weights of `model` into the mean; the first are the mean."""
        mine, new = ([weight.detach() for weight in part.parameters()] for part in (self.module, model))
        if self.n_averaged:
            self.multi_avg_fn(mine, new, None)
        else:
            for old, weight in zip(mine, new, strict=True):
                old.copy_(weight)
        self.n_averaged += 1


def running_mean(generator, decay):
    """The exponential running mean of a generator's weights; None with a decay of 0."""
    return RunningMean(generator, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None


def shown_generator(model):
    """The generator whose results are shown: the running mean as soon as it has begun, in phase two."""
    return model.ema.module if model.ema and model.ema.n_averaged else model.generator
