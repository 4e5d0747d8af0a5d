"""Definitions of style: statistics of VGG19's feature maps, and how far those of two pictures are apart.

Gram matrices (Gatys, Ecker, Bethge, NIPS 2015, Eq. 1 and 2; here over the number of places, M):

    G_ij = sum over places k of F_ik F_jk / M
    E = |G - A|^2 / (4 N^2), N channels

The others compare how features are distributed over the places (Li, Wang, Liu, Hou: Demystifying Neural
Style Transfer, IJCAI 2017), by the squared maximum mean discrepancy of two sets of places,

    MMD^2 = mean k(f, f') + mean k(s, s') - 2 mean k(f, s)

with the kernels k(x, y) = x.y, for which it is the squared distance of the means; (x.y)^2, for which it is
|G - A|^2, 4 N^2 times E; and exp(-|x - y|^2 / (2 sigma^2)), estimated without bias from random pairs
(Gretton et al., JMLR 2012, Lemma 14). Or they compare means and deviations of the channels, as in batch
norm:

    mean over channels of (mu_F - mu_S)^2 + (sigma_F - sigma_S)^2

Gatys et al. rescaled VGG19's weights so that each channel has mean 1; Li et al. have a factor 1/Z for each
kernel, and choose weights by trial. Here each loss is relative to the size of the drawing's own statistics:
it is 1 for a picture without features, for any weights, layer and statistics, and both E and MMD^2 of the
second kernel become |G - A|^2 / |A|^2. The Gaussian kernel's values are in [0, 1] already.
"""

import torch
import torch.nn.functional as F

TINY = 1e-12  # the least size that a loss is relative to
PAIRS = 4096  # the paper's M are few at relu4_1, and their estimate varies much between draws
DEVIATION_EPS = 1e-5  # batch norm's


def total_variation(picture):
    """The mean squared difference of neighbours, down and across, of a picture (1,C,H,W)."""
    return sum(picture.diff(dim=axis).square().mean() for axis in (2, 3))


def relative_error(maps, target):
    """The mean squared error of feature maps, over the mean square of the target."""
    return F.mse_loss(maps, target) / target.square().mean().clamp(min=TINY)


def gram(maps):
    """The Gram matrix (C,C) of feature maps (1,C,H,W), over the number of places."""
    places = maps[0].flatten(1)
    return places @ places.T / places.shape[1]


def mean(maps):
    """The means (C) of the channels of feature maps (1,C,H,W)."""
    return maps[0].mean((1, 2))


def mean_std(maps):
    """The means and deviations (2,C) of the channels of feature maps (1,C,H,W)."""
    return torch.stack([mean(maps), (maps[0].var((1, 2), correction=0) + DEVIATION_EPS).sqrt()])


MOMENTS = {"gram": gram, "mmd_linear": mean, "mmd_poly": gram, "mean_std": mean_std}
STATISTICS = (*MOMENTS, "mmd_gaussian")


def loss_to(drawing, statistics):
    """The function that returns the loss of feature maps (1,C,H,W) to those of a drawing, of any size."""
    if statistics == "mmd_gaussian":
        places = drawing[0].flatten(1).T
        # The mean square distance of two places; the paper uses that of the sampled pairs.
        width = 2 * places.var(0, correction=0).sum()
        return lambda maps: gaussian_mmd(maps[0].flatten(1).T, places, width.clamp(min=TINY))
    moments = MOMENTS[statistics]
    target = moments(drawing)
    size = target.square().sum().clamp(min=TINY)
    return lambda maps: (moments(maps) - target).square().sum() / size


def style_loss(maps, losses):
    """The mean over layers of the losses of {name: feature maps} by {name: function of loss_to}."""
    return sum(losses[name](maps[name]) for name in losses) / len(losses)


def gaussian_mmd(places, targets, width):
    """An estimate of MMD^2 of places (M,C) and (M',C), by a Gaussian kernel of variance `width`.

    Each call samples new pairs, M of them but PAIRS at least. It is unbiased, so one value may be negative.
    """
    count = max(len(places), PAIRS)
    sample = lambda rows: rows[torch.randint(len(rows), (count,), device=rows.device)]
    kernel = lambda a, b: torch.exp((a - b).square().sum(1) / (-2 * width))
    x, x_other, y, y_other = sample(places), sample(places), sample(targets), sample(targets)
    return (kernel(x, x_other) + kernel(y, y_other) - kernel(x, y_other) - kernel(x_other, y)).mean()
