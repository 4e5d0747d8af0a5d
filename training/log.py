"""log.txt of a run, one line per event. The state of the run follows from the last start or end in it."""

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
    """Append an event to log.txt: "started", "reported", "slimmed" or one of ENDS, and one line about it."""
    append(folder / LOG, f"{time.strftime(TIME)} {event}: {' '.join(text.split())}\n")


def log_traceback(folder, error):
    """Append the traceback of an exception and of its causes, indented below an event "traceback"."""
    log_event(folder, "traceback", first_line(error))
    append(folder / LOG, textwrap.indent("".join(traceback.format_exception(error)), "    "))


def read_log(folder):
    """The events of log.txt as (time, event, text), oldest first; none if there is no file."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    events = [found.groups() for line in lines if (found := _EVENT.fullmatch(line))]
    # Earlier versions wrote "said" for "reported".
    return [(when, "reported" if event == "said" else event, text) for when, event, text in events]


def run_state(folder):
    """The state of a run, "running", "killed", "unknown" or one of ENDS, and the reason.

    Both are empty if there is no log and no process has locked the folder.
    """
    marks = [(event, text) for _, event, text in read_log(folder) if event in ("started", *ENDS)]
    if marks and marks[-1][0] in ENDS:
        return marks[-1]
    try:
        with locked(folder, wait=False) as free:
            if free is False:
                return "running", ""
    except OSError:  # it was removed meanwhile, or belongs to another user
        return "", ""
    if not marks:
        return "", ""
    if free is None:
        return "unknown", "running or killed: unknown on a file system without locks"
    return "killed", "the process died without logging an exit"
