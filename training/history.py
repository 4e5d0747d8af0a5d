"""metrics.csv, one row per epoch: its columns, its rows, its best epoch, and the plot of its losses."""

import contextlib
import csv
import io
import math
import re
from typing import NamedTuple

from support.files import append, replacing, write_text
from utils import WrongUse, first_line

FILE = "metrics.csv"
DRAWN, KID = "drawn", "kid_drawings"  # the columns that choose generator_best.pth: style, or else KID
NAMES = {DRAWN: "style", KID: "KID"}

# The columns. Each line is what the pages print under a curve.

# The losses of every step, without their weights; the help of the option NAME_lambda explains any other.
LOSSES = {
    "content": "mean absolute difference of VGG19's conv4_4 features between result and photograph",
    "style": "difference of VGG19's Gram matrices between results and drawings; lower is nearer",
    "total_variation": "mean absolute difference of neighbouring pixels of the result; lower is smoother",
    "discriminator": "the discriminator's loss; it falls as the discriminator recognises drawings",
    "adversarial": "the generator's loss; it rises as the discriminator recognises results",
    "pixel": "mean absolute difference of the pixels of result and flattened photograph",
    "cycle": "mean absolute difference between a photograph and its result translated back",
    "identity": "mean absolute difference between a drawing and the generator's result for it",
}
RUNNING = {
    "seconds": "seconds that the steps of the epoch took, without samples and measures",
    "images_per_second": "photographs a second in the steps of the epoch",
    "learning_rate": "learning rate of the generator in this epoch",
}
OTHERS = {
    "auc_result": "how well the discriminator separates drawings from results, by patches; 0.5: chance; 1: "
    "always, which teaches the generator little",
    "auc_smoothed": "how well the discriminator separates drawings from their edge-smoothed copies; 0.5: it "
    "has not learned outlines yet",
    "change_from_photo": "mean absolute difference between result and photograph in grey levels of 255; "
    "below 1 nothing is learned",
    "skipped_steps": "steps of the epoch that were skipped because a number in float16 overflowed",
    "line_edges": "share of the strong edges that are drawn lines, thin and dark",  # of earlier versions
}
COMPANIONS = {  # suffixes of columns that belong to another one
    "_back": "the same in the direction from drawings to photographs",
    "_std": "standard deviation of the value of this name",
    "_photo": "the photographs' own value, to compare",
    "_drawings": "the drawings' own value, to compare",
}


def meaning(column, measures, losses):
    """One line about a column; "" for one that is not known.

    `measures` are evaluation.measures.MEASURES, of --eval_every. `losses`, {name: meaning}, are those in the
    run's settings.json, from the help of its options.
    """
    column = column.removeprefix("measured_")  # the measure with the name of a loss
    if column in measures:
        return measures[column].meaning
    if line := (losses | LOSSES | OTHERS | RUNNING).get(column):
        return line
    return next((line for end, line in COMPANIONS.items() if column.endswith(end)), "")


def measures(columns, losses):
    """Those of `columns` that measure results, or are not known. `losses` is as in `meaning`."""
    others = {"phase", "epoch", "pictures", "squares", *losses, *LOSSES, *RUNNING}
    return [column for column in columns if column not in others and not _is_companion(column, columns)]


def _is_companion(column, columns):
    return any(column.removesuffix(end) in columns for end in COMPANIONS if column.endswith(end))


# The table


def add(path, row):
    """Append an epoch's row. Only a new column, at the start of a phase, rewrites the file."""
    rows = read(path)
    if rows and row.keys() <= rows[0].keys():
        append(path, _lines([*rows[0]], [row]))
    else:
        _write(path, [*rows, row])


def cut(path, phase, epoch):
    """Drop the rows from (phase, epoch) on, which are trained again. Raises WrongUse for a damaged row."""
    rows = read(path)
    if rows and not _is_whole(rows[-1]) and not path.read_bytes().endswith(b"\n"):
        rows.pop()  # a power loss cut its line off
    for number, row in enumerate(rows, 1):
        if not _is_whole(row):
            raise WrongUse(f"{path}, row {number} cannot be understood: fix it, or move the file away")
    _write(path, [row for row in rows if (int(row["phase"]), int(row["epoch"])) < (phase, epoch)])


def read(path):
    """The rows as dictionaries of text, oldest first; none without a file. Raises WrongUse."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise WrongUse(f"{path} cannot be read: {first_line(error)}; fix it, or move it away") from None


def _write(path, rows):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_text(path, _lines(columns, [dict(zip(columns, columns, strict=True)), *rows]))


def _lines(columns, rows):
    text = io.StringIO()
    csv.DictWriter(text, columns, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _is_whole(row):
    """Whether a row has as many cells as there are columns, and a phase and an epoch."""
    return None not in row and None not in row.values() and _has_place(row)


def _has_place(row):
    return all(re.fullmatch("[0-9]{1,18}", str(row.get(key))) for key in ("phase", "epoch"))


def number(cell):
    """A cell as a float; NaN if it is not a number."""
    with contextlib.suppress(ValueError, TypeError):
        return float(cell)
    return math.nan


# The best epoch


class Best(NamedTuple):
    """The best epoch of phase two: by the highest style, or where that was never measured, the lowest KID."""

    epoch: int
    column: str  # DRAWN or KID
    value: float
    error: float  # standard deviation of the value; NaN without one
    as_good: list  # the other epochs whose style differs by at most that error

    def __str__(self):
        if self.column == KID:
            return f"lowest KID: {self.value:.4g} after epoch {self.epoch}"
        text = f"highest style: {_with_error(self.value, self.error)} after epoch {self.epoch}"
        others = ", ".join(map(str, self.as_good))
        if len(self.as_good) > 10:
            others = f"{len(self.as_good)} other epochs, from {self.as_good[0]} to {self.as_good[-1]}"
        return text + (f" (within its error: {others})" if others else "")


def best(rows):
    """The Best of some rows, of text or of numbers; None if nothing was measured in phase two."""
    rows = {int(row["epoch"]): row for row in rows if _has_place(row) and int(row["phase"]) == 2}
    for column, sign in ((DRAWN, 1), (KID, -1)):
        values = {epoch: number(row.get(column)) for epoch, row in rows.items()}
        values = {epoch: value for epoch, value in values.items() if math.isfinite(value)}
        if values:
            epoch = max(values, key=lambda epoch: sign * values[epoch])
            error = number(rows[epoch].get(f"{column}_std"))
            lowest = values[epoch] - error if column == DRAWN else math.nan
            as_good = [each for each, value in values.items() if value >= lowest and each != epoch]
            return Best(epoch, column, values[epoch], error, as_good)
    return None


def rank(row, best):
    """The style of a row of phase two, and how it compares with the Best so far, as a text."""
    error = number(row.get(f"{DRAWN}_std"))
    text = f"style {_with_error(row[DRAWN], error)}"
    if best.epoch == row["epoch"]:
        return f"{text}, the highest so far"
    if row["epoch"] in best.as_good:
        highest = _with_error(best.value, best.error)
        return f"{text}, within the error of the highest ({highest}, epoch {best.epoch})"
    return text


def _with_error(value, error):
    """A style and its error as a text."""
    return f"{value:.3f} ± {error:.3f}"


# The plot


def plot_losses(folder):
    """Plot each loss of a run by epoch into losses.png; phase one is shaded. Without rows, do nothing."""
    import matplotlib.figure  # takes half a second, which --list would wait for

    rows = read(folder / FILE)
    if not rows:  # as after the folder was removed
        return
    columns = rows[0].keys()
    terms = [key for key in columns if key not in ("phase", "epoch", *RUNNING)]
    # Too many columns, added by hand, must not make a picture too large to draw.
    terms = [key for key in terms if key.endswith("_back") or not _is_companion(key, columns)][:20]
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
    with replacing(folder / "losses.png", sync=False) as part:
        figure.savefig(part, format="png", dpi=100)
