"""The table of runs, for the overview page and for a terminal."""

import unicodedata


def overview(found):
    """What the overview shows: {"columns", "rows", "equal": the settings that all runs share, "data_differ"}.

    A column is (key, title, kind). A row is {"run", "cells": {key: (text, value to sort by)}}. Data that all
    runs share stand in "equal" too.
    """
    settings = [run["page"]["settings"] for run in found if run["page"]["settings"]]
    texts = {key: {figure(each.get(key)) for each in settings} for key in _keys(settings)}
    differing = [key for key in texts if len(texts[key]) > 1]
    rows = []
    for run in found:
        cells = {key: run["page"]["settings"].get(key) for key in differing}
        cells |= {f"last {key}": value for key, value in run["last"].items()}
        rows.append({"run": run, "cells": {key: (figure(value), value) for key, value in cells.items()}})
    columns = [(key, key, "setting") for key in differing]
    columns += [
        (f"last {key}", key.replace("_", " "), "measure") for key in _keys(run["last"] for run in found)
    ]
    equal = {key: texts[key].pop() for key in texts if key not in differing}
    data_differ = len({str(run["data"]) for run in found}) > 1
    if found and not data_differ:
        equal |= {kind: f"{count}, fingerprint {mark}" for kind, count, mark in found[0]["data"]}
    return {"columns": columns, "rows": rows, "equal": equal, "data_differ": data_differ}


def listing(found):
    """The overview as lines of text for a terminal."""
    measures = _keys(run["last"] for run in found)
    lines = [["run", "state", "epochs", *measures, "size"]]
    for run in found:
        name = "".join(letter if letter.isprintable() else "?" for letter in run["name"])
        epochs = f"{run['done']}/{run['total']}" if run["total"] else str(run["done"])
        last = [figure(run["last"].get(key)) for key in measures]
        lines.append([name, run["state"], epochs, *last, size(run["bytes"])])
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    pad = lambda text, width: text + " " * (width - _width(text))
    return "\n".join("  ".join(map(pad, line, widths)).rstrip() for line in lines)


def _keys(dictionaries):
    return list(dict.fromkeys(key for each in dictionaries for key in each))


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
