"""Reading a run folder: what is there, and what is missing or damaged."""

import json
import os
from unittest import mock

import pytest
from helpers import make_run

from pages import summaries
from training import history


def test_a_complete_run(tmp_path):
    folder = make_run(tmp_path, "Paprika", epochs=12, ngf=8)
    log = (folder / "log.txt").read_text()
    (folder / "log.txt").write_text(f"2030-01-01 00:00:00 +0000 started: \n{log}")  # and resumed later
    run = summaries.read(folder)
    assert run["problems"] == [] and run["started"] == "2030-01-01 00:00:00"
    assert (run["name"], run["state"], run["reason"]) == ("Paprika", "finished", "")
    assert (run["phases"], run["seconds"], run["speed"]) == ([(1, 1), (12, 12)], 2, 3)
    assert run["last"]["content"] == 0.083333
    assert run["bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert run["newest"] == ("Transfer/12_epoch_Paprika_test_1.png", True)
    settings = {"method": "CartoonGAN", "pre_train_epoch": 1, "train_epoch": 12, "ngf": 8}
    assert run["page"]["settings"] == settings
    assert run["page"]["curves"]["epoch"] == [1, *range(1, 13)]
    photo, _ = run["page"]["samples"]["photos"]
    images = {str(epoch): f"Transfer/{epoch}_epoch_Paprika_test_1.png" for epoch in range(1, 13)}
    images["recon"] = "Reconstruction/Paprika_test_recon_1.png"
    assert photo == {"name": "test 1", "pair": True, "images": images}


def test_speeds_are_medians_of_the_last_five_epochs_of_the_newest_phase(tmp_path):
    folder = make_run(tmp_path, "P", epochs=3)  # 2 seconds each
    for epoch, seconds in enumerate((50, 60, 70), 4):
        history.add(folder / "metrics.csv", {"phase": 2, "epoch": epoch, "seconds": seconds})
    assert summaries.read(folder)["seconds"] == 50  # of 2, 2, 50, 60, 70


@pytest.mark.parametrize(("planned", "state"), [(3, "finished"), (4, "stopped")])
def test_a_run_without_a_log_is_finished_if_its_epochs_are_done(tmp_path, planned, state):
    folder = make_run(tmp_path, "P", train_epoch=planned)
    (folder / "log.txt").unlink()
    assert summaries.read(folder)["state"] == state


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("settings.json", b"{", "settings.json is damaged"),
        ("settings.json", b'{"options": {}, "data": 3, "versions": [], "given": 1, "commands": {}}', None),
        ("metrics.csv", None, "metrics.csv is missing"),
        ("metrics.csv", b"phase,epoch,content\n1,1,what\n", "metrics.csv, row 1, content: 'what' is not a"),
        ("metrics.csv", b"phase,epoch\n1,1,2,3\n1\n,,\n", None),
        ("metrics.csv", b"\xff\xfe\x00", "metrics.csv cannot be read"),
        ("metrics.csv", b"content\nnan\ninf\n", None),
        ("Transfer/2_epoch_P_test_1.png", None, "test 1 has no image of epoch 2"),
        ("Transfer/2_epoch_P_test_1.png", b"", "Transfer/2_epoch_P_test_1.png is empty"),
        ("evaluation.json", b"{", "evaluation.json cannot be read"),
        ("log.txt", b"\xff\nnonsense\n2030-01-01", None),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_is_read(tmp_path, name, content, problem):
    folder = make_run(tmp_path, "P")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    run = summaries.read(folder)
    assert len(run["problems"]) == (problem is not None), run["problems"]
    assert problem is None or run["problems"][0].startswith(problem)
    assert run["page"]["samples"]["photos"]
    json.dumps(run["page"], allow_nan=False)


def test_further_columns_and_the_results_of_an_evaluation_are_measures(tmp_path):
    folder = make_run(tmp_path, "P")
    row = {"phase": 2, "epoch": 4, "content": 0.5, "kid_drawings": 0.0123456}
    history.add(folder / "metrics.csv", row)
    history.add(folder / "metrics.csv", {"phase": 2, "epoch": 5, "content": 0.4})  # kid was not measured
    own = {"pictures": 9, "kid": 0.25, "ssim": 0.7}
    rows = {"photos": {"kid": 0.9}, "out/P_results": own | {"x": "n"}}
    (folder / "evaluation.json").write_text(json.dumps({"rows": rows, "remarks": ["a is"]}))
    run = summaries.read(folder)
    assert run["last"].items() >= {"content": 0.4, "kid_drawings": 0.012346, "kid": 0.25, "ssim": 0.7}.items()
    assert run["remarks"] == ["a is"]
    os.utime(folder / "generator_latest.pth", (2**33, 2**33))
    assert summaries.read(folder)["remarks"] == ["a is", "measured before the run was trained further"]
    assert (run["best"].column, run["best"].value, run["best"].epoch) == ("kid_drawings", 0.012346, 4)
    assert run["evaluation"] == [("photos", {"kid": 0.9}), ("out/P_results", own)]


def test_runs_are_found_by_name_or_content(tmp_path):
    for name in ("Hayao_results", "plain", ".hidden_results", "renamed", "P 10_results", "P 9_results"):
        (tmp_path / name).mkdir()
    (tmp_path / "renamed" / "metrics.csv").touch()
    (tmp_path / "file_results").touch()
    found = [path.name for path in summaries.find_runs(tmp_path)]
    assert found == ["Hayao_results", "P 9_results", "P 10_results", "renamed"]


def test_folders_that_cannot_be_read_are_problems(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "listdir", mock.Mock(side_effect=PermissionError(13, "Permission denied")))
    problems = [f"{name} cannot be read: Permission denied" for name in ("Reconstruction", "Transfer")]
    assert summaries.read(make_run(tmp_path, "P"))["problems"] == [*problems, "no sample images"]
