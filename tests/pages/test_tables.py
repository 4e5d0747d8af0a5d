"""The table of runs: its columns and rows, and its values as texts."""

import pytest
from helpers import leave_run

from pages import summaries, tables


def test_the_overview_shows_the_settings_in_which_runs_differ(tmp_path):
    found = [
        summaries.read(leave_run(tmp_path, name, ngf=ngf, lrG=2e-4))
        for name, ngf in (("One", 4), ("Two", 64))
    ]
    shown = tables.overview(found)
    assert shown["columns"] == [("ngf", "ngf", "setting"), ("last content", "content", "measure")]
    assert [row["cells"]["ngf"] for row in shown["rows"]] == [("4", 4), ("64", 64)]
    assert shown["equal"] == {"pre_train_epoch": "1", "train_epoch": "3", "lrG": "0.0002"} | {
        "photographs": "6, fingerprint abcdef0123"
    }
    assert not shown["data_differ"]
    found[1]["data"] = [("photographs", 7, "abcdef0124")]
    shown = tables.overview(found)
    assert shown["data_differ"] and "photographs" not in shown["equal"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (82_600_000, "82.6 MB"), (5.2e13, "52 TB")]
)
def test_sizes(count, text):
    assert tables.size(count) == text
