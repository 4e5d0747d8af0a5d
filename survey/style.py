"""What style is to a method: statistics of VGG19's feature maps, and how far two pictures' are apart.

Gram matrices (Gatys, Ecker, Bethge, NIPS 2015, Eq. 1 and 2; here over the number of places, M):

    G_ij = sum over places k of F_ik F_jk / M
    E = |G - A|^2 / (4 N^2), N channels

The others see style as how features are distributed over the places (Li, Wang, Liu, Hou: Demystifying Neural
Style Transfer, IJCAI 2017), by the squared maximum mean discrepancy of two sets of places,

    MMD^2 = mean k(f, f') + mean k(s, s') - 2 mean k(f, s)

with the kernels k(x, y) = x.y, where it is the squared distance of the means; (x.y)^2, where it is |G - A|^2,
4 N^2 times E; and exp(-|x - y|^2 / (2 sigma^2)), estimated without bias from random pairs (Gretton et al.,
JMLR 2012, Lemma 14). Or they compare means and deviations of the channels, as batch norm knows them:

    mean over channels of (mu_F - mu_S)^2 + (sigma_F - sigma_S)^2

Gatys et al. scaled VGG19's weights so that each channel is 1 in the mean; Li et al. have a factor 1/Z for
each kernel, and weigh by trial. Here each loss is relative to the size of the drawing's own statistics: it is
1 for a picture without features, whatever the weights, the layer and the statistics, and both E and MMD^2 of
the second kernel become |G - A|^2 / |A|^2. The Gaussian kernel's values lie in [0, 1] already.
"""

import torch

TINY = 1e-12  # the least size that a loss is relative to
PAIRS = 4096  # the paper's M are few at relu4_1, and what they say changes from one draw to the next
DEVIATION_EPS = 1e-5  # batch norm's


def total_variation(picture):
    """The mean squared difference of neighbours, down and across, of a picture (1,C,H,W)."""
    return sum(picture.diff(dim=axis).square().mean() for axis in (2, 3))


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


MOMENTS = {"gram": gram, "mmd_poly": gram, "mmd_linear": mean, "mean_std": mean_std}


def distance_to(drawing, statistics):
    """A function that gives the loss of feature maps (1,C,H,W) beside the drawing's; sizes may differ."""
    if statistics == "mmd_gaussian":
        places = drawing[0].flatten(1).T
        # The mean square distance of two places; the paper takes that of the pairs that it draws.
        width = 2 * places.var(0, correction=0).sum()
        return lambda maps: gaussian_mmd(maps[0].flatten(1).T, places, width.clamp(min=TINY))
    moments = MOMENTS[statistics]
    wanted = moments(drawing)
    size = wanted.square().sum().clamp(min=TINY)
    return lambda maps: (moments(maps) - wanted).square().sum() / size


def style_loss(maps, distances):
    """The mean over layers of the losses of {name: feature maps} by {name: what `distance_to` gave}."""
    return sum(distances[name](maps[name]) for name in distances) / len(distances)


def gaussian_mmd(found, wanted, width):
    """An estimate of MMD^2 of places (M,C) and (M',C), by a Gaussian kernel of variance `width`.

    It draws new pairs at each call, M of them but PAIRS at least. Its mean is right, but one may be below 0.
    """
    count = max(len(found), PAIRS)
    draw = lambda places: places[torch.randint(len(places), (count,), device=places.device)]
    kernel = lambda a, b: torch.exp((a - b).square().sum(1) / (-2 * width))
    x, x_other, y, y_other = draw(found), draw(found), draw(wanted), draw(wanted)
    return (kernel(x, x_other) + kernel(y, y_other) - kernel(x, y_other) - kernel(x_other, y)).mean()
