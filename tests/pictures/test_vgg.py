"""The weights of VGG19: from a file, from torchvision's cache, or random (checkpoints.load_vgg)."""

import urllib.error

import pytest
import torch
from helpers import VGG

from networks import VGG19
from pictures import checkpoints
from utils import WrongUse


@pytest.fixture(scope="module")
def random():
    """VGG19 with random weights."""
    return checkpoints.load_vgg("random", seed=1)


def equal(one, other):
    """Whether two networks are the same to the bit."""
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def whole(vgg):
    """A state dict in torchvision's layout, with layers that are not needed."""
    more = {"features.28.weight": torch.zeros(1), "classifier.0.weight": torch.zeros(1)}
    return {**vgg.state_dict(), **more}


def small():
    """VGG19 with an eighth of the channels, filled by PyTorch alone."""
    vgg = VGG19(width=8)
    vgg.load_state_dict(torch.load(VGG, weights_only=True))
    return vgg


def refusal(source):
    with pytest.raises(WrongUse) as error:
        checkpoints.load_vgg(source)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_random_weights_are_he_initialised_from_their_own_seed(random, capsys):
    torch.manual_seed(0)
    same, after = checkpoints.load_vgg("random", 1), torch.rand(1)
    assert equal(random, same)
    torch.manual_seed(0)
    other = checkpoints.load_vgg("random", 2).state_dict()
    assert torch.equal(torch.rand(1), after)  # the seed is VGG19's alone
    assert capsys.readouterr().err.startswith("warning: VGG19 has random weights")
    for key, value in random.state_dict().items():
        if key.endswith("bias"):
            assert not value.any()
        else:
            assert value.std().item() == pytest.approx((2 / value[0].numel()) ** 0.5, rel=0.1)
            assert not torch.equal(value, other[key])


def test_a_file_of_full_width(tmp_path, random):
    torch.save(whole(random), tmp_path / "vgg.pth")
    vgg = checkpoints.load_vgg(str(tmp_path / "vgg.pth"))
    assert equal(vgg, random)
    assert not any(weight.requires_grad for weight in vgg.parameters())


def test_a_file_of_another_width():
    vgg, same = checkpoints.load_vgg(VGG), small()
    photo = torch.rand(1, 3, 16, 24) * 2 - 1
    assert equal(vgg, same) and torch.equal(vgg(photo), same(photo))
    assert vgg(photo).shape == (1, 64, 2, 3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda weights: weights.pop("features.25.bias"), 'Missing key(s) in state_dict: "features.25.bias"'),
        (lambda weights: weights.pop("features.0.weight"), "does not fit this network"),
        (
            lambda weights: weights.update({"features.2.bias": torch.zeros(9)}),
            "size mismatch for features.2.bias",
        ),
        (lambda weights: weights["features.2.bias"].fill_(torch.inf), "features.2.bias is not finite"),
        (lambda weights: weights.update({"features.0.weight": torch.zeros(4000, 3, 3, 3)}), "size mismatch"),
        (lambda weights: weights.update({"features.0.weight": torch.zeros(10**12, 3, 0)}), "size mismatch"),
        (lambda weights: weights.update({"features.0.weight": torch.zeros(())}), "size mismatch"),
        (lambda weights: weights.update(epoch=1), "holds no weights by name"),
        (lambda weights: weights.clear(), "does not fit this network"),
    ],
)
def test_a_file_without_vgg19_is_one_line(tmp_path, change, told):
    weights = whole(small())
    change(weights)
    torch.save(weights, tmp_path / "vgg.pth")
    line = refusal(tmp_path / "vgg.pth")
    assert told in line and str(tmp_path / "vgg.pth") in line


def test_a_file_of_something_else_is_one_line(tmp_path):
    torch.save([1, 2], tmp_path / "vgg.pth")
    assert f"{tmp_path}/vgg.pth holds no weights by name" in refusal(tmp_path / "vgg.pth")


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
    assert equal(checkpoints.load_vgg(None), small())


def test_torchvisions_own_weights_without_a_network(cache):
    line = refusal(None)
    assert all(
        part in line
        for part in ("Name or service not known", str(cache), "--vgg_model FILE", "--vgg_model small")
    )


def test_a_damaged_file_in_the_cache_is_one_line(cache):
    torch.save(whole(small()), cache)
    cache.write_bytes(cache.read_bytes()[:1000])
    line = refusal(None)
    assert str(cache) in line and "--vgg_model FILE" in line


class MakesAFolder:
    """Runs code when it is unpickled the usual way."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return __import__("os").mkdir, (self.folder,)


def test_a_file_in_the_cache_that_wants_to_run_code_is_refused(cache, tmp_path):
    torch.save({"weight": MakesAFolder(tmp_path / "made")}, cache)
    assert str(cache) in refusal(None)
    assert not (tmp_path / "made").exists()


def test_a_deeper_vgg_is_had_where_the_file_goes_on(tmp_path):
    deep = VGG19(width=4, deeper=True)
    torch.save(deep.state_dict(), tmp_path / "deep.pth")
    torch.save(VGG19(width=4).state_dict(), tmp_path / "shallow.pth")
    assert equal(checkpoints.load_vgg(tmp_path / "deep.pth", deeper=True), deep)
    assert len(checkpoints.load_vgg(tmp_path / "deep.pth").features) == 26
    assert len(checkpoints.load_vgg(tmp_path / "shallow.pth", deeper=True).features) == 26
