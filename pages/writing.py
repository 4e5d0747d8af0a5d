"""Write the pages: index.html for each run, index.html and runs.js for a folder of runs.

A page that is opened from the disk may load scripts, but no other files. So the comparison of runs loads
their data as a script, runs.js.
"""

import contextlib
import functools
import os
import time
from urllib.parse import unquote_to_bytes

import jinja2
import plotly.offline
from PIL import Image

from pages import summaries, tables
from support.arguments import command_line
from support.files import locked, write_text
from training.config import STATE, method_name
from training.log import TIME
from utils import RunFailed, WrongUse, first_line, report

SIGN = '<meta name="generator" content="CartoonGAN'  # in the pages of every version
PLOTLY = "plotly.min.js"


def write(results, names=None):
    """Write the overview of a folder of runs, and the pages of the named runs (of all without names).

    A run whose page cannot be written gives a warning. Raises OSError, WrongUse for an overview that is not
    ours, RunFailed if another process has locked the folder.
    """
    with _only_writer(results):
        runs = [summaries.read(folder) for folder in summaries.find_runs(results)]
        write_plotly(results)
        for run in runs:
            if names is not None and run["folder"].name not in names:
                continue
            try:
                write_run(run)
            except (OSError, WrongUse) as error:
                report(f"warning: no page for {run['folder']}: {first_line(error)}")
        data = _to_script({summaries.url(run["folder"].name): run["page"] for run in runs})
        write_text(results / "runs.js", f"window.RUNS = {data};\n")
        values = tables.overview(runs) | {"surveys": summaries.find_surveys(results)}
        _write_page(results / "index.html", "index.html", **values, title=results.resolve().name)


def update(folder):
    """Write the page of one run and the overview of all runs beside it. Raises what `write` raises."""
    folder = folder.resolve()
    write(folder.parent, {folder.name})


def write_run(run, home=True):
    """Write the page of one run; `home`: whether the overview lies in the folder above."""
    first = _first_shown(run["folder"], run["page"]["samples"]["photos"])
    values = {"run": run, "data": _to_script(run["page"] | {"first": first}), "next": _next(run)}
    _write_page(run["folder"] / "index.html", "run.html", **values, home=home, title=run["name"])


def write_survey(folder, survey):
    """Write index.html of a folder of `python -m survey`, and the overview of the folder above if it has one.

    `survey` is the content of its survey.json. Raises what `write` raises.
    """
    folder = folder.resolve()
    has_overview = is_ours(folder.parent / "index.html")
    _write_page(folder / "index.html", "survey.html", survey=survey, home=has_overview, title=folder.name)
    if has_overview:
        write(folder.parent, set())


def write_plotly(folder):
    """Write the script that draws curves, once for all pages, if it is missing or of another version."""
    script = plotly.offline.get_plotlyjs()
    path = folder / PLOTLY
    if not path.exists() or path.stat().st_size != len(script.encode()):
        write_text(path, script)


def refuse_foreign(page):
    """Raise WrongUse for a page that exists and was not written by this program."""
    if page.exists() and not is_ours(page):
        raise WrongUse(f"{page} was not written by this program: move it away first")


def is_ours(page):
    """Whether a page exists and was written by this program."""
    if not page.exists():
        return False
    with open(page, "rb") as file:
        return SIGN.encode() in file.read(1000)


def _next(run):
    """(purpose, command) that continues a run; None while it is running, and without a saved state."""
    if run["state"] == "running" or not (run["folder"] / STATE).exists():
        return None
    purpose, words = "to resume", ["--resume", str(run["folder"])]
    if run["state"] == "finished":
        _, planned = run["phases"][1]
        purpose, words = "to train longer", [*words, "--train_epoch", str(2 * (planned or 50))]
    return purpose, command_line(method_name(run["record"]), words)


def _first_shown(folder, photos):
    """The name of the photo that a page opens with: the first test photo that is not small, or None.

    A small one has less than half the pixels of the largest.
    """
    pixels = {}
    for photo in [photo for photo in photos if photo["name"].startswith("test ")] or photos:
        image = folder / os.fsdecode(unquote_to_bytes(summaries.newest_image(photo)))
        with contextlib.suppress(Exception), Image.open(image) as opened:  # it may be damaged
            pixels[photo["name"]] = opened.width * opened.height
    return next((name for name in pixels if 2 * pixels[name] >= max(pixels.values())), None)


def _to_script(data):
    """Data as JSON that is safe inside a script of a page."""
    return jinja2.utils.htmlsafe_json_dumps(data, separators=(",", ":"))


def _write_page(path, template, **values):
    refuse_foreign(path)
    values |= {"plotly": PLOTLY, "written": time.strftime(TIME)}
    write_text(path, _templates().get_template(template).render(values))


@contextlib.contextmanager
def _only_writer(folder):
    """Lock a folder of runs, so that one process at a time writes its pages. Raises RunFailed after 10 s."""
    for _ in range(100):
        with locked(folder, wait=False) as free:
            if free is not False:
                yield
                return
        time.sleep(0.1)
    raise RunFailed(f"{folder} is locked by another process: its pages are not written; try again later")


@functools.cache
def _templates():
    loader = jinja2.PackageLoader("pages")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {"size": tables.size, "figure": tables.figure, "url": summaries.url}
    return environment
