"""The table of runs, for the overview page and for a terminal."""

import math
import shutil
import unicodedata

from training import history

# Options about recording and speed, which are not compared.
RECORDING = {"workers", "save_minutes", "eval_every", "checkpoint_every"}
RECORDING |= {"sample_every", "sample_format", "sample_keep"}
ENVIRONMENT = ("device", "precision", "code", "torch")  # settings that are not options
GAP = "  "  # between columns in a terminal
MAIN = 6  # settings in the front columns; the others come last, and a phone hides them


def overview(runs):
    """The table of the overview page, newest run first.

    {"columns": [(key, title, CSS class, hint)], "rows": [(run, {key: (text, value to sort by)})],
    "equal": {setting or kind of data: text} of those in which the runs agree}
    """
    runs = newest_first(runs)
    differing, equal = compare_settings(runs)
    measures = history.measures(_keys(run["last"] for run in runs), _keys(run["losses"] for run in runs))
    measure = _best_by(runs)
    data_differ = len({str(run["data"]) for run in runs}) > 1
    if runs and not data_differ:
        equal |= {kind: f"{count}, fingerprint {mark}" for kind, count, mark in runs[0]["data"]}
    columns = [
        ("state", "State", "", ""),
        ("epoch", "Epoch", "number", "of phase two, if not stated otherwise"),
        *((key, key, "", "") for key in differing[:MAIN]),
        *([("best", f"best {measure}", "number", "")] if measure else []),
        ("seconds", "s / epoch", "number", "median of the last five epochs, as images / s"),
        ("speed", "images / s", "number minor", ""),
        *([("data", "Data", "", "")] if data_differ else []),
        ("size", "Disk", "number", ""),
        ("started", "Started", "", ""),
        *((key, key, "minor", "") for key in differing[MAIN:]),
    ]
    hint = "of the last epoch at which it was measured"
    columns += [(f"last {key}", key.replace("_", " "), "number measure", hint) for key in measures]
    rows = [(run, _cells(run, differing, measures)) for run in runs]
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
    runs = newest_first(runs)
    width = shutil.get_terminal_size((120, 24)).columns + len(GAP)  # the last column's gap is cut off
    front = [
        _column("run", [run["name"] for run in runs]),
        _column("state", [run["state"] for run in runs]),
        _column("epoch", map(epoch, runs)),
    ]
    back = [_column("size", [size(run["bytes"]) for run in runs])]
    if measure := _best_by(runs):
        back.insert(0, _column(f"best {measure}", map(best, runs)))
    left_out = []
    for key in compare_settings(runs)[0]:
        if key in ENVIRONMENT:
            continue
        new = _column(key, [figure(run["page"]["settings"].get(key)) for run in runs])
        if sum(len(head) for head, *_ in [*front, new, *back]) <= width:
            front.append(new)
        else:
            left_out.append(key)
    lines = ["".join(cells).rstrip() for cells in zip(*front, *back, strict=True)]
    if left_out:
        lines.append(f"The runs also differ in {', '.join(left_out)}: widen the terminal, or see the page.")
    return "\n".join(lines)


def _column(title, texts):
    """The cells of a column of the list: printable texts, padded to one width in a terminal."""
    texts = ["".join(x if x.isprintable() else "?" for x in text) for text in (title, *texts)]
    # East Asian letters take two columns.
    widths = [sum(1 + (unicodedata.east_asian_width(x) in "WF") for x in text) for text in texts]
    return [text + " " * (max(widths) - width) + GAP for text, width in zip(texts, widths, strict=True)]


def _best_by(runs):
    """The measure by which the best epochs of runs are chosen; None if none was measured."""
    return next((history.NAMES[run["best"].column] for run in runs if run["best"]), None)


def compare_settings(runs):
    """([settings in which runs differ], {setting: text} of those in which they agree).

    The method comes first, then the settings with the most values. Two methods differ in an option only if
    both have it and it was given to a run: otherwise each has its own default.
    """
    given = set().union(*(run["given"] for run in runs))
    all_settings = [run["page"]["settings"] for run in runs if run["page"]["settings"]]
    methods = {}  # {method: the settings of its runs}
    for settings in all_settings:
        methods.setdefault(settings["method"], []).append(settings)
    counts, equal = {}, {}
    for key in _keys(all_settings):
        if key in RECORDING:
            continue
        values = {  # {method: texts}; a method may lack the setting, and so may runs of older versions
            method: {figure(settings.get(key)) for settings in group if key in settings or key in given}
            for method, group in methods.items()
            if any(key in settings for settings in group)
        }
        distinct = set().union(*values.values())
        differs_in_a_method = any(len(texts) > 1 for texts in values.values())
        if differs_in_a_method or (len(distinct) > 1 and key in {*given, "method", *ENVIRONMENT}):
            counts[key] = len(distinct)
        elif len(distinct) == 1 and len(values) == len(methods):
            equal[key] = distinct.pop()
        else:  # defaults of the methods, or a setting that one of them lacks
            equal[key] = ", ".join(f"{text} ({method})" for method, (text,) in values.items())
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
