"""The weights of VGG19: from a file, from torchvision's cache, or random (checkpoints.load_vgg)."""

import os
import urllib.error

import pytest
import torch
from helpers import VGG

from networks import VGG19
from pictures import checkpoints
from utils import WrongUse


def same(one, other):
    """Whether two networks are equal to the bit."""
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def small():
    """VGG19 with an eighth of the channels, loaded by PyTorch alone."""
    vgg = VGG19(width=8)
    vgg.load_state_dict(torch.load(VGG, weights_only=True))
    return vgg


def whole(vgg):
    """A state dict in torchvision's layout, with layers that are not needed."""
    more = {"features.28.weight": torch.zeros(1), "classifier.0.weight": torch.zeros(1)}
    return {**vgg.state_dict(), **more}


def refusal(source):
    with pytest.raises(WrongUse) as error:
        checkpoints.load_vgg(source)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_random_weights_are_he_initialised_from_their_own_seed(tmp_path, capsys):
    torch.manual_seed(0)
    vgg, after = checkpoints.load_vgg("random", 1), torch.rand(1)
    torch.manual_seed(0)
    assert same(vgg, checkpoints.load_vgg("random", 1))
    assert torch.equal(torch.rand(1), after)  # no other random number depends on it
    assert capsys.readouterr().err.startswith("warning: VGG19 has random weights")
    other = checkpoints.load_vgg("random", 2).state_dict()
    for key, value in vgg.state_dict().items():
        if key.endswith("bias"):
            assert not value.any()
        else:
            assert value.std().item() == pytest.approx((2 / value[0].numel()) ** 0.5, rel=0.1)
            assert not torch.equal(value, other[key])
    torch.save(whole(vgg), tmp_path / "vgg.pth")  # a file of full width
    loaded = checkpoints.load_vgg(str(tmp_path / "vgg.pth"))
    assert same(loaded, vgg) and not any(weight.requires_grad for weight in loaded.parameters())


def test_a_file_of_another_width():
    vgg, expected = checkpoints.load_vgg(VGG), small()
    photo = torch.rand(1, 3, 16, 24) * 2 - 1
    assert same(vgg, expected) and torch.equal(vgg(photo), expected(photo))
    assert vgg(photo).shape == (1, 64, 2, 3)


def test_a_deeper_vgg_needs_a_file_with_more_layers(tmp_path):
    deep = VGG19(width=4, deeper=True)
    torch.save(deep.state_dict(), tmp_path / "deep.pth")
    torch.save(VGG19(width=4).state_dict(), tmp_path / "shallow.pth")
    assert same(checkpoints.load_vgg(tmp_path / "deep.pth", deeper=True), deep)
    assert len(checkpoints.load_vgg(tmp_path / "deep.pth").features) == 26
    assert len(checkpoints.load_vgg(tmp_path / "shallow.pth", deeper=True).features) == 26


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("features.25.bias"), 'Missing key(s) in state_dict: "features.25.bias"'),
        (lambda weights: weights.pop("features.0.weight"), "does not fit this network"),
        (
            lambda weights: weights.update({"features.2.bias": torch.zeros(9)}),
            "size mismatch for features.2.bias",
        ),
        (lambda weights: weights["features.2.bias"].fill_(torch.inf), "features.2.bias is not finite"),
        *(
            (
                lambda weights, shape=shape: weights.update({"features.0.weight": torch.zeros(shape)}),
                "size mismatch",
            )
            for shape in ((4000, 3, 3, 3), (10**12, 3, 0), ())
        ),
        (lambda weights: weights.update(epoch=1), "holds no weights by name"),
        (lambda weights: weights.clear(), "does not fit this network"),
    ],
)
def test_a_file_without_vgg19_is_an_error_of_one_line(tmp_path, change, message):
    weights = whole(small())
    change(weights)
    torch.save(weights, tmp_path / "vgg.pth")
    line = refusal(tmp_path / "vgg.pth")
    assert message in line and str(tmp_path / "vgg.pth") in line


# Torchvision's cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Torchvision's cache, empty, and no network."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    return tmp_path / "hub/checkpoints/vgg19-dcbb9e9d.pth"


def test_torchvisions_own_weights_come_from_its_cache(cache):
    torch.save(whole(small()), cache)
    assert same(checkpoints.load_vgg(None), small())
    cache.write_bytes(cache.read_bytes()[:1000])
    line = refusal(None)
    assert str(cache) in line and "--vgg_model FILE" in line


def test_without_a_network_the_error_says_what_to_do(cache):
    line = refusal(None)
    for part in ("Name or service not known", str(cache), "--vgg_model FILE", "--vgg_model small"):
        assert part in line


class MakesAFolder:
    """Runs code when it is unpickled in the usual way."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_code_in_the_cached_file_is_not_run(cache, tmp_path):
    torch.save({"weight": MakesAFolder(tmp_path / "made")}, cache)
    assert str(cache) in refusal(None)
    assert not (tmp_path / "made").exists()
