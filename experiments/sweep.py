"""Train with several values of options, one run after another, and compare the runs.

    python -m experiments.sweep @experiments/recommended.txt --con_lambda 0.03,0.1,0.3

The options are those of CartoonGAN.py. Commas separate the values of one; where several options have commas,
each combination is a run. The same command continues a sweep that was stopped, without the finished runs.
"""

import itertools
import sys
import urllib.parse
from pathlib import Path

from support.arguments import Parser, command_line
from training.config import read_settings
from training.folder import differences, find_run, run_folder
from training.log import run_state
from training.options import CARTOONGAN
from utils import RunFailed, Stopped, WrongUse, exit_status, refuse_early

COMPARED = 4  # runs that a page can compare


def plan(argv=None):
    """The runs of a sweep: [(folder, the command line of CartoonGAN.py; None if the run is finished)].

    Each run has a tag of its values. Raises WrongUse as find_run does, for any of them, and where no option
    has several values.
    """
    words = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & {*words}:
        parser = Parser("Train with each combination of the values of options, one run after another.")
        text = "an option of CartoonGAN.py, its values separated by commas, as --con_lambda 0.03,0.1,0.3"
        parser.add_argument("options", nargs="*", metavar="OPTION", help=text)
        parser.parse_args(["--help"])
    runs = [_plan_run(*each) for each in combinations(words)]
    if len({folder for folder, _ in runs}) < len(runs):
        raise WrongUse("two runs of this sweep would have the same folder: give each value once")
    return runs


def combinations(words):
    """[(a tag, the words with one value of each option)] of each combination of values. Raises WrongUse."""
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    swept = [at for at, word in enumerate(words) if "," in word and not word.startswith(("@", "--"))]
    if not swept:
        raise WrongUse("no option has several values: separate them by commas, as --con_lambda 0.03,0.1,0.3")
    found = []
    for values in itertools.product(*(words[at].split(",") for at in swept)):
        chosen = dict(zip(swept, values, strict=True))
        tag = "_".join(f"{words[at - 1].lstrip('-')}_{Path(value).name}" for at, value in chosen.items())
        found.append((tag, [chosen.get(at, word) for at, word in enumerate(words)]))
    return found


def _plan_run(tag, words):
    """(folder, command line; None if the run is finished) of one combination."""
    args, _ = CARTOONGAN.parse(words)
    if args.resume or args.preview:
        raise WrongUse("a sweep accepts no --preview, and no --resume: the same command continues it")
    words = [*words, "--tag", f"{args.tag}_{tag}" if args.tag else tag]
    args, _ = CARTOONGAN.parse(words)
    folder = run_folder(args)
    saved = read_settings(folder)
    finished = saved and run_state(folder)[0] == "finished"
    if finished and not differences(vars(args), saved["options"], CARTOONGAN):
        return folder, None
    words += ["--resume"] if saved else []
    find_run(words)
    return folder, words


if __name__ == "__main__":  # a wrong command is refused before PyTorch, which takes seconds, is loaded
    refuse_early(plan)

import CartoonGAN
from pages import summaries, tables


def main(argv=None):
    """Run a sweep. Returns 1 if a run failed; the others are still trained."""
    runs, failed = plan(argv), 0
    for number, (folder, words) in enumerate(runs, 1):
        print(f"run {number} of {len(runs)}: {folder}{'' if words else ' is finished'}", flush=True)
        try:
            if words:
                CartoonGAN.main(words)
        except RunFailed as error:
            failed = 1  # `report` would write it into the log of the next run
            print(f"error: {folder.name} failed: {error}", file=sys.stderr)
        except Stopped as stopped:
            command = command_line("experiments.sweep", argv)
            text = f"stopped, everything is saved; continue the sweep with: {command}"
            raise Stopped(text, stopped.status) from None
    print(tables.listing([summaries.read(folder) for folder, _ in runs]))
    address = (runs[0][0].parent / "index.html").resolve().as_uri()
    if len(runs) <= COMPARED:
        address += "#" + urllib.parse.urlencode([("compare", folder.name) for folder, _ in runs])
    print(f"compare: {address}")
    return failed


if __name__ == "__main__":
    sys.exit(exit_status(main))
