"""metrics.csv, an epoch a row, and the plot of its losses."""

import contextlib
import csv
import io
import math
import re

from support.files import append, replacing, write_text
from utils import WrongUse, first_line

FILE = "metrics.csv"
DRAWN, KID = "drawn", "kid_drawings"  # columns that generator_best.pth is chosen by: the first that is there
NAMES = {DRAWN: "style", KID: "KID"}
BESIDE = ("_std", "_photo", "_drawings")  # ends of columns that stand beside one: its error, its references


def add(path, row):
    """Add an epoch's row to metrics.csv; a term of one phase alone leaves its cell empty in the other.

    The row is appended, so a long run costs no more an epoch than a short one. Only a new column, at the
    start of a phase, has the file written anew.
    """
    columns = _columns(path)
    if row.keys() <= {*columns}:
        append(path, _lines(columns, [row]))
    else:
        _write(path, [*read(path), row])


def cut(path, phase, epoch):
    """Drop the rows from (phase, epoch) on, which will be done again. Raises WrongUse for a damaged row."""
    rows = read(path)
    if rows and not _is_whole(rows[-1]) and not path.read_bytes().endswith(b"\n"):
        rows.pop()  # a power loss cut its line off
    for place, row in enumerate(rows, 1):
        if not _is_whole(row):
            raise WrongUse(f"{path}, row {place} cannot be understood: mend it, or move the file away")
    _write(path, [row for row in rows if (int(row["phase"]), int(row["epoch"])) < (phase, epoch)])


def read(path):
    """The rows of metrics.csv as dictionaries of text, oldest first; none without a file. Raises WrongUse."""
    return _read(path, lambda file: list(csv.DictReader(file)))


def _columns(path):
    return _read(path, lambda file: next(csv.reader(file), []))


def _read(path, parse):
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return parse(file)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise WrongUse(f"{path} cannot be read: {first_line(error)}; mend it, or move it away") from None


def number(cell):
    """A cell of metrics.csv as a float; NaN where it is none."""
    with contextlib.suppress(ValueError, TypeError):
        return float(cell)
    return math.nan


def _is_whole(row):
    """Whether a row has as many cells as there are columns, and a phase and an epoch."""
    return None not in row and None not in row.values() and _is_place(row)


def _is_place(row):
    return all(re.fullmatch("[0-9]{1,18}", str(row.get(key))) for key in ("phase", "epoch"))


def best(rows):
    """(the best row of phase two, the column that it is best by); None if nothing was measured.

    It has the highest style or, where that was never measured, the lowest KID to the drawings.
    """
    measured = [row for row in rows if _is_place(row) and str(row["phase"]) == "2"]
    for column, sign in ((DRAWN, 1), (KID, -1)):
        found = [row for row in measured if math.isfinite(number(row.get(column)))]
        if found:
            return max(found, key=lambda row: sign * number(row[column])), column
    return None


def as_good(rows):
    """The epochs of phase two whose style differs from the highest by at most its error, as texts."""
    row, column = best(rows) or ({}, None)
    if column != DRAWN:
        return []
    lowest = number(row[DRAWN]) - number(row.get(f"{DRAWN}_std"))
    others = [each for each in rows if _is_place(each) and str(each["phase"]) == "2"]
    found = [str(each["epoch"]) for each in others if number(each.get(DRAWN)) >= lowest]
    return [epoch for epoch in found if epoch != str(row["epoch"])]


def best_text(rows):
    """The best value of phase two, its epoch and the epochs within its error; "" if nothing was measured."""
    row, column = best(rows) or ({}, None)
    if not column:
        return ""
    highest = column == DRAWN
    text = f"highest style: {with_error(row)}" if highest else f"lowest KID: {number(row[column]):.4g}"
    text += f" after epoch {row['epoch']}"
    others = as_good(rows)
    if len(others) > 10:
        return f"{text} (within its error: {len(others)} other epochs, from {others[0]} to {others[-1]})"
    return f"{text} (within its error: {', '.join(others)})" if others else text


def with_error(row):
    """The style of a row and its error as a text."""
    return f"{number(row[DRAWN]):.3f} ± {number(row.get(f'{DRAWN}_std')):.3f}"


def _write(path, rows):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    header = dict(zip(columns, columns, strict=True))
    write_text(path, _lines(columns, [header, *rows]))


def _lines(columns, rows):
    text = io.StringIO()
    csv.DictWriter(text, columns, lineterminator="\n").writerows(rows)
    return text.getvalue()


def plot_losses(table, path):
    """Draw each loss of metrics.csv by epoch into one PNG; phase one is shaded.

    Without rows, as of a folder that was removed meanwhile, there is none.
    """
    import matplotlib.figure  # takes half a second, which --list would wait for

    rows = read(table)
    if not rows:
        return
    terms = [
        key
        for key in rows[0]
        if key not in ("phase", "epoch", "seconds", "images_per_second", "learning_rate")
        and not (key.endswith(BESIDE) and key.rpartition("_")[0] in rows[0])
    ][:20]  # a column too many, by hand, must not make a picture too large to draw
    before = sum(row["phase"] == "1" for row in rows)
    height = 2.4 * len(terms)
    figure = matplotlib.figure.Figure(figsize=(8, height))
    figure.subplots_adjust(left=0.13, right=0.98, top=1 - 0.1 / height, bottom=0.5 / height, hspace=0.1)
    plots = figure.subplots(len(terms), sharex=True, squeeze=False)[:, 0]
    for axes, term in zip(plots, terms, strict=True):
        points = [(place, number(row[term])) for place, row in enumerate(rows, 1) if row.get(term)]
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 50 else None)
        axes.set(ylabel=term, xlim=(0.5, len(rows) + 0.5))
        axes.axvspan(0.5, before + 0.5, color="0.93")
        axes.grid(alpha=0.3)
    axes.set_xlabel("epoch, phase one shaded")
    with replacing(path, sync=False) as part:
        figure.savefig(part, format="png", dpi=100)
