"""The shape of the program: what the root holds, which way imports go, what starts without PyTorch."""

import ast
import fnmatch
import graphlib
import json
import subprocess
import sys

import pytest
from helpers import ROOT

SCRIPTS = {"CartoonGAN.py", "edge_promoting.py", "networks.py", "test.py", "utils.py"}
PACKAGES = {"support", "training", "pictures", "evaluation", "pages", "benchmark", "survey", "experiments"}
FOLDERS = {"data", "models", "results", "docs", "tests"}
TEXTS = {"README.md", "LICENSE", "requirements.txt", "requirements-dev.txt", "constraints.txt"}
TEXTS |= {"pyproject.toml"}

# What each may import, below it: root modules and packages, of `data` one module alone.
BELOW = {
    "utils": set(),
    "support": {"utils"},
    "networks": {"utils", "support"},
    "pictures": {"utils", "support", "networks"},
    "edge_promoting": {"utils", "support", "pictures"},
    "data": {"utils", "support", "pictures"},
    "training": {"utils", "support", "networks", "pictures"},
    "evaluation": {"utils", "support", "networks", "pictures", "training", "data.pairs"},
    "pages": {"utils", "support", "networks", "pictures", "training", "evaluation.measures"},
    "test": {"utils", "support", "networks", "pictures"},
}
BELOW["CartoonGAN"] = BELOW["training"] | {"training", "edge_promoting", "evaluation", "pages"}
BELOW["benchmark"] = BELOW["CartoonGAN"] | {"CartoonGAN"}
BELOW["survey"] = BELOW["benchmark"]
BELOW["experiments"] = BELOW["benchmark"]

# Imports inside a function, and why: each would make a command slow that does without.
LATE = {
    ("training.folder", "training.state"): "PyTorch, needed only where settings.json is damaged",
    ("pages.__main__", "pages.writing"): "Jinja and Plotly, which --list does not need",
    ("pages.__main__", "training.samples"): "PyTorch, which only --slim with samples needs",
    ("training.data", "pictures.images"): "OpenCV, which a wrong command need not wait for",
}


def root():
    """The names in the root that git knows, or without git does not ignore; hidden ones belong to tools."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        names = {line.split("/")[0] for line in listed.stdout.splitlines()}
    else:
        lines = (ROOT / ".gitignore").read_text().splitlines()
        ignored = [line.strip("/") for line in lines if "/" not in line.strip("/")]
        names = {path.name for path in ROOT.iterdir()}
        names = {name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)}
    return {name for name in names if not name.startswith(".")}


def test_the_root_holds_these_and_nothing_else():
    assert root() == SCRIPTS | TEXTS | PACKAGES | FOLDERS


# Imports


def modules():
    """{name: path} of every module of the program; tests are none."""
    paths = [
        *ROOT.glob("*.py"),
        *(path for part in (*PACKAGES, "data") for path in ROOT.glob(f"{part}/**/*.py")),
    ]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


def imports(tree, known):
    """{(module of the program that is imported, whether inside a function)} of a syntax tree."""
    late = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: from . import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]
        else:
            continue
        found |= {(name, id(node) in late) for name in names if name in known}
    return found


@pytest.fixture(scope="module")
def graph():
    """{module: what it imports, as `imports` gives it}."""
    known = modules()
    return {name: imports(ast.parse(path.read_text(encoding="utf-8")), known) for name, path in known.items()}


def test_imports_are_seen():
    known = {"utils", "pages", "pages.writing", "training.folder"}
    text = "import utils, os\nfrom pages import writing, x\ndef f():\n    from training.folder import held\n"
    assert imports(ast.parse(text), known) == {
        *(("utils", False), ("pages.writing", False), ("pages", False), ("training.folder", True))
    }


def test_imports_go_one_way(graph):
    wrong = []
    for name, imported in graph.items():
        part = name.split(".")[0]
        for other, _ in imported:
            own = other.split(".")[0] == part and other != part
            if not own and not {other, other.split(".")[0]} & BELOW[part]:
                wrong.append(f"{name} imports {other}")
    assert wrong == []
    assert {name.split(".")[0] for name in graph} == BELOW.keys()


def test_no_part_stands_above_itself():
    order = [*graphlib.TopologicalSorter(BELOW).static_order()]
    upwards = [
        "utils",
        "support",
        "networks",
        "pictures",
        "training",
        "evaluation",
        "CartoonGAN",
        "benchmark",
    ]
    assert [part for part in order if part in upwards] == upwards


def test_no_modules_import_each_other_in_a_circle(graph):
    below = {name: {other for other, _ in imported if other != name} for name, imported in graph.items()}
    try:
        order = [*graphlib.TopologicalSorter(below).static_order()]
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {error.args[1]}")
    assert {*order} >= graph.keys()


def test_imports_inside_functions_are_those_of_a_fast_start(graph):
    late = {(name, other) for name, imported in graph.items() for other, inside in imported if inside}
    assert late == LATE.keys()


# A fast start

SLOW = ["torch", "torchvision", "matplotlib", "jinja2", "plotly"]
ANSWERS = {
    "training help": ["CartoonGAN.py", "--help"],
    "training option": ["CartoonGAN.py", "--ngf", "0"],
    "training folder": ["CartoonGAN.py", "--src_data", "no/such/folder"],
    "training resumed": ["CartoonGAN.py", "--resume", "no/such/run"],
    "test help": ["test.py", "--help"],
    "test option": ["test.py", "--pre_trained_model", "g.pth", "--size", "0"],
    "test folder": [
        "test.py",
        "--pre_trained_model=g.pth",
        "--image_dir=no/such",
        "--output_image_dir=no/out",
    ],
    "sweep help": ["experiments.sweep", "--help"],
    "sweep option": ["experiments.sweep", "--ngf", "0,4"],
    "pages help": ["pages", "--help"],
    "pages folder": ["pages", "no/such/folder", "--list"],
    "benchmark option": ["benchmark", "nothing"],
    "cyclegan help": ["survey.cyclegan", "--help"],
    "cyclegan option": ["survey.cyclegan", "--con_lambda", "1"],
    "cyclegan folder": ["survey.cyclegan", "--src_data", "no/such/folder"],
}
START = """
import contextlib, importlib, io, json, runpy, sys
slow, answers = json.loads(sys.argv[1])
results = {}
for name in ("training.folder", "pictures.listing", "pages.__main__"):
    importlib.import_module(name)
    results[name] = [None, "", "", [each for each in slow if each in sys.modules]]
    if name == "pages.__main__":
        del sys.modules[name]
for name, sys.argv in answers.items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if sys.argv[0].endswith(".py"):
                runpy.run_path(sys.argv[0], run_name="__main__")
            else:
                runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
            status = "no exit"
        except SystemExit as end:
            status = end.code
    loaded = [each for each in slow if each in sys.modules]
    results[name] = [status, out.getvalue(), err.getvalue(), loaded]
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def started():
    """{case: [exit status, standard output, standard error, slow packages loaded]}, all in one process."""
    command = [sys.executable, "-c", START, json.dumps([SLOW, ANSWERS])]
    end = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert end.returncode == 0, end.stderr
    return json.loads(end.stdout)


@pytest.mark.parametrize("name", ["training.folder", "pictures.listing", "pages.__main__"])
def test_what_a_command_line_is_checked_with_loads_nothing_slow(started, name):
    assert started[name][3] == []


@pytest.mark.parametrize("case", ANSWERS)
def test_a_command_answers_before_anything_slow_is_loaded(started, case):
    status, out, err, loaded = started[case]
    assert loaded == [], err
    if case.endswith("help"):
        assert (status, err) == (0, "") and out.startswith("usage: ")
    else:
        assert status == 2 and out == ""
        assert err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("script", ["CartoonGAN.py", "test.py", "edge_promoting.py"])
def test_a_script_finds_its_modules_without_its_own_folder_in_the_path(script, run_cli):
    assert run_cli("-P", script, "--help").returncode == 0
