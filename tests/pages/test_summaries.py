"""Reading a run folder: what is there is told in few words, what is missing or damaged by name."""

import json
import os
import shutil

import pytest
from helpers import leave_run

from pages import summaries
from training import history


def pictures(run):
    """Every URL that the samples of a summary stand for."""
    samples = run["page"]["samples"]
    for photo in samples["photos"]:
        yield from [photo["recon"]] if photo["recon"] else []
        for pattern, epochs in photo["epochs"].items():
            yield from (pattern.replace("{epoch}", epoch) for epoch in epochs)
    yield from samples["others"]


def files(folder, *parts):
    return sorted(
        f"{part}/{summaries.url(path.name)}" for part in parts for path in (folder / part).iterdir()
    )


def test_a_whole_run(tmp_path):
    folder = leave_run(tmp_path, "Paprika", epochs=12, ngf=8)
    run = summaries.read(folder)
    assert run["problems"] == []
    assert (run["name"], run["state"], run["reason"]) == ("Paprika", "finished", "")
    assert (run["phases"], run["seconds"], run["speed"], run["recent"]) == ([(1, 1), (12, 12)], 2, 3, 5)
    assert run["last"]["content"] == 0.083333
    assert run["data"] == [("photographs", 6, "abcdef0123")]
    assert run["bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert run["newest"] == ("Transfer/12_epoch_Paprika_test_1.png", True)
    own = {"method": "CartoonGAN", "pre_train_epoch": 1, "train_epoch": 12, "ngf": 8}
    assert run["page"]["settings"] == own
    assert run["page"]["curves"]["epoch"] == [1, *range(1, 13)]
    samples = run["page"]["samples"]
    assert [photo["name"] for photo in samples["photos"]] == ["test 1", "train 1"]
    assert samples["photos"][0]["epochs"] == {
        "Transfer/{epoch}_epoch_Paprika_test_1.png": [str(epoch) for epoch in range(1, 13)]
    }
    assert sorted(pictures(run)) == files(folder, "Transfer", "Reconstruction")


def test_three_pictures_in_one_are_shown_whole(tmp_path):
    """A run of CycleGAN: without phase one, and with the way back in its samples."""
    folder = leave_run(tmp_path, "Cycle")
    shutil.rmtree(folder / "Reconstruction")
    for path in folder.glob("Transfer/*"):
        path.rename(path.with_stem(f"{path.stem}_cycle"))
    record = json.loads((folder / "settings.json").read_text())
    del record["options"]["pre_train_epoch"]
    (folder / "settings.json").write_text(json.dumps(record))
    run = summaries.read(folder)
    photo = run["page"]["samples"]["photos"][0]
    assert photo["epochs"] == {"Transfer/{epoch}_epoch_Cycle_test_1_cycle.png": ["1", "2", "3"]}
    assert (photo["name"], photo["pair"], run["newest"][1]) == ("test 1", False, False)
    assert run["phases"][1] == (3, 3)


def test_names_of_any_kind_come_out_as_they_are_on_the_disk(tmp_path):
    folder = tmp_path / "old_results"
    (folder / "Transfer").mkdir(parents=True)
    broken = os.fsdecode(b"\xff\xfe.png")
    names = [
        "epoch_0010_a.png",
        "epoch_0009_a.png",
        "a b.jpg",
        "画像 2.png",
        "画像 10.png",
        "x%20y.webp",
        "#?.png",
    ]
    names += [
        "12345678901234567890_epoch_q_test_1.png",
        "2_epoch_q_test_1.jpg",
        "3_epoch_q_test_1.png",
        "{epoch}_epoch_r_train_1.png",
        "4_epoch_{epoch}_train_1.png",
        "1_epochs_1_epoch_s.png",
        "1_epochs_2_epoch_s.png",
        broken,
    ]
    for name in (*names, "notes.txt", ".hidden.png"):
        (folder / "Transfer" / name).write_bytes(b"x")
    run = summaries.read(folder)
    assert sorted(pictures(run)) == sorted(f"Transfer/{summaries.url(name)}" for name in names)
    titles = [photo["name"] for photo in run["page"]["samples"]["photos"]]
    assert titles == ["1_epochs_…_epoch_s", "epoch_…_a", "test 1", "train 1"]
    json.dumps(run["page"]).encode()
    assert run["state"] == "unknown" and run["phases"][1] == (12345678901234567890, None)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("settings.json", "{", "settings.json is damaged"),
        ("settings.json", None, "settings.json is missing"),
        ("settings.json", '{"options": {}, "data": 3, "versions": [], "given": 1, "commands": {}}', None),
        ("metrics.csv", None, "metrics.csv is missing"),
        (
            "metrics.csv",
            "phase,epoch,content\n1,1,what\n",
            "metrics.csv, row 1, content: 'what' is no number",
        ),
        ("metrics.csv", "", None),
        ("metrics.csv", "phase,epoch\n1,1,2,3\n1\n,,\n", None),
        ("metrics.csv", b"\xff\xfe\x00", "metrics.csv cannot be read"),
        ("metrics.csv", "content\nnan\ninf\n", None),
        ("generator_latest.pth", None, "generator_latest.pth is missing"),
        ("Transfer/2_epoch_P_test_1.png", None, "test 1 has no picture of epoch 2"),
        ("Transfer/2_epoch_P_test_1.png", "", "Transfer/2_epoch_P_test_1.png is empty"),
        ("evaluation.json", "{", "evaluation.json cannot be read"),
        ("evaluation.json", "[[1], null]", None),
        ("evaluation.json", '"text"', None),
        ("log.txt", b"\xff\nnonsense\n2030-01-01", None),
    ],
)
def test_what_is_missing_or_damaged_is_named_and_the_rest_is_read(tmp_path, name, content, told):
    folder = leave_run(tmp_path, "P")
    path = folder / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    run = summaries.read(folder)
    assert len(run["problems"]) == (told is not None), run["problems"]
    assert told is None or run["problems"][0].startswith(told)
    assert run["page"]["samples"]["photos"]
    json.dumps(run["page"], allow_nan=False)


def test_further_columns_and_the_results_of_an_evaluation_are_measures(tmp_path):
    folder = leave_run(tmp_path, "P")
    row = {"phase": 2, "epoch": 4, "content": 0.5, "kid_drawings": 0.0123456, "images_per_second": 3}
    history.add(folder / "metrics.csv", row)
    rows = {
        "photos": {"kid": 0.9},
        "a": 3,
        "out/P_results": {"pictures": 9, "kid": 0.25, "ssim": 0.7, "x": "n"},
    }
    (folder / "evaluation.json").write_text(
        json.dumps({"rows": rows, "features": "vgg19", "remarks": ["a is", 3]})
    )
    run = summaries.read(folder)
    assert run["last"].items() >= {"content": 0.5, "kid_drawings": 0.012346, "kid": 0.25, "ssim": 0.7}.items()
    assert run["remarks"] == ["a is"]
    assert (run["best"]["measure"], run["best"]["value"], run["best"]["epoch"]) == ("KID", 0.012346, 4)
    assert run["best"]["text"] == "lowest KID: 0.01235 after epoch 4"
    own = {"pictures": 9, "kid": 0.25, "ssim": 0.7}
    assert run["evaluation"] == [("photos", {"kid": 0.9}), ("out/P_results", own)]


def test_runs_are_found_by_their_name_or_what_lies_in_them(tmp_path):
    for name in ("Hayao_results", "plain", ".hidden_results", "renamed", "P 10_results", "P 9_results"):
        (tmp_path / name).mkdir()
    (tmp_path / "renamed" / "metrics.csv").touch()
    (tmp_path / "file_results").touch()
    assert [path.name for path in summaries.find_runs(tmp_path)] == [
        "Hayao_results",
        "P 9_results",
        "P 10_results",
        "renamed",
    ]
