"""Errors told in one line: what is wrong, where, and what to do next."""

import collections
import os
import sys


class WrongUse(Exception):
    """Something that the person can mend before the program starts: an option, a folder, a file."""

    status = 2


class RunFailed(Exception):
    """Something that went wrong during the work."""

    status = 1


def first_line(error):
    """What an error says in its first line, or its kind where it says nothing. A file's name is left out."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


said = collections.deque(maxlen=1000)  # what a run has yet to write into its log


def say(line):
    """Print one line to standard error, above a progress bar; of several processes only the first does."""
    from tqdm import tqdm

    if os.environ.get("RANK", "0") == "0":
        said.append(line)
        tqdm.write(line, file=sys.stderr)


def exit_status(main):
    """Call main() and return its exit status; known errors become one line on standard error.

    Ctrl-C gives 130. An operating system error (disk full, no permission) gives 1. Anything else is a
    fault of the program and keeps its traceback.
    """
    try:
        return main() or 0
    except (WrongUse, RunFailed) as error:
        say(f"error: {error}")
        if os.environ.get("RANK", "0") != "0":
            print(f"process {os.environ['RANK']}: error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        say("stopped")
        return 130
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        say(f"error: {error.strerror or error}{where}")
        return 1
