"""Options of any kind: a command takes a step of its work, or tells in one line why it does not."""

import argparse
import collections
import contextlib
import io
import os
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

# Numbers from here on are only given as what no number can be: so large a network is another test's matter.
LARGEST = {"input_size": 32, "batch_size": 3, "ngf": 4, "ndf": 4, "nb": 1, "workers": 0, "out_ndc": 3}
TINY = {"input_size": 16, "batch_size": 2, "ngf": 4, "ndf": 4, "nb": 1, "workers": 0, "device": "cpu"}
TINY |= {"precision": "fp32", "vgg_model": str(VGG), "src_data": "data/src_data", "tgt_data": "data/tgt_data"}
# What an option that takes any text must be given for the work to be done.
FITTING = {name: text for name, text in TINY.items() if isinstance(text, str)}
FITTING |= {"name": "a", "tag": "a", "pair_dir": "made", "results_dir": "made"}
FITTING |= {"latest_generator_model": "g.pth", "latest_discriminator_model": "d.pth"}
NONSENSE = ["", " ", "-1", "0", "nan", "inf", "-inf", "1e99", "1e-99", "0x10", "½", "²", "None", "[1]", "a"]
NONSENSE += [
    "../x",
    ".",
    "..",
    "/dev/null/x",
    "a/b",
    "a\nb",
    "a\0b",
    "\x1b[31m",
    "\u2028",
    "\udcff",
    "<b>",
    "'",
    '"',
]
NONSENSE += ["$(true)", "x" * 300, "y/" * 2000, "--", "-", "@", "@no/file", "@.", "@self.txt", "@binary.txt"]
PLACES = ["data/src_data", "data/tgt_data", "data", "made", "runs", "runs/P_results", "g.pth", "d.pth"]
PLACES += ["binary.txt", "data/src_data/train/0.jpg"]


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
    before = os.getcwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def values(action, sane):
    """A strategy of texts to give to an option: such as it takes, or also others, and nonsense."""
    numbers = ["0", "1", "2", "3", "4", "16", "32", "0.5", "1e-9", "1e30", str(2**64 - 1), str(2**64)]
    if action.dest in LARGEST:
        numbers = [text for text in numbers if "." not in text and float(text) <= LARGEST[action.dest]]
    right = [text for text in map(str, action.choices or numbers) if takes(action, text)]
    if action.dest in FITTING:
        right = [FITTING[action.dest]]
    elif action.type in (arguments.one_line, arguments.path, test.source):
        right = PLACES
    return st.sampled_from(right) if sane else st.sampled_from([*numbers, *PLACES, *NONSENSE, *right])


def takes(action, text):
    """Whether an option takes a text."""
    try:
        value = (action.type or str)(text)
    except (argparse.ArgumentTypeError, ValueError):
        return False
    return action.choices is None or value in action.choices


@st.composite
def words(draw, action, sane):
    """An option as it is typed, with its values, or one too many or too few."""
    given = values(action, sane)
    if not action.option_strings:
        return [draw(given)]
    name = draw(st.sampled_from(action.option_strings))
    if action.nargs == 0:
        return [name] if sane or draw(st.booleans()) else [f"{name}=1"]
    given = draw(st.lists(given, min_size=sane, max_size=1 if sane else 2))
    return [f"{name}={given[0]}"] if len(given) == 1 and draw(st.booleans()) else [name, *given]


@st.composite
def lines(draw, parser, base=()):
    """A command line: what makes the work tiny, then options of the parser, and what is none."""
    sane = draw(st.booleans())
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    each = [words(action, sane) for action in actions if not sane or action.dest != "resume"]
    typed = draw(st.lists(st.one_of(*each), max_size=4))
    more = ["@fine.txt"] if sane else ["--no_such_option", "@fine.txt", "-x", *NONSENSE]
    if draw(st.booleans()):
        typed.append([draw(st.sampled_from(more))])
    return [*base, *(text for each in typed for text in each)]


class Found(Exception):
    """The parser of a command."""


def parser_of(main, monkeypatch):
    def found(parser, *_):
        raise Found(parser)

    with monkeypatch.context() as patched, pytest.raises(Found) as caught:
        patched.setattr(arguments.Parser, "parse_args", found)
        main([])
    return caught.value.args[0]


def outcome(main, argv):
    """(exit status, standard error) of a command."""
    told = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(told):
        try:
            status = utils.exit_status(lambda: main(argv))
        except SystemExit as end:
            status = end.code
    return status, told.getvalue()


def fuzz(home, monkeypatch, main, base, **form):
    """Run a command with options of any kind, in one folder; returns how often it ended how."""
    ends = collections.Counter()
    kept = {path: set(path.iterdir()) for path in (home.parent, home, home / "data", home / "runs")}

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), **form)
    @given(lines(parser_of(main, monkeypatch), base))
    def once(argv):
        status, told = outcome(main, argv)
        ends[status] += 1
        for folder, before in kept.items():
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if status == 2:
            *before, line = told.splitlines()
            assert line.startswith("error: ") and not any("error: " in each for each in before), told

    once()
    return ends


def no_weights(*_):
    raise utils.WrongUse("no network")


@pytest.fixture
def one_step(monkeypatch):
    """Training is stopped as by Ctrl-C when it has taken a step, and nothing is fetched from the network."""

    def took(run, terms):
        if run.step:
            raise KeyboardInterrupt
        real(run, terms)

    real = Run.log_step
    monkeypatch.setattr(Run, "log_step", took)
    monkeypatch.setattr(checkpoints, "_imagenet_vgg19", no_weights)


TRAINING = [word for name, value in TINY.items() for word in (f"--{name}", str(value))]


@pytest.mark.usefixtures("one_step")
def test_training_takes_a_step_or_tells_why_not(home, monkeypatch):
    ends = fuzz(home, monkeypatch, CartoonGAN.main, TRAINING, derandomize=True, max_examples=30)
    assert ends.keys() == {2, 130}


@pytest.mark.usefixtures("one_step")
def test_cyclegan_takes_a_step_or_tells_why_not(home, monkeypatch):
    base = [*TRAINING, "--input_size", "32"]  # the last word counts
    ends = fuzz(home, monkeypatch, cyclegan.main, base, derandomize=True, max_examples=20)
    assert ends.keys() == {2, 130}


@pytest.mark.slow
@pytest.mark.usefixtures("one_step")
def test_training_takes_a_step_or_tells_why_not_at_length(home, monkeypatch):
    ends = fuzz(home, monkeypatch, CartoonGAN.main, TRAINING, max_examples=round(1500 * SLOW))
    print(dict(ends))
    assert ends.keys() == {2, 130}


OTHERS = {
    test: "--pre_trained_model g.pth --image_dir data/src_data/test --output_image_dir made --device cpu",
    evaluation: "g.pth --photos data/src_data/test --drawings data/tgt_data/train --input_size 16 "
    f"--vgg_model {VGG} --features vgg19 --device cpu --precision fp32 --output made.json",
    pages: "",
    edge_promoting: "",
}


@pytest.mark.parametrize("command", OTHERS, ids=lambda command: command.__name__)
def test_the_other_commands_do_their_work_or_tell_why_not(home, monkeypatch, command):
    monkeypatch.setattr(checkpoints, "_imagenet_vgg19", no_weights)
    base = OTHERS[command].split()
    ends = fuzz(home, monkeypatch, command.main, base, derandomize=True, max_examples=15)
    assert ends.keys() <= {0, 1, 2} and ends[2]
