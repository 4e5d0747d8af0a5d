"""The table of runs: its columns and rows, and its values as texts."""

from helpers import make_run

from pages import summaries, tables
from training import history

FACTS = {"state", "epoch", "seconds", "speed", "size", "started"}  # columns that every table has


def columns_of(runs):
    """The keys of the columns of an overview, without those that every table has."""
    return [key for key, *_ in tables.overview(runs)["columns"] if key not in FACTS]


def test_the_overview_has_columns_for_what_differs_and_what_was_measured(tmp_path):
    for name, ngf in (("One", 4), ("Two", 64)):
        make_run(tmp_path, name, ngf=ngf)
    row = {"phase": 2, "epoch": 4, "adversarial": 1, "new": 0.5, "new_std": 0.125}
    history.add(tmp_path / "One_results/metrics.csv", row)
    one, two = runs = [summaries.read(folder) for folder in summaries.find_runs(tmp_path)]
    one["started"], two["started"] = "2030-01-01 00:00:00", "2030-01-01 00:00:01"
    assert columns_of(runs) == ["ngf", "last new"]
    table = tables.overview(runs)
    (newest, cells), (_, cells_of_one) = table["rows"]
    assert newest is two and cells["ngf"] == ("64", 64) and cells["last new"] == ("–", None)
    assert cells["epoch"] == ("3 of 3", 3) and cells["seconds"] == ("2", 2)
    assert cells_of_one["ngf"] == ("4", 4) and cells_of_one["last new"] == ("0.5 ± 0.12", 0.5)
    assert table["equal"]["photographs"] == "6, fingerprint abcdef0123"
    one |= {"phases": [(1, 2), (0, 9)], "data": [("photographs", 7, "abcdef0124")]}
    assert columns_of(runs) == ["ngf", "data", "last new"]
    table = tables.overview(runs)
    assert "photographs" not in table["equal"]
    assert table["rows"][1][1]["epoch"] == ("1 of 2, phase one", -1)


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
