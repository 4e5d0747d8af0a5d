import io
import math
import os
import pickle
import signal
import types
import urllib.error

import pytest
import torch

from networks import VGG19, Discriminator, Generator
from pictures import checkpoints
from training import options
from utils import RunFailed, WrongUse

KILLED_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
from pictures import checkpoints
write = Path.write_bytes
def killed(part, content):
    write(part, content[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
checkpoints.save(sys.argv[1], {"epoch": 1})
Path.write_bytes = killed
checkpoints.save(sys.argv[1], {"epoch": 2})
"""


def saved(content, legacy=False):
    """The bytes that torch.save makes, in its present form or that of before PyTorch 1.6."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def equal(one, other):
    """Whether two state dicts are the same to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def one_line(error, *told):
    text = str(error.value)
    return "\n" not in text and all(part in text for part in told)


# Files


def test_what_is_saved_is_loaded(tmp_path):
    content = {
        "weight": torch.randn(2, 3),
        "epoch": 3,
        "place": (1, 2),
        "settings": {"name": "é", "tag": None},
    }
    checkpoints.save(tmp_path / "a.pth", content)
    loaded = checkpoints.load(tmp_path / "a.pth")
    assert torch.equal(loaded.pop("weight"), content.pop("weight")) and loaded == content
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pth"]


class MakesAFolder:
    """Runs code when it is unpickled the usual way."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize(
    "dump",
    [saved, lambda content: saved(content, legacy=True), lambda content: pickle.dumps(content, protocol=2)],
    ids=["torch", "legacy", "pickle"],
)
def test_a_file_that_wants_to_run_code_is_refused(tmp_path, dump):
    (tmp_path / "a.pth").write_bytes(dump({"weight": MakesAFolder(tmp_path / "made")}))
    with pytest.raises(WrongUse) as error:
        checkpoints.load(tmp_path / "a.pth")
    assert one_line(error, f"{tmp_path}/a.pth is not a file of weights, or wants to run code: refused")
    assert not (tmp_path / "made").exists()


WEIGHTS = {"weight": torch.zeros(50, 50)}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"# a text\n",
        b"results/\n__pycache__/\n",
        b"X\x03\x00\x00\x00\xff\xff\xff",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        saved(WEIGHTS)[:-2000],
        saved(WEIGHTS)[:100],
        saved(WEIGHTS, legacy=True)[:-2000],
        saved(WEIGHTS, legacy=True)[:100],
        saved(WEIGHTS, legacy=True)[:5],
    ],
    ids=["empty", "text", "gitignore", "unicode", "png"] + ["cut"] * 5,
)
def test_a_file_that_is_no_whole_checkpoint_is_one_line(tmp_path, data):
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(WrongUse) as error:
        checkpoints.load(tmp_path / "a.pth")
    assert one_line(error, f"{tmp_path}/a.pth")


def test_a_missing_file_and_a_folder(tmp_path):
    for path, told in ((tmp_path / "none.pth", "no file"), (tmp_path, "cannot read")):
        with pytest.raises(WrongUse) as error:
            checkpoints.load(path)
        assert one_line(error, f"{told} {path}")


def test_kill_9_while_saving_leaves_the_earlier_state(tmp_path, run_cli):
    end = run_cli("-c", KILLED_WHILE_SAVING, tmp_path / "state_latest.pth")
    assert end.returncode == -signal.SIGKILL
    assert checkpoints.load(tmp_path / "state_latest.pth") == {"epoch": 1}
    checkpoints.save(tmp_path / "state_latest.pth", {"epoch": 2})
    assert checkpoints.load(tmp_path / "state_latest.pth") == {"epoch": 2}
    assert len(list(tmp_path.iterdir())) == 1


# Generators


ARCHITECTURES = [
    {"ngf": 4, "nb": 1},
    {"in_ngc": 1, "out_ngc": 1, "ngf": 4, "nb": 2, "res_convs": 3, "upsample": "resize"},
]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=["plain", "other"])
def test_a_generator_is_built_as_its_file_tells(tmp_path, architecture):
    generator = Generator(**architecture)
    checkpoints.save(tmp_path / "g.pth", checkpoints.generator_file(generator))
    loaded = checkpoints.load_generator(tmp_path / "g.pth")
    assert (
        loaded.architecture == generator.architecture and loaded.architecture.items() >= architecture.items()
    )
    photo = torch.rand(1, generator.architecture["in_ngc"], 16, 20)
    assert torch.equal(loaded(photo), generator(photo))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda file: file["architecture"].update(ngf=8),
            "blocks.0.layers.0.bias is [16] there and [32] here",
        ),
        (lambda file: file["architecture"].update(nb=2), "blocks.1.layers.0.bias is nothing there"),
        (lambda file: file["architecture"].update(ngf="4"), "cannot be built"),
        (lambda file: file["architecture"].update(colour=1), "cannot be built"),
        (lambda file: file.update(architecture=None), "cannot be built"),
        (lambda file: file.pop("architecture"), "is no generator_latest.pth of this program"),
        (lambda file: file["state_dict"].pop("down.0.bias"), "down.0.bias is nothing there and [4] here"),
        (lambda file: file["state_dict"].update({7: torch.zeros(1)}), "7 is [1] there and nothing here"),
        (lambda file: file["state_dict"].update({"down.0.bias": 1}), "down.0.bias is nothing there"),
        (lambda file: file.update(state_dict=[]), "holds no weights by name"),
    ],
)
def test_a_generator_file_that_does_not_fit_is_one_line(tmp_path, change, told):
    file = checkpoints.generator_file(Generator(ngf=4, nb=1))
    change(file)
    checkpoints.save(tmp_path / "g.pth", file)
    with pytest.raises(WrongUse) as error:
        checkpoints.load_generator(tmp_path / "g.pth")
    assert one_line(error, f"{tmp_path}/g.pth", told)


# VGG19


@pytest.fixture(scope="module")
def torchvision_weights():
    """A state dict in torchvision's layout, with layers that are not needed."""
    more = {"features.28.weight": torch.zeros(1), "classifier.0.weight": torch.zeros(1)}
    return {**checkpoints.load_vgg("random", seed=1).state_dict(), **more}


def test_a_random_vgg_is_he_initialised_from_its_seed():
    one, same, other = (checkpoints.load_vgg("random", seed).state_dict() for seed in (1, 1, 2))
    assert equal(one, same) and not equal(one, other)
    assert one.keys() == VGG19().state_dict().keys()
    for key, value in one.items():
        if key.endswith("bias"):
            assert not value.any()
        else:
            fan_in = value[0].numel()
            assert value.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)


def test_a_random_vgg_leaves_the_global_seed_alone():
    torch.manual_seed(0)
    checkpoints.load_vgg("random", 1)
    after = torch.rand(1)
    torch.manual_seed(0)
    VGG19()
    assert torch.equal(torch.rand(1), after)


def test_vgg_from_a_file(tmp_path, torchvision_weights):
    torch.save(torchvision_weights, tmp_path / "vgg.pth")
    vgg = checkpoints.load_vgg(str(tmp_path / "vgg.pth"))
    assert equal(vgg.state_dict(), checkpoints.load_vgg("random", 1).state_dict())
    assert not any(weight.requires_grad for weight in vgg.parameters())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"classifier.0.weight": torch.zeros(1)}, "features.0.bias is nothing there and [64] here"),
        ({"features.0.bias": torch.zeros(3)}, "features.0.bias is [3] there and [64] here"),
        ([1, 2], "holds no weights by name"),
    ],
)
def test_a_file_without_vgg19_is_one_line(tmp_path, content, told):
    torch.save(content, tmp_path / "vgg.pth")
    with pytest.raises(WrongUse) as error:
        checkpoints.load_vgg(tmp_path / "vgg.pth")
    assert one_line(error, f"{tmp_path}/vgg.pth", told)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Torchvision's cache, empty, and no network."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    return tmp_path / "hub/checkpoints"


def test_torchvisions_own_weights_come_from_its_cache(cache, torchvision_weights):
    torch.save(torchvision_weights, cache / "vgg19-dcbb9e9d.pth")
    vgg = checkpoints.load_vgg(None)
    assert equal(vgg.state_dict(), checkpoints.load_vgg("random", 1).state_dict())


def test_torchvisions_own_weights_without_a_network(cache):
    with pytest.raises(WrongUse) as error:
        checkpoints.load_vgg(None)
    file = f"{cache}/vgg19-dcbb9e9d.pth"
    assert one_line(error, "Name or service not known", file, "--vgg_model FILE", "--vgg_model random")


@pytest.mark.parametrize("harmful", [False, True])
def test_a_damaged_file_in_the_cache_is_one_line(cache, harmful):
    content = (
        pickle.dumps(MakesAFolder(cache / "made"), protocol=2)
        if harmful
        else saved(WEIGHTS, legacy=True)[:100]
    )
    (cache / "vgg19-dcbb9e9d.pth").write_bytes(content)
    with pytest.raises(WrongUse) as error:
        checkpoints.load_vgg(None)
    assert one_line(error, f"{cache}/vgg19-dcbb9e9d.pth", "--vgg_model FILE", "--vgg_model random")
    assert not (cache / "made").exists()


# States


SETTINGS = {
    "options": vars(options.parse_training(["--batch_size", "1", "--input_size", "16"])[0]),
    "data": {"photographs": {"count": 6}},
}


def training(discriminator=True, nb=1):
    """What save_run and restore_state know of a training.Training."""
    t = types.SimpleNamespace(generator=Generator(ngf=4, nb=nb), discriminator=None, adam_d=None)
    t.adam_g = torch.optim.Adam(t.generator.parameters(), 2e-4)
    if discriminator:
        t.discriminator = Discriminator(ndf=4)
        t.adam_d = torch.optim.Adam(t.discriminator.parameters(), 2e-4)
    t.scaler, t.pool = torch.amp.GradScaler("cpu", enabled=False), pool.Pool(2)
    t.phase, t.epoch, t.step, t.seconds, t.sums = 1, 1, 0, 0.0, {}
    return t


def stepped(t):
    """`t` after a step of its optimisers, at another place."""
    result = t.generator(torch.rand(1, 3, 16, 16))
    loss = result.square().mean() + (t.discriminator(result).mean() if t.discriminator else 0)
    loss.backward()
    for adam in filter(None, (t.adam_g, t.adam_d)):
        adam.step()
        adam.zero_grad()
    t.pool.exchange(result.detach(), (0,))
    t.phase, t.epoch, t.step, t.seconds, t.sums = 2, 3, 4, 5.0, {"content": 6.0}
    return t


@pytest.mark.parametrize("discriminator", [True, False])
def test_a_state_puts_all_back(tmp_path, discriminator):
    before, path = stepped(training(discriminator)), tmp_path / "state_latest.pth"
    checkpoints.save_run(tmp_path, before, before.pool.batches, SETTINGS)
    assert checkpoints.load_generator(tmp_path / "generator_latest.pth").architecture["ngf"] == 4
    assert (tmp_path / "discriminator_latest.pth").exists() == discriminator
    state = checkpoints.load_state(path)
    assert state["settings"] == SETTINGS
    after = training(discriminator)
    checkpoints.restore_state(path, after, state)
    assert (after.phase, after.epoch, after.step) == (2, 3, 4)
    assert (after.seconds, after.sums) == (5.0, {"content": 6.0})
    assert torch.equal(after.pool.batches[0], before.pool.batches[0])
    for t in (before, after):
        torch.manual_seed(0)
        stepped(t)
    assert equal(before.generator.state_dict(), after.generator.state_dict())
    if discriminator:
        assert equal(before.discriminator.state_dict(), after.discriminator.state_dict())


def test_a_run_that_had_no_discriminator_yet_goes_on_with_a_fresh_one(tmp_path):
    path = tmp_path / "state_latest.pth"
    before = stepped(training(discriminator=False))
    before.epoch, before.step = 1, 0
    checkpoints.save_run(tmp_path, before, [], SETTINGS)
    extended = training()
    fresh = {key: value.clone() for key, value in extended.discriminator.state_dict().items()}
    checkpoints.restore_state(path, extended, checkpoints.load_state(path))
    assert equal(extended.discriminator.state_dict(), fresh) and extended.phase == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("place"),
        lambda state: state.update(place=(1, 2)),
        lambda state: state.update(pool=None),
        lambda state: state.update(generator=Generator(ngf=8, nb=1).state_dict()),
    ],
)
def test_a_state_that_does_not_fit_is_one_line(tmp_path, change):
    path = tmp_path / "state_latest.pth"
    checkpoints.save_run(tmp_path, training(), [], SETTINGS)
    state = checkpoints.load_state(path)
    change(state)
    with pytest.raises(WrongUse) as error:
        checkpoints.restore_state(path, training(), state)
    assert one_line(error, f"{path} does not fit this run: ")


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, name):
    t = training()
    with torch.no_grad():
        next(getattr(t, name).parameters()).view(-1)[3] = math.inf
    with pytest.raises(RunFailed, match=f"a weight of the {name} is not finite in phase 1, epoch 1, step 0"):
        checkpoints.save_run(tmp_path, t, [], {})
    assert not list(tmp_path.iterdir())
