"""Li, Wand: Combining Markov Random Fields and Convolutional Neural Networks for Image Synthesis, CVPR 2016.

A picture x is optimised so that its features F at relu4_2 are those of the photograph, and each of its
patches of features at relu3_1 and relu4_1 resembles one of the drawing:

    E(x) = E_s + alpha_1 E_c + alpha_2 T                                   (1)
    E_s = sum over patches i of |P_i(F(x)) - P_NN(i)(F(drawing))|^2        (2)
    NN(i) = argmax_j P_i(x) . P_j(drawing) / (|P_i(x)| |P_j(drawing)|)     (3)
    E_c = |F(x) - F(photo)|^2                                              (4)
    T = sum of (x(i,j+1) - x(i,j))^2 + (x(i+1,j) - x(i,j))^2               (5)

Patches are 3x3, one at every place, and are matched again at each evaluation. The size doubles up to the
full one, each time starting from the last result; the first start is the photograph.

The paper leaves some choices open. Here losses are means, those of features relative to the mean square of
the drawing's or the photograph's, so that a weight means the same for any VGG19. Borders of maps are
repeated, so that small ones have patches too. Rotated and scaled copies of the drawing, which offer more
patches, are options and off, as in the authors' code. Textures without a photograph are left out.
"""

import math
import sys

import torch
import torch.nn.functional as F

from support.arguments import number
from survey import command, descent, layers
from survey.style import TINY, relative_error, total_variation
from utils import exit_status

STYLE, CONTENT = ("relu3_1", "relu4_1"), "relu4_2"
PATCH = 3
COARSEST = 64  # pixels: below it the few patches copy the drawing's layout
CHUNK = 512  # patches of the drawing that are matched at once
TURN, ZOOM = math.pi / 24, 1.05  # a step of --turns and of --zooms, as in the authors' code


def parse(argv=None):
    made = command.parser(__doc__, 100, counted="evaluations of the objective at each size")
    add = made.group("method")
    add("style", 1, command.WEIGHT, "weight of the patches")
    add("content", 1, command.WEIGHT, "weight of the content loss")
    add("tv", 3, command.WEIGHT, "weight of the total variation")
    add("scales", 3, number(int, 1, 8), "sizes, each twice the last")
    add("turns", 0, number(int, 0, 8), "rotated copies in each direction, 7.5 degrees apart")
    add("zooms", 0, number(int, 0, 8), "copies 5%% larger, and as many smaller")
    return made.parse_args(argv)


def paint(args, vgg, photo, drawings):
    """The photo (1,3,H,W) made of the drawing's patches, and the weighted losses at its full size.

    Each size has `--steps` evaluations. Sizes less than 64 pixels long, or 16 wide, are left out.
    """
    (drawing,) = drawings
    picture = None
    for halvings in reversed(range(args.scales)):
        sizes = [[round(side / 2**halvings) for side in each.shape[2:]] for each in (photo, drawing)]
        if halvings and (min(map(max, sizes)) < COARSEST or min(map(min, sizes)) < command.SMALLEST):
            continue
        small, style = (resize(each, size) for each, size in zip((photo, drawing), sizes, strict=True))
        start = small if picture is None else resize(picture, sizes[0])
        objective = make_objective(args, vgg, small, style)
        description = f"{sizes[0][1]} x {sizes[0][0]}"
        picture, losses = descent.descend(start, objective, args.steps, description=description)
    return picture, losses


def make_objective(args, vgg, photo, drawing):
    """The function that returns the weighted terms of (1) for a picture (1,3,H,W)."""
    target = layers.features(vgg, photo, [CONTENT])[CONTENT]
    maps = [layers.features(vgg, copy, STYLE) for copy in copies(drawing, args.turns, args.zooms)]
    patches = {name: torch.cat([patches_of(each[name]) for each in maps]) for name in STYLE}

    def objective(picture):
        maps = layers.features(vgg, picture, [*STYLE, CONTENT])
        terms = {
            "style": sum(style_loss(maps[name], patches[name]) for name in STYLE),
            "content": relative_error(maps[CONTENT], target),
            "tv": total_variation(picture),
        }
        return {name: vars(args)[name] * loss for name, loss in terms.items()}

    return objective


def style_loss(maps, patches):
    """Mean squared error of a map's patches (1,C,H,W) to their matches (2), over the patches' mean square."""
    with torch.no_grad():
        targets = patches[match(maps, patches)]
    return F.mse_loss(patches_of(maps), targets) / patches.square().mean().clamp(min=TINY)


def match(maps, patches):
    """The index (H*W) of the most correlated of the patches (N,C*9) for each place of a map (1,C,H,W) (3).

    A place's own |P_i| does not change which is the largest.
    """
    padded = F.pad(maps, (PATCH // 2,) * 4, mode="replicate")
    matches = []
    for chunk in patches.split(CHUNK):
        kernels = F.normalize(chunk).view(-1, maps.shape[1], PATCH, PATCH)
        matches.append(F.conv2d(padded, kernels)[0].flatten(1).max(0))
    most, where = (torch.stack(each) for each in zip(*matches, strict=True))  # one row for each chunk
    best = most.argmax(0, keepdim=True)
    return (where.gather(0, best) + CHUNK * best)[0]


def patches_of(maps):
    """The 3x3 patch around each place of a map (1,C,H,W), borders repeated: (H*W,C*9)."""
    return F.unfold(F.pad(maps, (PATCH // 2,) * 4, mode="replicate"), PATCH)[0].T


def copies(drawing, turns, zooms):
    """The drawing (1,3,H,W) in all rotations and scales, itself included, reflected beyond its borders."""
    height, width = drawing.shape[2:]
    for turn in range(-turns, turns + 1):
        for zoom in range(-zooms, zooms + 1):
            cos, sin = (f(turn * TURN) / ZOOM**zoom for f in (math.cos, math.sin))
            # In units of half a side, which differ between the axes.
            matrix = [[cos, sin * height / width, 0], [-sin * width / height, cos, 0]]
            grid = F.affine_grid(drawing.new_tensor([matrix]), drawing.shape, align_corners=False)
            yield F.grid_sample(drawing, grid, padding_mode="reflection", align_corners=False)


def resize(picture, size):
    """A picture (1,3,H,W) at another (height, width), without aliasing."""
    return F.interpolate(picture, size, mode="bilinear", antialias=True)


def main(argv=None):
    command.run("mrf", parse(argv), paint, argv)


if __name__ == "__main__":
    sys.exit(exit_status(main))
