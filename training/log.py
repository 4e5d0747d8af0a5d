"""log.txt of a run, a line an event. The last start or end in it tells how the run stands."""

import re
import textwrap
import time
import traceback

from support.files import append, locked
from utils import first_line

LOG = "log.txt"
TIME = "%Y-%m-%d %H:%M:%S %z"
ENDS = ("finished", "stopped", "failed")
_EVENT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}) (\w+): (.*)")


def log_event(folder, event, text=""):
    """Add an event to log.txt: "started", "said", "slimmed" or one of ENDS, and one line about it."""
    append(folder / LOG, f"{time.strftime(TIME)} {event}: {' '.join(text.split())}\n")


def log_traceback(folder, error):
    """Add the traceback of an exception and of its causes to log.txt, indented below an event "traceback"."""
    log_event(folder, "traceback", first_line(error))
    append(folder / LOG, textwrap.indent("".join(traceback.format_exception(error)), "    "))


def read_log(folder):
    """The events of log.txt as (time, event, text), oldest first; none if there is no file."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [found.groups() for line in lines if (found := _EVENT.fullmatch(line))]


def run_state(folder):
    """How a run stands: "running", "finished", "stopped", "failed" or "killed", and a reason.

    Both are empty where nothing tells: no log and no process at work in the folder. Without locks a run that
    did not end is "unknown".
    """
    marks = [(event, text) for _, event, text in read_log(folder) if event in ("started", *ENDS)]
    if marks and marks[-1][0] in ENDS:
        return marks[-1]
    try:
        with locked(folder, wait=False) as free:
            if free is False:
                return "running", ""
    except OSError:  # it was removed meanwhile, or is another user's
        return "", ""
    if not marks:
        return "", ""
    if free is None:
        return "unknown", "running or killed: this file system has no locks, which would tell"
    return "killed", "the process died without logging an exit"
