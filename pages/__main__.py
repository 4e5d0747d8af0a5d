"""Write pages for browsing runs, print the table of runs, or free the disk space of finished runs.

python -m pages results            writes results/index.html and results/RUN/index.html
python -m pages results --list     prints the runs, the options in which they differ and their best measure
python -m pages --slim RUN         removes the state of a finished run, or with --remove other parts
"""

import contextlib
import sys

from pages import summaries
from pages.tables import listing, size
from support.arguments import Parser, path
from training.config import STATE, read_settings
from training.folder import lock_run
from training.log import log_event, run_state
from utils import WrongUse, exit_status

PARTS = ("state", "samples", "events")  # of a run, that can be removed


def slim(folders, parts):
    """Remove `parts`, a sequence of PARTS, from finished runs, after asking for confirmation.

    Returns the number of bytes freed. Raises WrongUse if a run is not finished or there is nothing to remove.
    """
    names = ", ".join(parts)
    files = {folder: found for folder in folders if (found := _files(folder, parts))}
    if not files:
        raise WrongUse(f"nothing to remove ({names}) in {', '.join(map(str, folders))}")
    with contextlib.ExitStack() as locks:
        for folder in files:
            locks.enter_context(lock_run(folder))
            if run_state(folder)[0] != "finished":
                raise WrongUse(f"{folder} is not finished (log.txt): resuming needs its state")
        freed = {folder: sum(path.stat().st_size for path in paths) for folder, paths in files.items()}
        question = f"remove {names} of {', '.join(map(str, files))} ({size(sum(freed.values()))})?"
        if "state" in parts:
            question += " Runs without a state cannot be resumed"
        if not _is_confirmed(question):
            return 0
        for folder, paths in files.items():
            log_event(folder, "slimmed", f"{names} removed, {freed[folder]} bytes")
            for path in paths:
                path.unlink()
    return sum(freed.values())


def _files(folder, parts):
    """The files of a run's folder that belong to `parts`."""
    patterns = {"state": STATE, "events": "events.out.tfevents.*"}
    files = [path for part in patterns if part in parts for path in folder.glob(patterns[part])]
    if "samples" in parts and (folder / "Transfer").is_dir():
        from training import samples  # loads PyTorch, which takes seconds

        options = (read_settings(folder) or {"options": {}})["options"]
        files += samples.removable(folder, options.get("sample_every") or 1, 1)
    return files


def _is_confirmed(question):
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # nobody can answer
        return False


def main(argv=None):
    parser = Parser("Write pages for browsing runs, as index.html in the folder and in each run.")
    add = parser.add_argument
    add("results", nargs="?", type=path, default="results", help="a folder of runs, or one run (%(default)s)")
    add("--list", action="store_true", help="print the table of runs, and write nothing")
    add("--slim", type=path, nargs="+", metavar="RUN", help="remove parts of these finished runs")
    add(
        "--remove",
        nargs="+",
        choices=PARTS,
        default=PARTS[:1],
        help="what --slim removes: the state, which is only needed to resume; samples, except those of the "
        "epochs 1, 2, 4, 8, … and the last; TensorBoard's events (state)",
    )
    args = parser.parse_args(argv)
    if args.slim:
        freed = slim(args.slim, args.remove)
        print(f"{size(freed)} freed" if freed else "nothing removed")
        if freed and "samples" in args.remove:
            for folder in args.slim:
                write_pages(folder)
        return
    folder = args.results
    if not folder.is_dir():
        raise WrongUse(f"no folder {folder}: name a folder of runs, or one run")
    runs = [folder] if summaries.is_run(folder) else summaries.find_runs(folder)
    if not runs and (args.list or not summaries.find_surveys(folder)):
        raise WrongUse(
            f"no run in {folder}: no folder in it is named …_results or holds settings.json; name another: "
            "python -m pages FOLDER"
        )
    if args.list:
        print(listing([summaries.read(run) for run in runs]))
    else:
        write_pages(folder)
        print(f"open {folder / 'index.html'}")


def write_pages(folder):
    """Write the pages of a folder of runs, or of one run, and the overview above it if there is one."""
    from pages import writing  # loads Jinja and Plotly, which take half a second

    if not summaries.is_run(folder):
        writing.write(folder)
    elif writing.is_ours(folder.resolve().parent / "index.html"):
        writing.update(folder)
    else:
        writing.write_plotly(folder)
        writing.write_run(summaries.read(folder.resolve()), home=False)


if __name__ == "__main__":
    sys.exit(exit_status(main))
