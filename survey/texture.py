"""Gatys, Ecker, Bethge: Texture Synthesis Using Convolutional Neural Networks, NIPS 2015.

Starting from noise, a picture x is optimised until its Gram matrices G are those of the drawing, A, in five
layers of VGG19:

    G_ij = sum over places k of F_ik F_jk                 (1)
    E = |G - A|^2 / (4 N^2 M^2), N channels, M places     (2)
    L(x) = sum over layers of w E                         (3)

by L-BFGS, with the layers relu1_1 and pool1 to pool4, and average pooling.

The paper leaves open the weights w, the noise and the number of steps. Here E is relative to |A|^2
(style.py), because the weights are not rescaled as the authors' are; all w are equal, the noise is Gaussian
with the deviation NOISE, and the texture is as large as the drawing. Weights that end at conv4_4 have no
pool4: then structures larger than about 30 pixels are not reproduced.
"""

import sys

import torch

from survey import command, descent, layers, style
from utils import exit_status

LAYERS = ("relu1_1", "pool1", "pool2", "pool3", "pool4")
NOISE = 0.2  # in the range [-1, 1]


def parse(argv=None):
    made = command.parser(__doc__, 300, photo=False, counted="evaluations of the objective")
    return made.parse_args(argv)


def paint(args, vgg, photo, drawings):
    """A texture (1,3,H,W) as large as the drawing, and {"style": the mean of the layers' losses}."""
    (drawing,) = drawings
    vgg = layers.pool_by_average(vgg)
    targets = layers.features(vgg, drawing, layers.available(vgg, LAYERS))
    losses = {name: style.loss_to(maps, "gram") for name, maps in targets.items()}

    def objective(picture):
        return {"style": style.style_loss(layers.features(vgg, picture, losses), losses)}

    start = NOISE * torch.randn(drawing.shape).to(drawing)
    return descent.descend(start, objective, args.steps, description="texture")


def main(argv=None):
    command.run("texture", parse(argv), paint, argv)


if __name__ == "__main__":
    sys.exit(exit_status(main))
