"""The loss terms, as functions of tensors. Each is a mean, computed in float32 or wider.

L(G, D) = w_adv L_adv + w_con L_con (Chen, Lai, Liu, CVPR 2018, Equations 1 to 4). `mode` is "bce", the
paper's log loss, or "lsgan", least squares (Mao et al., ICCV 2017), which the first author's code uses.
"""

import torch.nn.functional as F

from networks import at_least_float32


def discriminator(drawing, result, smoothed, mode):
    """What D minimises: its logits for a drawing go up, for G's result and for a smoothed drawing down.

    With "bce" this is -[log D(c) + log(1 - D(G(p))) + log(1 - D(e))], D being the sigmoid of the logits,
    each term averaged over its logits and the three added (Equation 3).
    """
    return _real(drawing, mode) + _fake(result, mode) + _fake(smoothed, mode)


def adversarial(result, mode):
    """What G minimises: D's logits for its result go up. With "bce", -log D(G(p)) (not saturating)."""
    return _real(result, mode)


def content(result, photo):
    """Mean absolute difference of two feature maps (Equation 4)."""
    return F.l1_loss(at_least_float32(result), at_least_float32(photo))


def _real(logits, mode):
    logits = at_least_float32(logits)
    return F.softplus(-logits).mean() if mode == "bce" else (logits - 1).square().mean()


def _fake(logits, mode):
    logits = at_least_float32(logits)
    return F.softplus(logits).mean() if mode == "bce" else logits.square().mean()
