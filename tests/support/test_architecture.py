"""The arguments of a generator are checked, so that a checkpoint of a newer program is refused."""

import pytest

from networks import Generator


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"ngf": 0}, "its ngf is '0'"),
        ({"ngf": 4.0}, "its ngf is '4.0'"),
        ({"norm": "batch"}, "its norm is 'batch'"),
        ({"eps": float("nan")}, "its eps is 'nan'"),
        ({"in_ngc": 1, "predict": "change"}, "in_ngc and out_ngc to be equal"),
        ({"out_ngc": 1, "guide": 2}, "in_ngc and out_ngc to be equal"),
        ({"colour": 1}, "unexpected keyword argument 'colour'"),
    ],
)
def test_arguments_that_no_generator_takes(arguments, fault):
    with pytest.raises((TypeError, ValueError), match=fault):
        Generator(**arguments)
