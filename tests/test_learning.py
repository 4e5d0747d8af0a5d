"""What the method learns on toy data: each loss and each phase has its effect."""

import numpy as np
import skimage.data
import torch
from helpers import TINY

import CartoonGAN
import edge_promoting
import utils
from networks import Discriminator
from pictures import images
from training import options

CPU = torch.device("cpu")
PLACE = (2, 1, 0)


def build(text="", precision="fp32"):
    """A Model at its start with tiny networks, and its options."""
    args, _ = options.parse(f"{TINY} {text}".split())
    return CartoonGAN.build(args, CPU, precision), args


def as_tensor(squares):
    return torch.cat([utils.to_batch(square, CPU) for square in squares])


def crops(photograph, count, size):
    """`count` random squares of a third of a photograph's size."""
    rng = np.random.default_rng(0)
    small = np.ascontiguousarray(photograph[::3, ::3])
    corners = (rng.integers(0, np.subtract(small.shape[:2], size), 2) for _ in range(count))
    return [np.ascontiguousarray(small[top : top + size, left : left + size]) for top, left in corners]


def toy_drawing(photo):
    """Posterised, tinted pale blue and outlined in black: a style that a small network can learn."""
    flat = np.round(photo / 255 * 3) / 3 * 127 + np.array([40, 90, 127])
    edges = images.cv2.Canny(images.cv2.cvtColor(photo, images.cv2.COLOR_RGB2GRAY), 30, 60)
    flat[images.cv2.dilate(edges, np.ones((1, 2), np.uint8)) > 0] = 0
    return flat.astype(np.uint8)


def test_phase_one_halves_the_content_loss():
    """Measured: 0.409 falls to 0.105 in 40 steps."""
    model, args = build("--ngf 16 --nb 2 --lrG 5e-4")
    photo = as_tensor(crops(skimage.data.astronaut(), 4, 32)).contiguous(memory_format=torch.channels_last)
    values = [CartoonGAN.reconstruction_step(model, args, photo)["content"].item() for _ in range(40)]
    assert max(values[-5:]) < values[0] / 2


def test_style_loss_falls_below_that_of_the_photographs():
    """Measured: 47.7 falls to 2.1 in 30 steps; that of the photographs is 21.2."""
    model, args = build("--adv_lambda 0 --con_lambda 1 --style_lambda 10 --tv_lambda 1 --lrG 1e-3")
    photo = as_tensor(crops(skimage.data.astronaut(), 4, 32))
    drawing = as_tensor([toy_drawing(square) for square in crops(skimage.data.coffee(), 4, 32)])
    photos = CartoonGAN.perceptual_losses(model, args, photo, photo, drawing)["style"].item()
    values = [CartoonGAN.perceptual_step(model, args, photo, drawing)["style"].item() for _ in range(30)]
    assert max(values[-5:]) < values[0] / 3
    assert max(values[-5:]) < photos / 2


def test_discriminator_learns_drawings_from_their_smoothed_copies():
    """With the halves of a pair swapped, it would learn the opposite."""
    torch.manual_seed(0)
    squares = [toy_drawing(photo) for photo in crops(skimage.data.coffee(), 96, 48)]
    drawing = as_tensor(squares)
    smoothed = as_tensor([edge_promoting.smooth_edges(square) for square in squares])
    network = Discriminator(ndf=8)
    adam = torch.optim.Adam(network.parameters(), 1e-3, (0.5, 0.999))
    for step in range(50):
        chosen = torch.randperm(64, generator=torch.Generator().manual_seed(step))[:8]
        on_drawing, on_smoothed = network(torch.cat([drawing[chosen], smoothed[chosen]])).chunk(2)
        adam.zero_grad()
        CartoonGAN.discriminator_loss(on_drawing, on_smoothed, on_smoothed, "bce").backward()
        adam.step()
    with torch.no_grad():
        difference = (network(drawing[64:]) - network(smoothed[64:])).mean((1, 2, 3))
    assert (difference > 0).float().mean() > 0.9


def colour_and_edges(batch):
    """Mean colour (3 values) and mean difference of neighbours (1 value) of pictures in [-1, 1]."""
    return batch.mean((0, 2, 3)), batch.mean(1).diff(dim=2).abs().mean()


def test_adversarial_steps_bring_results_nearer_to_the_drawings():
    """Measured over four seeds: colour falls to 0.42 to 0.62 of its distance, edges to 0.17 to 0.52.

    The photographs and the drawings are cut from different pictures. Late in phase two the distances vary
    from step to step, so they are averaged over three moments.
    """
    text = "--gan_mode lsgan --con_lambda 1 --ndf 8 --lrG 1e-3 --lrD 1e-3"
    model, args = build(f"--input_size 32 --ngf 8 {text}")
    photo = as_tensor(crops(skimage.data.astronaut(), 20, 32) + crops(skimage.data.chelsea(), 12, 32))
    squares = [toy_drawing(square) for square in crops(skimage.data.coffee(), 32, 32)]
    drawing = as_tensor(squares)
    smoothed = as_tensor([edge_promoting.smooth_edges(square) for square in squares])
    target, distances = colour_and_edges(drawing), []
    random = torch.Generator().manual_seed(args.seed)
    for step in range(1, 101):
        chosen, others = torch.randint(32, (2, 8), generator=random)
        if step <= 30:
            CartoonGAN.reconstruction_step(model, args, photo[chosen])
        else:
            batch = photo[chosen], drawing[others], smoothed[others]
            CartoonGAN.adversarial_step(model, args, *batch, PLACE)
        if step in (30, 80, 90, 100):
            with torch.no_grad():
                values = colour_and_edges(model.generator(photo))
            distances.append([(value - aim).norm().item() for value, aim in zip(values, target, strict=True)])
    colour, edges = np.mean(distances[1:], axis=0) / distances[0]
    assert colour < 0.75
    assert edges < 0.75
