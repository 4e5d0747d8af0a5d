"""Runs of the program before its rebuild go on, and end as they would have ended.

tests/old_runs holds two runs that the commit f15e569 made and that a signal stopped: `first` in phase one,
`second` in phase two, with a pool, style, total variation, least squares, linear rates and independent edges.
Beside them is what the same commit ended with undisturbed.
"""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from helpers import ROOT

import CartoonGAN
from CartoonGAN import learning_rate_factor
from pictures import checkpoints
from training import state
from training.log import run_state

STORED = ROOT / "tests/old_runs"
# Another kind of processor rounds in another order. settings.json has the versions.
MADE_ON = ("GenuineIntel", "AVX512", "without bfloat16")
PLACES = {"first": (1, 2, 1), "second": (2, 1, 2)}  # where they stopped


def rate_then(policy, phase, epoch, epochs):
    """The learning rate's factor as it was in those runs: `linear` began to fall an epoch earlier."""
    if policy == "linear":
        return 1 - max(0, epoch - epochs // 2) / (epochs - epochs // 2 + 1)
    return learning_rate_factor(policy, phase, epoch, epochs)


def run_folder(name):
    return Path(f"stopped/{name}_2_2_2_results")


def rows(folder):
    """The losses of each epoch in metrics.csv that both programs write."""
    apart = ("seconds", "images_per_second", "fakes_detected", "auc_result", "auc_smoothed")
    with open(folder / "metrics.csv", newline="") as file:
        found = list(csv.DictReader(file))
    return [{key: row[key] for key in row if key not in apart} for row in found]


def processor():
    """What matters here of this machine's processor, in the form of MADE_ON."""
    vendor = "GenuineIntel" if "GenuineIntel" in Path("/proc/cpuinfo").read_text() else "another"
    bfloat16 = "with" if torch.cpu._is_avx512_bf16_supported() else "without"
    return vendor, torch.backends.cpu.get_cpu_capability(), f"{bfloat16} bfloat16"


def values(row):
    return [float(cell) if cell else math.nan for cell in row.values()]


def tensors(path):
    content = checkpoints.load(path)
    return content.get("state_dict", content)


@pytest.fixture
def old_runs(tmp_path, monkeypatch):
    """A copy of tests/old_runs, as the current folder: the paths in the settings are relative."""
    shutil.copytree(STORED, tmp_path / "old_runs")
    monkeypatch.chdir(tmp_path / "old_runs")


@pytest.mark.parametrize("name", PLACES)
def test_an_old_run_goes_on_and_ends_as_it_would_have(name, old_runs, monkeypatch):
    monkeypatch.setattr(CartoonGAN, "learning_rate_factor", rate_then)
    folder, end = run_folder(name), Path("ends", name)
    versions = json.loads((folder / "settings.json").read_text())["versions"]
    alike = versions["torch"] == torch.__version__ and processor() == MADE_ON
    CartoonGAN.main(["--resume", str(folder)])

    for file in ("generator_latest.pth", "discriminator_latest.pth"):
        got, wanted = tensors(folder / file), tensors(end / file)
        assert got.keys() == wanted.keys()
        for key, value in wanted.items():
            # Of a bias before a norm the gradient is rounding noise, of which Adam makes steps of 2e-4.
            assert torch.allclose(got[key], value, rtol=0, atol=0 if alike else 3e-3), key
    assert [row.keys() for row in rows(folder)] == [row.keys() for row in rows(end)]
    if alike:
        assert rows(folder) == rows(end)
    for got, wanted in zip(rows(folder), rows(end), strict=True):
        assert values(got) == pytest.approx(values(wanted), abs=1e-3, rel=1e-3, nan_ok=True)

    assert checkpoints.load_generator(folder / "generator_latest.pth").architecture["ngf"] == 4
    assert run_state(folder) == ("finished", "")
    pages = [folder / "index.html", folder / "page.js", Path("stopped/index.html")]
    assert all(page.stat().st_size for page in pages)
    assert f"_epoch_{name}_2_2_2_train_5.png" in (folder / "page.js").read_text()


@pytest.mark.parametrize("name", PLACES)
def test_what_an_old_run_saved_loads(name):
    folder = STORED / run_folder(name)
    content = state.load_state(folder / "state_latest.pth")
    assert content["place"] == PLACES[name] and content["settings"]["options"]["name"] == name
    assert len(content["pool"]) == (2 if name == "second" else 0)
    generator = checkpoints.load_generator(folder / "generator_latest.pth")
    assert all(torch.equal(value, content["generator"][key]) for key, value in generator.state_dict().items())
