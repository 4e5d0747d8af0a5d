"""The table of runs: its columns and rows, and its values as texts."""

from helpers import leave_run

from pages import summaries, tables
from training import history

FACTS = {"state", "epoch", "seconds", "speed", "size", "started"}  # columns that every table has


def read_all(results):
    return [summaries.read(folder) for folder in summaries.find_runs(results)]


def columns_of(runs):
    """The keys of the columns of an overview, without those that every table has."""
    return [key for key, *_ in tables.overview(runs)["columns"] if key not in FACTS]


def test_the_overview_has_columns_for_what_differs(tmp_path):
    for name, ngf in (("One", 4), ("Two", 64)):
        leave_run(tmp_path, name, ngf=ngf)
    runs = read_all(tmp_path)
    assert columns_of(runs) == ["ngf"]
    table = tables.overview(runs)
    cells = {run["name"]: cells for run, cells in table["rows"]}
    assert (cells["One"]["ngf"], cells["Two"]["ngf"]) == (("4", 4), ("64", 64))
    assert cells["One"]["epoch"] == ("3 of 3", 3) and cells["One"]["seconds"] == ("2", 2)
    assert table["equal"]["photographs"] == "6, fingerprint abcdef0123"
    runs[0] |= {"phases": [(1, 2), (0, 9)], "data": [("photographs", 7, "abcdef0124")]}
    assert columns_of(runs) == ["ngf", "data"] and "photographs" not in tables.overview(runs)["equal"]
    assert ("1 of 2, phase one", -1) in [cells["epoch"] for _, cells in tables.overview(runs)["rows"]]


def compare(*settings, given=()):
    return tables.compare_settings([{"given": {*given}, "page": {"settings": each}} for each in settings])


def test_settings_of_one_method_differ_where_its_runs_do():
    one = {"method": "CartoonGAN", "nb": 8}
    equal = {"method": "CartoonGAN", "nb": "8"}
    two, three = ({**one, "ngf": 8, "lrG": rate} for rate in (1e-4, 2e-4))
    assert compare({**one, "lrG": 3e-4, "ngf": 4}, two, three) == (["lrG", "ngf"], equal)
    assert compare({**one, "workers": 0}, {**one, "workers": 2}) == ([], equal)  # recording
    assert compare({**one, "code": "0123456789"}, one, {}) == ([], {**equal, "code": "0123456789"})
    assert compare({**one, "flatten": 1}, one, given=["flatten"]) == (["flatten"], equal)


def test_methods_differ_in_given_options_but_not_in_defaults_or_options_that_one_lacks():
    one = {"nb": 8, "method": "CartoonGAN", "batch_size": 8, "con_lambda": 3.0, "device": "cpu"}
    other = {"nb": 8, "method": "other", "batch_size": 1, "cycle_lambda": 10, "device": "cuda"}
    equal = {"nb": "8", "con_lambda": "3 (CartoonGAN)", "cycle_lambda": "10 (other)"}
    defaults = {"batch_size": "8 (CartoonGAN), 1 (other)"}
    assert compare(one, other, one) == (["method", "device"], equal | defaults)
    differing = ["method", "batch_size", "device"]
    assert compare(one, other, one, given=["batch_size", "con_lambda"]) == (differing, equal)


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
