"""Wang, Oxholm, Zhang, Wang: Multimodal Transfer, CVPR 2017.

    python -m survey.multimodal PHOTO DRAWING OUT.png --photos DIR
    python -m survey.multimodal PHOTO OUT.png --network OUT.pth

The first trains a network on a folder of photographs for the style of one drawing and applies it to a
photograph; the second applies it to another. The network is three in a row:

    y_1 = style subnet of the photo x_1 at a quarter of its size
    y_2 = enhance subnet of y_1 enlarged to half of the size
    y_3 = refine subnet of y_2 enlarged to the whole size

(256, 512 and 1024 pixels in the paper; `--size` is the last). The style subnet sees colour and luminance in
two blocks of their own, whose features are joined at a quarter of its size. Each subnet has its own loss,

    L_k = alpha L_content(y_k, x at that size) + beta L_style(y_k, the drawing at that size)

and weights theta_k that make lambda_k L_k and all later ones small, which is one step down their sum:

    theta_k = argmin sum over i >= k of lambda_i L_i

As in the paper, what enters the refine subnet is not enlarged while it learns, so that photographs of half
the size will do; and the refine subnet adds its output to its input. Here the enhance subnet does so too, and
of y_(k-1) only its change from the photo is enlarged, so that y_k keeps the photo's details. With y_(k-1)
itself enlarged the picture was a blur after 1000 steps; with three subnets that change the photo it was sharp
and kept the photo's colours, as instance norm lets a network see no colour to be taken away (docs/colour.md).

Chosen besides: L_content at relu4_2 and L_style at relu1_1 to relu5_1, relative as feedforward.py says, with
alpha 2 and beta 1; lambda 1, 1/2, 1/4; the photograph, not y_(k-1), as content of y_k; tanh after the style
subnet; Adam at 1e-3 throughout.
"""

import sys

from survey import options
from utils import exit_status, refuse_early

CONTENT = "relu4_2"
STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
NAMES = ("style_subnet", "enhance_subnet", "refine_subnet")
LAMBDAS = (1, 1 / 2, 1 / 4)


def parse(argv=None):
    made = options.parser(__doc__.split("\n")[0], steps=2000, drawings="?", counted="steps of training")
    add = made.add_argument_group("method").add_argument
    options.add_training(add)
    add("--network", type=options.existing, metavar="FILE.pth", help="of an earlier run: apply it")
    args = made.parse_args(argv)
    learning = ("drawing", "photos", "steps", "batch_size", "content", "style", "seed", "vgg_model")
    given = [name for name in learning if getattr(args, name) != made.get_default(name)]
    if args.network and given:
        names = ", ".join("DRAWING" if name == "drawing" else f"--{name}" for name in given)
        made.error(f"--network needs no {names}: it is trained already")
    if not args.network and not (args.drawing and args.photos):
        made.error("a DRAWING and --photos DIR are needed to learn from, or --network FILE.pth")
    return args


if __name__ == "__main__":
    refuse_early(parse)

import numpy as np
import torch
import torch.nn.functional as F

from pictures import checkpoints
from survey import command, feedforward, layers
from survey.subnets import SCALES, SCALES_TRAINING, STRIDE, Multimodal, resized
from utils import WrongUse


def paint(args, vgg, photo, drawings):
    """The photo (1,3,H,W) in the drawing's style, and the weighted losses. The network is kept as a .pth."""
    network = Multimodal().to(photo.device)
    objective = make_objective(args, vgg, network, drawings[0])
    losses = feedforward.train(network, batches(args, photo.device), objective, args.steps, "multimodal")
    feedforward.save(args.output, {"multimodal": checkpoints.weights_of(network)})
    return apply(network, photo), losses


def paint_again(args, _vgg, photo, _drawings):
    """The photo (1,3,H,W) as the network of an earlier run paints it, and no losses. Raises WrongUse."""
    return apply(load(args.network).to(photo.device), photo), {}


def make_objective(args, vgg, network, drawing):
    """The function that gives {name of a subnet: lambda_k L_k} for photos (N,3,H,W) of half the size."""
    names = layers.held(vgg, STYLE)
    drawings = [resized(drawing, scale, options.SMALLEST) for scale in SCALES]
    each = [feedforward.make_loss(vgg, drawn, CONTENT, names) for drawn in drawings]

    def objective(photos):
        losses = {}
        for k, result in enumerate(network(photos, SCALES_TRAINING)):
            terms = each[k](result, resized(photos, SCALES_TRAINING[k]))
            losses[NAMES[k]] = LAMBDAS[k] * sum(vars(args)[name] * loss for name, loss in terms.items())
        return losses

    return objective


def batches(args, device):
    """Endless batches of random squares of the photographs, of half of --size."""
    random, paths = np.random.default_rng(args.seed), feedforward.photographs(args.photos)
    side = max(STRIDE, round(args.size / STRIDE) * STRIDE // 2)
    while True:
        squares = []
        for _ in range(args.batch_size):
            photo = feedforward.random_photo(paths, side, random)
            top, left = feedforward.random_place(photo, side, side, random)
            squares.append(photo[top : top + side, left : left + side])
        yield (feedforward.to_batch(squares, device),)


@torch.no_grad()
def apply(network, photo):
    """The last result of photos (N,3,H,W) of any size, which are padded by repeating the edge."""
    height, width = photo.shape[2:]
    padded = F.pad(photo, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    return network(padded)[-1][..., :height, :width].clamp(-1, 1)


def load(file):
    """The network that `paint` kept. Raises WrongUse."""
    network, content = Multimodal(), checkpoints.load(file)
    if not isinstance(content, dict) or "multimodal" not in content:
        raise WrongUse(f"{file} holds no network of python -m survey.multimodal")
    checkpoints.fill(network, content["multimodal"], file)
    return network


def main(argv=None):
    args = parse(argv)
    method = paint_again if args.network else paint
    command.run("multimodal", args, method, argv, needs_vgg=not args.network)


if __name__ == "__main__":
    sys.exit(exit_status(main))
