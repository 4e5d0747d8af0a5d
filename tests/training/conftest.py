"""Fixtures of the runs that are killed or denied their files (test_faults.py)."""

from pathlib import Path

import faults
import pytest
from helpers import VGG, make_data

import CartoonGAN


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The place of an undisturbed run and its data, which no test changes."""
    place = tmp_path_factory.mktemp("whole")
    CartoonGAN.main(faults.command(make_data(place / "data"), VGG, place))
    return place


@pytest.fixture
def command(whole):
    """command(place) -> the options of such a run, its results and pairs in `place`."""
    return lambda place: faults.command(Path(whole, "data"), VGG, place)


@pytest.fixture
def complete(server, whole, command):
    """complete(place): resume the run in a place to its end, which must be as if undisturbed."""

    def run(place):
        status, output = faults.finish(server, faults.resume_or_start(command(place), place), place)
        assert status == 0 and "Traceback" not in output, output
        faults.assert_as_if_undisturbed(place, whole)

    return run
