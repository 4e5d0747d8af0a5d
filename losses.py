"""The loss terms, as functions of tensors. Each is a mean, computed in float32 or wider.

L(G, D) = w_adv L_adv + w_con L_con (Chen, Lai, Liu, CVPR 2018, Equations 1 to 4). `mode` is "bce", the
paper's log loss, or "lsgan", least squares (Mao et al., ICCV 2017), which the first author's code uses.
Style and total variation are those of feed-forward style transfer (Johnson et al., ECCV 2016).
"""

import torch
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


def style(result, wanted):
    """Squared Frobenius norm of the difference of Gram matrices: a mean over pictures, added over layers.

    This is Johnson et al.'s Equation 4, and but for a factor Gatys et al.'s (CVPR 2016, Equations 4 and 5).
    `result` is a list of feature maps (N,C,H,W), a map a layer; `wanted` a list of Gram matrices (C,C). No
    drawing belongs to a photo, so these are the mean Gram matrices of all the drawings: what they have in
    common, and not what one of them shows.
    """
    layers = zip(result, wanted, strict=True)
    return sum((gram(shown) - drawn).square().sum((1, 2)).mean() for shown, drawn in layers)


def gram(maps):
    """Gram matrices (N,C,C) of feature maps (N,C,H,W), over C H W (Johnson et al., Equation 3)."""
    with torch.autocast(maps.device.type, enabled=False):  # it would multiply in half precision
        flat = at_least_float32(maps).flatten(2)
        return flat @ flat.mT / flat[0].numel()


def total_variation(picture):
    """Mean absolute difference of neighbours (N,C,H,W), across plus down (Rudin et al., Physica D 1992).

    Absolute, where others square it: squares cost a sharp outline more than the blur in its place.
    """
    picture = at_least_float32(picture)
    return picture.diff(dim=3).abs().mean() + picture.diff(dim=2).abs().mean()


def fakes_detected(result, mode):
    """The share of D's logits for results that call them fake: below 0, or with "lsgan" below a half."""
    return (result.detach() < (0 if mode == "bce" else 0.5)).float().mean()


def change(result, photo):
    """Mean absolute difference of results from their photos, in [-1, 1], as grey levels of 255."""
    return (result - photo).abs().mean() * 127.5


def _real(logits, mode):
    logits = at_least_float32(logits)
    return F.softplus(-logits).mean() if mode == "bce" else (logits - 1).square().mean()


def _fake(logits, mode):
    logits = at_least_float32(logits)
    return F.softplus(logits).mean() if mode == "bce" else logits.square().mean()
