"""Gatys, Ecker, Bethge: Image Style Transfer Using Convolutional Neural Networks, CVPR 2016.

A picture x is sought with the content of a photograph, p, and the style of a drawing, a:

    L_content = |F(x) - F(p)|^2 / 2 at relu4_2 of VGG19                             (1)
    L_style = sum of w E over relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1        (4), (5)
    L = alpha L_content + beta L_style                                              (7)

E being as in style.py: from Gram matrices, or with `--statistics` as Li et al. (IJCAI 2017) see style.
`--keep_colour` keeps the photograph's colours as Gatys et al. (2016) do (colour.py). Several drawings' losses
are added by their weights.

Open in the paper: the scale of the losses under weights that the authors did not scale, and the number of
steps. Here L_content is the mean squared error over the mean square of F(p), and each E is relative likewise
(style.py); all w are equal. `--tv` is the mean squared difference of neighbours, which Johnson et al. (ECCV
2016) add; without it noise stays that VGG19 does not see. Where the weights end at conv4_4, relu5_1 is left
out.

The paper starts from noise, takes means in place of maxima between blocks, and searches by L-BFGS:
`--init noise --pooling average --optimiser lbfgs --tv 0`. The defaults are what looked better with weights
that were made with maxima and not scaled: at about the same loss more of the photograph is left. The random
pairs of `mmd_gaussian` leave L-BFGS no line to search.

`--first_size` is what the first author's PyTorch notebook does: a result of 512 pixels is enlarged to 800 and
the search continues there (Gatys et al., Controlling Perceptual Factors, CVPR 2017).
"""

import sys

from support.arguments import number
from survey import options
from utils import exit_status, refuse_early

CONTENT = "relu4_2"
STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STATISTICS = ("gram", "mmd_linear", "mmd_poly", "mmd_gaussian", "mean_std")
NOISE = 0.2  # of the range [-1, 1]


def parse(argv=None):
    made = options.parser(__doc__.split("\n")[0], steps=200)
    add = made.add_argument_group("method").add_argument
    weight = number(float, 0)
    add("--content", type=weight, default=1, help="weight of the photo's features (%(default)s)")
    add("--style", type=weight, default=10, help="weight of the drawing's statistics (%(default)s)")
    add("--tv", type=weight, default=1, help="weight of the total variation (%(default)s)")
    add("--drawing_weights", type=weight, nargs="+", metavar="W", help="one a drawing (equal)")
    add(
        "--style_scale",
        type=number(float, 0.1, 4),
        default=1,
        help="the drawing's --size over the photo's; pictures are never enlarged (%(default)s)",
    )
    add("--statistics", choices=STATISTICS, default="gram", help="what style is (%(default)s)")
    add(
        "--keep_colour",
        choices=("none", "histogram", "luminance"),
        default="none",
        help="keep the photo's colours: give them to the drawing, or transfer luminance alone (%(default)s)",
    )
    add("--pooling", choices=("max", "average"), default="max", help="between blocks (%(default)s)")
    add(
        "--first_size",
        type=number(int, options.SMALLEST, 4096),
        metavar="N",
        help="search at this longer side first, for --steps too, and begin at its result, enlarged (no)",
    )
    add("--init", choices=("photo", "noise"), default="photo", help="where to start (%(default)s)")
    add("--optimiser", choices=options.OPTIMISERS, default="adam", help="how to search (%(default)s)")
    args = made.parse_args(argv)
    if args.first_size and args.first_size >= args.size:
        made.error(f"--first_size {args.first_size} is not below --size {args.size}")
    args.drawing_weights = args.drawing_weights or [1] * len(args.drawing)
    if len(args.drawing_weights) != len(args.drawing) or not sum(args.drawing_weights):
        made.error(f"--drawing_weights needs a weight for each of {len(args.drawing)} drawings, not all 0")
    if args.statistics == "mmd_gaussian" and args.optimiser == "lbfgs":
        made.error("--statistics mmd_gaussian draws at random: use --optimiser adam")
    return args


if __name__ == "__main__":
    refuse_early(parse)

import torch
import torch.nn.functional as F

from survey import colour, command, descent, layers, style


def paint(args, vgg, photo, drawings):
    """The photo (1,3,H,W) in the drawings' style, and the weighted losses."""
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
        held, *taken = (scaled(each, share) for each in (content, *styles))
        if picture is not None:
            start = F.interpolate(picture, held.shape[2:], mode="bicubic")
        else:
            start = held if args.init == "photo" else NOISE * torch.randn(held.shape).to(held)
        objective = make_objective(args, vgg, held, taken)
        picture, losses = descent.descend(start, objective, args.steps, args.optimiser, "gatys")
    return colour.with_luminance(photo, picture) if args.keep_colour == "luminance" else picture, losses


def scaled(picture, share):
    """A picture with sides of a share of their length, at least SMALLEST pixels; itself for 1."""
    if share == 1:
        return picture
    size = [max(options.SMALLEST, round(share * side)) for side in picture.shape[2:]]
    return F.interpolate(picture, size, mode="bicubic", antialias=True)


def make_objective(args, vgg, photo, drawings):
    """The function that gives the weighted terms of (7) for a picture (1,1 or 3,H,W)."""
    names = layers.held(vgg, STYLE)
    wanted = layers.look(vgg, photo, [CONTENT])[CONTENT]
    size = wanted.square().mean().clamp(min=style.TINY)
    shares = [weight / sum(args.drawing_weights) for weight in args.drawing_weights]
    distances = []
    for drawing in drawings:
        maps = layers.look(vgg, drawing, names)
        distances.append({name: style.distance_to(maps[name], args.statistics) for name in names})

    def objective(picture):
        maps = layers.look(vgg, picture, [*names, CONTENT])
        styles = sum(
            share * style.style_loss(maps, each) for share, each in zip(shares, distances, strict=True)
        )
        content = F.mse_loss(maps[CONTENT], wanted) / size
        terms = {"content": content, "style": styles, "tv": style.total_variation(picture)}
        return {name: vars(args)[name] * loss for name, loss in terms.items()}

    return objective


def main(argv=None):
    command.run("gatys", parse(argv), paint, argv)


if __name__ == "__main__":
    sys.exit(exit_status(main))
