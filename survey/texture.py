"""Gatys, Ecker, Bethge: Texture Synthesis Using Convolutional Neural Networks, NIPS 2015.

From noise a picture x is sought whose Gram matrices G are those of the drawing, A, in five layers of VGG19:

    G_ij = sum over places k of F_ik F_jk                 (1)
    E = |G - A|^2 / (4 N^2 M^2), N channels, M places     (2)
    L(x) = sum over layers of w E                         (3)

by L-BFGS, with the layers relu1_1 and pool1 to pool4, and means in place of maxima in the poolings.

Open in the paper: the weights w, the noise and the number of steps. Here E is relative to |A|^2, as style.py
says, for weights that the authors did not scale; all w are equal, the noise is Gaussian with the deviation of
NOISE, and the texture is as large as the drawing. Where the weights end at conv4_4, pool4 is left out: what
is larger than some 30 pixels is then not arranged.
"""

import sys

from survey import options
from utils import exit_status, refuse_early

LAYERS = ("relu1_1", "pool1", "pool2", "pool3", "pool4")
NOISE = 0.2  # of the range [-1, 1]


def parse(argv=None):
    made = options.parser(__doc__.split("\n")[0], steps=300, photo=False, drawings=None)
    return made.parse_args(argv)


if __name__ == "__main__":
    refuse_early(parse)

import torch

from survey import command, descent, layers, style


def paint(args, vgg, photo, drawings):
    """A texture (1,3,H,W) as large as the drawing, and {"style": the mean of the layers' losses}."""
    (drawing,) = drawings
    vgg = layers.pool_by_average(vgg)
    wanted = layers.look(vgg, drawing, layers.held(vgg, LAYERS))
    distances = {name: style.distance_to(maps, "gram") for name, maps in wanted.items()}

    def objective(picture):
        return {"style": style.style_loss(layers.look(vgg, picture, distances), distances)}

    start = NOISE * torch.randn(drawing.shape).to(drawing)
    return descent.descend(start, objective, args.steps, description="texture")


def main(argv=None):
    command.run("texture", parse(argv), paint, argv)


if __name__ == "__main__":
    sys.exit(exit_status(main))
