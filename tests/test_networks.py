"""The networks against the paper's Figure 2, and VGG19 against torchvision's own."""

import itertools

import pytest
import torch
import torchvision
from helpers import VGG
from PIL import Image
from torch import nn

import utils
from networks import CONTENT, SMALLEST, STYLE, VGG19, Discriminator, Generator, draw_scales, stylise
from pictures import checkpoints, images
from support.norm import InstanceNorm, LayerNorm

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def layers(network, kinds, shape):
    """(name, kernel, stride, output shape) of each layer of `kinds`, in the order in which they run."""
    seen = []

    def note(layer, _, output):
        kernel, stride = getattr(layer, "kernel_size", (0,))[0], getattr(layer, "stride", (0,))[0]
        seen.append((type(layer).__name__.removeprefix("Padded"), kernel, stride, tuple(output.shape[1:])))

    hooks = [layer.register_forward_hook(note) for layer in network.modules() if isinstance(layer, kinds)]
    network(torch.zeros(shape))
    for hook in hooks:
        hook.remove()
    return seen


def test_generator_is_figure_2_layer_by_layer():
    norm = lambda channels, side: ("InstanceNorm", 0, 0, (channels, side, side))
    relu = lambda channels, side: ("ReLU", 0, 0, (channels, side, side))
    conv = lambda kernel, channels, stride, side: ("Conv2d", kernel, stride, (channels, side, side))
    transposed = lambda channels, side: ("ConvTranspose2d", 3, 2, (channels, side, side))
    block = [conv(3, 256, 1, 8), norm(256, 8), relu(256, 8), conv(3, 256, 1, 8), norm(256, 8)]
    figure = [
        *(conv(7, 64, 1, 32), norm(64, 32), relu(64, 32)),
        *(conv(3, 128, 2, 16), conv(3, 128, 1, 16), norm(128, 16), relu(128, 16)),
        *(conv(3, 256, 2, 8), conv(3, 256, 1, 8), norm(256, 8), relu(256, 8)),
        *(8 * block),
        *(transposed(128, 16), conv(3, 128, 1, 16), norm(128, 16), relu(128, 16)),
        *(transposed(64, 32), conv(3, 64, 1, 32), norm(64, 32), relu(64, 32)),
        conv(7, 3, 1, 32),
    ]
    assert layers(Generator(), (*CONVOLUTIONS, InstanceNorm, nn.ReLU), (1, 3, 32, 32)) == figure


def test_discriminator_is_figure_2_layer_by_layer():
    norm = lambda channels, side: ("InstanceNorm", 0, 0, (channels, side, side))
    leaky = lambda channels, side: ("LeakyReLU", 0, 0, (channels, side, side))
    conv = lambda channels, stride, side: ("Conv2d", 3, stride, (channels, side, side))
    figure = [
        *(conv(32, 1, 32), leaky(32, 32)),
        *(conv(64, 2, 16), leaky(64, 16), conv(128, 1, 16), norm(128, 16), leaky(128, 16)),
        *(conv(128, 2, 8), leaky(128, 8), conv(256, 1, 8), norm(256, 8), leaky(256, 8)),
        *(conv(256, 1, 8), norm(256, 8), leaky(256, 8)),
        conv(1, 1, 8),
    ]
    network = Discriminator()
    assert layers(network, (*CONVOLUTIONS, InstanceNorm, nn.LeakyReLU), (1, 3, 32, 32)) == figure
    assert all(layer.negative_slope == 0.2 for layer in network.modules() if isinstance(layer, nn.LeakyReLU))


@pytest.mark.parametrize(("network", "count"), [(Generator, 11_129_667), (Discriminator, 1_129_665)])
def test_parameter_counts(network, count):
    assert sum(parameter.numel() for parameter in network().parameters()) == count


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_initial_weights(network):
    torch.manual_seed(0)
    made = [layer for layer in network().modules() if isinstance(layer, CONVOLUTIONS)]
    weights = torch.cat([layer.weight.flatten() for layer in made])
    assert abs(weights.std() - 0.02) < 2e-4
    assert abs(weights.mean()) < 2e-4
    assert all(layer.bias.eq(0).all() for layer in made)


@pytest.mark.parametrize(("network", "count"), [(Generator, 11_124_352), (Discriminator, 1_128_800)])
def test_without_biases_all_else_is_the_same(network, count):
    """The weights that a seed draws too, so that both kinds can be compared."""
    torch.manual_seed(0)
    learned = network()
    torch.manual_seed(0)
    without = network(conv_bias="none")
    assert sum(parameter.numel() for parameter in without.parameters()) == count
    kinds = (*CONVOLUTIONS, InstanceNorm)
    assert layers(without, kinds, (1, 3, 32, 32)) == layers(learned, kinds, (1, 3, 32, 32))
    convolutions = {name for name, layer in learned.named_modules() if isinstance(layer, CONVOLUTIONS)}
    wanted, held = learned.state_dict(), without.state_dict()
    assert wanted.keys() - held.keys() == {f"{name}.bias" for name in convolutions}
    assert all(torch.equal(value, wanted[key]) for key, value in held.items())
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.allclose(without(picture), learned(picture), atol=1e-6)  # of biases that are still 0


def test_a_bias_before_an_instance_norm_changes_nothing():
    torch.manual_seed(0)
    network, picture = Generator(ngf=4, nb=1).double(), torch.rand(1, 3, 32, 32).double() * 2 - 1
    before, after = network(picture), [*network.down, *network.blocks[0].layers, *network.up]
    moved = [one for one, two in itertools.pairwise(after) if isinstance(two, InstanceNorm)]
    for layer in moved:
        nn.init.uniform_(layer.bias)
    assert len(moved) == 7
    assert torch.allclose(network(picture), before, rtol=0, atol=1e-10)


@pytest.mark.parametrize("make", [Discriminator, Generator, lambda: Generator(norm="layer")])
def test_drawn_scales(make):
    network = make()
    others = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(0)
    draw_scales(network)
    norms = [layer for layer in network.modules() if isinstance(layer, (InstanceNorm, LayerNorm))]
    scales = torch.cat([layer.weight for layer in norms])
    assert 0 < scales.min() < 0.02 and 0.98 < scales.max() < 1
    assert abs(scales.mean() - 0.5) < 0.03
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, others[key])}
    assert len(changed) == len(norms) and all(key.endswith(".weight") for key in changed)


def test_reflection_padding_where_the_authors_have_it():
    modes = {
        layer.kernel_size[0]: layer.padding_mode
        for layer in Generator(nb=0).modules()
        if isinstance(layer, nn.Conv2d)
    }
    assert modes == {7: "reflect", 3: "zeros"}
    assert {layer.padding_mode for layer in Generator().blocks.modules() if isinstance(layer, nn.Conv2d)} == {
        "reflect"
    }


@pytest.mark.parametrize("upsample", ["deconv", "resize"])
@pytest.mark.parametrize("res_convs", [2, 3])
def test_variants_keep_the_size(upsample, res_convs):
    network = Generator(in_ngc=1, out_ngc=3, ngf=4, nb=2, res_convs=res_convs, upsample=upsample)
    assert network(torch.zeros(2, 1, 16, 24)).shape == (2, 3, 16, 24)
    kinds = [type(layer) for layer in network.up.modules()]
    assert (nn.ConvTranspose2d in kinds) == (upsample == "deconv")
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.blocks[0].modules()) == res_convs


def test_result_is_float32_in_range_whatever_the_precision():
    with torch.autocast("cpu", torch.bfloat16):
        result = Generator(ngf=4, nb=1)(torch.rand(1, 3, 16, 16) * 2 - 1)
    assert result.dtype == torch.float32
    assert result.abs().max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (3, 150), (16, 16), (18, 33), (40, 20)])
def test_stylise_takes_any_size(size):
    network = Generator(ngf=4, nb=1)
    photo = torch.rand(1, 3, *size) * 2 - 1
    result = stylise(network, photo)
    assert result.shape == photo.shape
    if min(size) >= SMALLEST:
        assert torch.equal(result, network(photo))


def test_features_are_conv4_4_before_its_relu_and_four_relus_for_style():
    torch.manual_seed(0)
    vgg = torchvision.models.vgg
    theirs = nn.ModuleDict({"features": vgg.make_layers(vgg.cfgs["E"])}).eval()
    for layer in theirs["features"]:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    seen = []
    for place in (1, 6, 11, 20, 25):
        theirs["features"][place].register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    ours = VGG19()
    checkpoints.fill(ours, {key: theirs.state_dict()[key] for key in ours.state_dict()}, "torchvision")
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    theirs["features"](ours.normalise(picture))
    features = ours(picture)
    assert features.shape == (1, 512, 4, 4)
    assert features.min() < 0, "a ReLU has run"
    assert torch.allclose(features, seen[-1], rtol=1e-4, atol=1e-5)
    assert [tuple(x.shape[1:]) for x in seen] == [
        *((64, 32, 32), (128, 16, 16), (256, 8, 8)),
        *((512, 4, 4), (512, 4, 4)),
    ]
    for got, wanted in zip(ours.maps(picture, STYLE + CONTENT), seen, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_a_narrower_vgg_has_the_same_layers():
    narrow, whole = VGG19(width=8), VGG19()
    assert narrow.state_dict().keys() == whole.state_dict().keys()
    shapes = {key: value.shape for key, value in narrow.state_dict().items()}
    assert shapes["features.0.weight"] == (8, 3, 3, 3) and shapes["features.25.weight"] == (64, 64, 3, 3)
    assert narrow(torch.zeros(2, 3, 32, 48)).shape == (2, 64, 4, 6)
    assert [tuple(x.shape[1:]) for x in narrow.maps(torch.zeros(1, 3, 32, 32), STYLE)] == [
        *((8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4))
    ]


def test_a_deeper_vgg_goes_on_to_relu5_1():
    torch.manual_seed(0)
    vgg = torchvision.models.vgg
    theirs = vgg.make_layers(vgg.cfgs["E"]).eval()
    ours = VGG19(deeper=True)
    weights = {f"features.{key}": value for key, value in theirs.state_dict().items()}
    ours.load_state_dict({key: weights[key] for key in ours.state_dict()})
    picture = torch.rand(1, 3, 32, 48) * 2 - 1
    (relu5_1,) = ours.maps(picture, (29,))
    assert relu5_1.shape == (1, 512, 2, 3) and relu5_1.min() == 0
    assert torch.allclose(relu5_1, theirs[:30](ours.normalise(picture)), rtol=1e-4, atol=1e-5)


def test_maps_run_once_and_end_at_the_last_that_is_wanted():
    vgg, ran = checkpoints.load_vgg(VGG), []
    for place, layer in enumerate(vgg.features):
        layer.register_forward_hook(lambda *_, place=place: ran.append(place))
    picture = torch.zeros(1, 3, 16, 16)
    for places, wanted in ((STYLE, 21), (STYLE + CONTENT, 26), ((), 0)):
        ran.clear()
        assert len(vgg.maps(picture, places)) == len(places)
        assert ran == list(range(wanted))


def test_grey_is_fed_as_three_equal_channels():
    vgg = checkpoints.load_vgg(VGG)
    grey = torch.rand(1, 1, 16, 16) * 2 - 1
    assert torch.equal(vgg(grey), vgg(grey.expand(1, 3, 16, 16)))


def test_red_reaches_vgg_as_torchvision_would_feed_it(tmp_path):
    red = Image.new("RGB", (300, 260), "red")
    red.save(tmp_path / "red.png")
    picture = utils.to_batch(images.read(tmp_path / "red.png"), "cpu")
    assert picture[0, :, 0, 0].tolist() == [1, -1, -1]
    wanted = torchvision.models.VGG19_Weights.IMAGENET1K_V1.transforms()(red)
    assert torch.allclose(VGG19().normalise(picture)[0, :, 0, 0], wanted[:, 0, 0], atol=1e-6)
    assert (utils.to_image(picture[0]) == [255, 0, 0]).all()
