"""metrics.csv: each epoch once, in one table for both phases; the plot of its losses; the best row."""

import pytest

from pictures import images
from training import history
from utils import WrongUse


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
        history.add(path, row(1, epoch))
    for epoch in (1, 2, 3):
        history.add(path, row(2, epoch, discriminator=2.0, adversarial=0.7))
    return path


def as_text(row):
    return {key: str(value) for key, value in row.items()}


def places(path):
    return [(row["phase"], row["epoch"]) for row in history.read(path)]


def test_metrics_of_both_phases_stand_in_one_table(tmp_path):
    path = filled(tmp_path / "metrics.csv")
    assert places(path) == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2"), ("2", "3")]
    first, *_, last = history.read(path)
    assert first.keys() == last.keys()
    assert (first["discriminator"], first["content"]) == ("", "0.5")
    assert (last["discriminator"], last["adversarial"]) == ("2.0", "0.7")
    lines = path.read_text().splitlines()
    assert len(lines) == 6 and {line.count(",") for line in lines} == {lines[0].count(",")}


@pytest.mark.parametrize(("phase", "epoch", "left"), [(1, 1, 0), (1, 2, 1), (2, 1, 2), (2, 3, 4), (2, 4, 5)])
def test_cut_metrics_then_each_epoch_stands_once(tmp_path, phase, epoch, left):
    path = filled(tmp_path / "metrics.csv")
    whole = places(path)
    history.cut(path, phase, epoch)
    assert places(path) == whole[:left]
    for again in whole[left:]:
        history.add(path, row(*map(int, again)))
    assert places(path) == whole


def test_a_row_is_appended(tmp_path):
    """What is written an epoch does not grow with the epochs: the rows of before stay the bytes they were."""
    path = filled(tmp_path / "metrics.csv")
    inode, before = path.stat().st_ino, path.read_bytes()
    history.add(path, row(2, 4, adversarial=0.5))
    assert path.stat().st_ino == inode and path.read_bytes().startswith(before)
    assert history.read(path)[-1] == {
        **dict.fromkeys(history.read(path)[0], ""),
        **as_text(row(2, 4, adversarial=0.5)),
    }


def test_a_last_row_that_a_power_loss_cut_off_is_done_again(tmp_path):
    path = filled(tmp_path / "metrics.csv")
    path.write_bytes(path.read_bytes()[:-9])
    history.cut(path, 2, 3)
    assert places(path) == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]


def test_metrics_without_a_file(tmp_path):
    path = tmp_path / "metrics.csv"
    assert history.read(path) == []
    history.cut(path, 1, 1)
    assert history.read(path) == []
    history.add(path, row(1, 1))
    assert places(path) == [("1", "1")]


def test_losses_are_drawn(tmp_path):
    history.plot_losses(filled(tmp_path / "metrics.csv"), tmp_path / "losses.png")
    three_terms = images.read(tmp_path / "losses.png")
    (tmp_path / "one.csv").write_text("phase,epoch,content,seconds,learning_rate\n2,1,0.5,1,0.1\n")
    history.plot_losses(tmp_path / "one.csv", tmp_path / "one.png")
    one_term = images.read(tmp_path / "one.png")
    assert three_terms.shape == (3 * one_term.shape[0], one_term.shape[1], 3)
    assert three_terms.min() < 100
    assert not list(tmp_path.glob(".*"))


def test_the_best_row_has_the_lowest_kid_of_phase_two():
    rows = [
        {"phase": phase, "epoch": epoch, history.KID: kid}
        for phase, epoch, kid in (("1", "1", "0.1"), ("2", "1", "0.5"), ("2", "2", "0.25"), ("2", "3", ""))
    ]
    assert history.best(rows) == (rows[2], "kid_drawings") and history.as_good(rows) == []
    assert history.best(rows[:1]) is None and history.best([{"phase": "2", "epoch": "1"}]) is None
    assert history.best_text(rows) == "lowest KID: 0.25 after epoch 2" and history.best_text([]) == ""


def test_the_best_row_has_the_highest_style_and_those_within_its_error_are_named():
    rows = [{"phase": "2", "epoch": "1", "kid_drawings": "0.1"}]  # of an earlier version
    for epoch, style in enumerate(("0.1", "0.3", "0.35", "", "0.31"), 2):
        rows.append({"phase": "2", "epoch": str(epoch), "drawn": style, "drawn_std": style and "0.04"})
    assert history.best(rows) == (rows[3], "drawn") and history.as_good(rows) == ["6"]
    text = "highest style: 0.350 ± 0.040 after epoch 4 (within its error: 6)"
    assert history.best_text(rows) == text


def test_no_plot_without_rows(tmp_path):
    history.plot_losses(tmp_path / "removed" / "metrics.csv", tmp_path / "removed" / "losses.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["2,x,0.5", "2,1,0.5,7", "2,1", "-1,1,0.5", f"2,{10**20},0.5", "2,²,0.5"])
def test_a_damaged_row_is_told_before_it_is_written_over(tmp_path, damage):
    path = tmp_path / "metrics.csv"
    path.write_text(f"phase,epoch,content\n1,1,0.5\n{damage}\n", encoding="utf-8")
    with pytest.raises(WrongUse, match=r"metrics.csv, row 2 cannot be understood: mend it, or move"):
        history.cut(path, 2, 1)
    assert damage in path.read_text(encoding="utf-8")


def test_a_file_that_is_no_table_is_told(tmp_path):
    (tmp_path / "metrics.csv").write_bytes(b"\xff\xfe\n")
    with pytest.raises(WrongUse, match=r"metrics.csv cannot be read: .*mend it, or move it away"):
        history.read(tmp_path / "metrics.csv")


def test_cells_that_are_no_number_are_nan():
    assert history.number("0.5") == 0.5
    assert all(history.number(cell) != history.number(cell) for cell in ("", "x", None, "nan"))
