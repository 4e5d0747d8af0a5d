"""The baselines compute the same as the program does."""

import numpy as np
import pytest
import torch
from helpers import VGG

import CartoonGAN
import edge_promoting
import utils
from benchmark import baselines, measuring
from benchmark.training import own_step
from networks import Generator
from pictures import images, inference
from training import options


def test_the_baseline_makes_the_same_pictures():
    torch.manual_seed(0)
    generator = Generator(ngf=8, nb=2)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    photos = [np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)]
    (wanted,) = baselines.apply_plain(baselines.plain(generator), photos)
    (got,) = inference.stylise(inference.prepare(generator, torch.device("cpu"), "fp32"), photos)
    assert wanted.std() > 10
    assert np.abs(got.astype(int) - wanted).max() <= 1


def test_the_public_step_and_the_own_step_agree():
    """Losses and moves of the weights, in double precision: rounding is all that parts them."""
    text = f"--vgg_model {VGG} --ngf 8 --ndf 8 --nb 1 --input_size 32 --batch_size 2 --con_lambda 3"
    args, _ = options.parse(text.split())
    model = CartoonGAN.build(args, torch.device("cpu"), "fp32")
    for network in (model.generator, model.discriminator, model.vgg):
        network.double()
    public, *networks = baselines.public_step(model, args)
    pictures = torch.from_numpy(np.stack(measuring.photographs(None, 6, 32))).permute(0, 3, 1, 2)
    pictures = utils.to_range(pictures).double().chunk(3)
    starts = list(map(weights, networks))
    wanted, got = public(*pictures), own_step(model, args)(*pictures)
    for term, value in wanted.items():
        assert got[term].item() == pytest.approx(value.item(), rel=1e-9)
    for mine, theirs, start in zip((model.generator, model.discriminator), networks, starts, strict=True):
        moved = weights(theirs) - start
        assert moved.norm() > 0.01
        assert (weights(mine) - weights(theirs)).norm() < 1e-6 * moved.norm()


def weights(network):
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def test_the_loop_smooths_as_smooth_edges_does(data):
    for path in sorted((data / "tgt_data/train").iterdir()):
        drawing = images.read(path)
        wanted, got = baselines.smooth_by_loop(drawing), edge_promoting.smooth_edges(drawing)
        assert (wanted != drawing).any()
        assert np.abs(wanted.astype(int) - got).max() <= 1  # OpenCV's weights are fixed-point numbers
