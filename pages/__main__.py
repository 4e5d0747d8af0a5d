"""Write pages to browse runs with, print the table of runs, or slim a finished run.

python -m pages results            writes results/index.html and results/RUN/index.html
python -m pages results --list     prints the runs, the options in which they differ and their best measure
python -m pages --slim RUN         removes what only resuming needs from a finished run
"""

import sys

from pages import summaries
from pages.tables import listing, size
from support.arguments import Parser, path
from training.folders import STATE, held
from training.log import log_event, run_state
from utils import WrongUse, exit_status


def slim(folder, confirm):
    """Remove what only resuming needs from a finished run, if confirm(question) is true.

    Returns the number of bytes freed. Raises WrongUse if the run is not finished or is slim already.
    """
    state = folder / STATE
    if not state.exists():
        raise WrongUse(f"{folder} has no {state.name}: nothing to remove")
    with held(folder):
        if run_state(folder)[0] != "finished":
            raise WrongUse(f"{folder} is not finished by its log: resuming needs its state")
        freed = state.stat().st_size
        if not confirm(f"remove {state} ({freed / 1e6:.1f} MB)? The run can then not go on to more epochs"):
            return 0
        log_event(folder, "slimmed", f"{state.name} removed, {freed} bytes")
        state.unlink()
    return freed


def _is_confirmed(question):
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # nobody can answer
        return False


def main(argv=None):
    parser = Parser("Write pages to browse runs with, as index.html in the folder and in each run.")
    add = parser.add_argument
    add(
        "results",
        nargs="?",
        type=path,
        default="results",
        help="a folder of runs, or a run's (%(default)s)",
    )
    add("--list", action="store_true", help="print the table of runs, and write nothing")
    add(
        "--slim",
        type=path,
        metavar="RUN",
        help="remove what only resuming needs from a finished run",
    )
    args = parser.parse_args(argv)
    if args.slim:
        freed = slim(args.slim, _is_confirmed)
        print(f"{size(freed)} freed" if freed else "nothing removed")
        return
    folder = args.results
    if not folder.is_dir():
        raise WrongUse(f"no folder {folder}: name a folder of runs, or one run's")
    one = summaries.is_run(folder)
    runs = [folder] if one else summaries.find_runs(folder)
    if not runs and (args.list or not summaries.find_surveys(folder)):
        raise WrongUse(
            f"no run in {folder}: no folder named …_results, or with settings.json in it; name another "
            "folder, as python -m pages FOLDER"
        )
    if args.list:
        print(listing([summaries.read(each) for each in runs]))
        return

    from pages import writing  # Jinja and Plotly take half a second to load, which --list does not wait for

    if one and writing.is_ours(folder.resolve().parent / "index.html"):
        writing.update(folder)
    elif one:
        writing.write_plotly(folder)
        writing.write_run(summaries.read(folder.resolve()), ".")
    else:
        writing.write(folder)
    print(f"open {folder / 'index.html'}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
