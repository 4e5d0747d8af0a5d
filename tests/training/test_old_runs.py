"""Runs of an old version of the program resume, and end as they would have ended with it.

tests/old_runs holds two runs that the commit f15e569 made and that a signal stopped: `first` in phase one,
`second` in phase two, with a pool, style, total variation, least squares, linear rates and independent edges.
Beside them are the results of the same commit without a stop.
"""

import shutil
from pathlib import Path

import pytest
import torch
from helpers import ROOT, rows

import CartoonGAN
from CartoonGAN import learning_rate_factor
from pictures import checkpoints
from training import history, state
from training.log import run_state

STORED = ROOT / "tests/old_runs"
PLACES = {"first": (1, 2, 1), "second": (2, 1, 2)}  # where they stopped
NOT_COMPARED = ("seconds", "images_per_second", "fakes_detected", "auc_result", "auc_smoothed")


def old_rate_factor(policy, phase, epoch, epochs):
    """The learning rate's factor in those runs: `linear` began to fall an epoch earlier."""
    if policy == "linear":
        return 1 - max(0, epoch - epochs // 2) / (epochs - epochs // 2 + 1)
    return learning_rate_factor(policy, phase, epoch, epochs)


def losses(folder):
    """The losses of each epoch in metrics.csv that both programs write."""
    return [{key: history.number(row[key]) for key in row if key not in NOT_COMPARED} for row in rows(folder)]


@pytest.mark.parametrize("name", PLACES)
def test_an_old_run_resumes_and_ends_as_it_would_have(name, tmp_path, monkeypatch):
    shutil.copytree(STORED, tmp_path / "old_runs")
    monkeypatch.chdir(tmp_path / "old_runs")  # the paths in the settings are relative
    monkeypatch.setattr(CartoonGAN, "learning_rate_factor", old_rate_factor)
    folder, end = Path(f"stopped/{name}_2_2_2_results"), Path("ends", name)
    content = state.load_state(folder / "state_latest.pth")
    assert content["place"] == PLACES[name] and len(content["pool"]) == (2 if name == "second" else 0)
    CartoonGAN.main(["--resume", str(folder)])

    for file in ("generator_latest.pth", "discriminator_latest.pth"):
        contents = [checkpoints.load(place / file) for place in (folder, end)]
        got, expected = (content.get("state_dict", content) for content in contents)
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            # Another processor rounds differently. The gradient of a bias before a norm is rounding noise, of
            # which Adam makes steps of 2e-4.
            assert torch.allclose(got[key], value, rtol=0, atol=3e-3), key
    for got, expected in zip(losses(folder), losses(end), strict=True):
        assert got == pytest.approx(expected, abs=1e-3, rel=1e-3, nan_ok=True)

    assert run_state(folder) == ("finished", "")
    assert f"_epoch_{name}_2_2_2_train_5.png" in (folder / "index.html").read_text()
