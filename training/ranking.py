"""How well the discriminator tells pictures apart."""

import torch

from training import processes


def auc(on_real, on_fake):
    """The share of pairs of a real and a fake patch in which the real one has the higher logit.

    The area under the ROC curve, a tensor that nothing waits for: 0.5 is chance, 1 is never wrong. Equal
    logits count half. It looks at order alone, so neither the adversarial loss nor the share of fakes in what
    D sees matters. The patches of all processes are ranked together.
    """
    real, fake = (processes.gather(logits.detach()).flatten() for logits in (on_real, on_fake))
    fake = fake.sort().values
    below = torch.searchsorted(fake, real) + torch.searchsorted(fake, real, right=True)
    return below.float().mean() / (2 * len(fake))
