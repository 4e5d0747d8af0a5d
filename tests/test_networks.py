"""The networks against the paper's Figure 2, forms of the generator, and VGG19 against torchvision's own."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from helpers import VGG
from torch import nn

from networks import CONTENT, CONVOLUTIONS, STYLE, VGG19, Discriminator, Generator, draw_scales, stylise
from pictures import checkpoints, inference
from support.filters import Flatten, guided_filter
from support.norm import InstanceNorm, LayerNorm


class Plain:
    """Layers in plain PyTorch, with the weights of a network by name."""

    def __init__(self, network):
        self.weights = network.state_dict()

    def conv(self, x, name, pad=0, **more):
        weight, bias = (self.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        return F.conv2d(F.pad(x, (pad,) * 4, "reflect") if pad else x, weight, bias, **more)

    def norm(self, x, name, activation=F.relu):
        weight, bias = (self.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        return activation(F.instance_norm(x, weight=weight, bias=bias, eps=1e-5))

    def double(self, x, name):
        weight, bias = (self.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)

    def generator(self, x):
        x = self.norm(self.conv(x, "down.0", pad=3), "down.1")
        for first, second, norm in (("down.3", "down.4", "down.5"), ("down.7", "down.8", "down.9")):
            x = self.norm(self.conv(self.conv(x, first, stride=2, padding=1), second, padding=1), norm)
        for block in ("blocks.0.layers", "blocks.1.layers"):
            y = self.norm(self.conv(x, f"{block}.0", pad=1), f"{block}.1")
            x = x + self.norm(self.conv(y, f"{block}.3", pad=1), f"{block}.4", activation=lambda y: y)
        for first, second, norm in (("up.0", "up.1", "up.2"), ("up.4", "up.5", "up.6")):
            x = self.norm(self.conv(self.double(x, first), second, padding=1), norm)
        return torch.tanh(self.conv(x, "up.8", pad=3))

    def discriminator(self, x):
        leaky = lambda x: F.leaky_relu(x, 0.2)
        x = leaky(self.conv(x, "layers.0", padding=1))
        for first, second, norm in ((2, 4, 5), (7, 9, 10)):
            x = leaky(self.conv(x, f"layers.{first}", stride=2, padding=1))
            x = self.norm(self.conv(x, f"layers.{second}", padding=1), f"layers.{norm}", leaky)
        x = self.norm(self.conv(x, "layers.12", padding=1), "layers.13", leaky)
        return self.conv(x, "layers.15", padding=1)


@pytest.mark.parametrize("kind", [Generator, Discriminator])
def test_a_network_computes_what_plain_pytorch_does(kind):
    torch.manual_seed(0)
    network = (Generator(ngf=4, nb=2) if kind is Generator else Discriminator(ndf=4)).double()
    for weight in network.parameters():
        nn.init.normal_(weight, 0, 0.3)
    picture = torch.rand(2, 3, 20, 24).double() * 2 - 1
    plain = Plain(network)
    expected = (plain.generator if kind is Generator else plain.discriminator)(picture)
    assert expected.std() > 0.1
    assert torch.allclose(network(picture), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("network", "count"), [(Generator, 11_129_667), (Discriminator, 1_129_665)])
def test_initial_weights_with_and_without_biases(network, count):
    """A seed draws the same weights for both, so that they can be compared."""
    torch.manual_seed(0)
    learned = network()
    assert sum(weight.numel() for weight in learned.parameters()) == count  # as in Figure 2
    torch.manual_seed(0)
    without = network(conv_bias="none")
    convolutions = {name: x for name, x in learned.named_modules() if isinstance(x, CONVOLUTIONS)}
    weights = torch.cat([layer.weight.flatten() for layer in convolutions.values()])
    assert abs(weights.std() - 0.02) < 2e-4 and abs(weights.mean()) < 2e-4
    assert all(layer.bias.eq(0).all() for layer in convolutions.values())
    expected, state = learned.state_dict(), without.state_dict()
    assert expected.keys() - state.keys() == {f"{name}.bias" for name in convolutions}
    assert all(value.equal(expected[key]) for key, value in state.items())
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.allclose(without(picture), learned(picture), atol=1e-6)


def test_drawn_scales_are_uniform():
    for network in (Generator(), Generator(norm="layer"), Discriminator()):
        draw_scales(network)
        norms = [layer for layer in network.modules() if isinstance(layer, (InstanceNorm, LayerNorm))]
        scales = torch.cat([layer.weight for layer in norms])
        assert 0 < scales.min() < 0.02 and 0.98 < scales.max() < 1 and abs(scales.mean() - 0.5) < 0.04
        assert all(layer.bias.eq(0).all() for layer in norms)


@pytest.mark.parametrize(
    ("size", "upsample"), [((1, 1), "resize"), ((16, 33), "resize"), ((3, 50), "deconv")]
)
def test_stylise_takes_any_size(size, upsample):
    """A small side is padded. What that and the upsampling add at the right and below is cut off."""
    network, raw = Generator(in_ngc=1, ngf=4, nb=1, res_convs=3, upsample=upsample), []
    network.up[-1].register_forward_hook(lambda *hooked: raw.append(hooked[-1]))
    photo = torch.rand(2, 1, *size) * 2 - 1
    padded = F.pad(photo, (0, max(0, 16 - size[1]), 0, max(0, 16 - size[0])), mode="replicate")
    result = stylise(network, photo)
    assert result.shape == (2, 3, *size)
    network(padded)
    assert all(result.equal(x.tanh()[..., : size[0], : size[1]]) for x in raw)
    assert any(isinstance(layer, nn.ConvTranspose2d) for layer in network.up) == (upsample == "deconv")
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.blocks.modules()) == 3


# The forms of the generator


def generator(**arguments):
    torch.manual_seed(0)
    return Generator(ngf=8, nb=2, **arguments).eval()


def photo(height=32, width=40):
    rough = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return F.interpolate(rough, (height, width), mode="bicubic").clamp(0, 1) - 0.5


def changes(**form):
    """How far the results of a photo with a colour cast, and at half the contrast, are from its own."""
    network, x = generator(**form, eps=1e-9), photo()  # a larger eps would let the contrast through
    cast = torch.tensor([0.3, -0.2, 0.1]).view(1, 3, 1, 1)
    with torch.inference_mode():
        return [(network(other) - network(x)).abs().max().item() for other in (x + cast, x / 2)]


def test_what_each_norm_sees_of_colour_casts_and_contrast():
    """The paper's form is blind to both; layer norm in the upsampling half comes too late to see a cast."""
    assert max(changes(norm="instance")) < 1e-3 and max(changes(norm="mixed")) < 1e-3
    cast, contrast = changes(norm="layer")
    assert cast > 0.05 and contrast < 1e-3


def test_a_generator_of_changes_sees_both_and_can_change_black_and_white():
    """One that adds nothing returns nine tenths of the photo."""
    assert min(changes(predict="change")) > 0.05
    for value in (-1.0, 1.0):
        network = generator(predict="change")
        network(torch.full((1, 3, 16, 16), value)).sum().backward()
        assert network.up[-1].bias.grad.abs().min() > 1
    nn.init.zeros_(network.up[-1].weight)
    assert torch.allclose(network(photo()), 0.9 * photo(), atol=1e-6)


def test_a_guide_ties_the_result_to_the_flattened_photo():
    form, x = {"predict": "change", "flatten": 1, "outline": 1}, photo()
    flat = Flatten(1, 1)(x)
    assert generator(**form)(x).equal(generator(predict="change")(flat))
    expected = guided_filter(flat, generator(**form)(x), 2)
    assert torch.allclose(generator(**form, guide=2)(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "form",
    [
        {"norm": "mixed", "outline": 1, "padding": "zeros"},
        {"norm": "layer", "predict": "change", "flatten": 2, "outline": 1, "guide": 3, "upsample": "resize"},
    ],
)
def test_a_form_survives_its_checkpoint_and_tiles(form, tmp_path):
    """The checkpoint gives the same results to the bit, tiles within a grey level of 255."""
    network = generator(**form)
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(network))
    loaded = checkpoints.load_generator(tmp_path / "g.pth")
    assert loaded.architecture == network.architecture
    with torch.inference_mode():
        assert torch.equal(loaded(photo()), network(photo()))
    image = ((photo(96, 120)[0] + 0.5) * 255).byte().permute(1, 2, 0).numpy()
    loaded = inference.prepare(loaded, torch.device("cpu"), "fp32")
    (whole,), (tiled,) = (inference.convert(loaded, [image], tile) for tile in (None, 32))
    assert abs(whole.astype(int) - tiled).max() <= 1


# VGG19


def test_feature_maps_are_torchvisions():
    """conv4_4 before its ReLU; relu1_1, relu2_1, relu3_1, relu4_1 of the style; relu5_1 of a deeper one."""
    torch.manual_seed(0)
    vgg = torchvision.models.vgg
    theirs = nn.ModuleDict({"features": vgg.make_layers(vgg.cfgs["E"])}).eval()
    for layer in theirs["features"]:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    ours, deeper = VGG19(), VGG19(deeper=True)
    for network in (ours, deeper):
        state = {key: theirs.state_dict()[key] for key in network.state_dict()}
        checkpoints.fill(network, state, "torchvision")
    picture = torch.rand(1, 3, 32, 48) * 2 - 1
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x, expected = (picture / 2 + 0.5 - mean) / std, []
    for place, layer in enumerate(theirs["features"][:30]):
        x = layer(x)
        if place in (1, 6, 11, 20, 25, 29):
            expected.append(x.clone())
    assert ours(picture).min() < 0 and ours(picture).shape == (1, 512, 4, 6)
    made = [*ours.maps(picture, STYLE), ours(picture), *deeper.maps(picture, (29,))]
    for mine, one in zip(made, expected, strict=True):
        assert torch.allclose(mine, one, rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_layers_run_once_up_to_the_last_one_that_is_needed():
    """On a narrow VGG19 with the same layers. Grey is fed as three equal channels."""
    vgg, ran = checkpoints.load_vgg(VGG), []
    assert vgg.state_dict().keys() == VGG19().state_dict().keys()
    for place, layer in enumerate(vgg.features):
        layer.register_forward_hook(lambda *_, place=place: ran.append(place))
    picture = torch.rand(1, 1, 16, 16) * 2 - 1
    for places, layers_run in ((STYLE, 21), (STYLE + CONTENT, 26), ((), 0)):
        ran.clear()
        made = vgg.maps(picture, places)
        assert ran == list(range(layers_run)) and len(made) == len(places)
    assert vgg(picture).equal(vgg(picture.expand(1, 3, 16, 16)))
