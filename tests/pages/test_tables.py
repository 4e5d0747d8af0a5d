"""The table of runs: its columns and rows, and its values as texts."""

import os

import pytest
from helpers import leave_run

from pages import summaries, tables
from training import history
from training.config import read_settings, write_settings


def test_the_overview_shows_the_settings_in_which_runs_differ(tmp_path):
    found = [
        summaries.read(leave_run(tmp_path, name, ngf=ngf, lrG=2e-4))
        for name, ngf in (("One", 4), ("Two", 64))
    ]
    shown = tables.overview(found)
    assert shown["columns"] == [("ngf", "ngf", "setting")]
    cells = {row["run"]["name"]: row["cells"]["ngf"] for row in shown["rows"]}
    assert cells == {"One": ("4", 4), "Two": ("64", 64)}
    equal = {"method": "CartoonGAN", "pre_train_epoch": "1", "train_epoch": "3", "lrG": "0.0002"}
    assert shown["equal"] == {**equal, "photographs": "6, fingerprint abcdef0123"}
    assert not shown["data_differ"]
    found[1]["data"] = [("photographs", 7, "abcdef0124")]
    shown = tables.overview(found)
    assert shown["data_differ"] and "photographs" not in shown["equal"]


def leave_cyclegan(results, name, **options):
    """A run of another method: without --pre_train_epoch, with an option and a default of its own."""
    folder = leave_run(results, name, **options)
    record = read_settings(folder)
    del record["options"]["pre_train_epoch"]
    record["options"] |= {"cycle_lambda": 10, "batch_size": 1}
    write_settings(folder, record | {"commands": ["python -m survey.cyclegan --name x"]})
    return folder


def test_another_method_adds_the_column_of_the_method_and_no_other(tmp_path):
    for name in ("One", "Two"):
        record = read_settings(folder := leave_run(tmp_path, name, con_lambda=3.0))
        record["options"]["batch_size"] = 8  # a default
        write_settings(folder, record)
    cycle = leave_cyclegan(tmp_path, "Cycle")
    history.add(cycle / "metrics.csv", {"phase": 2, "epoch": 4, "cycle": 0.5, "cycle_back": 1})
    shown = tables.overview([summaries.read(folder) for folder in summaries.find_runs(tmp_path)])
    assert [key for key, *_ in shown["columns"]] == ["method"]
    methods = [row["cells"]["method"][0] for row in shown["rows"]]
    assert sorted(methods) == ["CartoonGAN", "CartoonGAN", "cyclegan"]
    equal = shown["equal"]
    assert equal["ngf"] == "4"
    assert (equal["con_lambda"], equal["cycle_lambda"]) == ("3 (CartoonGAN)", "10 (cyclegan)")
    assert {*equal["batch_size"].split(", ")} == {"8 (CartoonGAN)", "1 (cyclegan)"}


def test_what_a_command_gave_differs_between_methods_too_and_how_a_run_is_recorded_never(tmp_path):
    leave_run(tmp_path, "One", input_size=128, sample_every=1)
    leave_cyclegan(tmp_path, "Cycle", input_size=256, sample_every=5)
    found = [summaries.read(folder) for folder in summaries.find_runs(tmp_path)]
    assert {key for key, *_ in tables.overview(found)["columns"]} == {"method", "input_size"}


def test_a_new_measure_is_a_column_with_its_deviation(tmp_path):
    folder = leave_run(tmp_path, "One")
    row = {"phase": 2, "epoch": 4, "adversarial": 1, "new": 0.5, "new_std": 0.125}
    history.add(folder / "metrics.csv", row)
    shown = tables.overview([summaries.read(folder)])
    assert shown["columns"] == [("last new", "new", "measure")]
    assert shown["rows"][0]["cells"]["last new"] == ("0.5 ± 0.12", 0.5)


def test_the_newest_run_comes_first(tmp_path):
    for year, name in enumerate("ABC", 2030):
        log = leave_run(tmp_path, name) / "log.txt"
        log.write_text(f"{year}-01-01 00:00:00 +0000 started: \n{log.read_text()}")
    (tmp_path / "old_results").mkdir()
    found = [summaries.read(folder) for folder in summaries.find_runs(tmp_path)]
    assert [row["run"]["name"] for row in tables.overview(found)["rows"]] == ["C", "B", "A", "old"]
    assert [line.split()[0] for line in tables.listing(found).splitlines()] == ["run", "C", "B", "A", "old"]


def test_the_list_fits_into_120_columns_and_names_the_options_without_room(tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(tables.shutil.os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    for number, name in enumerate(("One", "Two", "Three")):
        leave_run(tmp_path, name, ngf=number % 2, con_lambda=number, tgt_data="d" * 70 + str(number % 2))
        row = {"phase": 2, "epoch": 4, "kid_drawings": 0.5, "kid_drawings_std": 0.1}
        history.add(tmp_path / f"{name}_results/metrics.csv", row)
    found = [summaries.read(folder) for folder in summaries.find_runs(tmp_path)]
    *table, rest = tables.listing(found).splitlines()
    assert table[0].split() == ["run", "state", "epoch", "con_lambda", "ngf", "best", "KID", "size"]
    assert "0.5 ± 0.1, epoch 4" in table[1] and max(map(len, table)) <= 120
    assert rest.startswith("They also differ in tgt_data:")


@pytest.mark.parametrize(
    ("phases", "text"),
    [
        ([(1, 2), (0, 18)], "1 of 2, phase one"),
        ([(2, 2), (0, 18)], "0 of 18"),
        ([(2, 2), (18, 18)], "18 of 18"),
        ([(2, 2), (0, 0)], "2 of 2, phase one"),
        ([(0, 0), (7, None)], "7"),
    ],
)
def test_an_epoch_is_counted_as_in_the_names_of_samples(phases, text):
    assert tables.epoch({"phases": phases}) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (82_600_000, "82.6 MB"), (5.2e13, "52 TB")]
)
def test_sizes(count, text):
    assert tables.size(count) == text
