"""The baselines of the benchmarks, written out from their descriptions in plain PyTorch and NumPy."""

import copy

import numpy as np
import torch
from torch import nn

import networks
import utils
from pictures.images import cv2


class PlainInstanceNorm(nn.Module):
    """Instance norm by hand, as the public test scripts of the authors' models have it."""

    def __init__(self, norm):
        super().__init__()
        self.scale, self.shift, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x):
        flat = x.view(x.shape[0], x.shape[1], -1)
        mean, variance = flat.mean(2)[..., None, None], flat.var(2, correction=0)[..., None, None]
        return (x - mean) / (variance + self.eps).sqrt() * self.scale[:, None, None] + self.shift[
            :, None, None
        ]


def as_pytorch_is():
    """Set what the public scripts leave as it is: on an A100 and later, convolutions in TF32."""
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False


def plain(generator):
    """The baseline: a copy of the generator in float32, contiguous, with the norm written by hand."""
    as_pytorch_is()
    generator = copy.deepcopy(generator).eval()
    for parent in list(generator.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, networks.InstanceNorm):
                setattr(parent, name, PlainInstanceNorm(layer))
    return generator


@torch.no_grad()
def apply_plain(generator, photos):
    """What a public test script does with photos (uint8 H,W,C): to [-1, 1], through the network, and back."""
    device = next(generator.parameters()).device
    batch = torch.from_numpy(np.stack(photos)).to(device).permute(0, 3, 1, 2).contiguous()
    return [utils.to_image(result) for result in generator(utils.to_range(batch))]


def smooth_by_loop(drawing):
    """The baseline: Canny, dilation, then pixel by pixel a 5x5 weighted sum a channel."""
    edges = cv2.Canny(cv2.cvtColor(drawing, cv2.COLOR_RGB2GRAY), 100, 200)
    weights = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    around = np.pad(drawing, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    smoothed = drawing.copy()
    for y, x in zip(*cv2.dilate(edges, np.ones((5, 5), np.uint8)).nonzero(), strict=True):
        for channel in range(3):
            mean = np.sum(around[y : y + 5, x : x + 5, channel] * weights)
            smoothed[y, x, channel] = mean + 0.5  # to the nearest, since a uint8 cuts off
    return smoothed


def public_step(model, args):
    """The training step of the public scripts, on copies of the networks of a CartoonGAN.Model.

    Everything is float32 and contiguous. D sees drawings, results and smoothed drawings apart, and the
    results are not detached, so D's loss goes back through G as well. G runs a second time for its own step.
    VGG19's weights get gradients, and the photo's features are computed with a graph and then detached.
    Returns a function of photo, drawing and smoothed drawing in [-1, 1] that gives the losses {name: tensor},
    and the generator and the discriminator that it trains.
    """
    as_pytorch_is()
    generator, discriminator = with_torch_norms(model.generator), with_torch_norms(model.discriminator)
    vgg = copy.deepcopy(model.vgg).to(memory_format=torch.contiguous_format).requires_grad_(True)
    adam_g, adam_d = (
        torch.optim.Adam(network.parameters(), rate, (args.beta1, args.beta2))
        for network, rate in ((generator, args.lrG), (discriminator, args.lrD))
    )
    bce, l1 = nn.BCELoss(), nn.L1Loss()

    def step(*pictures):
        photo, drawing, smoothed = (picture.contiguous() for picture in pictures)
        adam_d.zero_grad()
        on_drawing = discriminator(drawing).sigmoid()
        real, fake = torch.ones_like(on_drawing), torch.zeros_like(on_drawing)
        loss_d = bce(on_drawing, real)
        loss_d = loss_d + bce(discriminator(generator(photo)).sigmoid(), fake)
        loss_d = loss_d + bce(discriminator(smoothed).sigmoid(), fake)
        loss_d.backward()
        adam_d.step()

        adam_g.zero_grad()
        result = generator(photo)
        loss_g = bce(discriminator(result).sigmoid(), real)
        wanted = vgg(photo)
        content = l1(vgg(result), wanted.detach())
        (args.adv_lambda * loss_g + args.con_lambda * content).backward()
        adam_g.step()
        return {"discriminator": loss_d, "adversarial": loss_g, "content": content}

    return step, generator, discriminator


def with_torch_norms(network):
    """A contiguous copy of a network with PyTorch's own instance norm."""
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, networks.InstanceNorm):
                norm = nn.InstanceNorm2d(layer.num_features, layer.eps, affine=True).to(layer.weight)
                norm.load_state_dict(layer.state_dict())
                setattr(parent, name, norm)
    return network
