"""Options of any kind: a command takes a step of its work, or refuses with a one-line error."""

import argparse
import collections
import contextlib
import io
import shutil

import pytest
from helpers import SLOW, VGG, leave_run, make_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import CartoonGAN
import edge_promoting
import test
import utils
from evaluation import __main__ as evaluation
from networks import Discriminator, Generator
from pages import __main__ as pages
from pictures import checkpoints
from support import arguments
from survey import cyclegan
from training.run import Run

TINY = {"input_size": 32, "batch_size": 2, "ngf": 4, "ndf": 4, "nb": 1, "workers": 0, "device": "cpu"}
TINY |= {"precision": "fp32", "vgg_model": VGG, "src_data": "data/src_data", "tgt_data": "data/tgt_data"}
TRAINING = [f"--{name}={value}" for name, value in TINY.items()]
# What these options are given where they must have a sensible value, so that the work stays tiny.
SENSIBLE = {name: [str(value)] for name, value in TINY.items()} | {"out_ndc": ["1", "3"]}
SENSIBLE |= {"name": ["a"], "tag": ["a"], "pair_dir": ["made"], "results_dir": ["made"]}
SENSIBLE |= {"latest_generator_model": ["g.pth"], "latest_discriminator_model": ["d.pth"]}
NUMBERS = ["0", "1", "2", "3", "4", "16", "32", "0.5", "1e-9", "1e30", str(2**64 - 1), str(2**64)]
PLACES = ["data/src_data", "data/tgt_data", "data", "made", "runs", "runs/P_results", "g.pth", "d.pth"]
PLACES += ["binary.txt", "data/src_data/train/0.jpg"]
NONSENSE = ["", " ", "-1", "nan", "-inf", "1e99", "0x10", "½", "[1]", "../x", "..", "/dev/null/x", "a\nb"]
NONSENSE += ["a\0b", "\x1b[31m", "\u2028", "\udcff", "<b>", "'", '"', "$(true)", "x" * 300, "y/" * 2000]
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
def words(draw, action, sensible):
    """An option as it is typed, with its values; or with any, one too many or too few."""
    values = SENSIBLE.get(action.dest) or [*map(str, action.choices or ())] or NUMBERS + PLACES
    values = [text for text in values if is_valid(action, text)] or PLACES
    value = st.sampled_from(values if sensible else values + NUMBERS + PLACES + NONSENSE)
    if action.dest in ("input_size", "batch_size", "ngf", "ndf", "nb", "workers", "out_ndc"):
        value = st.sampled_from(values if sensible else values + NONSENSE)  # a large network takes long
    if not action.option_strings:
        return [draw(value)]
    name = draw(st.sampled_from(action.option_strings))
    if action.nargs == 0:
        return [name] if sensible or draw(st.booleans()) else [f"{name}=1"]
    given = draw(st.lists(value, min_size=sensible, max_size=2 - sensible))
    return [f"{name}={given[0]}"] if len(given) == 1 and draw(st.booleans()) else [name, *given]


@st.composite
def command_lines(draw, parser):
    """Up to four options of a parser, and sometimes what is not an option."""
    sensible = draw(st.booleans())
    actions = [action for action in parser._actions if action.dest not in ("help", "resume") or not sensible]
    given = draw(st.lists(st.one_of(*(words(action, sensible) for action in actions)), max_size=4))
    if not sensible and draw(st.booleans()):
        given.append([draw(st.sampled_from(NONSENSE))])
    return [text for each in given for text in each]


class Found(Exception):
    """The parser of a command."""


def parser_of(main, monkeypatch):
    def found(parser, *_):
        raise Found(parser)

    with monkeypatch.context() as patched, pytest.raises(Found) as caught:
        patched.setattr(arguments.Parser, "parse_args", found)
        main([])
    return caught.value.args[0]


@pytest.fixture
def fuzz(home, monkeypatch):
    """fuzz(main, base, **form) runs a command with many command lines; returns how often it ended how."""

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

    def run(main, base, **form):
        ends = collections.Counter()
        kept = {path: set(path.iterdir()) for path in (home.parent, home, home / "data", home / "runs")}

        @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), **form)
        @given(command_lines(parser_of(main, monkeypatch)))
        def once(argv):
            output = io.StringIO()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(output):
                try:
                    status = utils.exit_status(lambda: main([*base, *argv]))
                except SystemExit as end:  # --help
                    status = end.code
            ends[status] += 1
            for folder, before in kept.items():
                for path in set(folder.iterdir()) - before:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            errors = [line.startswith("error: ") for line in output.getvalue().splitlines()]
            assert status != 2 or (errors[-1] and sum(errors) == 1), output.getvalue()

        once()
        return ends

    return run


@pytest.mark.parametrize("main", [CartoonGAN.main, cyclegan.main])
def test_training_takes_a_step_or_refuses(fuzz, main):
    assert fuzz(main, TRAINING, derandomize=True, max_examples=25).keys() - {0} == {2, 130}


@pytest.mark.slow
def test_training_takes_a_step_or_refuses_at_length(fuzz):
    assert fuzz(CartoonGAN.main, TRAINING, max_examples=round(1500 * SLOW)).keys() - {0} == {2, 130}


OTHERS = {
    test: "--pre_trained_model g.pth --image_dir data/src_data/test --output_image_dir made --device cpu",
    evaluation: "g.pth --photos data/src_data/test --drawings data/tgt_data/train --input_size 16 "
    f"--vgg_model {VGG} --features vgg19 --device cpu --precision fp32 --output made.json",
    pages: "",
    edge_promoting: "",
}


@pytest.mark.parametrize("command", OTHERS, ids=lambda command: command.__name__)
def test_the_other_commands_do_their_work_or_refuse(fuzz, command):
    ends = fuzz(command.main, OTHERS[command].split(), derandomize=True, max_examples=12)
    assert ends.keys() <= {0, 1, 2} and ends[2]
