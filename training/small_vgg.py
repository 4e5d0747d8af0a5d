"""Train the content network of `--vgg_model small`: VGG19 up to conv4_4 with a quarter of the channels.

    python -m training.small_vgg PHOTOS DRAWINGS --teacher VGG19.pth

From the feature map of its conv4_4 a small decoder must redraw the picture, and a 1x1 convolution must
predict the feature map of a wider VGG19, the teacher; both are then thrown away. It takes a sixteenth of
the work of VGG19: for trying the program, for tests and for choosing settings, not for a paper's results.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

import utils
from networks import VGG19
from pictures import checkpoints, images
from pictures.listing import find_images
from support.arguments import Parser, number, path

SIDE, BATCH = 96, 8  # pixels of the crops that are learned from, crops a step
SMALLEST, LARGEST = 96, 256  # pixels a side of a crop before it is resized to SIDE
SHUFFLED = 0.3  # the share of crops whose colour channels are swapped, so that no colour is taken for granted
REDRAW = 2  # weight of redrawing beside predicting
RATE, LAST_RATE = 1e-3, 3e-5  # Adam's, at the start and at the end
HELD_OUT = 20  # every 20th picture is kept for the figures
SAVE_EVERY = 500  # steps


class Heads(nn.Module):
    """What is asked of the feature map (N,8 width,H/8,W/8) of conv4_4: the picture, and the teacher's map."""

    def __init__(self, width, teacher_width):
        super().__init__()
        self.predict = nn.Conv2d(8 * width, 8 * teacher_width, 1)
        layers, channels = [nn.Conv2d(8 * width, 8 * width, 3, padding=1), nn.ReLU()], 8 * width
        for out in (4 * width, 2 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
            channels = out
        self.redraw = nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, features):
        return self.redraw(F.relu(features)), self.predict(features)


def read(folders, side=LARGEST):
    """All pictures below the folders as one uint8 tensor (N,3,side,side), RGB, cut to squares."""
    files = [folder / name for folder in folders for name in find_images(folder)]
    squares = [images.fit_training(images.read(file), side, "squash") for file in files]
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


def losses(student, heads, teacher, picture, precision):
    """How badly the picture is redrawn, and the teacher's feature map predicted.

    The mean absolute error in ImageNet's standard deviations, and the squared error over the map's variance.
    """
    with utils.autocast(picture.device, precision):
        with torch.no_grad():
            wanted = teacher(picture).float()
        redrawn, predicted = heads(student(picture))
    error = (predicted.float() - wanted).square().mean() / wanted.var()
    return F.l1_loss(redrawn.float(), student.normalise(picture)), error


@torch.no_grad()
def measure(student, heads, teacher, pictures, precision, device):
    """The two losses, averaged over held-out pictures reduced to SIDE pixels."""
    found = []
    for part in pictures.split(BATCH):
        picture = F.interpolate(part.float(), SIDE, mode="bilinear", antialias=True) / 127.5 - 1
        found.append(torch.stack(losses(student, heads, teacher, picture.to(device), precision)))
    return torch.stack(found).mean(0).tolist()


def train(args):
    """Train and write the weights. The state is saved every SAVE_EVERY steps; a new call goes on with it."""
    device = utils.choose_device(args.device)
    precision = utils.choose_precision("auto", device)
    pictures = read(args.pictures)
    held_out = pictures[::HELD_OUT]
    pictures = pictures[torch.arange(len(pictures)) % HELD_OUT != 0]
    layout = {"device": device, "memory_format": torch.channels_last}
    torch.manual_seed(0)
    teacher = checkpoints.load_vgg(args.teacher).to(**layout)
    student = VGG19(args.width)
    for value in student.parameters():
        torch.nn.init.kaiming_normal_(value) if value.dim() == 4 else torch.nn.init.zeros_(value)
    student = student.requires_grad_().to(**layout)
    heads = Heads(args.width, len(teacher.features[0].weight)).to(**layout)
    adam = torch.optim.Adam([*student.parameters(), *heads.parameters()], RATE, fused=True)
    state, first = args.out.with_suffix(".state"), 1
    parts = {"student": student, "heads": heads, "adam": adam}
    if state.exists():
        saved = checkpoints.load(state)
        first = saved.pop("step") + 1
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    for step in tqdm(range(first, args.steps + 1), initial=first - 1, total=args.steps, disable=None):
        adam.param_groups[0]["lr"] = RATE * (LAST_RATE / RATE) ** (step / args.steps)
        picture = crop(pictures, torch.Generator().manual_seed(step)).to(**layout)
        redrawing, prediction = losses(student, heads, teacher, picture, precision)
        adam.zero_grad()
        (REDRAW * redrawing + prediction).backward()
        adam.step()
        if step % SAVE_EVERY == 0 or step == args.steps:
            redrawing, prediction = measure(student, heads, teacher, held_out, precision, device)
            tqdm.write(f"step {step}: redraw {redrawing:.3f}, predict {prediction:.3f}")
            content = {name: part.state_dict() for name, part in parts.items()}
            checkpoints.save(state, content | {"step": step})
    checkpoints.save(args.out, {key: value.half().cpu() for key, value in student.state_dict().items()})
    state.unlink()


def parse(argv=None):
    parser = Parser("Train the small content network that --vgg_model small names.")
    add = parser.add_argument
    add("pictures", type=path, nargs="+", help="folders of photographs and drawings")
    add("--teacher", help="VGG19 weights whose conv4_4 is predicted (torchvision's ImageNet weights)")
    add("--out", type=path, default=Path(checkpoints.SMALL_VGG), help="the file to write (%(default)s)")
    add("--width", type=number(int, 1, 64), default=16, help="channels of the first block (%(default)s)")
    add("--steps", type=number(int, 1), default=10000, help="steps of 8 crops of 96 pixels (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N, … (%(default)s)")
    return parser.parse_args(argv)


def main(argv=None):
    train(parse(argv))


if __name__ == "__main__":
    sys.exit(utils.exit_status(main))
