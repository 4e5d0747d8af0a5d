"""Runs of `python -m survey.cyclegan`: files, samples, resuming, two processes."""

import numpy as np
import pytest
import torch
from helpers import VGG, Killed, at_step, die, make_data, metrics, places, rows, same

import utils
from pages import summaries
from pictures import checkpoints, images, inference
from support.arguments import PYTHON
from survey import cyclegan
from survey.cyclegan_options import CYCLEGAN
from training import processes, state

NAME = "Tiny_3_2_results"
TINY = "--ngf 4 --ndf 4 --nb 1 --input_size 40 --batch_size 2 --device cpu --precision fp32 --workers 0"
NETWORKS = cyclegan.Model.networks


def command(data, results, *more):
    """The command line of a tiny run of make_data's data: three steps an epoch."""
    places = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", results]
    words = f"--name Tiny {TINY} --train_epoch 3 --sample_every 100 --pool_size 2"
    return [*map(str, places), *words.split(), *map(str, more)]


def train(data, results, *more):
    """Train to the end; returns the folder."""
    cyclegan.main(command(data, results, *more))
    (folder,) = results.glob("*_results")
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(data, folder) of a run that no test changes."""
    utils.unlogged.clear()
    data = make_data(tmp_path_factory.mktemp("data"))
    return data, train(data, tmp_path_factory.mktemp("whole"), "--sample_every", 1)


def test_the_files_of_a_run_and_its_page(undisturbed):
    data, folder = undisturbed
    assert folder.name == NAME and not (data / "tgt_data/pair").exists()
    assert places(folder) == [(2, 1), (2, 2), (2, 3)]
    assert [float(row["learning_rate"]) for row in rows(folder)] == pytest.approx([2e-4, 2e-4, 1e-4])
    for term in ("discriminator", "adversarial", "cycle", "identity"):
        assert all(float(row[f"{term}{way}"]) > 0 for row in rows(folder) for way in ("", "_back"))
    run = summaries.read(folder)
    assert run["problems"] == [] and (run["phases"][1], run["state"]) == ((3, 3), "finished")
    assert len(run["page"]["samples"]["photos"]) == 8 and run["page"]["samples"]["others"] == []
    assert f"{PYTHON} -m survey.cyclegan --resume {folder}" in (folder / "index.html").read_text()


def test_samples_are_photo_result_and_restored_photo(undisturbed):
    data, folder = undisturbed
    sample = images.read(folder / "Transfer/3_epoch_Tiny_3_2_test_1_cycle.png")
    photo, there, back = np.split(sample, 3, axis=1)
    assert (photo == images.read(data / "src_data/test/0.jpg")).all()
    # In the sample, the result was not rounded to 256 levels in between.
    for name, given, made, near in (("generator", photo, there, 1), ("generator_back", there, back, 6)):
        generator = checkpoints.load_generator(folder / f"{name}_latest.pth")
        generator = inference.prepare(generator, torch.device("cpu"), "fp32")
        (expected,) = inference.convert(generator, [given])
        assert np.abs(expected.astype(int) - made).max() <= near
    assert np.abs(back.astype(int) - there).mean() > 1


def test_a_run_killed_while_the_rate_falls_resumes_to_the_same_state(undisturbed, tmp_path, monkeypatch):
    data, whole = undisturbed
    argv = command(data, tmp_path, "--workers", 1, "--save_minutes", 0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_step(patch, 8, die)  # of 9, the second in its epoch
        cyclegan.main(argv)
    cyclegan.main([*argv, "--resume"])
    states = [state.load_state(folder / "state_latest.pth") for folder in (tmp_path / NAME, whole)]
    assert len(states[0]["pool"]) == len(states[0]["pool_back"]) == 2
    for name in (*NETWORKS, "adam_g", "adam_d", "pool", "pool_back", "place"):
        assert same(states[0][name], states[1][name]), name
    assert metrics(tmp_path / NAME) == metrics(whole)


def test_a_run_is_measured_and_its_best_generator_kept(undisturbed, tmp_path):
    data, _ = undisturbed
    folder = train(data, tmp_path, "--eval_every", 1, "--vgg_model", VGG, "--train_epoch", 1)
    assert all(np.isfinite(float(rows(folder)[0][name])) for name in ("kid_drawings", "ssim", "new_lines"))
    assert checkpoints.load_generator(folder / "generator_best.pth").architecture["network"] == "CycleGAN"


def step(rank, count, folder):
    """Two steps in one of several processes; writes gradients and losses to a file."""
    device = torch.device("cpu")
    args, _ = CYCLEGAN.parse(TINY.split())
    with processes.init_distributed(device):
        model = cyclegan.build(args, device, "fp32")
        batch = [torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(n)) for n in range(2)]
        for place in range(2):  # DDP rebuilds its buckets after the first
            losses = cyclegan.step(model, args, *map(processes.share, batch), (2, 1, place))
        losses = {name: processes.mean(loss).item() for name, loss in losses.items()}
        weights = [getattr(model, name).parameters() for name in NETWORKS]
        grads = [torch.cat([weight.grad.flatten() for weight in each]) for each in weights]
        torch.save((grads, losses), folder / f"{rank}_of_{count}.pth")


def test_two_processes_have_the_gradients_and_losses_of_one(in_two, tmp_path):
    step(0, 1, tmp_path)
    in_two(step, tmp_path)
    expected, losses = torch.load(tmp_path / "0_of_1.pth", weights_only=True)
    for rank in range(2):
        gradients, theirs = torch.load(tmp_path / f"{rank}_of_2.pth", weights_only=True)
        for mine, one in zip(gradients, expected, strict=True):
            assert (mine - one).norm() / one.norm() < 1e-3
        assert theirs == pytest.approx(losses, rel=1e-3)
