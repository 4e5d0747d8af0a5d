"""Pages to browse runs with: one for a folder of runs, one for each run in it, also of the old scripts.

Pages open from the disk. A page opened from there may read no file but scripts: what a run has to show lies
beside its page in one, page.js, which the comparison of runs reads too.
"""

import contextlib
import datetime
import functools
import time
from pathlib import Path

import jinja2
import plotly.offline

from pages import summaries
from pages.tables import figure, overview, size
from support.arguments import command_line
from training.log import TIME
from utils import RunFailed, WrongUse, first_line, locked, say, write_text

SIGN = '<meta name="generator" content="CartoonGAN'  # in the pages of earlier versions too
MARK = f'{SIGN} pages">'
PLOTLY = "plotly.min.js"


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
        found = [summaries.read(folder) for folder in summaries.find_runs(results)]
        write_plotly(results)
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
        resume = command_line("CartoonGAN.py", ["--resume", str(folder)])
    _write_page(folder / "index.html", "run.html", run=run, home=home, resume=resume, title=run["name"])


def _write_page(path, template, **values):
    if path.exists() and not is_ours(path):
        raise WrongUse(f"{path} was not written by this program: move it away first")
    written = datetime.datetime.now().astimezone().strftime(TIME)
    text = _templates().get_template(template).render(values, mark=MARK, plotly=PLOTLY, written=written)
    write_text(path, text.encode("utf-8", "replace").decode())


def is_ours(path):
    return path.exists() and SIGN.encode() in path.read_bytes()[:1000]


def write_plotly(folder):
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
