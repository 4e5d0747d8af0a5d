"""How well the discriminator tells pictures apart."""

import torch


def auc(on_real, on_fake):
    """The share of pairs of a real and a fake patch in which the real one has the higher logit.

    The area under the ROC curve, a tensor that nothing waits for: 0.5 is chance, 1 is never wrong. Equal
    logits count half. It looks at order alone, so neither the adversarial loss nor the share of fakes in what
    D sees matters.
    """
    real, fake = on_real.detach().flatten(), on_fake.detach().flatten().sort().values
    below = torch.searchsorted(fake, real) + torch.searchsorted(fake, real, right=True)
    return below.float().mean() / (2 * len(fake))
