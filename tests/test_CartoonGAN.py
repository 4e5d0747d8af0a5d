"""The method, the loop, and runs that are stopped, killed and resumed."""

import collections
import csv
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import losses
import numpy as np
import pytest
import skimage.data
import torch
from helpers import ROOT

import CartoonGAN
import edge_promoting
import networks
import test
import utils
from pictures import checkpoints, images
from training import model, options

CPU = torch.device("cpu")
WATCHED = ("change_from_photo", "fakes_detected")  # what is counted in phase two beside the losses
SHARED = ROOT.parent / "shared"
TINY = (
    "--vgg_model random --ngf 4 --ndf 4 --nb 1 --input_size 16 --batch_size 2 --device cpu --precision fp32"
)


def build(text="", precision="fp32"):
    """A Training at its start with tiny networks, and its options."""
    args, _ = options.parse_training(f"{TINY} {text}".split())
    return model.build(args, CPU, precision), args


def pictures(count, size, seed=0, dtype=torch.float32):
    """Smooth random pictures in [-1, 1]."""
    rough = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(rough, size, mode="bicubic").clamp(0, 1).mul(2).sub(1).to(dtype)


def cut(folder, count, size):
    """`count` squares from the middle of images spread over a folder, uint8 arrays."""
    paths = [folder / name for name in images.find(folder)]
    for path in paths[:: max(1, len(paths) // count)][:count]:
        image = images.fit_training(images.read(path), size, "crop")
        top, left = ((side - size) // 2 for side in image.shape[:2])
        yield np.ascontiguousarray(image[top : top + size, left : left + size])


def as_tensor(squares):
    return torch.cat([utils.to_batch(square, CPU) for square in squares])


# The method


def two_pass_gradients(t, args, photo, drawing, smoothed):
    """D's and G's gradients by the plain reading: every picture through its own pass, G run twice."""
    real, fake = torch.ones, torch.zeros

    def distance(logits, target):
        target = target(logits.shape, dtype=logits.dtype)
        if args.gan_mode == "lsgan":
            return torch.nn.functional.mse_loss(logits, target)
        return torch.nn.functional.binary_cross_entropy(torch.sigmoid(logits), target)

    discriminator, generator = t.discriminator, t.generator
    discriminator.zero_grad()
    result = generator(photo).detach()
    loss = distance(discriminator(drawing), real) + distance(discriminator(result), fake)
    (loss + distance(discriminator(smoothed), fake)).backward()
    gradients_d = [parameter.grad.clone() for parameter in discriminator.parameters()]
    t.adam_d.step()

    generator.zero_grad()
    result = generator(photo)
    content = (t.vgg(result) - t.vgg(photo)).abs().mean()
    (args.adv_lambda * distance(discriminator(result), real) + args.con_lambda * content).backward()
    return gradients_d, [parameter.grad.clone() for parameter in generator.parameters()]


@pytest.mark.parametrize("mode", ["bce", "lsgan"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_one_pass_step_has_the_gradients_of_the_plain_two_pass_step(mode, dtype, tolerance):
    fast, args = build(f"--gan_mode {mode} --con_lambda 3 --adv_lambda 2")
    plain, _ = build(f"--gan_mode {mode}")
    for t in (fast, plain):
        for network in (t.generator, t.discriminator, t.vgg):
            network.to(dtype)
        # Plain descent, so that the update of D carries no more error into G's pass than the gradients have.
        t.adam_d = torch.optim.SGD(t.discriminator.parameters(), 0.1)
        t.adam_g = torch.optim.SGD(t.generator.parameters(), 0.1)
    fast.phase = 2
    batch = [pictures(2, 16, seed, dtype) for seed in range(3)]
    wanted_d, wanted_g = two_pass_gradients(plain, args, *batch)
    CartoonGAN.adversarial_step(fast, args, *batch)
    for network, wanted in ((fast.discriminator, wanted_d), (fast.generator, wanted_g)):
        got = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
        wanted = torch.cat([gradient.flatten() for gradient in wanted])
        assert wanted.norm() > 0
        assert (got - wanted).norm() / wanted.norm() < tolerance


def test_the_generator_step_leaves_the_discriminator_trainable_and_vgg_frozen():
    t, args = build()
    frozen = {key: value.clone() for key, value in t.vgg.state_dict().items()}
    before = {key: value.clone() for key, value in t.discriminator.state_dict().items()}
    t.phase = 2
    CartoonGAN.adversarial_step(t, args, *(pictures(2, 16, seed) for seed in range(3)))
    assert all(parameter.requires_grad for parameter in t.discriminator.parameters())
    assert all(torch.equal(value, frozen[key]) for key, value in t.vgg.state_dict().items())
    assert not all(torch.equal(value, before[key]) for key, value in t.discriminator.state_dict().items())


@pytest.mark.parametrize("text", ["--gan_mode lsgan --pool_size 2", "--con_lambda 0 --pre_train_epoch 0"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_steps(text, precision):
    """The scaler's branch too, which only a GPU without bf16 takes by itself."""
    t, args = build(text, precision)
    t.phase = 2
    before = t.generator.down[0].weight.clone()
    for t.step in range(12):  # fp16 skips its first steps until the scale fits
        terms = CartoonGAN.adversarial_step(t, args, *(pictures(2, 16, seed) for seed in range(3)))
    assert all(math.isfinite(value) and value.dtype == torch.float32 for value in terms.values())
    assert set(terms) == {"discriminator", "adversarial", *WATCHED} | (
        {"content"} if args.con_lambda else set()
    )
    assert not torch.equal(before, t.generator.down[0].weight)
    assert t.scaler.is_enabled() == (precision == "fp16")


def test_steps_that_float16_skips_are_counted():
    """Gradients that overflow are planted: of G at one step, of both networks at another."""
    t, args = build("", "fp16")
    t.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    t.phase = 2
    for weight, steps in ((t.generator.down[0].weight, (3, 5)), (t.discriminator.layers[0].weight, (5,))):
        weight.register_hook(lambda gradient, steps=steps: gradient * (math.inf if t.step in steps else 1))
    batch = [torch.full((2, 3, 16, 16), value, dtype=torch.uint8) for value in (60, 128, 200)]
    counts = []
    for t.step in range(7):
        counts.append(CartoonGAN.one_step(t, args, batch)["skipped_steps"].item())
    assert counts == [0, 0, 0, 1, 0, 2, 0]


def test_bfloat16_trains_as_float32_does():
    """The short form; docs/performance.md has 100 steps on the real data."""
    means = []
    for precision in ("fp32", "bf16"):
        t, args = build("--ngf 8 --ndf 8 --input_size 32", precision)
        t.phase, sums = 2, collections.defaultdict(float)
        photos, drawings = crops(skimage.data.coffee(), 60, 32), crops(skimage.data.astronaut(), 60, 32)
        for step in range(30):
            two = slice(2 * step, 2 * step + 2)
            drawn = drawings[two]
            smoothed = as_tensor(edge_promoting.smooth_edges(drawing) for drawing in drawn)
            terms = CartoonGAN.adversarial_step(t, args, as_tensor(photos[two]), as_tensor(drawn), smoothed)
            for term, value in terms.items():
                sums[term] += value.item() / 30
        means.append(sums)
    full, half = means
    assert half["discriminator"] == pytest.approx(full["discriminator"], abs=0.02)
    for term in ("adversarial", "content"):
        assert half[term] == pytest.approx(full[term], rel=0.02)


def test_without_adversarial_weight_there_is_no_discriminator():
    t, args = build("--adv_lambda 0")
    t.phase = 2
    assert t.discriminator is None and t.adam_d is None
    batch = [torch.zeros(2, 3, 16, 16, dtype=torch.uint8)]
    assert set(CartoonGAN.one_step(t, args, batch)) == {"content", "change_from_photo"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("--style_lambda 2 --tv_lambda 1", "discriminator adversarial content style total_variation"),
        ("--adv_lambda 0 --style_lambda 2 --tv_lambda 1", "content style total_variation"),
        ("--con_lambda 0 --pre_train_epoch 0 --style_lambda 2", "discriminator adversarial style"),
        ("--con_lambda 0 --pre_train_epoch 0 --adv_lambda 0 --style_lambda 2", "style"),
        ("--con_lambda 0 --pre_train_epoch 0 --tv_lambda 1", "discriminator adversarial total_variation"),
    ],
)
def test_each_term_with_a_weight_is_there_by_its_name(text, wanted, channels, precision, monkeypatch):
    grey = f"--in_ngc {channels} --out_ngc {channels} --in_ndc {channels}"
    t, args = build(f"{text} {grey}", precision)
    t.phase = 2
    weighted, update = [], CartoonGAN.update
    monkeypatch.setattr(
        CartoonGAN, "update", lambda t, adam, loss: (weighted.append(loss), update(t, adam, loss))
    )
    batch = [torch.full((2, channels, 16, 16), value, dtype=torch.uint8) for value in (60, 128, 200)]
    terms = CartoonGAN.one_step(t, args, batch)
    watched = [name for name in WATCHED if t.discriminator or name == "change_from_photo"]
    assert list(terms) == wanted.split() + watched
    assert all(value.dtype == torch.float32 and value.isfinite() for value in terms.values())
    weights = {"content": args.con_lambda, "style": args.style_lambda, "total_variation": args.tv_lambda}
    weights |= {"adversarial": args.adv_lambda, "discriminator": 0, **dict.fromkeys(WATCHED, 0)}
    total = sum(weights[term] * value for term, value in terms.items())
    assert weighted[-1].item() == pytest.approx(total.item(), rel=1e-5)


def test_phase_one_is_content_alone():
    t, args = build("--style_lambda 2 --tv_lambda 1")
    assert set(CartoonGAN.one_step(t, args, [torch.zeros(2, 3, 16, 16, dtype=torch.uint8)])) == {"content"}


def test_style_loss_falls_below_that_of_the_photographs():
    """Measured: 7.19 falls to 0.30 in 30 steps; the photographs themselves stand at 3.34."""
    t, args = build("--adv_lambda 0 --con_lambda 1 --style_lambda 10 --tv_lambda 1 --lrG 1e-3")
    photo = as_tensor(crops(skimage.data.astronaut(), 4, 32))
    drawing = as_tensor([toy_drawing(square) for square in crops(skimage.data.coffee(), 4, 32)])
    photos = CartoonGAN.perceptual_terms(t, args, photo, photo, drawing)[1]["style"].item()
    values = [CartoonGAN.perceptual_step(t, args, photo, drawing)["style"].item() for _ in range(30)]
    assert max(values[-5:]) < values[0] / 3
    assert max(values[-5:]) < photos / 2


def test_learning_rates():
    factors = lambda *args, epochs: [
        CartoonGAN.learning_rate_factor(*args, e, epochs) for e in range(1, epochs + 1)
    ]
    assert factors("step", 1, epochs=8) == [1] * 8
    assert factors("step", 2, epochs=8) == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)
    assert factors("step", 2, epochs=1) == [1]
    for phase in (1, 2):
        assert factors("linear", phase, epochs=6) == pytest.approx([1, 1, 1, 0.75, 0.5, 0.25])
    t, args = build("--lrG 0.1 --lrD 0.3 --pre_lr 0.5 --lr_policy linear")
    rates = []
    for t.phase, t.epoch in ((1, 1), (1, 10), (2, 6)):
        CartoonGAN.set_learning_rates(t, args, 10)
        rates.append((t.adam_g.param_groups[0]["lr"], t.adam_d.param_groups[0]["lr"]))
    assert rates == [pytest.approx(pair) for pair in ((0.5, 0.3), (0.5 / 6, 0.05), (0.1 * 5 / 6, 0.25))]


def toy_drawing(photo):
    """Posterised, tinted pale blue and outlined in black: a style that a small network can learn."""
    flat = np.round(photo / 255 * 3) / 3 * 127 + np.array([40, 90, 127])
    edges = images.cv2.Canny(images.cv2.cvtColor(photo, images.cv2.COLOR_RGB2GRAY), 30, 60)
    flat[images.cv2.dilate(edges, np.ones((1, 2), np.uint8)) > 0] = 0
    return flat.astype(np.uint8)


def crops(photograph, count, size):
    """`count` random squares of a third of a photograph's size."""
    rng = np.random.default_rng(0)
    small = np.ascontiguousarray(photograph[::3, ::3])
    corners = (rng.integers(0, np.subtract(small.shape[:2], size), 2) for _ in range(count))
    return [np.ascontiguousarray(small[top : top + size, left : left + size]) for top, left in corners]


def real_drawings(count, size):
    """Squares of real drawings where there are any, else of the toy style."""
    if (SHARED / "data").is_dir():
        return list(cut(SHARED / "data" / "tgt_data" / "train", count, size))
    return [toy_drawing(photo) for photo in crops(skimage.data.coffee(), count, size)]


def test_discriminator_learns_drawings_from_their_smoothed_copies():
    """Were the halves of a pair swapped, this would come out the other way round."""
    torch.manual_seed(0)
    squares = real_drawings(96, 48)
    drawing = as_tensor(squares)
    smoothed = as_tensor([edge_promoting.smooth_edges(square) for square in squares])
    network = networks.Discriminator(ndf=8)
    adam = torch.optim.Adam(network.parameters(), 1e-3, (0.5, 0.999))
    for step in range(200):
        chosen = torch.randperm(64, generator=torch.Generator().manual_seed(step))[:8]
        on_drawing, on_smoothed = network(torch.cat([drawing[chosen], smoothed[chosen]])).chunk(2)
        adam.zero_grad()
        losses.discriminator(on_drawing, on_smoothed, on_smoothed, "bce").backward()
        adam.step()
    with torch.no_grad():
        difference = (network(drawing[64:]) - network(smoothed[64:])).mean((1, 2, 3))
    assert (difference > 0).float().mean() > 0.9


def test_phase_one_halves_the_content_loss():
    """Measured: 0.475 falls to 0.233 in 31 steps and to 0.191 in 61."""
    args, _ = options.parse_training(["--vgg_model", "random", "--input_size", "64", "--ngf", "16"])
    t = model.build(args, CPU, "fp32")
    if (SHARED / "data").is_dir():
        photo = as_tensor(cut(SHARED / "data" / "src_data" / "test", 4, 64))
    else:
        photo = pictures(4, 64)
    photo = photo.contiguous(memory_format=torch.channels_last)
    values = [CartoonGAN.reconstruction_step(t, args, photo)["content"].item() for _ in range(50)]
    assert min(values[-5:]) < values[0] / 2


def colour_and_edges(batch):
    """Mean colour (3 values) and mean difference of neighbours (1 value) of pictures in [-1, 1]."""
    return batch.mean((0, 2, 3)), batch.mean(1).diff(dim=2).abs().mean()


def toy_distances(adv_lambda):
    """Distance of a toy run's results from the drawings, in colour and in edges: after phase two over before.

    The photographs and the drawings are cut from different pictures. Late in phase two the distances still
    swing from step to step, so the mean over three moments counts.
    """
    text = "--vgg_model random --input_size 32 --ngf 8 --ndf 16 --nb 1 --con_lambda 3 --lrG 4e-4 --lrD 4e-4"
    args, _ = options.parse_training([*text.split(), "--adv_lambda", str(adv_lambda)])
    t = model.build(args, CPU, utils.choose_precision("auto", CPU))
    photo = as_tensor(crops(skimage.data.astronaut(), 40, 32) + crops(skimage.data.chelsea(), 24, 32))
    squares = [toy_drawing(square) for square in crops(skimage.data.coffee(), 64, 32)]
    drawing, smoothed = (
        as_tensor(squares),
        as_tensor([edge_promoting.smooth_edges(square) for square in squares]),
    )
    wanted = colour_and_edges(drawing)
    generator = torch.Generator().manual_seed(0)
    moments = []
    for step in range(200):
        chosen, others = torch.randint(64, (2, 8), generator=generator)
        if step < 80 or not t.discriminator:
            CartoonGAN.reconstruction_step(t, args, photo[chosen])
        else:
            CartoonGAN.adversarial_step(t, args, photo[chosen], drawing[others], smoothed[others])
        if step + 1 in (80, 160, 180, 200):
            with torch.no_grad():
                moments.append(colour_and_edges(t.generator(photo)))
    distances = [[(got - aim).norm().item() for got, aim in zip(m, wanted, strict=True)] for m in moments]
    return np.mean(distances[1:], axis=0) / distances[0]


def test_adversarial_steps_bring_results_nearer_to_the_drawings():
    """Measured over three seeds: colour falls to 0.10 to 0.31 of its distance, edges to 0.25 to 0.53."""
    colour, edges = toy_distances(adv_lambda=1)
    assert colour < 0.6
    assert edges < 0.7


def test_without_the_adversarial_loss_they_stay_away():
    """Measured over three seeds: colour 0.96 to 1.06, edges 0.82 to 1.12."""
    colour, edges = toy_distances(adv_lambda=0)
    assert colour > 0.75
    assert edges > 0.75


# Runs


def command(data, results, *more):
    """The options of a tiny run of two and three epochs: three steps each, the data's six photographs."""
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", results]
    text = f"{TINY} --name Tiny --pre_train_epoch 2 --train_epoch 3 --workers 0 --save_minutes 0"
    return [*map(str, folders), *text.split(), *map(str, more)]


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def weights(folder):
    return {name: checkpoints.load(folder / f"{name}_latest.pth") for name in ("generator", "discriminator")}


def same(one, two):
    """Whether two nested dictionaries of tensors and values are equal to the bit."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


@pytest.fixture
def finished(data, tmp_path):
    """The folder of an undisturbed run."""
    assert CartoonGAN.main(command(data, tmp_path / "whole", "--pool_size", 4)) == 0
    return tmp_path / "whole" / "Tiny_2_3_2_results"


def test_what_a_run_leaves(finished, data):
    (events,) = finished.glob("events.out.tfevents.*")
    assert {path.name for path in finished.iterdir()} == {
        *("Reconstruction", "Transfer", "metrics.csv", "losses.png", "settings.json", "log.txt"),
        *("generator_latest.pth", "discriminator_latest.pth", "state_latest.pth"),
        *("index.html", "page.js", events.name),
    }
    names = {f"train_{n}" for n in range(1, 6)} | {f"test_{n}" for n in range(1, 4)}
    transfer = {f"{epoch}_epoch_Tiny_2_3_2_{name}.png" for epoch in (1, 2, 3) for name in names}
    assert {path.name for path in (finished / "Transfer").iterdir()} == transfer
    recon = {"Tiny_2_3_2_{}_recon_{}.png".format(*name.split("_")) for name in names}
    assert {path.name for path in (finished / "Reconstruction").iterdir()} == recon
    photo = images.fit_within(images.read(data / "src_data" / "test" / "0.jpg"), 32)
    sample = images.read(finished / "Transfer" / "3_epoch_Tiny_2_3_2_test_1.png")
    assert sample.shape == (photo.shape[0], 2 * photo.shape[1], 3)
    assert (sample[:, : photo.shape[1]] == photo).all()

    assert [(row["phase"], row["epoch"]) for row in rows(finished)] == [*zip("11222", "12123", strict=True)]
    assert float(rows(finished)[-1]["learning_rate"]) == pytest.approx(2e-5)
    assert all(float(row["content"]) > 0 for row in rows(finished))
    assert [bool(row["discriminator"]) for row in rows(finished)] == [False, False, True, True, True]
    settings = json.loads((finished / "settings.json").read_text())
    assert settings["options"]["ngf"] == 4 and settings["vgg"] == "random"
    assert "pool_size" in settings["given"] and "lrG" not in settings["given"]
    assert settings["data"]["photographs"]["count"] == 6
    assert checkpoints.load_generator(finished / "generator_latest.pth").architecture["ngf"] == 4


class Killed(BaseException):
    """Ends a run at once, as SIGKILL does: nothing on the way out catches it."""


@pytest.mark.parametrize(
    "at", [2, 3, 8, 14], ids=["in phase one", "between epochs", "in phase two", "after a learning-rate step"]
)
def test_a_killed_run_resumes_to_the_same_weights(at, finished, data, tmp_path, monkeypatch):
    more = ["--pool_size", 4, "--workers", 2]
    step, left = CartoonGAN.one_step, iter(range(at))

    def dies(*args):
        if next(left, None) is None:
            raise Killed
        return step(*args)

    monkeypatch.setattr(CartoonGAN, "one_step", dies)
    with pytest.raises(Killed):
        CartoonGAN.main(command(data, tmp_path / "killed", *more))
    monkeypatch.setattr(CartoonGAN, "one_step", step)
    folder = tmp_path / "killed" / "Tiny_2_3_2_results"
    assert CartoonGAN.main([*command(data, tmp_path / "killed", *more), "--resume"]) == 0
    assert same(weights(folder), weights(finished))
    kept = [key for key in rows(finished)[0] if key not in ("seconds", "images_per_second")]
    assert [[row[key] for key in kept] for row in rows(folder)] == [
        [row[key] for key in kept] for row in rows(finished)
    ]
    assert not list(folder.rglob("*.part"))


def test_a_run_goes_on_to_more_epochs(finished, capsys):
    assert CartoonGAN.main(["--resume", str(finished), "--train_epoch", "4", "--sample_every", "4"]) == 0
    assert [(row["phase"], row["epoch"]) for row in rows(finished)][-2:] == [("2", "3"), ("2", "4")]
    assert (finished / "Transfer" / "4_epoch_Tiny_2_3_2_test_1.png").exists()
    assert len(json.loads((finished / "settings.json").read_text())["commands"]) == 2


def test_a_finished_run_is_left_as_it_is(finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert CartoonGAN.main(["--resume", str(finished)]) == 0
    assert "nothing to do, all 3 epochs of phase two are done; train longer" in capsys.readouterr().out
    with pytest.raises(utils.WrongUse, match="3 epochs of phase two are done, more than --train_epoch 2"):
        CartoonGAN.main(["--resume", str(finished), "--train_epoch", "2"])
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_phase_one_alone_can_go_on_to_phase_two(data, tmp_path):
    assert CartoonGAN.main([*command(data, tmp_path), "--train_epoch", "0"]) == 0
    folder = tmp_path / "Tiny_2_0_2_results"
    assert not (folder / "Transfer").exists()
    assert CartoonGAN.main(["--resume", str(folder), "--train_epoch", "1"]) == 0
    assert [(row["phase"], row["epoch"]) for row in rows(folder)] == [("1", "1"), ("1", "2"), ("2", "1")]


def test_start_from_weights_skips_phase_one(finished, data, tmp_path, capsys):
    start = [
        "--latest_generator_model",
        finished / "generator_latest.pth",
        "--train_epoch",
        1,
        "--tag",
        "more",
    ]
    start += [
        "--latest_discriminator_model",
        finished / "discriminator_latest.pth",
        "--lrG",
        1e-9,
        "--lrD",
        1e-9,
    ]
    assert CartoonGAN.main(command(data, tmp_path / "more", *start)) == 0
    folder = tmp_path / "more" / "Tiny_2_1_2_1e-09_more_results"
    assert [(row["phase"], row["epoch"]) for row in rows(folder)] == [("2", "1")]
    one, two = (weights(where)["generator"]["state_dict"] for where in (folder, finished))
    assert all(torch.allclose(one[key], two[key], atol=1e-6) for key in one)
    with pytest.raises(utils.WrongUse, match="has ngf 4, but --ngf is 8"):
        CartoonGAN.main(command(data, tmp_path / "other", *start, "--ngf", 8))
    assert not (tmp_path / "other").exists()


def test_a_run_of_content_style_and_total_variation(data, tmp_path):
    """Feed-forward style transfer: drawings, but no discriminator."""
    more = ["--adv_lambda", 0, "--con_lambda", 1, "--style_lambda", 10, "--tv_lambda", 1]
    assert CartoonGAN.main(command(data, tmp_path, *more)) == 0
    folder = tmp_path / "Tiny_2_3_2_results"
    assert not (folder / "discriminator_latest.pth").exists()
    first, *_, last = rows(folder)
    terms = [
        key for key in last if key not in ("phase", "epoch", "seconds", "images_per_second", "learning_rate")
    ]
    assert terms == ["content", "style", "total_variation", "change_from_photo"]
    assert [bool(first[term]) for term in terms] == [True, False, False, False]
    assert all(float(last[term]) > 0 for term in terms)
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["data"]["drawings"]["count"] == 6


@pytest.mark.parametrize("adv_lambda", [0, 1])
def test_one_channel_is_trained_and_applied(adv_lambda, data, tmp_path):
    grey = ["--in_ngc", 1, "--out_ngc", 1, "--in_ndc", 1, "--style_lambda", 1, "--adv_lambda", adv_lambda]
    assert CartoonGAN.main(command(data, tmp_path, *grey)) == 0
    folder = tmp_path / "Tiny_2_3_2_results"
    sample = images.read(folder / "Transfer" / "3_epoch_Tiny_2_3_2_test_1.png")
    assert (sample == sample[..., :1]).all()
    where = ["--image_dir", data / "src_data" / "test", "--output_image_dir", tmp_path / "out"]
    argv = ["--pre_trained_model", folder / "generator_latest.pth", *where, "--format", "png"]
    test.main([str(word) for word in [*argv, "--device", "cpu"]])
    photo, result = (images.read(path) for path in (data / "src_data/test/0.jpg", tmp_path / "out/0.png"))
    assert (result == images.with_luminance(photo, images.luminance(result))).mean() > 0.5
    assert np.abs(result.astype(int) - photo).max() > 5


@pytest.mark.parametrize(("phase", "term"), [(1, "content"), (2, "adversarial"), (2, "discriminator")])
def test_a_loss_that_is_not_finite_ends_the_run(phase, term, data, tmp_path, monkeypatch):
    real = getattr(losses, term)
    planted = collections.Counter()

    def plant(*args):
        planted["calls"] += 1
        return real(*args) * (math.nan if planted["calls"] == 5 else 1)

    monkeypatch.setattr(losses, term, plant)
    monkeypatch.setattr(CartoonGAN, "CHECK_EVERY", 1)
    with pytest.raises(
        utils.RunFailed, match=f"{term} loss is nan in phase {phase}, epoch 2, step 2"
    ) as caught:
        CartoonGAN.main(command(data, tmp_path))
    assert caught.value.status == 1
    folder = tmp_path / "Tiny_2_3_2_results"
    assert checkpoints.load_state(folder / "state_latest.pth")["place"] == (phase, 2, 1)
    assert all(value.isfinite().all() for value in weights(folder)["generator"]["state_dict"].values())


@pytest.mark.parametrize("plant", ["weight", "gradient"])
@pytest.mark.parametrize("step", [1, 7])
def test_a_weight_that_is_not_finite_is_never_saved(step, plant, data, tmp_path, monkeypatch):
    """Planted in the step; losses are looked at every 20 steps, so the weights must be looked at too."""
    real, done = CartoonGAN.one_step, itertools.count()

    def planted(t, args, batch):
        terms = real(t, args, batch)
        if next(done) == step:
            with torch.no_grad():
                t.generator.down[0].weight[0, 0, 0, 0] = math.nan
        return terms

    def bad_gradient(t, args, batch):
        if next(done) == step:
            t.generator.down[0].weight.register_hook(lambda gradient: gradient * math.nan)
        return real(t, args, batch)

    monkeypatch.setattr(CartoonGAN, "one_step", planted if plant == "weight" else bad_gradient)
    with pytest.raises(utils.RunFailed, match=r"a weight of the generator is not finite|loss is nan"):
        CartoonGAN.main(command(data, tmp_path))
    folder = tmp_path / "Tiny_2_3_2_results"
    place = ((1, 1, 1), (2, 1, 1))[step == 7]
    assert checkpoints.load_state(folder / "state_latest.pth")["place"] == place
    assert all(value.isfinite().all() for value in weights(folder)["generator"]["state_dict"].values())
    monkeypatch.setattr(CartoonGAN, "one_step", real)
    assert CartoonGAN.main(["--resume", str(folder)]) == 0


def test_the_usual_two_faults_are_told_once(data, tmp_path, monkeypatch, capsys):
    """A generator that gives back the photo, and a discriminator that calls everything fake."""
    stuck = lambda self, photo: photo + 0 * sum(weight.sum() for weight in self.parameters())
    surely_fake = lambda self, x: x.mean((1, 2, 3)) * 0 - 5 + 0 * sum(w.sum() for w in self.parameters())
    monkeypatch.setattr(networks.Generator, "forward", stuck)
    monkeypatch.setattr(networks.Discriminator, "forward", surely_fake)
    assert CartoonGAN.main(command(data, tmp_path)) == 0
    said = capsys.readouterr().err
    for words in ("called over 99% of the results fake", "differ from their photographs by less than"):
        assert said.count(words) == 1
    found = rows(tmp_path / "Tiny_2_3_2_results")
    assert [row["fakes_detected"] for row in found] == ["", "", "1.0", "1.0", "1.0"]
    assert [row["change_from_photo"] for row in found] == ["", "", "0.0", "0.0", "0.0"]
    assert said.count("called over 99%") == (tmp_path / "Tiny_2_3_2_results/log.txt").read_text().count(
        "over 99%"
    )


def test_a_healthy_run_is_not_warned_of(finished, capsys):
    assert "warning: the" not in capsys.readouterr().err


def test_float16_writes_the_skipped_steps(data, tmp_path):
    assert CartoonGAN.main(command(data, tmp_path, "--precision", "fp16")) == 0
    found = [int(row["skipped_steps"]) for row in rows(tmp_path / "Tiny_2_3_2_results")]
    assert all(0 <= count <= 6 for count in found)


def test_a_kill_inside_a_long_epoch_loses_what_save_minutes_says(data, tmp_path, monkeypatch):
    """By a clock on which a step takes a minute: killed after 8, saved every 5 minutes, it loses 3."""
    taken, step = [0], CartoonGAN.one_step
    monkeypatch.setattr(CartoonGAN, "time", type("time", (), {"monotonic": lambda: 60.0 * taken[0]}))

    def timed(*args):
        if taken[0] == 8:
            raise Killed
        taken[0] += 1
        return step(*args)

    monkeypatch.setattr(CartoonGAN, "one_step", timed)
    with pytest.raises(Killed):
        CartoonGAN.main(
            command(data, tmp_path, "--save_minutes", 5, "--batch_size", 1, "--pre_train_epoch", 9)
        )
    state = checkpoints.load_state(tmp_path / "Tiny_9_3_1_results" / "state_latest.pth")
    assert state["place"] == (1, 1, 5)


def test_changed_data_are_told_and_recorded(data, tmp_path, monkeypatch, capsys):
    step, left = CartoonGAN.one_step, iter(range(4))
    monkeypatch.setattr(
        CartoonGAN, "one_step", lambda *args: step(*args) if next(left, None) is not None else 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        CartoonGAN.main(command(data, tmp_path))
    monkeypatch.setattr(CartoonGAN, "one_step", step)
    folder = tmp_path / "Tiny_2_3_2_results"
    before = json.loads((folder / "settings.json").read_text())
    (data / "src_data/train/0.jpg").unlink()
    moved = (data / "src_data").rename(data / "moved")  # another place is not other data
    capsys.readouterr()
    with pytest.raises(utils.WrongUse, match="src_data is"):
        CartoonGAN.main([*command(data, tmp_path, "--src_data", moved), "--resume"])
    assert CartoonGAN.main(["--resume", str(folder), "--src_data", str(moved)]) == 0
    then, now = (before["data"], json.loads((folder / "settings.json").read_text())["data"])
    told = [line for line in capsys.readouterr().err.splitlines() if "changed since" in line]
    prints = [of["photographs"]["fingerprint"] for of in (then, now)]
    assert told == [
        f"warning: the photographs changed since this run stopped: 6 ({prints[0]}) then, 5 ({prints[1]}) now"
    ]
    assert json.loads((folder / "settings.json").read_text())["data before"] == [then]
    assert "changed since this run stopped" in (folder / "log.txt").read_text()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(number, status, data, tmp_path):
    options = command(data, tmp_path, "--workers", 1, "--save_minutes", 5, "--train_epoch", 100000)
    options += ["--sample_every", "100000"]
    program = [sys.executable, "CartoonGAN.py", *options]
    process = subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    folder = tmp_path / "Tiny_2_100000_2_results"
    while not (folder / "metrics.csv").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    os.killpg(process.pid, number)  # as a terminal does: the workers get it too
    _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert f"python CartoonGAN.py --resume {folder}" in said
    assert "Traceback" not in said
    phase, epoch, _ = checkpoints.load_state(folder / "state_latest.pth")["place"]
    assert len(rows(folder)) == epoch - 1 + (2 if phase == 2 else 0)


def test_a_killed_loading_process_ends_the_run(data, tmp_path):
    """Such as the system kills when memory runs out: the program must not wait for it for ever."""
    options = command(data, tmp_path, "--workers", 1, "--train_epoch", 100000, "--sample_every", 100000)
    program = [sys.executable, "CartoonGAN.py", *options]
    process = subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(tmp_path.glob("*_results/metrics.csv")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "a process that loads images was killed" in said and "Traceback" not in said


@pytest.mark.parametrize("grey", ["", "--in_ngc 1 --out_ngc 1 --in_ndc 1"])
def test_measures_stand_in_the_metrics(grey, data, tmp_path):
    options = command(data, tmp_path, "--eval_every", 2, *grey.split())
    assert CartoonGAN.main(options) == 0
    found = rows(tmp_path / "Tiny_2_3_2_results")
    assert [bool(row["kid_drawings"]) for row in found] == [False, True, False, True, False]
    for row in found[1::2]:
        assert -1 <= float(row["ssim"]) <= 1 and float(row["content_change"]) > 0
        assert row["checkerboard"] and row["line_edges"]
    assert (tmp_path / "Tiny_2_3_2_results/generator_best.pth").exists()


def test_every_option_is_read():
    """An option that nothing reads is a defect."""
    code = "".join(path.read_text() for path in ROOT.glob("*.py"))
    for name in vars(options.training_parser().parse_args([])):
        assert f"args.{name}" in code, name


def test_wrong_use_as_a_person_meets_it(run_cli, data, tmp_path):
    start = ["CartoonGAN.py", *command(data, tmp_path)]
    for more, words in (
        (["--src_data", tmp_path / "none"], "no folder"),
        (["--vgg_model", tmp_path / "none.pth"], "no file"),
        (["--batch_size", 7], "6 photographs"),
        (["--resume"], "no run to resume"),
    ):
        done = run_cli(*start, *more)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: VGG19")]
        assert done.returncode == 2 and len(lines) == 1 and words in lines[0], done.stderr
    assert not list(Path(tmp_path).glob("*_results"))
