"""The table of runs, for the overview page and for a terminal."""

import shutil
import unicodedata

from training import columns

# Options that say how a run is recorded: they make no column.
RECORDING = {"workers", "save_minutes", "eval_every", "checkpoint_every"}
RECORDING |= {"sample_every", "sample_format", "sample_keep"}
MAIN = 6  # settings that stand before the other facts; the rest come after them, and a phone leaves them out
ENVIRONMENT = ("device", "precision", "code", "torch")  # settings that are no options


def overview(found):
    """What the overview shows of runs: {"columns", "rows", "equal", "data_differ", "best"}.

    The newest run comes first. A column is (key, title, kind). A row is {"run", "cells": {key: (text, value
    to sort by)}}. "equal" has the settings in which runs agree, and the data if all share them; "best" is the
    measure by which the best epochs are chosen, or None.
    """
    found = newest_first(found)
    settings = [run["page"]["settings"] for run in found]
    differing = _differing(found)
    losses = _keys(run["losses"] for run in found)
    measures = columns.measures(_keys(run["last"] for run in found), losses)
    rows = []
    for run, own in zip(found, settings, strict=True):
        cells = {key: (figure(own[key]), own[key]) for key in differing if key in own}
        last = run["last"]
        for key in measures:
            cells[f"last {key}"] = with_deviation(last.get(key), last.get(f"{key}_std")), last.get(key)
        rows.append({"run": run, "cells": cells})
    titles = [(key, key, "setting") for key in differing[:MAIN]]
    titles += [(key, key, "setting minor") for key in differing[MAIN:]]
    titles += [(f"last {key}", key.replace("_", " "), "measure") for key in measures]
    equal = _equal(found, differing)
    data_differ = len({str(run["data"]) for run in found}) > 1
    if found and not data_differ:
        equal |= {kind: f"{count}, fingerprint {mark}" for kind, count, mark in found[0]["data"]}
    shown = {"columns": titles, "rows": rows, "equal": equal, "data_differ": data_differ}
    return shown | {"best": _best_by(found)}


def newest_first(found):
    """Runs by the time at which they were first started; those of which nothing tells it come last."""
    return sorted(found, key=lambda run: run["started"], reverse=True)


def listing(found):
    """The runs as lines of text, newest first: name, state, epoch, options that differ, best measure, size.

    They are as wide as the terminal, or 120 columns without one; options for which there is no room are named
    in a line at the end.
    """
    found, width = newest_first(found), shutil.get_terminal_size((120, 24)).columns
    column = lambda title, text: [title, *(printable(text(run)) for run in found)]
    shown = [column("run", lambda run: run["name"]), column("state", lambda run: run["state"])]
    shown.append(column("epoch", epoch))
    last = [column("size", lambda run: size(run["bytes"]))]
    if measure := _best_by(found):
        last.insert(0, column(f"best {measure}", best))
    left_out = []
    for key in _differing(found):
        if key in ENVIRONMENT:
            continue
        text = lambda run, key=key: figure(run["page"]["settings"].get(key))
        if _wide([*shown, column(key, text), *last]) <= width:
            shown.append(column(key, text))
        else:
            left_out.append(key)
    shown += last
    widths = [_wide([each]) for each in shown]
    pad = lambda text, width: text + " " * (width - _width(text))
    lines = ["  ".join(map(pad, line, widths)).rstrip() for line in zip(*shown, strict=True)]
    if left_out:
        lines.append(f"They also differ in {', '.join(left_out)}: a wider terminal, or the page, shows it.")
    return "\n".join(lines)


def _best_by(found):
    """The measure by which the best epochs of runs are; None if none was measured."""
    return next((run["best"]["measure"] for run in found if run["best"]), None)


# In which settings runs differ


def _differing(found):
    """The settings in which runs differ: the method first, then those with most values."""
    keys = _keys(run["page"]["settings"] for run in found)
    values = {key: len(set().union(*_values(key, found).values())) for key in keys if _differs(key, found)}
    return sorted(values, key=lambda key: (key != "method", -values[key]))


def _differs(key, found):
    """Whether runs differ in a setting. What no command line gave may differ between methods: a default."""
    if key in RECORDING:
        return False
    values = _values(key, found)
    texts = {text for each in values.values() for text in each}
    if key in ("method", *ENVIRONMENT):
        return len(texts - {None}) > 1
    if any(key in run["given"] for run in found):
        return len(texts) > 1
    return any(len(each - {None}) > 1 for each in values.values())


def _values(key, found):
    """{method: texts of a setting in its runs}; a method that lacks the setting is left out.

    Where a run lacks what others of its method have, it is of an earlier version, and its text is None.
    """
    values = {}
    for run in found:
        settings = run["page"]["settings"]
        text = figure(settings[key]) if key in settings else None
        values.setdefault(settings.get("method"), set()).add(text)
    return {method: texts for method, texts in values.items() if texts != {None}}


def _equal(found, differing):
    """{setting: text} of those in which the runs of each method agree; methods that differ are named."""
    settings, equal = [run["page"]["settings"] for run in found], {}
    methods = {each["method"] for each in settings if each}
    for key in _keys(settings):
        own = {method: texts - {None} for method, texts in _values(key, found).items()}
        if key in differing or any(len(texts) > 1 for texts in own.values()):
            continue
        own = {method: texts.pop() for method, texts in own.items()}
        shared = len({*own.values()}) == 1 and own.keys() == methods
        equal[key] = (
            own.popitem()[1] if shared else ", ".join(f"{text} ({method})" for method, text in own.items())
        )
    return equal


def _keys(dictionaries):
    return list(dict.fromkeys(key for each in dictionaries for key in each))


# Values as texts


def epoch(run):
    """The epoch at which a run is: "18 of 18" in phase two, "1 of 2, phase one" before it."""
    (first, first_planned), (second, planned) = run["phases"]
    if not second and first_planned and (first < first_planned or planned == 0):
        return f"{first} of {first_planned}, phase one"
    return f"{second} of {planned}" if planned else str(second)


def best(run):
    """The best measure of a run, and of which epoch it is."""
    if not run["best"]:
        return "–"
    return f"{with_deviation(run['best']['value'], run['best']['deviation'])}, epoch {run['best']['epoch']}"


def with_deviation(value, deviation):
    """A measure as text, with its standard deviation where it has one."""
    return figure(value) + (f" ± {deviation:.2g}" if value is not None and deviation is not None else "")


def printable(text):
    """A text without what could move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _wide(columns):
    """Columns that a table takes in a terminal."""
    return sum(max(map(_width, column)) for column in columns) + 2 * (len(columns) - 1)


def _width(text):
    """Columns that a text takes in a terminal."""
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
