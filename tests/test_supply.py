"""What the program is made of: nothing that runs what a file says, and the versions that were tested."""

import ast
import contextlib
import re
from importlib import metadata

import pytest
from helpers import ROOT
from packaging.specifiers import SpecifierSet

CODE = sorted(
    path.relative_to(ROOT) for depth in ("*.py", "*/*.py", "tests/*/*.py") for path in ROOT.glob(depth)
)
# These show that a file which the program refuses would really have run code.
SHOWS_HOSTILE = {"tests/pictures/test_checkpoints.py"}


def unsafe(tree):
    """The calls in a syntax tree that run code out of a text, a file or a shell: (line, what)."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        if called in ("eval", "exec", "os.system", "os.popen"):
            yield node.lineno, called
        if called.split(".")[-1] in ("load", "loads") and called.split(".")[0] in (
            "pickle",
            "marshal",
            "joblib",
        ):
            yield node.lineno, called
        if called == "torch.load" and options.get("weights_only") != "True":
            yield node.lineno, "torch.load without weights_only=True"
        if options.get("shell", "False") != "False":
            yield node.lineno, "shell=True"
        if options.get("allow_pickle", "False") != "False":
            yield node.lineno, "allow_pickle=True"


@pytest.mark.parametrize(
    "text",
    [
        *("eval(x)", "exec(x)", "os.system(x)", "pickle.load(f)", "pickle.loads(b)", "torch.load(f)"),
        *("subprocess.run(x, shell=True)", "numpy.load(f, allow_pickle=True)"),
    ],
)
def test_unsafe_calls_are_seen(text):
    assert list(unsafe(ast.parse(text)))


def test_all_code_is_looked_at():
    looked_at = {path.parts[0] for path in CODE if len(path.parts) > 1}
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"tests"} <= looked_at


@pytest.mark.parametrize("path", CODE, ids=str)
def test_nothing_runs_what_a_file_says(path):
    found = [f"{path}:{line} {what}" for line, what in unsafe(ast.parse((ROOT / path).read_text()))]
    assert bool(found) == (str(path) in SHOWS_HOSTILE), found


def requirements(name):
    """{package: the rest of its line} of a requirements file, without comments and other files."""
    lines = (re.sub(r"\s*#.*", "", line) for line in (ROOT / name).read_text().splitlines())
    return dict(
        re.fullmatch(r"([\w-]+)(.*)", line.lower()).groups() for line in lines if line and line[0] != "-"
    )


def test_every_package_has_an_exact_version_in_the_constraints():
    pinned = requirements("constraints.txt")
    assert all(re.fullmatch(r"==[\w.+]+", version) for version in pinned.values())
    wanted = requirements("requirements.txt") | requirements("requirements-dev.txt")
    assert wanted.keys() <= pinned.keys()


def test_the_constraints_can_be_installed_on_the_lowest_python_of_the_readme():
    (lowest,) = re.findall(r"Python (3\.\d+) or newer", (ROOT / "README.md").read_text())
    assert f'target-version = "py{lowest.replace(".", "")}"' in (ROOT / "pyproject.toml").read_text()
    needed = {}
    for name, version in requirements("constraints.txt").items():
        with contextlib.suppress(metadata.PackageNotFoundError):
            if metadata.version(name) == version[2:]:
                needed[name] = metadata.metadata(name)["Requires-Python"] or ""
    if not needed:
        pytest.skip("other versions are installed")
    assert [name for name, python in needed.items() if f"{lowest}.0" not in SpecifierSet(python)] == []


def test_the_constraints_are_those_of_this_environment():
    """Where .ci/run made it; elsewhere other versions are welcome."""
    pinned = requirements("constraints.txt")
    if metadata.version("torch").split("+")[0] != pinned["torch"][2:]:
        pytest.skip("another torch is installed")
    here = {name: metadata.version(name).split("+")[0] for name in requirements("requirements.txt")}
    assert here == {name: pinned[name][2:] for name in here}
