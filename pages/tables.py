"""The table of runs, for the overview page and for a terminal."""

import math
import shutil
import unicodedata

from training import history

# Options about recording and speed, which are not compared.
RECORDING = {"workers", "save_minutes", "eval_every", "checkpoint_every"}
RECORDING |= {"sample_every", "sample_format", "sample_keep"}
ENVIRONMENT = ("device", "precision", "code", "torch")  # settings that are not options
MAIN = 6  # settings in the front columns; the others come last, and a phone hides them


def overview(runs):
    """The table of the overview page, newest run first.

    {"columns": [(key, title, CSS class, hint)], "rows": [{"run", "cells": {key: (text, value to sort by)}}],
    "equal": {setting or kind of data: text} of those in which the runs agree}
    """
    runs = newest_first(runs)
    differing, equal = compare_settings(runs)
    lasts, losses = (_keys(run[name] for run in runs) for name in ("last", "losses"))
    measures, measure = history.measures(lasts, losses), _best_by(runs)
    data_differ = len({str(run["data"]) for run in runs}) > 1
    if runs and not data_differ:
        equal |= {kind: f"{count}, fingerprint {mark}" for kind, count, mark in runs[0]["data"]}
    columns = [
        ("state", "State", "", ""),
        ("epoch", "Epoch", "number", "of phase two, if not stated otherwise"),
        *((key, key, "setting", "") for key in differing[:MAIN]),
        *([("best", f"best {measure}", "number", "")] if measure else []),
        ("seconds", "s / epoch", "number", "median of the last five epochs, as images / s"),
        ("speed", "images / s", "number minor", ""),
        *([("data", "Data", "setting", "")] if data_differ else []),
        ("size", "Disk", "number", ""),
        ("started", "Started", "", ""),
        *((key, key, "setting minor", "") for key in differing[MAIN:]),
    ]
    hint = "of the last epoch at which it was measured"
    columns += [(f"last {key}", key.replace("_", " "), "number measure", hint) for key in measures]
    rows = [{"run": run, "cells": _cells(run, differing, measures)} for run in runs]
    return {"columns": columns, "rows": rows, "equal": equal}


def _cells(run, settings, measures):
    """{key of a column: (text, value to sort by)} of a run."""
    (first, first_planned), (second, _) = run["phases"]
    data = ", ".join(f"{count} {kind} ({mark[:6]})" for kind, count, mark in run["data"])
    cells = {
        "state": (run["state"], run["state"]),
        "epoch": (epoch(run), second or first - (first_planned or 0)),
        "best": (best(run), run["best"] and run["best"].value),
        "seconds": (figure(run["seconds"]), run["seconds"]),
        "speed": (figure(run["speed"]), run["speed"]),
        "data": (data or "–", data),
        "size": (size(run["bytes"]), run["bytes"]),
        "started": (run["started"][:16] or "–", run["started"]),
    }
    own, last = run["page"]["settings"], run["last"]
    cells |= {key: (figure(own[key]), own[key]) for key in settings if key in own}
    for key in measures:
        cells[f"last {key}"] = with_deviation(last.get(key), last.get(f"{key}_std")), last.get(key)
    return cells


def newest_first(runs):
    """Runs by the time of their first start; those with an unknown time come last."""
    return sorted(runs, key=lambda run: run["started"], reverse=True)


def listing(runs):
    """The runs as lines of text, newest first: name, state, epoch, differing options, best measure, size.

    The lines fit the terminal, or 120 columns without one; a last line names the options that do not fit.
    """
    runs, width = newest_first(runs), shutil.get_terminal_size((120, 24)).columns
    column = lambda title, texts: [title, *map(printable, texts)]
    front = [
        column("run", [run["name"] for run in runs]),
        column("state", [run["state"] for run in runs]),
        column("epoch", map(epoch, runs)),
    ]
    back = [column("size", [size(run["bytes"]) for run in runs])]
    if measure := _best_by(runs):
        back.insert(0, column(f"best {measure}", map(best, runs)))
    left_out = []
    for key in compare_settings(runs)[0]:
        if key in ENVIRONMENT:
            continue
        new = column(key, [figure(run["page"]["settings"].get(key)) for run in runs])
        if _width_of([*front, new, *back]) <= width:
            front.append(new)
        else:
            left_out.append(key)
    table = [*front, *back]
    pad = lambda text, column: text + " " * (_width_of([column]) - _width(text))
    lines = ["  ".join(map(pad, line, table)).rstrip() for line in zip(*table, strict=True)]
    if left_out:
        lines.append(f"They also differ in {', '.join(left_out)}: widen the terminal, or see the page.")
    return "\n".join(lines)


def _best_by(runs):
    """The measure by which the best epochs of runs are chosen; None if none was measured."""
    return next((history.NAMES[run["best"].column] for run in runs if run["best"]), None)


def compare_settings(runs):
    """([settings in which runs differ], {setting: text} of those in which the runs of each method agree).

    The method comes first, then the settings with the most values. Methods differ in a setting only if a
    command line gave it: otherwise it is a default of theirs, or one lacks the option.
    """
    settings = [run["page"]["settings"] for run in runs]
    of_every_method = {"method", *ENVIRONMENT}
    given = of_every_method.union(*(run["given"] for run in runs))
    counts, equal = {}, {}
    for key in _keys(settings):
        if key in RECORDING:
            continue
        texts = {}  # {method: the texts of its runs, None if a run lacks the setting}
        for each in settings:
            texts.setdefault(each.get("method"), set()).add(figure(each[key]) if key in each else None)
        lacking = {method for method, values in texts.items() if values == {None}}
        if key in of_every_method or key not in given:  # runs of older versions may lack it
            texts = {method: values - {None} for method, values in texts.items()}
        texts = {method: values for method, values in texts.items() if method not in lacking}
        every = set().union(*texts.values())
        if len(every) > 1 and (key in given or any(len(values) > 1 for values in texts.values())):
            counts[key] = len(every)
        elif len(every) == 1 and not lacking - {None}:
            equal[key] = every.pop()
        else:
            equal[key] = ", ".join(f"{values.pop()} ({method})" for method, values in texts.items())
    return sorted(counts, key=lambda key: (key != "method", -counts[key])), equal


def _keys(dictionaries):
    """The keys of dictionaries, each once."""
    return list(dict.fromkeys(key for each in dictionaries for key in each))


# Values as texts


def epoch(run):
    """The epoch that a run has reached: "18 of 18" in phase two, "1 of 2, phase one" before it."""
    (first, first_planned), (second, planned) = run["phases"]
    if not second and first_planned and (first < first_planned or planned == 0):
        return f"{first} of {first_planned}, phase one"
    return f"{second} of {planned}" if planned else str(second)


def best(run):
    """The best measure of a run, and its epoch."""
    found = run["best"]
    return f"{with_deviation(found.value, found.error)}, epoch {found.epoch}" if found else "–"


def with_deviation(value, deviation):
    """A measure as text, with its standard deviation if it has one."""
    known = None not in (value, deviation) and not math.isnan(deviation)
    return figure(value) + (f" ± {deviation:.2g}" if known else "")


def printable(text):
    """A text without what could move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _width_of(columns):
    """The width of a table in a terminal."""
    return sum(max(map(_width, column)) for column in columns) + 2 * (len(columns) - 1)


def _width(text):
    """The width of a text in a terminal; East Asian letters take two columns."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def size(count):
    """Bytes as a short text."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def figure(value):
    """A value of a table as text: numbers to four digits, yes and no, a dash for none."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
