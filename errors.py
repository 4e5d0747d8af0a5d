"""Errors told in one line: what is wrong, where, and what to do next."""

import collections
import contextlib
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


def say(line, everywhere=False):
    """Print one line to standard error, above a progress bar, control characters escaped.

    Of several processes only the first does; with `everywhere` each, for what it alone has met.
    """
    from tqdm import tqdm

    rank = os.environ.get("RANK", "0")
    line = "".join(x if x.isprintable() else x.encode("unicode_escape").decode() for x in line)
    if rank == "0":
        said.append(line)
        tqdm.write(line, file=sys.stderr)
    elif everywhere:
        print(f"process {rank}: {line}", file=sys.stderr)


def exit_status(main):
    """Call main() and return its exit status; known errors become one line on standard error.

    Ctrl-C gives 130. An operating system error (disk full, no permission) gives 1. Anything else is a
    fault of the program and keeps its traceback.
    """
    with contextlib.suppress(AttributeError):  # names of files need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return main() or 0
    except (WrongUse, RunFailed) as error:
        say(f"error: {error}", everywhere=True)
        return error.status
    except KeyboardInterrupt:
        say("stopped")
        return 130
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        say(f"error: {error.strerror or error}{where}")
        return 1
