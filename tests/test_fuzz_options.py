"""Random options: training takes a step, or refuses with a one-line error."""

import argparse
import functools
import random
import shutil

import pytest
from helpers import SLOW, tiny_run

import CartoonGAN
import utils
from training.options import CARTOONGAN
from training.run import Run

VALUES = ["0", "1", "2", "3", "4", "0.5", "1e-9", "1e30", str(2**64), "data", "/dev/null/x", "..", "", " "]
VALUES += ["-1", "nan", "-inf", "½", "[1]", "a\nb", "a\0b", "\x1b[31m", "\udcff", "$(true)", "x" * 300]
EXTRA = ["--", "-", "-x", "@", "@no/file", "@.", "--no_such", "x"]
FIXED = {"help", "resume", "tag", "pair_dir", "load_size", "out_ndc"}  # and what tiny_run sets


def is_valid(action, text):
    """Whether an option takes a text."""
    try:
        value = (action.type or str)(text)
    except (argparse.ArgumentTypeError, ValueError):
        return False
    return action.choices is None or value in action.choices


def random_options(rng, actions):
    """Four options, mostly with a value that they take; sometimes an argument that is not an option."""
    argv = []
    for action in rng.sample(actions, 4):
        argv.append(rng.choice(action.option_strings))
        if action.nargs != 0:
            values = [*map(str, action.choices or VALUES)]
            valid = [text for text in values if is_valid(action, text)]
            argv.append(rng.choice(valid if valid and rng.random() < 0.9 else VALUES))
    return argv + rng.sample(EXTRA, rng.random() < 0.1)


@pytest.mark.parametrize("tries", [25, pytest.param(round(1500 * SLOW), marks=pytest.mark.slow)])
def test_training_takes_a_step_or_refuses(tries, data, tmp_path, monkeypatch, capsys):
    def log_step(run, terms):
        """As by Ctrl-C after a step."""
        if run.step:
            raise KeyboardInterrupt
        real(run, terms)

    real = Run.log_step
    monkeypatch.setattr(Run, "log_step", log_step)
    base = tiny_run(data, tmp_path / "results")
    fixed = FIXED | {word.removeprefix("--") for word in base}
    actions = [action for action in CARTOONGAN.parser()._actions if action.dest not in fixed]
    statuses = set()
    for number in range(tries):
        argv = [*base, *random_options(random.Random(number), actions)]
        status = utils.exit_status(functools.partial(CartoonGAN.main, argv))
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(errors) == (status == 2) and status in (0, 2, 130), (argv, errors)
        statuses.add(status)
        shutil.rmtree(tmp_path / "results", ignore_errors=True)
    assert statuses >= {2, 130}
