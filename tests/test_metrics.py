"""metrics.csv: each epoch once, in one table for both phases; the plot of its losses; the best row."""

import pytest

import images
import metrics


def row(phase, epoch, **terms):
    return {
        "phase": phase,
        "epoch": epoch,
        "content": 0.5 / epoch,
        **terms,
        "seconds": 1.5,
        "learning_rate": 2e-4,
    }


def filled(path):
    for epoch in (1, 2):
        metrics.add(path, row(1, epoch))
    for epoch in (1, 2, 3):
        metrics.add(path, row(2, epoch, discriminator=2.0, adversarial=0.7))
    return path


def places(path):
    return [(row["phase"], row["epoch"]) for row in metrics.read(path)]


def test_metrics_of_both_phases_stand_in_one_table(tmp_path):
    path = filled(tmp_path / "metrics.csv")
    assert places(path) == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2"), ("2", "3")]
    first, *_, last = metrics.read(path)
    assert first.keys() == last.keys()
    assert (first["discriminator"], first["content"]) == ("", "0.5")
    assert (last["discriminator"], last["adversarial"]) == ("2.0", "0.7")
    lines = path.read_text().splitlines()
    assert len(lines) == 6 and {line.count(",") for line in lines} == {lines[0].count(",")}


@pytest.mark.parametrize(("phase", "epoch", "left"), [(1, 1, 0), (1, 2, 1), (2, 1, 2), (2, 3, 4), (2, 4, 5)])
def test_cut_metrics_then_each_epoch_stands_once(tmp_path, phase, epoch, left):
    path = filled(tmp_path / "metrics.csv")
    whole = places(path)
    metrics.cut(path, phase, epoch)
    assert places(path) == whole[:left]
    for again in whole[left:]:
        metrics.add(path, row(*map(int, again)))
    assert places(path) == whole


def test_metrics_without_a_file(tmp_path):
    path = tmp_path / "metrics.csv"
    assert metrics.read(path) == []
    metrics.cut(path, 1, 1)
    assert metrics.read(path) == []
    metrics.add(path, row(1, 1))
    assert places(path) == [("1", "1")]


def test_losses_are_drawn(tmp_path):
    metrics.plot_losses(filled(tmp_path / "metrics.csv"), tmp_path / "losses.png")
    three_terms = images.read(tmp_path / "losses.png")
    (tmp_path / "one.csv").write_text("phase,epoch,content,seconds,learning_rate\n2,1,0.5,1,0.1\n")
    metrics.plot_losses(tmp_path / "one.csv", tmp_path / "one.png")
    one_term = images.read(tmp_path / "one.png")
    assert three_terms.shape == (3 * one_term.shape[0], one_term.shape[1], 3)
    assert three_terms.min() < 100
    assert not list(tmp_path.glob(".*"))


def test_the_best_row_has_the_lowest_kid_of_phase_two():
    rows = [
        {"phase": phase, "epoch": epoch, metrics.KID: kid}
        for phase, epoch, kid in (("1", "1", "0.1"), ("2", "1", "0.5"), ("2", "2", "0.25"), ("2", "3", ""))
    ]
    assert metrics.best(rows)["epoch"] == "2"
    assert metrics.best(rows[:1]) is None and metrics.best([{"phase": "2", "epoch": "1"}]) is None


def test_no_plot_without_rows(tmp_path):
    metrics.plot_losses(tmp_path / "removed" / "metrics.csv", tmp_path / "removed" / "losses.png")
    assert not list(tmp_path.iterdir())
