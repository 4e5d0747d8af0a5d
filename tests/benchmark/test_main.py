"""bench.py: its baseline computes the same pictures, its table is whole, its arithmetic is right."""

import copy
import itertools

import numpy as np
import pytest
import torch

import CartoonGAN
import edge_promoting
from benchmark import __main__ as bench
from benchmark import baselines
from networks import Generator, InstanceNorm
from pictures import images, inference
from training import model, options


def test_the_baseline_makes_the_same_pictures():
    torch.manual_seed(0)
    generator = Generator(ngf=8, nb=2)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    photos = [np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)]
    (wanted,) = baselines.apply_plain(baselines.plain(generator), photos)
    (got,) = inference.stylise(inference.prepare(generator, torch.device("cpu"), "fp32"), photos)
    assert wanted.std() > 10
    assert np.abs(got.astype(int) - wanted).max() <= 1


def test_the_public_step_and_the_fast_step_agree():
    """Losses, and weights but for the biases that a following instance norm makes irrelevant."""
    text = "--vgg_model random --ngf 8 --ndf 8 --nb 1 --input_size 32 --batch_size 2 --con_lambda 3"
    args, _ = options.parse_training(text.split())
    t = model.build(args, torch.device("cpu"), "fp32")
    t.phase = 2
    public, *networks = baselines.public_step(t, args)
    pictures = torch.from_numpy(np.stack(bench.photographs(None, 6, 32))).permute(0, 3, 1, 2).chunk(3)
    starts = [dict(network.named_parameters()) for network in copy.deepcopy(networks)]
    wanted, got = public(*pictures), CartoonGAN.one_step(t, args, pictures)
    for term, value in wanted.items():
        assert got[term].item() == pytest.approx(value.item(), rel=1e-4)
    for mine, theirs, start in zip((t.generator, t.discriminator), networks, starts, strict=True):
        left_out = set(irrelevant(mine))
        names = [name for name in start if name not in left_out]
        mine, theirs = dict(mine.named_parameters()), dict(theirs.named_parameters())
        moved, apart = (
            torch.cat([(theirs[name] - other[name]).flatten() for name in names]) for other in (start, mine)
        )
        # Adam moves a weight whose gradient is all rounding by up to the rate, in either way.
        assert left_out and apart.norm() < 0.05 * moved.norm()


def irrelevant(network):
    """Names of the biases that a norm takes away again."""
    layers = [(name, layer) for name, layer in network.named_modules() if not list(layer.children())]
    for (name, _), (_, following) in itertools.pairwise(layers):
        if isinstance(following, InstanceNorm):
            yield f"{name}.bias"


def test_training_prints_its_table(run_cli):
    done = run_cli("bench.py", "training", "--input_size", 16, "--ngf", 4, "--batch_size", 2, "--rounds", 1)
    assert done.returncode == 0, done.stderr
    _, baseline, *others = table_rows(done.stdout)
    assert " 1.00 " in baseline and others
    # The public step computes G twice and weight gradients of VGG19.
    counted = [float(row.split(" | ")[4]) for row in (baseline, *others)]
    assert counted[0] > counted[1] > 0
    assert all(int(row.split(" | ")[-1].split()[0]) > 0 for row in (baseline, *others))


def test_psnr():
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert bench.psnr([grey], [black]) == pytest.approx(20 * np.log10(255 / 51))
    assert bench.psnr([grey], [grey]) == np.inf


def test_the_functions_take_turns():
    order = []
    seconds = bench.measure({name: lambda name=name: order.append(name) for name in "ab"}, 2)
    assert order == list("ababab")
    assert seconds.keys() == {"a", "b"}


def table_rows(text):
    return [line for line in text.splitlines() if line.startswith("| ")]


def test_inference_prints_its_table(run_cli):
    done = run_cli("bench.py", "inference", "--size", 16, "--ngf", 4, "--rounds", 1)
    assert done.returncode == 0, done.stderr
    rows = table_rows(done.stdout)
    assert rows[0].split(" | ")[1:4] == ["seconds", "pictures/s", "ratio"]
    assert " 1.00 " in rows[1] and len(rows) >= 3
    assert all(int(row.split(" | ")[-1].split()[0]) > 0 for row in rows[1:])
    assert "% of the network alone" in done.stdout


def test_the_loop_smooths_as_smooth_edges_does(data):
    for path in sorted((data / "tgt_data/train").iterdir()):
        drawing = images.read(path)
        wanted, got = baselines.smooth_by_loop(drawing), edge_promoting.smooth_edges(drawing)
        assert (wanted != drawing).any()
        assert np.abs(wanted.astype(int) - got).max() <= 1  # OpenCV's weights are fixed-point numbers


def test_drawings_have_edges_everywhere(data):
    folder = data / "tgt_data/train"
    for page in (*bench.drawings(None, 2, 120, 170), *bench.drawings(folder, 2, 120, 170)):
        assert page.shape == (170, 120, 3)
        changed = (edge_promoting.smooth_edges(page) != page).any(2)
        assert all(part.any() for half in np.array_split(changed, 2) for part in np.array_split(half, 2, 1))


def test_a_mosaic_keeps_the_scale(data):
    folder = data / "tgt_data/train"
    (page,) = bench.drawings(folder, 1, 20, 20)
    assert any(np.array_equal(page, images.read(path)[:20, :20]) for path in folder.iterdir())


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(bench, "DRAWING", (48, 64))
    monkeypatch.setattr(bench, "FRAME", (96, 64))


def test_edge_prints_its_tables(tiny, data, capsys):
    made = ["--drawings", str(data / "tgt_data/train")]
    for choice in ([], made):
        bench.main(["edge", "--input_size", "32", "--count", "10", "--rounds", "1", *choice])
        rows = table_rows(capsys.readouterr().out)
        assert [row.split(" | ")[0] for row in rows] == [
            "| way",
            "| baseline: loop over pixels",
            "| smooth_edges",
            "| way",
            "| baseline: decode and encode",
            "| edge_promoting.make_pairs",
        ]
        assert rows[1].endswith(" | 1 |") and rows[4].endswith(" | 1 |")


def test_loading_prints_its_tables(tiny, capsys):
    bench.main(["loading", "--input_size", "32", "--ngf", "4", "--batch_size", "2", "--rounds", "1"])
    out = capsys.readouterr().out
    rows = table_rows(out)
    assert [len(row.split(" | ")) for row in rows] == [5] * 9
    assert rows[1].endswith(" | 1 |") and rows[7].endswith(" | 1 |")
    assert "% of the step" in out and "images/s alone" in out
