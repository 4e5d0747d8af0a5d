"""Pages to browse runs with: one for a folder of runs, one for each run in it, also of the old scripts.

    python gallery.py results            writes results/index.html and results/RUN/index.html
    python gallery.py results --list     prints the same table
    python gallery.py --slim RUN         removes what only resuming needs from a finished run

Pages open from the disk. A page opened from there may read no file but scripts: what a run has to show lies
beside its page in one, page.js, which the comparison of runs reads too.
"""

import contextlib
import datetime
import functools
import sys
import time
import unicodedata
from pathlib import Path

import jinja2
import plotly.offline

from pages import summaries
from support import arguments
from training import folders
from utils import RunFailed, WrongUse, exit_status, first_line, locked, say, write_text

MARK = '<meta name="generator" content="CartoonGAN gallery.py">'
PLOTLY = "plotly.min.js"


# Writing pages


def update(folder):
    """Write the page of one run and the overview of all that lie beside it. Raises what `write` raises."""
    folder = folder.resolve()
    write(folder.parent, {folder.name})


def write(results, names=None):
    """Write the overview of a folder of runs, and the pages of those named (all).

    Each file takes its place whole. A run whose page cannot be written is named in a line; the others go on.
    Raises OSError, WrongUse for an overview that is not ours, RunFailed if another process holds the folder.
    """
    with _alone(results):
        found = [summaries.read(folder) for folder in summaries.find(results)]
        _write_plotly(results)
        for run in found:
            if names is None or run["folder"].name in names:
                try:
                    write_run(run, "..")
                except (OSError, WrongUse) as error:
                    say(f"warning: no page for {run['folder']}: {first_line(error)}")
        _write_page(results / "index.html", "index.html", **overview(found), title=results.resolve().name)


def write_run(run, home):
    """Write page.js and index.html of one run; `home` is where the overview and plotly lie, seen from it."""
    folder = run["folder"]
    data = jinja2.utils.htmlsafe_json_dumps(run["page"], separators=(",", ":"))
    write_text(folder / "page.js", f"window.PAGE = {data};\n")
    resume = None
    if (folder / "state_latest.pth").exists():
        resume = arguments.command_line("CartoonGAN.py", ["--resume", str(folder)])
    _write_page(folder / "index.html", "run.html", run=run, home=home, resume=resume, title=run["name"])


def _write_page(path, template, **values):
    if path.exists() and not _is_ours(path):
        raise WrongUse(f"{path} was not written by this program: move it away first")
    written = datetime.datetime.now().astimezone().strftime(folders.TIME)
    text = _templates().get_template(template).render(values, mark=MARK, plotly=PLOTLY, written=written)
    write_text(path, text.encode("utf-8", "replace").decode())


def _is_ours(path):
    return path.exists() and MARK.encode() in path.read_bytes()[:1000]


def _write_plotly(folder):
    """The script that draws curves, once for all pages; written anew for another version of plotly."""
    script = plotly.offline.get_plotlyjs()
    path = folder / PLOTLY
    if not path.exists() or path.stat().st_size != len(script.encode()):
        write_text(path, script)


@contextlib.contextmanager
def _alone(folder):
    """Keep other processes from writing the pages of a folder of runs. Raises RunFailed after ten seconds."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a file system without locks
            for _ in range(100):
                if stack.enter_context(locked(folder, wait=False)):
                    break
                stack.close()
                time.sleep(0.1)
            else:
                raise RunFailed(f"{folder} is held by another process: its pages are not written")
        yield


@functools.cache
def _templates():
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"size": size, "figure": figure, "url": summaries.url}
    return environment


# The overview


def overview(found):
    """What the overview shows of the runs read: its columns, a row for each, and the settings equal in all.

    A column is (key, title, kind), a row the run and its cells: key to (text, value to sort by).
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
    return {"columns": columns, "rows": rows, "equal": equal}


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


def main(argv=None):
    parser = arguments.Parser("Write pages to browse runs with, as index.html in the folder and in each run.")
    add = parser.add_argument
    add(
        "results",
        nargs="?",
        type=arguments.path,
        default="results",
        help="a folder of runs, or a run's (%(default)s)",
    )
    add("--list", action="store_true", help="print the table of runs, and write nothing")
    add(
        "--slim",
        type=arguments.path,
        metavar="RUN",
        help="remove what only resuming needs from a finished run",
    )
    args = parser.parse_args(argv)
    if args.slim:
        ask = lambda question: input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        freed = folders.slim(args.slim, ask)
        print(f"{size(freed)} freed" if freed else "nothing removed")
        return
    folder = args.results
    if not folder.is_dir():
        raise WrongUse(f"no folder {folder}: name a folder of runs, or one run's")
    one = summaries.is_run(folder)
    if not one and not summaries.find(folder):
        raise WrongUse(f"no run in {folder}: no folder named …_results, or with settings.json in it")
    if args.list:
        print(listing([summaries.read(each) for each in ([folder] if one else summaries.find(folder))]))
        return
    if one and _is_ours(folder.resolve().parent / "index.html"):
        update(folder)
    elif one:
        _write_plotly(folder)
        write_run(summaries.read(folder.resolve()), ".")
    else:
        write(folder)
    print(f"open {folder / 'index.html'}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
