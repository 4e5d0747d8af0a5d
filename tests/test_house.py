"""Imports go one way and without circles, and commands answer before PyTorch is loaded."""

import ast
import graphlib
import json
import subprocess
import sys

import pytest
from helpers import ROOT

# What each root module or package may import; of `data` and for `pages` a single module.
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


@pytest.fixture(scope="module")
def graph():
    """{module of the program: the modules of the program that it imports, anywhere in the file}."""
    paths = [path for part in BELOW for path in (ROOT / f"{part}.py", *ROOT.glob(f"{part}/**/*.py"))]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths if path.is_file()}
    known = {name.removesuffix(".__init__"): path for name, path in names.items()}
    found = {name: set() for name in known}
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                inner = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
                imported = [one if one in known else package for one, package in inner]
            found[name] |= {other for other in imported if other in known and other != name}
    return found


def test_imports_go_one_way(graph):
    wrong = []
    for name, imported in graph.items():
        part = name.split(".")[0]
        allowed = BELOW[part] | {part}
        wrong += [f"{name} imports {x}" for x in imported if not {x, x.split(".")[0]} & allowed]
    assert wrong == [] and "networks" in graph["CartoonGAN"]
    graphlib.TopologicalSorter(BELOW).prepare()  # raises CycleError
    assert {name.split(".")[0] for name in graph} == BELOW.keys()


def test_no_modules_import_each_other_in_a_circle(graph):
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


SLOW = ["torch", "torchvision", "matplotlib", "jinja2", "plotly"]
COMMANDS = {
    "training help": ["CartoonGAN.py", "--help"],
    "training option": ["CartoonGAN.py", "--ngf", "0"],
    "training folder": ["CartoonGAN.py", "--src_data", "no/such/folder"],
    "training resumed": ["CartoonGAN.py", "--resume", "no/such/run"],
    "test folder": ["test.py", "--pre_trained_model=g.pth", "--image_dir=no/such", "--output_image_dir=out"],
    "sweep option": ["experiments.sweep", "--ngf", "0,4"],
    "pages folder": ["pages", "no/such/folder", "--list"],
    "benchmark option": ["benchmark", "nothing"],
    "cyclegan option": ["survey.cyclegan", "--con_lambda", "1"],
}
# Runs all commands in one process, so Python starts once.
START = """
import contextlib, io, json, runpy, sys
slow, commands = json.loads(sys.argv[1])
results = {}
for name, sys.argv in commands.items():
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
def results():
    """{case: [exit status, standard output, standard error, slow packages loaded]}."""
    command = [sys.executable, "-P", "-c", START, json.dumps([SLOW, COMMANDS])]
    environment = {"PYTHONPATH": str(ROOT)}
    end = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert end.returncode == 0, end.stderr
    return json.loads(end.stdout)


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_answers_before_anything_slow_is_loaded(results, case):
    status, out, err, loaded = results[case]
    assert loaded == [], err
    if case.endswith("help"):
        assert (status, err) == (0, "") and out.startswith("usage: ")
    else:
        assert status == 2 and out == ""
        assert err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("script", ["CartoonGAN.py", "test.py", "edge_promoting.py"])
def test_a_script_finds_its_modules_without_its_own_folder_in_the_path(script, run_cli):
    assert run_cli("-P", script, "--help").returncode == 0
