"""The tested versions in constraints.txt: complete, installable and those of this environment."""

import contextlib
import re
import tomllib
from importlib import metadata

import pytest
from helpers import ROOT
from packaging.specifiers import SpecifierSet


def requirements(name):
    """{package: the rest of its line} of a requirements file, without comments and included files."""
    lines = (re.sub(r"\s*#.*", "", line) for line in (ROOT / name).read_text().splitlines())
    lines = [line for line in lines if line and not line.startswith("-")]
    return dict(re.fullmatch(r"([\w-]+)(.*)", line.lower()).groups() for line in lines)


def test_every_package_has_an_exact_version_in_the_constraints():
    pinned = requirements("constraints.txt")
    assert all(re.fullmatch(r"==[\w.+]+", version) for version in pinned.values())
    assert {*requirements("requirements.txt"), *requirements("requirements-dev.txt")} <= pinned.keys()


def test_the_constraints_can_be_installed_on_the_lowest_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = project["requires-python"].removeprefix(">=")
    assert f"Python {lowest} or newer" in (ROOT / "README.md").read_text()
    for name, version in requirements("constraints.txt").items():
        with contextlib.suppress(metadata.PackageNotFoundError):
            if metadata.version(name) == version.removeprefix("=="):
                python = metadata.metadata(name)["Requires-Python"] or ""
                assert f"{lowest}.0" in SpecifierSet(python), name


def test_the_constraints_are_those_of_this_environment():
    """In the environment that .ci/run makes; elsewhere other versions are welcome."""
    pinned = requirements("constraints.txt")
    if metadata.version("torch").split("+")[0] != pinned["torch"].removeprefix("=="):
        pytest.skip("another torch is installed")
    here = {name: "==" + metadata.version(name).split("+")[0] for name in requirements("requirements.txt")}
    assert here == {name: pinned[name] for name in here}
