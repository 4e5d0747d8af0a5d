"""Gatys, Ecker, Bethge: Image Style Transfer Using Convolutional Neural Networks, CVPR 2016.

A picture x is optimised to have the content of a photograph p and the style of a drawing a:

    L_content = |F(x) - F(p)|^2 / 2 at relu4_2 of VGG19                             (1)
    L_style = sum of w E over relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1        (4), (5)
    L = alpha L_content + beta L_style                                              (7)

E is in style.py: from Gram matrices, or with `--statistics` the style of Li et al. (IJCAI 2017).
`--keep_colour` keeps the photograph's colours as Gatys et al. (2016) do (colour.py). The losses of several
drawings are added by their weights.

The paper leaves open the scale of the losses for weights of VGG19 that are not rescaled as the authors'
are, and the number of steps. Here L_content is the mean squared error over the mean square of F(p), each E
is relative too (style.py), and all w are equal. `--tv` is the mean squared difference of neighbours, which
Johnson et al. (ECCV 2016) add: without it, noise that VGG19 does not see remains. Weights that end at
conv4_4 have no relu5_1, which is then left out.

The paper starts from noise, uses average pooling, and optimises by L-BFGS: `--init noise --pooling average
--optimiser lbfgs --tv 0`. The defaults looked better with weights that were trained with max pooling and
not rescaled: more of the photograph remains at about the same loss. The random pairs of `mmd_gaussian` make
the line search of L-BFGS meaningless.

`--first_size` is what the first author's PyTorch notebook does: a result of 512 pixels is enlarged to 800
and optimised further (Gatys et al., Controlling Perceptual Factors, CVPR 2017).
"""

import sys

import torch
import torch.nn.functional as F

from support.arguments import number
from survey import colour, command, descent, layers, style
from utils import exit_status

CONTENT = "relu4_2"
STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
NOISE = 0.2  # standard deviation of the noise, in the range [-1, 1]


def parse(argv=None):
    made = command.parser(__doc__, 200, drawings="+", counted="evaluations of the objective")
    add = made.group("method")
    add("content", 1, command.WEIGHT, "weight of the content loss")
    add("style", 10, command.WEIGHT, "weight of the style loss")
    add("tv", 1, command.WEIGHT, "weight of the total variation")
    add("drawing_weights", None, command.WEIGHT, "one for each drawing", "equal", nargs="+", metavar="W")
    scale = "the drawing's --size over the photograph's; pictures are never enlarged"
    add("style_scale", 1, number(float, 0.1, 4), scale)
    add("statistics", "gram", style.STATISTICS, "definition of style")
    kept = "keep the photograph's colours: match the drawing's histogram to them, or transfer luminance only"
    add("keep_colour", "none", ("none", "histogram", "luminance"), kept)
    add("pooling", "max", ("max", "average"), "pooling between the blocks of VGG19")
    first = "first optimise at this longer side, also for --steps, and start from the enlarged result"
    add("first_size", None, number(int, command.SMALLEST, 4096), first, metavar="N")
    add("init", "photo", ("photo", "noise"), "start of the optimisation")
    add("optimiser", "adam", descent.OPTIMISERS, "Adam or L-BFGS")
    args = made.parse_args(argv)
    if args.first_size and args.first_size >= args.size:
        made.error(f"--first_size {args.first_size} is not below --size {args.size}")
    args.drawing_weights = args.drawing_weights or [1] * len(args.drawing)
    if len(args.drawing_weights) != len(args.drawing) or not sum(args.drawing_weights):
        made.error(f"--drawing_weights needs a weight for each of {len(args.drawing)} drawings, not all 0")
    if args.statistics == "mmd_gaussian" and args.optimiser == "lbfgs":
        made.error("--statistics mmd_gaussian is random: use --optimiser adam")
    return args


def paint(args, vgg, photo, drawings):
    """The photo (1,3,H,W) in the style of the drawings, and the weighted losses."""
    if args.pooling == "average":
        vgg = layers.pool_by_average(vgg)
    content, styles = photo, drawings
    if args.keep_colour == "histogram":
        styles = [colour.match_colours(drawing, photo) for drawing in drawings]
    elif args.keep_colour == "luminance":
        content = colour.luminance(photo)
        styles = [colour.match_luminance(colour.luminance(drawing), content) for drawing in drawings]
    picture = None
    for share in [args.first_size / args.size, 1] if args.first_size else [1]:
        small, *small_styles = (scale(each, share) for each in (content, *styles))
        if picture is not None:
            start = F.interpolate(picture, small.shape[2:], mode="bicubic")
        else:
            start = small if args.init == "photo" else NOISE * torch.randn(small.shape).to(small)
        objective = make_objective(args, vgg, small, small_styles)
        picture, losses = descent.descend(start, objective, args.steps, args.optimiser, "gatys")
    return colour.with_luminance(photo, picture) if args.keep_colour == "luminance" else picture, losses


def scale(picture, share):
    """A picture with its sides multiplied by a share, at least SMALLEST pixels; itself for 1."""
    if share == 1:
        return picture
    size = [max(command.SMALLEST, round(share * side)) for side in picture.shape[2:]]
    return F.interpolate(picture, size, mode="bicubic", antialias=True)


def make_objective(args, vgg, photo, drawings):
    """The function that returns the weighted terms of (7) for a picture (1,1 or 3,H,W)."""
    names = layers.available(vgg, STYLE)
    target = layers.features(vgg, photo, [CONTENT])[CONTENT]
    shares = [weight / sum(args.drawing_weights) for weight in args.drawing_weights]
    losses = []
    for drawing in drawings:
        maps = layers.features(vgg, drawing, names)
        losses.append({name: style.loss_to(maps[name], args.statistics) for name in names})

    def objective(picture):
        maps = layers.features(vgg, picture, [*names, CONTENT])
        styles = sum(share * style.style_loss(maps, each) for share, each in zip(shares, losses, strict=True))
        content = style.relative_error(maps[CONTENT], target)
        terms = {"content": content, "style": styles, "tv": style.total_variation(picture)}
        return {name: vars(args)[name] * loss for name, loss in terms.items()}

    return objective


def main(argv=None):
    command.run("gatys", parse(argv), paint, argv)


if __name__ == "__main__":
    sys.exit(exit_status(main))
