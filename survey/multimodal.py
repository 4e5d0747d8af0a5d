"""Wang, Oxholm, Zhang, Wang: Multimodal Transfer, CVPR 2017.

    python -m survey.multimodal PHOTO DRAWING OUT.png --photos DIR
    python -m survey.multimodal PHOTO OUT.png --network OUT.pth

The first command trains a network on a folder of photographs for the style of one drawing and applies it to
a photograph; the second applies it to another one. The network is a sequence of three subnets:

    y_1 = style subnet of the photo x_1 at a quarter of its size
    y_2 = enhance subnet of y_1 enlarged to half of the size
    y_3 = refine subnet of y_2 enlarged to the full size

(256, 512 and 1024 pixels in the paper; `--size` is the last). The style subnet sees colour and luminance in
two blocks, whose features are joined at a quarter of its size. Each subnet has its own loss,

    L_k = alpha L_content(y_k, x at that size) + beta L_style(y_k, the drawing at that size)

and weights theta_k that minimise lambda_k L_k and all later losses, by one step on their sum:

    theta_k = argmin sum over i >= k of lambda_i L_i

As in the paper, the input of the refine subnet is not enlarged during training, so that photographs of half
the size are enough; and the refine subnet adds its output to its input. Here the enhance subnet does so
too, and only the change of y_(k-1) from the photo is enlarged, so that y_k keeps the photo's details. With
y_(k-1) itself enlarged the picture was blurred after 1000 steps; with three subnets that change the photo
it was sharp but kept the photo's colours, because instance norm hides colours from a network
(docs/colour.md).

Also chosen here: L_content at relu4_2 and L_style at relu1_1 to relu5_1, relative as in feedforward.py,
with alpha 2 and beta 1; lambda 1, 1/2, 1/4; the photograph, not y_(k-1), as content of y_k; tanh after the
style subnet; Adam at 1e-3 throughout.
"""

import itertools
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from networks import ResidualBlock
from pictures import checkpoints
from support.norm import InstanceNorm, PaddedConv2d
from survey import colour, command, feedforward, layers
from utils import WrongUse, exit_status

CONTENT = "relu4_2"
STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
NAMES = ("style_subnet", "enhance_subnet", "refine_subnet")
LAMBDAS = (1, 1 / 2, 1 / 4)
SCALES = (1 / 4, 1 / 2, 1)  # of the photo, at which the subnets work
SCALES_TRAINING = (1 / 2, 1, 1)  # of photographs of half the size
STRIDE = 32  # the enhance subnet halves half of the photo three times, the style subnet a quarter twice


def parse(argv=None):
    made = command.parser(__doc__, 2000, drawings="?", counted="steps of training")
    add = command.add_training(made)
    add("network", None, command.existing, "the network of an earlier run, to apply", metavar="FILE")
    args = made.parse_args(argv)
    learning = ("drawing", "photos", "steps", "batch_size", "content", "style", "seed", "vgg_model")
    given = [name for name in learning if getattr(args, name) != made.get_default(name)]
    if args.network and given:
        names = ", ".join("DRAWING" if name == "drawing" else f"--{name}" for name in given)
        made.error(f"--network needs no {names}: it is already trained")
    if not args.network and not (args.drawing and args.photos):
        made.error("a DRAWING and --photos DIR are needed to learn from, or --network FILE")
    return args


# The network


class Multimodal(nn.Module):
    """Photos to three results, at `scales` of their size: a multiple of STRIDE, or half of it in training."""

    def __init__(self):
        super().__init__()
        self.style_subnet = StyleSubnet()
        self.enhance_subnet = nn.Sequential(down(3, (32, 64, 128, 256), 6), up(256, 128, 64, 32))
        self.refine_subnet = nn.Sequential(down(3, (32, 64, 128), 3), up(128, 64, 32))
        for subnet in (self.enhance_subnet, self.refine_subnet):
            for weight in subnet[-1][-1].parameters():
                nn.init.zeros_(weight)  # at first, the output is the input

    def forward(self, photo, scales=SCALES):
        photos = [resize(photo, scale) for scale in scales]
        results = [torch.tanh(self.style_subnet(photos[0]))]
        for k, subnet in enumerate((self.enhance_subnet, self.refine_subnet)):
            change = F.interpolate(results[k] - photos[k], photos[k + 1].shape[2:], mode="bilinear")
            given = photos[k + 1] + change
            results.append(given + subnet(given))
        return results


class StyleSubnet(nn.Module):
    """A block for colour and one for luminance, joined at a quarter of the size."""

    def __init__(self):
        super().__init__()
        self.rgb_block, self.l_block = (down(channels, (16, 32, 64), 3) for channels in (3, 1))
        self.joined = nn.Sequential(*blocks(128, 3), up(128, 64, 32))

    def forward(self, x):
        return self.joined(torch.cat([self.rgb_block(x), self.l_block(colour.luminance(x))], 1))


def norm_relu(channels):
    return InstanceNorm(channels), nn.ReLU()


def convolution(channels, out, kernel=3, stride=1):
    return PaddedConv2d(channels, out, kernel, stride, kernel // 2, padding_mode="reflect")


def blocks(channels, count):
    return [ResidualBlock(channels, 2, "reflect", norm_relu) for _ in range(count)]


def down(channels, widths, count):
    """A convolution k9, one k3s2 for each further width, and `count` residual blocks."""
    made = [convolution(channels, widths[0], 9), *norm_relu(widths[0])]
    for narrow, wide in itertools.pairwise(widths):
        made += [convolution(narrow, wide, stride=2), *norm_relu(wide)]
    return nn.Sequential(*made, *blocks(widths[-1], count))


def up(*widths):
    """An enlargement and a convolution for each width but the first, and one that makes the picture."""
    made = []
    for wide, narrow in itertools.pairwise(widths):
        made += [nn.Upsample(scale_factor=2), convolution(wide, narrow), *norm_relu(narrow)]
    return nn.Sequential(*made, convolution(widths[-1], 3))


def resize(picture, scale, least=1):
    """Pictures at a scale of their size, no side below `least`."""
    size = [max(least, round(side * scale)) for side in picture.shape[2:]]
    return F.interpolate(picture, size, mode="bilinear", antialias=True)


# Training and use


def paint(args, vgg, photo, drawings):
    """The photo (1,3,H,W) in the drawing's style, and the weighted losses. Saves the network as a .pth."""
    network = Multimodal().to(photo.device)
    objective = make_objective(args, vgg, network, drawings[0])
    losses = feedforward.train(network, batches(args, photo.device), objective, args.steps, "multimodal")
    checkpoints.save(args.output.with_suffix(".pth"), {"multimodal": checkpoints.weights_of(network)})
    return apply(network, photo), losses


def paint_again(args, _vgg, photo, _drawings):
    """The photo (1,3,H,W) as the network of an earlier run paints it, and no losses. Raises WrongUse."""
    network, content = Multimodal(), checkpoints.load(args.network)
    if not isinstance(content, dict) or "multimodal" not in content:
        raise WrongUse(f"{args.network} does not contain a network of python -m survey.multimodal")
    checkpoints.fill(network, content["multimodal"], args.network)
    return apply(network.to(photo.device), photo), {}


def make_objective(args, vgg, network, drawing):
    """The function that returns {name of a subnet: lambda_k L_k} for photos (N,3,H,W) of half the size."""
    names = layers.available(vgg, STYLE)
    drawings = [resize(drawing, scale, command.SMALLEST) for scale in SCALES]
    losses_of = [feedforward.make_loss(vgg, each, CONTENT, names) for each in drawings]

    def objective(photos):
        losses = {}
        for k, result in enumerate(network(photos, SCALES_TRAINING)):
            terms = losses_of[k](result, resize(photos, SCALES_TRAINING[k]))
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
            top, left = random.integers(np.subtract(photo.shape[:2], side) + 1)
            squares.append(photo[top : top + side, left : left + side])
        yield (feedforward.to_batch(squares, device),)


@torch.no_grad()
def apply(network, photo):
    """The last result of photos (N,3,H,W) of any size, which are padded by repeating the border."""
    height, width = photo.shape[2:]
    padded = F.pad(photo, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    return network(padded)[-1][..., :height, :width].clamp(-1, 1)


def main(argv=None):
    args = parse(argv)
    method = paint_again if args.network else paint
    command.run("multimodal", args, method, argv, needs_vgg=not args.network)


if __name__ == "__main__":
    sys.exit(exit_status(main))
