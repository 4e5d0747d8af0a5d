"""Liao, Yao, Yuan, Hua, Kang: Visual Attribute Transfer through Deep Image Analogy, SIGGRAPH 2017.

A photograph A and a drawing B' are given. A' has the content of A, and B that of B', each in the look of
the other: A : A' = B : B'. Features F at the layers L of VGG19, relu5_1 to relu1_1, are matched both ways:

    field_ab(p) = argmin_q sum over x in N(p), y in N(q) of |nF_A(x) - nF_B(y)|^2 + |nF_A'(x) - nF_B'(y)|^2
    nF = F / |F| at each place                                                                (4), (5)
    F_A' at L-1 = F_A W + R (1 - W)                                                           (6)
    R = argmin |CNN from L-1 to L (R) - F_B'(field_ab) at L|^2, by L-BFGS                     (7)
    W = alpha / (1 + exp(-300 (|F_A|^2 - 0.05))), |F_A|^2 scaled to [0, 1]

with alpha 0.8, 0.7, 0.6, 0.1 at L-1 = 4 to 1, and B likewise from A. At the top F_A' is F_A, F_B is F_B',
and the field is random. A field is enlarged for the next layer and searched within 6, 6, 4, 4 places, L = 4
to 1. Finally A'(p) is the mean of the pixels that the 5x5 patches around p put there.

The paper leaves some choices open. Here PatchMatch has five rounds. F_B'(field_ab) is the mean of
overlapping patches, as in the authors' code. R starts from the finer features of B' moved by the enlarged
field, and its losses are relative to the size of the target. For weights that end at conv4_4, relu4_1 is
the top. B is what the command makes of the two pictures exchanged.
"""

import sys

import torch
import torch.nn.functional as F

from support.arguments import number
from survey import command, layers, patchmatch
from survey.descent import lbfgs
from survey.style import TINY, relative_error
from utils import exit_status

# From coarse to fine: the patch's side, the radius of the search (unlimited at the top), alpha.
LAYERS = {"relu5_1": (3, None, 1), "relu4_1": (3, 6, 0.8), "relu3_1": (3, 6, 0.7), "relu2_1": (5, 4, 0.6)}
LAYERS |= {"relu1_1": (5, 4, 0.1)}
KAPPA, TAU = 300, 0.05
PATCH = 5  # of pixels
EVERYWHERE = 1 << 16  # a radius larger than any picture


def parse(argv=None):
    counted = "evaluations of Equation 7 in each layer and direction"
    made = command.parser(__doc__, 30, counted=counted)
    made.group("method")("rounds", 5, number(int, 1), "rounds of PatchMatch in each layer")
    return made.parse_args(argv)


def paint(args, vgg, photo, drawings):
    """The photo (1,3,H,W) in the style of the drawing, with patches of the drawing; and the losses.

    The losses are the mean squared distances of matched patches at relu1_1, both ways, and those of (7),
    which is evaluated `--steps` times in each layer and direction.
    """
    (drawing,) = drawings
    generator = torch.Generator().manual_seed(args.seed)
    names = layers.available(vgg, LAYERS)
    plain, styled = layers.features(vgg, photo, names), layers.features(vgg, drawing, names)  # F_A, F_B'
    a, b = plain[names[0]], styled[names[0]]
    a_styled, b_plain = a, b  # F_A', F_B
    to_drawing = patchmatch.random_field(a, b, generator)
    to_photo = patchmatch.random_field(b, a, generator)
    losses = {}
    for name, finer in zip(names, [*names[1:], None], strict=True):
        patch, radius, _ = LAYERS[name]
        search = patch, EVERYWHERE if name == names[0] else radius, args.rounds, generator
        photos = torch.cat([F.normalize(a), F.normalize(a_styled)], 1)
        draws = torch.cat([F.normalize(b_plain), F.normalize(b)], 1)
        to_drawing, distances = patchmatch.search(photos, draws, to_drawing, *search)
        to_photo, distances_back = patchmatch.search(draws, photos, to_photo, *search)
        if finer is None:
            break
        target_a, target_b = patchmatch.vote(to_drawing, b, patch), patchmatch.vote(to_photo, a, patch)
        coarse_a, coarse_b, a, b = a, b, plain[finer], styled[finer]
        to_drawing = patchmatch.enlarge(to_drawing, a, b, coarse_a)
        to_photo = patchmatch.enlarge(to_photo, b, a, coarse_b)
        start_a, start_b = patchmatch.vote(to_drawing, b, patch), patchmatch.vote(to_photo, a, patch)
        found_a, losses[f"{finer} of A'"] = deconvolve(vgg, target_a, name, finer, start_a, args.steps)
        found_b, losses[f"{finer} of B"] = deconvolve(vgg, target_b, name, finer, start_b, args.steps)
        a_styled, b_plain = blend(a, found_a, finer), blend(b, found_b, finer)
    losses |= {"photo to drawing": distances[-1], "drawing to photo": distances_back[-1]}
    return patchmatch.vote(to_drawing, drawing, PATCH), losses


def deconvolve(vgg, target, coarser, finer, start, steps):
    """Features (1,C,H,W) at `finer` that VGG19 turns into the target at `coarser` (7), and their loss.

    The loss is the squared error over the target's square; L-BFGS evaluates it `steps` times from `start`.
    """
    between = vgg.features[layers.INDICES[finer] + 1 : layers.INDICES[coarser] + 1]
    found = start.clone().requires_grad_()
    search = lbfgs(found, steps)

    def evaluate():
        search.zero_grad()
        loss = relative_error(between(found), target)
        loss.backward()
        return loss

    search.step(evaluate)
    with torch.no_grad():
        return found.detach(), relative_error(between(found), target).item()


def blend(own, other, name):
    """Features `own` where they are strong, and `other` elsewhere, at the named layer (6)."""
    response = own.square().sum(1, keepdim=True)
    response = (response - response.amin()) / (response.amax() - response.amin()).clamp(min=TINY)
    weight = LAYERS[name][2] * torch.sigmoid(KAPPA * (response - TAU))
    return own * weight + other * (1 - weight)


def main(argv=None):
    command.run("analogy", parse(argv), paint, argv)


if __name__ == "__main__":
    sys.exit(exit_status(main))
