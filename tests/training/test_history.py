"""metrics.csv: each epoch once, in one table for both phases; the best epoch."""

import pytest

from training import history


def row(phase, epoch, **terms):
    return {"phase": phase, "epoch": epoch, "content": 0.5 / epoch, **terms, "seconds": 1.5}


@pytest.fixture
def path(tmp_path):
    """The file of two epochs of phase one and three of phase two."""
    path = tmp_path / "metrics.csv"
    for epoch in (1, 2):
        history.add(path, row(1, epoch))
    for epoch in (1, 2, 3):
        history.add(path, row(2, epoch, discriminator=2.0))
    return path


def places(path):
    return [(int(row["phase"]), int(row["epoch"])) for row in history.read(path)]


@pytest.mark.parametrize(("phase", "epoch", "left"), [(1, 1, 0), (1, 2, 1), (2, 1, 2), (2, 3, 4), (2, 4, 5)])
def test_after_a_cut_each_epoch_is_recorded_once(path, phase, epoch, left):
    whole = places(path)
    history.cut(path, phase, epoch)
    assert places(path) == whole[:left]
    for again in whole[left:]:
        history.add(path, row(*again))
    assert places(path) == whole


def test_a_last_row_that_a_power_loss_cut_off_is_dropped(path):
    path.write_bytes(path.read_bytes()[:-9])
    history.cut(path, 2, 3)
    assert places(path) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def measured(column, *values):
    """Rows of phase two with these values, whose errors are 0.01, 0.02, …"""
    return [
        {"phase": "2", "epoch": str(epoch), column: str(value), f"{column}_std": f"{epoch / 100}"}
        for epoch, value in enumerate(values, 1)
    ]


def test_the_best_epoch_has_the_highest_style_or_without_styles_the_lowest_kid():
    phase_one = {"phase": "1", "epoch": "9", "kid_drawings": "0.01", "drawn": "0.9"}
    kids = [phase_one, *measured("kid_drawings", 0.5, 0.25, "", 0.26)]
    assert history.best(kids) == (2, "kid_drawings", 0.25, 0.02, [])
    assert history.best([phase_one, {"phase": "2", "epoch": "1"}]) is None

    styles = measured("drawn", 0.1, 0.3, "", 0.35, 0.32)
    styles[0]["kid_drawings"] = "0.1"  # as in a run that an earlier version began
    assert history.best([*styles, phase_one]) == (4, "drawn", 0.35, 0.04, [5])
