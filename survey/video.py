"""Huang et al.: Real-Time Neural Style Transfer for Videos, CVPR 2017.

    python -m survey.video PHOTO DRAWING OUT.png --photos DIR
    python -m survey.video PHOTO DRAWING OUT.png --film FILM.mp4
    python test.py --pre_trained_model OUT.pth --video FILM.mp4 --output STYLISED.mp4

A network that sees one frame at a time learns to give consecutive frames x_1 and x_2 the drawing's style in
the same way. Its results y_1 and y_2 minimise

    L = sum over both of (alpha L_content + beta L_style + gamma R_TV) + lambda L_temporal
    L_temporal = sum over pixels of c (y_2 - w(y_1))^2 / D

where w moves y_1 along the optical flow, and c is 0 where a pixel of x_2 was hidden in x_1. Content is
relu4_2 of VGG19, style the Gram matrices of relu1_2, relu2_2, relu3_2 and relu4_2. The network, which is
written to OUT.pth, needs no flow when it is applied.

The frames are those of a film, with flow by DIS and c by a forward-backward check (the paper uses
DeepFlow), or windows that move over photographs, whose flow is known exactly. The command reports, also in
OUT.json, the temporal error, L_temporal over the visible pixels, of frames and of results: on the last
tenth of the film, which is not trained on, or on windows that move over PHOTO. `--temporal 0` trains
without L_temporal.

Chosen here: the network is networks.Generator with 16 channels in the first layer and 5 blocks, so that
test.py applies it; the paper's is similar, with 16, 32 and 48 channels and kernels of 3. It predicts a
change to the frame: faces were sharp after 800 steps, and blurred without this. Content and style are
relative as in feedforward.py, R_TV is the total variation of training, and means replace the sum over both
and D. So the weights (2, 1, 0.01, 10) differ from the paper's 1, 10, 1e-3 and 1e4.
"""

import itertools
import sys

import numpy as np
import torch

import networks
from CartoonGAN import total_variation
from pictures import checkpoints
from support.arguments import number
from survey import command, feedforward, flow, layers
from utils import exit_status, to_image

CONTENT = "relu4_2"
STYLE = ("relu1_2", "relu2_2", "relu3_2", "relu4_2")
SHAPE = {"ngf": 16, "nb": 5, "upsample": "resize", "predict": "change"}
FARTHEST = 1 / 8  # of a window's side: the longest step of a pan
MEASURED = 20  # pairs of frames


def parse(argv=None):
    made = command.parser(__doc__, 2000, counted="steps of training")
    add = command.add_training(made)
    add("film", None, command.existing, "a film to learn from, in place of --photos", metavar="FILE")
    add("frames", 1000, number(int, 2), "frames of the film to use, from its start")
    add("temporal", 10, command.WEIGHT, "weight of the temporal loss")
    add("tv", 0.01, command.WEIGHT, "weight of the total variation")
    args = made.parse_args(argv)
    if (args.film is None) == (args.photos is None):
        made.error("--photos DIR or --film FILE is needed to learn from, not both")
    return args


def paint(args, vgg, photo, drawings):
    """The photo (1,3,H,W) in the drawing's style; the weighted losses, and the temporal errors."""
    network = networks.Generator(**SHAPE).to(photo.device)
    training, measured = pairs_of(args, photo)
    objective = make_objective(args, vgg, network, drawings[0])
    batches = (to_batch(itertools.islice(training, args.batch_size), photo.device) for _ in itertools.count())
    losses = feedforward.train(network, batches, objective, args.steps, "video")
    checkpoints.save(args.output.with_suffix(".pth"), checkpoints.generator_file(network))
    with torch.no_grad():
        errors = [measure(network, *to_batch([pair], photo.device)) for pair in measured]
        names = "temporal_error_of_frames", "temporal_error_of_results"
        losses |= dict(zip(names, np.mean(errors, 0).tolist(), strict=True))
        return networks.stylise(network, photo), losses


def make_objective(args, vgg, network, drawing):
    """The function that returns the weighted terms of L for pairs of frames, their flow and mask."""
    perceptual = feedforward.make_loss(vgg, drawing, CONTENT, layers.available(vgg, STYLE))

    def objective(before, now, moved, mask):
        frames = torch.cat([before, now])
        results = networks.stylise(network, frames)
        losses = perceptual(results, frames) | {"tv": total_variation(results)}
        losses["temporal"] = temporal_error(*results.chunk(2), moved, mask)
        return {name: vars(args)[name] * loss for name, loss in losses.items()}

    return objective


def temporal_error(before, now, moved, mask):
    """The mean squared difference of pictures and those before them, moved, over the visible pixels."""
    error = (mask * (now - flow.warp(before, moved)).square()).sum()
    return error / (mask.sum() * now.shape[1]).clamp(min=1)


def measure(network, before, now, *motion):
    """The temporal error of frames, and of what a network makes of them."""
    results = [networks.stylise(network, frame) for frame in (before, now)]
    return [temporal_error(*pair, *motion).item() for pair in ((before, now), results)]


def pairs_of(args, photo):
    """(endless pairs to train on, pairs to measure on); a pair is two uint8 frames, their flow and mask."""
    random, others = np.random.default_rng(args.seed), np.random.default_rng(args.seed + 1)
    side = max(command.SMALLEST, args.size // 2)
    farthest = max(1, round(FARTHEST * side))
    if args.photos:
        paths = feedforward.photographs(args.photos)
        photos = (feedforward.random_photo(paths, max(side, args.size), random) for _ in itertools.count())
        training = (flow.pan(each, side, side, farthest, random) for each in photos)
        sides = [min(side, full) for full in photo.shape[2:]]
        measured = [flow.pan(to_image(photo[0]), *sides, farthest, others) for _ in range(MEASURED)]
        return training, measured
    frames = flow.read_film(args.film, args.size, args.frames)
    pairs = [*itertools.pairwise(frames)]
    with_flow = lambda pair: (*pair, *flow.find(*pair))
    held_out = -(-len(pairs) // 10)
    first = pairs[:-held_out] or pairs  # a film of two frames has one pair
    training = (with_flow(first[random.integers(len(first))]) for _ in itertools.count())
    return training, [with_flow(pair) for pair in pairs[-held_out:][:MEASURED]]


def to_batch(pairs, device):
    """Pairs as (frames before, frames, flows, masks), batches on the device."""
    before, now, moved, mask = zip(*pairs, strict=True)
    frames = [feedforward.to_batch(each, device) for each in (before, now)]
    return *frames, torch.cat(moved).to(device), torch.cat(mask).to(device)


def main(argv=None):
    command.run("video", parse(argv), paint, argv)


if __name__ == "__main__":
    sys.exit(exit_status(main))
