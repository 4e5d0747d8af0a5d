"""What a generator can be: one table for the network, the checkpoints and the options of training."""

import pytest

from networks import Generator
from support import architecture
from training import options
from utils import WrongUse


def test_the_options_of_training_are_made_from_the_table():
    args, _ = options.parse(["--nb", "1", "--norm", "mixed", "--outline", "0.5"])
    arguments = {key: getattr(args, key) for key in architecture.OPTIONS}
    assert Generator(**arguments).architecture == architecture.DEFAULTS | arguments
    assert (arguments["nb"], arguments["norm"], arguments["outline"]) == (1, "mixed", 0.5)
    for wrong in ("--ngf 0", "--ngf 4097", "--res_convs 4", "--outline 1.1", "--guide 16", "--norm batch"):
        with pytest.raises(WrongUse, match=f"argument {wrong.split()[0]}: "):
            options.parse(wrong.split())


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"ngf": 0}, "its ngf is '0'"),
        ({"ngf": 4.0}, "its ngf is '4.0'"),
        ({"norm": "batch"}, "its norm is 'batch'"),
        ({"eps": 0}, "its eps is '0'"),
        ({"eps": float("nan")}, "its eps is 'nan'"),
        ({"in_ngc": 1, "predict": "change"}, "in_ngc and out_ngc to be equal"),
        ({"out_ngc": 1, "guide": 2}, "in_ngc and out_ngc to be equal"),
        ({"colour": 1}, "unexpected keyword argument 'colour'"),
    ],
)
def test_arguments_that_no_generator_takes(arguments, fault):
    with pytest.raises((TypeError, ValueError), match=fault):
        Generator(**arguments)
