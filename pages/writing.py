"""Write the pages: index.html and runs.js for a folder of runs, index.html and page.js for each run in it.

A page that is opened from the disk may load scripts, but no other files. So the data of a run are a script,
page.js, which its page loads. The comparison of runs has a script of its own, runs.js with the data of all: a
folder that somebody put there may hold any page.js, and is read, not run.
"""

import contextlib
import datetime
import functools
import os
import time
from pathlib import Path
from urllib.parse import unquote_to_bytes

import jinja2
import plotly.offline
from PIL import Image

from pages import summaries, tables
from pages.tables import overview
from support.arguments import command_line
from support.files import locked, write_text
from training.config import STATE, method_name
from training.log import TIME
from utils import RunFailed, WrongUse, first_line, report

SIGN = '<meta name="generator" content="CartoonGAN'  # is in the pages of every version
MARK = f'{SIGN} pages 2">'  # is in the pages that can read today's page.js
PLOTLY = "plotly.min.js"
RUNS = "runs.js"


def update(folder):
    """Write the page of one run and the overview of all that lie beside it. Raises what `write` raises."""
    folder = folder.resolve()
    write(folder.parent, {folder.name})


def write(results, names=None):
    """Write the overview of a folder of runs, and the pages of the named runs (of all without names).

    Pages of an earlier version are written again too. A run whose page cannot be written gives a warning.
    Raises OSError, WrongUse for an overview that is not ours, RunFailed if another process holds the folder.
    """
    with _alone(results):
        found = [_read(folder) for folder in summaries.find_runs(results)]
        write_plotly(results)
        for run in found:
            folder = run["folder"]
            try:
                if names is None or folder.name in names or _is_outdated(folder / "index.html"):
                    write_run(run, "..")
            except (OSError, WrongUse) as error:
                report(f"warning: no page for {folder}: {first_line(error)}")
        _write_data(results / RUNS, {summaries.url(run["folder"].name): run["page"] for run in found})
        values = {**overview(found), "surveys": summaries.find_surveys(results)}
        _write_page(results / "index.html", "index.html", **values, title=results.resolve().name)


_known = {}  # {run folder: (its traces when it was read, what was read)}


def _read(folder):
    """`summaries.read`, but of a run that has not changed since this process read it what it was then.

    Training comes here after each sampled epoch, and ten runs of thousands of pictures take a second.
    """
    traces = _traces(folder)
    before, run = _known.get(folder, (None, None))
    if before != traces or run["state"] == "running":  # a killed process leaves no trace
        run = summaries.read(folder)
        _known[folder] = traces, run
    return run


def _traces(folder):
    """{name: (number, size, time of the last change)} of all in a run folder, and of the folder itself.

    Those of a folder in it tell that a file there was added, removed or replaced.
    """
    with os.scandir(folder) as entries:
        found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    found["."] = os.stat(folder)
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def write_run(run, home):
    """Write page.js and index.html of one run; `home` is the path from it to the overview and plotly."""
    folder = run["folder"]
    page = {**run["page"], "first": _first(folder, run["page"]["samples"]["photos"])}
    _write_data(folder / "page.js", page)
    _write_page(folder / "index.html", "run.html", run=run, home=home, next=_next(run), title=run["name"])


def _next(run):
    """(what for, command) that continues a run; None where there is none: it is running, or has no state."""
    if run["state"] == "running" or not (run["folder"] / STATE).exists():
        return None
    words, (_, planned) = ["--resume", str(run["folder"])], run["phases"][1]
    if run["state"] == "finished":
        return "to train longer", command_line(
            method_name(run["record"]), [*words, "--train_epoch", f"{2 * (planned or 50)}"]
        )
    return "continued by", command_line(method_name(run["record"]), words)


def _write_data(path, data):
    text = jinja2.utils.htmlsafe_json_dumps(data, separators=(",", ":"))
    write_text(path, f"window.PAGE = {text};\n")


def write_survey(folder, survey):
    """Write index.html of a folder of `python -m survey`, and again the overview, where one lies above it.

    `survey` is the content of its survey.json. Raises what `write` raises.
    """
    folder = folder.resolve()
    above = is_ours(folder.parent / "index.html")
    _write_page(folder / "index.html", "survey.html", survey=survey, home=above, title=folder.name)
    if above:
        write(folder.parent, set())


def _first(folder, photos):
    """The name of the photo that a page opens on: the first of test that is not a small one, or None.

    A small one has less than half the pixels of the largest.
    """
    pixels = {
        photo["name"]: _pixels(folder / os.fsdecode(unquote_to_bytes(summaries.newest(photo))))
        for photo in [photo for photo in photos if photo["name"].startswith("test ")] or photos
    }
    return next((name for name in pixels if 2 * pixels[name] >= max(pixels.values())), None)


def _pixels(path):
    try:
        with Image.open(path) as picture:
            return picture.width * picture.height
    except Exception:  # a damaged picture can fail in any way, and is then not to be opened on
        return 0


def refuse_foreign(page):
    """Raise WrongUse for a page that exists and that this program has not written."""
    if page.exists() and not is_ours(page):
        raise WrongUse(f"{page} was not written by this program: move it away first")


def _write_page(path, template, **values):
    refuse_foreign(path)
    written = datetime.datetime.now().astimezone().strftime(TIME)
    text = _templates().get_template(template).render(values, mark=MARK, plotly=PLOTLY, written=written)
    write_text(path, text.encode("utf-8", "replace").decode())


def is_ours(path, mark=SIGN):
    """Whether a page exists and was written by this program."""
    if not path.exists():
        return False
    with open(path, "rb") as file:
        return mark.encode() in file.read(1000)


def _is_outdated(path):
    return is_ours(path) and not is_ours(path, MARK)


def write_plotly(folder):
    """Write the script that draws curves, once for all pages, where it is missing or of another version."""
    script = plotly.offline.get_plotlyjs()
    path = folder / PLOTLY
    if not path.exists() or path.stat().st_size != len(script.encode()):
        write_text(path, script)


@contextlib.contextmanager
def _alone(folder):
    """Hold a folder of runs, so that one process at a time writes its pages. Raises RunFailed after 10 s."""
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            if stack.enter_context(locked(folder, wait=False)) is not False:
                break
            stack.close()
            time.sleep(0.1)
        else:
            raise RunFailed(f"{folder} is locked by another process: its pages are not written")
        yield


@functools.cache
def _templates():
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    own = (tables.size, tables.figure, tables.epoch, tables.best, tables.with_deviation, summaries.url)
    environment.filters |= {function.__name__: function for function in own}
    return environment
