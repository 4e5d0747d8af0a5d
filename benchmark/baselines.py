"""The baselines: the training step and the generator of the public scripts, written out in plain PyTorch."""

import copy

import numpy as np
import torch
from torch import nn

import networks
import utils


class PlainInstanceNorm(nn.Module):
    """Instance norm written out, as in the public test scripts for the authors' models."""

    def __init__(self, norm):
        super().__init__()
        self.scale, self.shift, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x):
        variance, mean = torch.var_mean(x.flatten(2), 2, correction=0)
        x = (x - mean[..., None, None]) / (variance + self.eps).sqrt()[..., None, None]
        return x * self.scale[:, None, None] + self.shift[:, None, None]


def torch_norm(norm):
    """PyTorch's own instance norm with the weights of one of ours."""
    made = nn.InstanceNorm2d(norm.num_features, norm.eps, affine=True).to(norm.weight)
    made.load_state_dict(norm.state_dict())
    return made


def with_norms(network, make):
    """A copy of a network, contiguous, with make(norm) for each of its instance norms."""
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, networks.InstanceNorm):
                setattr(parent, name, make(layer))
    return network


@torch.no_grad()
def apply_plain(generator, photos):
    """The results (uint8 H,W,C) of photos (uint8 H,W,C), as the public test scripts compute them."""
    device = next(generator.parameters()).device
    batch = torch.from_numpy(np.stack(photos)).to(device).permute(0, 3, 1, 2).contiguous()
    return [utils.to_image(result) for result in generator(utils.to_range(batch))]


def public_step(model, args):
    """The training step of the public scripts, on copies of the networks of a CartoonGAN.Model.

    All is float32 and contiguous. D is called three times. The gradients of D's loss pass through G as well,
    and G runs again for its own step. VGG19's weights get gradients. Returns step(photo, drawing, smoothed),
    which returns {name: loss}, and the G and D that it trains.
    """
    generator, discriminator = (with_norms(x, torch_norm) for x in (model.generator, model.discriminator))
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
        loss_d = bce(on_drawing, real) + bce(discriminator(generator(photo)).sigmoid(), fake)
        loss_d = loss_d + bce(discriminator(smoothed).sigmoid(), fake)
        loss_d.backward()
        adam_d.step()

        adam_g.zero_grad()
        result = generator(photo)
        loss_g = bce(discriminator(result).sigmoid(), real)
        of_photo = vgg(photo)  # with a graph, which stays until the end of the step
        content = l1(vgg(result), of_photo.detach())
        (args.adv_lambda * loss_g + args.con_lambda * content).backward()
        adam_g.step()
        return {"discriminator": loss_d, "adversarial": loss_g, "content": content}

    return step, generator, discriminator
