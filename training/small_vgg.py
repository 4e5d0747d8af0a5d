"""Train the content network of `--vgg_model small`: VGG19 up to conv4_4 with a quarter of the channels.

    python -m training.small_vgg PHOTOS DRAWINGS --teacher VGG19.pth

A small decoder must reconstruct the picture from its conv4_4 feature map, and a 1x1 convolution must predict
the feature map of a wider VGG19, the teacher; both are then discarded. The network computes a sixteenth of
VGG19: use it to try the program, for tests and to choose settings, not for a paper's results.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

import utils
from networks import VGG19
from pictures import checkpoints, images
from pictures.listing import find_images
from support.arguments import Parser, number, path, pathname

SIDE, BATCH = 96, 8  # side of the crops to learn from, pixels; crops a step
SMALLEST, LARGEST = 96, 256  # side of a crop before it is resized to SIDE, pixels
SHUFFLED = 0.3  # share of crops whose colour channels are swapped, so that features do not rely on colours
REDRAW = 2  # weight of the reconstruction relative to the prediction
RATE, LAST_RATE = 1e-3, 3e-5  # Adam's, at the start and at the end
REPORT_EVERY = 500  # steps, over which the printed losses are averaged


def decoder(width):
    """Layers that reconstruct a picture (N,3,H,W) from its feature map (N,8 width,H/8,W/8)."""
    layers = [nn.ReLU(), nn.Conv2d(8 * width, 8 * width, 3, padding=1), nn.ReLU()]
    for before, after in ((8, 4), (4, 2), (2, 2)):
        convolution = nn.Conv2d(before * width, after * width, 3, padding=1)
        layers += [nn.Upsample(scale_factor=2), convolution, nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(2 * width, 3, 3, padding=1))


def read(folders):
    """All pictures below the folders as one uint8 tensor (N,3,LARGEST,LARGEST), RGB, squashed to squares."""
    files = [folder / name for folder in folders for name in find_images(folder)]
    squares = [images.fit_training(images.read(file), LARGEST, "squash") for file in files]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def crop(pictures, random):
    """A batch (BATCH,3,SIDE,SIDE) in [-1, 1]: random squares, some flipped, some with swapped channels."""
    crops = []
    for index in torch.randint(len(pictures), (BATCH,), generator=random):
        size = int(torch.randint(SMALLEST, LARGEST + 1, (), generator=random))
        top, left = torch.randint(LARGEST - size + 1, (2,), generator=random)
        picture = pictures[index, :, top : top + size, left : left + size][None].float()
        picture = F.interpolate(picture, SIDE, mode="bilinear", antialias=True)
        flip, shuffle = torch.rand(2, generator=random)
        if flip < 0.5:
            picture = picture.flip(3)
        if shuffle < SHUFFLED:
            picture = picture[:, torch.randperm(3, generator=random)]
        crops.append(picture)
    return torch.cat(crops) / 127.5 - 1


def train(args):
    """Train, print the mean losses every REPORT_EVERY steps, and write the weights."""
    device = utils.choose_device(args.device)
    precision = utils.choose_precision("auto", device)
    pictures = read(args.pictures)
    layout = {"device": device, "memory_format": torch.channels_last}
    torch.manual_seed(0)
    teacher = checkpoints.load_vgg(args.teacher).to(**layout)
    student = VGG19(args.width)
    for value in student.parameters():
        torch.nn.init.kaiming_normal_(value) if value.dim() == 4 else torch.nn.init.zeros_(value)
    student = student.requires_grad_().to(**layout)
    predict = nn.Conv2d(8 * args.width, 8 * len(teacher.features[0].weight), 1).to(**layout)
    redraw = decoder(args.width).to(**layout)
    adam = torch.optim.Adam(nn.ModuleList([student, predict, redraw]).parameters(), RATE, fused=True)
    recent = []
    for step in tqdm(range(1, args.steps + 1), disable=None):
        adam.param_groups[0]["lr"] = RATE * (LAST_RATE / RATE) ** (step / args.steps)
        picture = crop(pictures, torch.Generator().manual_seed(step)).to(**layout)
        with utils.autocast(device, precision):
            with torch.no_grad():
                wanted = teacher(picture).float()
            features = student(picture)
            redrawn, predicted = redraw(features).float(), predict(features).float()
        redrawing = F.l1_loss(redrawn, student.normalise(picture))  # in ImageNet's standard deviations
        prediction = (predicted - wanted).square().mean() / wanted.var()
        adam.zero_grad()
        (REDRAW * redrawing + prediction).backward()
        adam.step()
        recent.append(torch.stack([redrawing, prediction]).detach())
        if len(recent) == REPORT_EVERY or step == args.steps:
            redrawing, prediction = torch.stack(recent).mean(0).tolist()
            tqdm.write(f"step {step}: redraw {redrawing:.3f}, predict {prediction:.3f}")
            recent.clear()
    checkpoints.save(args.out, {key: value.half().cpu() for key, value in student.state_dict().items()})


def main(argv=None):
    parser = Parser("Train the small content network of --vgg_model small.")
    parser.add_argument("pictures", type=path, nargs="+", help="folders of photographs and drawings")
    add = parser.group()
    add("teacher", None, pathname, "VGG19 weights whose conv4_4 is predicted", "torchvision's")
    add("out", checkpoints.SMALL_VGG, path, "the file to write")
    add("width", 16, number(int, 1, 64), "channels of the first block")
    add("steps", 10000, number(int, 1), "steps of 8 crops of 96 pixels")
    add("device", "auto", str, "auto, cpu, cuda, cuda:N, …")
    train(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(utils.exit_status(main))
