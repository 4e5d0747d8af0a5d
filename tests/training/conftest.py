"""Fixtures of the runs that are killed or denied their files (test_kills.py, test_disks.py)."""

from pathlib import Path

import faults
import pytest
from helpers import VGG, make_data

import CartoonGAN


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The place of an undisturbed run and its data, for looking at only."""
    place = tmp_path_factory.mktemp("whole")
    CartoonGAN.main(faults.command(make_data(place / "data"), VGG, place))
    return place


@pytest.fixture
def command(whole):
    """command(place) -> the options of such a run, its results and pairs in `place`."""
    return lambda place: faults.command(Path(whole, "data"), VGG, place)


@pytest.fixture
def complete(server, whole, command):
    """complete(place): the run in a place goes on to its end, which is as if nothing had happened."""

    def run(place):
        status, said = faults.finish(server, faults.going_on(command(place), place), place)
        assert status == 0 and "Traceback" not in said, said
        faults.assert_as_if_undisturbed(place, whole)

    return run
