"""Options of any kind: training takes a step, or refuses with a one-line error."""

import argparse
import contextlib
import io
import shutil

import pytest
from helpers import SLOW, VGG, leave_run, make_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import CartoonGAN
import utils
from networks import Discriminator, Generator
from pictures import checkpoints
from survey import cyclegan
from survey.cyclegan_options import CYCLEGAN
from training.options import CARTOONGAN
from training.run import Run

TINY = {"input_size": 32, "batch_size": 2, "ngf": 4, "ndf": 4, "nb": 1, "workers": 0, "device": "cpu"}
TINY |= {"precision": "fp32", "vgg_model": VGG, "src_data": "data/src_data", "tgt_data": "data/tgt_data"}
# The values of options that must have a sensible one, so that the work stays tiny.
SENSIBLE = {name: [str(value)] for name, value in TINY.items()} | {"out_ndc": ["1", "3"]}
SENSIBLE |= {"name": ["a"], "tag": ["a"], "pair_dir": ["made"], "results_dir": ["made"]}
SENSIBLE |= {"latest_generator_model": ["g.pth"], "latest_discriminator_model": ["d.pth"]}
SIZES = {"input_size", "batch_size", "ngf", "ndf", "nb", "workers", "out_ndc"}  # a large network takes long
USUAL = ["0", "1", "2", "3", "4", "16", "32", "0.5", "1e-9", "1e30", str(2**64 - 1), str(2**64)]
USUAL += ["data/src_data", "data/tgt_data", "data", "made", "runs", "runs/P_results", "g.pth", "d.pth"]
USUAL += ["binary.txt", "data/src_data/train/0.jpg"]
NONSENSE = ["", " ", "-1", "nan", "-inf", "1e99", "½", "[1]", "../x", "..", "/dev/null/x", "a\nb", "a\0b"]
NONSENSE += ["\x1b[31m", "\u2028", "\udcff", "<b>", "'", '"', "$(true)", "x" * 300, "y/" * 2000]
NONSENSE += ["--", "-", "-x", "@", "@no/file", "@.", "@self.txt", "@binary.txt", "@fine.txt", "--no_such"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with tiny data, checkpoints, a run and @files, which is the working directory."""
    folder = tmp_path_factory.mktemp("fuzz") / "deep"
    make_data(folder / "data")
    leave_run(folder / "runs", "P")
    checkpoints.save(folder / "g.pth", checkpoints.generator_file(Generator(ngf=4, nb=1)))
    checkpoints.save(folder / "d.pth", Discriminator(ndf=4).state_dict())
    (folder / "self.txt").write_text("--nb 1\n@self.txt\n")
    (folder / "fine.txt").write_text("--seed 3  # three\n")
    (folder / "binary.txt").write_bytes(bytes(range(256)))
    with contextlib.chdir(folder):
        yield folder


def is_valid(action, text):
    """Whether an option takes a text."""
    try:
        value = (action.type or str)(text)
    except (argparse.ArgumentTypeError, ValueError):
        return False
    return action.choices is None or value in action.choices


@st.composite
def command_lines(draw, parser):
    """Up to four options of a parser, with values that they take, or with any, one too many or too few."""
    sensible = draw(st.booleans())
    argv = []
    for action in draw(st.lists(st.sampled_from(parser._actions), max_size=4)):
        if sensible and action.dest in ("help", "resume"):
            continue
        values = SENSIBLE.get(action.dest) or [*map(str, action.choices or USUAL)]
        values = [text for text in values if is_valid(action, text)] or USUAL
        if not sensible:
            values = values + NONSENSE if action.dest in SIZES else values + USUAL + NONSENSE
        count = 0 if action.nargs == 0 and sensible else draw(st.integers(int(sensible), 2 - sensible))
        argv += [draw(st.sampled_from(action.option_strings))]
        argv += [draw(st.sampled_from(values)) for _ in range(count)]
    return argv


MANY = {"max_examples": round(1500 * SLOW)}
LONG = pytest.param(CartoonGAN.main, CARTOONGAN, MANY, marks=pytest.mark.slow)
SHORT = {"max_examples": 25, "derandomize": True}
COMMANDS = [(CartoonGAN.main, CARTOONGAN, SHORT), (cyclegan.main, CYCLEGAN, SHORT), LONG]


@pytest.mark.parametrize(("main", "method", "form"), COMMANDS)
def test_training_takes_a_step_or_refuses(main, method, form, home, monkeypatch):
    def no_weights(*_):
        raise utils.WrongUse("no network")

    def log_step(run, terms):
        """As by Ctrl-C after a step."""
        if run.step:
            raise KeyboardInterrupt
        real(run, terms)

    real = Run.log_step
    monkeypatch.setattr(Run, "log_step", log_step)
    monkeypatch.setattr(checkpoints, "_imagenet_vgg19", no_weights)
    base = [f"--{name}={value}" for name, value in TINY.items()]
    statuses = set()
    kept = {path: set(path.iterdir()) for path in (home.parent, home, home / "data", home / "runs")}

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), **form)
    @given(command_lines(method.parser()))
    def once(argv):
        output = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(output):
            try:
                status = utils.exit_status(lambda: main([*base, *argv]))
            except SystemExit as end:  # --help
                status = end.code
        statuses.add(status)
        for folder, before in kept.items():
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        errors = [line.startswith("error: ") for line in output.getvalue().splitlines()]
        assert status != 2 or (errors[-1] and sum(errors) == 1), output.getvalue()

    once()
    assert statuses - {0} == {2, 130}
