"""Each layout of a checkpoint against its definition written out plainly (tests/foreign.py)."""

import pytest
import torch
from foreign import authors, authors_weights, old_script, script_weights
from helpers import SHARED

from networks import Generator
from pictures import checkpoints
from utils import WrongUse

HAYAO = SHARED / "pretrained/Hayao_net_G_float.pth"
CLOSE = 1e-4  # of [-1, 1], in float32
SIZES = [(16, 16), (32, 48), (67, 21)]  # the last makes more pixels than there are, which are cut off


@torch.inference_mode()
def compare(path, defined, sizes=SIZES):
    """The largest difference between what a checkpoint makes of RGB noise and `defined`."""
    generator = checkpoints.load_generator(path)
    photos = [torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1 for size in sizes]
    made = [(generator(photo), defined(photo)) for photo in photos]
    return max((ours - theirs[..., : ours.shape[2], : ours.shape[3]]).abs().max() for ours, theirs in made)


@pytest.mark.parametrize("norm_shape", [(-1,), (1, -1, 1, 1)])
def test_authors_layout(tmp_path, norm_shape):
    weights = authors_weights()
    held = {k: v.reshape(norm_shape) if k.startswith("in") else v for k, v in weights.items()}
    torch.save(held, tmp_path / "net.pth")
    assert compare(tmp_path / "net.pth", lambda rgb: authors(weights, rgb.flip(1)).flip(1)) < CLOSE


@pytest.mark.skipif(not HAYAO.exists(), reason="the released weights are not here")
def test_released_weights():
    weights = torch.load(HAYAO, weights_only=True)
    assert compare(HAYAO, lambda rgb: authors(weights, rgb.flip(1)).flip(1), [(32, 48)]) < CLOSE


@pytest.mark.parametrize(("ngf", "blocks"), [(4, 6), (6, 1)])
def test_old_script_layout(tmp_path, ngf, blocks):
    weights = script_weights(ngf, blocks)
    torch.save(weights, tmp_path / "generator_param.pkl", _use_new_zipfile_serialization=False)
    assert compare(tmp_path / "generator_param.pkl", lambda rgb: old_script(weights, rgb, blocks)) < CLOSE
    made = checkpoints.load_generator(tmp_path / "generator_param.pkl").architecture
    assert (made["ngf"], made["nb"]) == (ngf, blocks)


def test_buffers_of_old_pytorch_change_nothing(tmp_path):
    weights = script_weights()
    torch.save(weights | {"down_convs.1.running_mean": torch.ones(4)}, tmp_path / "net.pkl")
    assert compare(tmp_path / "net.pkl", lambda rgb: old_script(weights, rgb, 6)) < CLOSE


def test_own_layout_with_and_without_newer_keys(tmp_path):
    generator = Generator(ngf=4, nb=2)
    held = checkpoints.generator_file(generator)
    torch.save(held, tmp_path / "new.pth")
    newer = ("padding", "eps", "norm", "predict", "conv_bias")
    older = {key: value for key, value in held["architecture"].items() if key not in newer}
    torch.save(held | {"architecture": older}, tmp_path / "old.pth")
    assert compare(tmp_path / "new.pth", generator) == 0
    assert compare(tmp_path / "old.pth", generator) == 0


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {f"module.{key}": value for key, value in weights.items()},
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"params": {f"module.{key}": value for key, value in weights.items()}},
        *(
            lambda weights, key=key: {"epoch": 3, key: weights, "optimizer": {}}
            for key in ("generator_state_dict", "g_state_dict", "netG", "model", "generator")
        ),
        lambda weights: {"model": {"netG": {"state_dict": weights}["state_dict"]}, "netD": {}},
        *(
            lambda weights, prefix=prefix: (
                {f"{prefix}{key}": value for key, value in weights.items()}
                | {"discriminator.0.weight": torch.zeros(1)}
            )
            for prefix in ("generator.", "G.", "net.module._orig_mod.")
        ),
        lambda weights: {f"_orig_mod.{key}": value for key, value in weights.items()},
        lambda weights: {"n_averaged": torch.tensor(3)} | {f"module.{key}": weights[key] for key in weights},
        lambda weights: {"params": {}, "params_ema": weights},
        lambda weights: {"weights": weights},
    ],
)
def test_wrappers_are_opened(tmp_path, wrap):
    weights = script_weights()
    torch.save(wrap(weights), tmp_path / "net.pkl")
    assert compare(tmp_path / "net.pkl", lambda rgb: old_script(weights, rgb, 6)) < CLOSE


@pytest.mark.parametrize(
    "architecture",
    [
        {"nb": 2},
        {"nb": 1, "res_convs": 3, "upsample": "resize", "in_ngc": 1, "out_ngc": 1},
        {"nb": 0, "conv_bias": "none"},
    ],
)
def test_own_weights_without_their_architecture(tmp_path, capsys, architecture):
    generator = Generator(ngf=4, **architecture)
    torch.save({"params_ema": generator.state_dict()}, tmp_path / "net.pth")
    loaded = checkpoints.load_generator(tmp_path / "net.pth")
    assert loaded.architecture == generator.architecture
    photo = torch.rand(1, generator.architecture["in_ngc"], 16, 20)
    assert torch.equal(loaded(photo), generator(photo))
    assert capsys.readouterr().err.startswith(f"{tmp_path}/net.pth holds weights alone: taken as a generator")


def test_safetensors(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    weights = script_weights()
    save_file(weights, tmp_path / "net.safetensors")
    assert compare(tmp_path / "net.safetensors", lambda rgb: old_script(weights, rgb, 6)) < CLOSE
    (tmp_path / "net.safetensors").write_bytes((tmp_path / "net.safetensors").read_bytes()[:-100])
    with pytest.raises(WrongUse, match="is damaged or cut short: copy or download it again"):
        checkpoints.load_generator(tmp_path / "net.safetensors")


def damaged(change):
    weights = authors_weights(blocks=1)
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"features.1.weight": torch.zeros(1)}, "known layout: take a run"),
        ({}, "known layout: take a run"),
        ({"state_dict": 3}, "no weights by name"),
        ([1, 2], "no weights by name"),
        (damaged(lambda w: w.update(epoch=3)), "no weights by name"),
        (damaged(lambda w: w.pop("conv04_2.bias")), "lacks conv04_2.bias"),
        (damaged(lambda w: w.pop("in02_1.shift")), "lacks in02_1.shift"),
        (damaged(lambda w: w.update(more=torch.zeros(1))), "holds more"),
        (damaged(lambda w: w.update({"conv04_1.weight": torch.zeros(1)})), "does not fit"),
        (damaged(lambda w: w.update({"conv01_1.weight": torch.zeros(1)})), "damaged"),
        (damaged(lambda w: w.update({"deconv03_1.bias": torch.zeros(())})), "damaged"),
        (damaged(lambda w: w.update({"conv01_1.weight": torch.zeros(4, 4, 7, 7)})), "its in_ngc is '4'"),
        (damaged(lambda w: w["in04_1.scale"].fill_(torch.nan)), "blocks.0.layers.1.weight is not finite"),
    ],
)
def test_anything_else_is_told_in_one_line(tmp_path, content, says):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(WrongUse, match=says) as told:
        checkpoints.load_generator(tmp_path / "net.pth")
    assert "net.pth" in str(told.value)
    assert "\n" not in str(told.value)
