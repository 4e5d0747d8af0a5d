"""The table of runs: its columns and rows, and its values as texts."""

from helpers import leave_run

from pages import summaries, tables
from training import history
from training.config import read_settings, write_settings

FACTS = {"state", "epoch", "seconds", "speed", "size", "started"}  # columns that every table has


def read_all(results):
    return [summaries.read(folder) for folder in summaries.find_runs(results)]


def columns_of(runs):
    """The keys of the columns of an overview, without those that every table has."""
    return [key for key, *_ in tables.overview(runs)["columns"] if key not in FACTS]


def test_the_overview_shows_the_settings_in_which_runs_differ(tmp_path):
    for name, ngf in (("One", 4), ("Two", 64)):
        leave_run(tmp_path, name, ngf=ngf, lrG=2e-4, sample_every=ngf)
    runs = read_all(tmp_path)
    runs[0]["page"]["settings"]["code"] = "0123456789"  # which older versions did not record
    table = tables.overview(runs)
    assert columns_of(runs) == ["ngf"]
    cells = {run["name"]: cells for run, cells in table["rows"]}
    assert (cells["One"]["ngf"], cells["Two"]["ngf"]) == (("4", 4), ("64", 64))
    assert cells["One"]["epoch"] == ("3 of 3", 3) and cells["One"]["seconds"] == ("2", 2)
    equal = {"method": "CartoonGAN", "pre_train_epoch": "1", "train_epoch": "3", "lrG": "0.0002"}
    equal["code"] = "0123456789"
    assert table["equal"] == {**equal, "photographs": "6, fingerprint abcdef0123"}
    runs[1]["data"] = [("photographs", 7, "abcdef0124")]
    assert columns_of(runs) == ["ngf", "data"] and "photographs" not in tables.overview(runs)["equal"]


def test_methods_differ_in_given_options_but_not_in_defaults_or_options_that_one_lacks(tmp_path):
    for name in ("One", "Two"):
        record = read_settings(folder := leave_run(tmp_path, name, con_lambda=3.0))
        record["options"]["batch_size"] = 8  # a default
        write_settings(folder, record)
    record = read_settings(folder := leave_run(tmp_path, "Other"))
    del record["options"]["pre_train_epoch"]
    record["options"] |= {"cycle_lambda": 10, "batch_size": 1}
    write_settings(folder, record | {"method": "survey.other"})
    runs = read_all(tmp_path)
    assert columns_of(runs) == ["method"]
    table = tables.overview(runs)
    assert sorted(cells["method"][0] for _, cells in table["rows"]) == ["CartoonGAN", "CartoonGAN", "other"]
    equal = table["equal"]
    assert (equal["ngf"], equal["con_lambda"]) == ("4", "3 (CartoonGAN)")
    assert equal["cycle_lambda"] == "10 (other)"
    assert sorted(equal["batch_size"].split(", ")) == ["1 (other)", "8 (CartoonGAN)"]
    runs[0]["given"].add("batch_size")
    assert columns_of(runs) == ["method", "batch_size"]


def test_a_new_measure_is_a_column_with_its_deviation(tmp_path):
    row = {"phase": 2, "epoch": 4, "adversarial": 1, "new": 0.5, "new_std": 0.125}
    history.add(leave_run(tmp_path, "One") / "metrics.csv", row)
    runs = read_all(tmp_path)
    assert columns_of(runs) == ["last new"]
    ((_, cells),) = tables.overview(runs)["rows"]
    assert cells["last new"] == ("0.5 ± 0.12", 0.5)


def test_the_newest_run_comes_first(tmp_path):
    for year, name in enumerate("ABC", 2030):
        log = leave_run(tmp_path, name) / "log.txt"
        log.write_text(f"{year}-01-01 00:00:00 +0000 started: \n{log.read_text()}")
    (tmp_path / "old_results").mkdir()
    rows = tables.overview(read_all(tmp_path))["rows"]
    assert [run["name"] for run, _ in rows] == ["C", "B", "A", "old"]


def test_epochs_are_counted_as_in_the_names_of_samples():
    phases = [[(1, 2), (0, 18)], [(2, 2), (0, 18)], [(2, 2), (0, 0)], [(0, 0), (7, None)]]
    texts = ["1 of 2, phase one", "0 of 18", "2 of 2, phase one", "7"]
    assert [tables.epoch({"phases": each}) for each in phases] == texts


def test_sizes():
    texts = ["999 bytes", "82.6 MB", "52 TB"]
    assert [tables.size(count) for count in (999, 82_600_000, 5.2e13)] == texts
