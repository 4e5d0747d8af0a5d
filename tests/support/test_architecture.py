"""What a generator can be is defined once, and checked before training."""

import inspect

import pytest

from networks import Generator
from support import architecture
from training import options
from utils import WrongUse


def test_every_argument_of_the_generator_has_its_values():
    arguments = inspect.signature(Generator).parameters
    assert arguments.keys() <= architecture.VALUES.keys()
    assert {*options.GENERATOR_OPTIONS} <= arguments.keys()
    assert Generator(ngf=2, nb=1).architecture.keys() == arguments.keys()


def test_an_option_that_is_not_defined_ends_the_program_before_it_trains(monkeypatch):
    monkeypatch.delitem(architecture.VALUES, "res_convs")
    with pytest.raises(ValueError, match="its res_convs has no values in support/architecture"):
        Generator(ngf=2, nb=1)
    monkeypatch.undo()
    monkeypatch.setattr(options, "GENERATOR_OPTIONS", (*options.GENERATOR_OPTIONS, "ndf"))
    with pytest.raises(WrongUse, match="no generator can be built: its ndf has no values in support"):
        options.parse([])


@pytest.mark.parametrize(
    "parts", [{"ngf": 0}, {"norm": "batch"}, {"eps": 0}, {"in_ngc": 1, "predict": "change"}]
)
def test_what_no_generator_is(parts):
    with pytest.raises(ValueError, match="its "):
        Generator(**parts)
