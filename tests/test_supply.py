"""The tested versions in constraints.txt: complete, exact, and installable on the lowest Python."""

import contextlib
import re
import tomllib
from importlib import metadata

from helpers import ROOT
from packaging.specifiers import SpecifierSet


def requirements(name):
    """{package: the rest of its line} of a requirements file, without comments and included files."""
    lines = (re.sub(r"\s*#.*", "", line) for line in (ROOT / name).read_text().splitlines())
    lines = [line for line in lines if line and not line.startswith("-")]
    return dict(re.fullmatch(r"([\w-]+)(.*)", line.lower()).groups() for line in lines)


def test_the_constraints_are_exact_complete_and_for_the_lowest_python():
    pinned = requirements("constraints.txt")
    assert {*requirements("requirements.txt"), *requirements("requirements-dev.txt")} <= pinned.keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = project["requires-python"].removeprefix(">=")
    assert f"Python {lowest} or newer" in (ROOT / "README.md").read_text()
    for name, version in pinned.items():
        assert re.fullmatch(r"==[\w.+]+", version), name
        with contextlib.suppress(metadata.PackageNotFoundError):
            if metadata.version(name) == version.removeprefix("=="):
                python = metadata.metadata(name)["Requires-Python"] or ""
                assert f"{lowest}.0" in SpecifierSet(python), name
