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


def test_imports_go_one_way_and_not_in_a_circle(graph):
    wrong = []
    for name, imported in graph.items():
        part = name.split(".")[0]
        allowed = BELOW[part] | {part}
        wrong += [f"{name} imports {x}" for x in imported if not {x, x.split(".")[0]} & allowed]
    assert wrong == [] and "networks" in graph["CartoonGAN"]
    for each in (BELOW, graph):
        graphlib.TopologicalSorter(each).prepare()  # raises CycleError


SLOW = ["torch", "torchvision", "matplotlib", "jinja2", "plotly"]
COMMANDS = {
    "training help": ["CartoonGAN.py", "--help"],
    "training option": ["CartoonGAN.py", "--ngf", "0"],
    "training folder": ["CartoonGAN.py", "--src_data", "no/such/folder"],
    "training resumed": ["CartoonGAN.py", "--resume", "no/such/run"],
    "test": ["test.py", "--pre_trained_model=g.pth", "--image_dir=no/such", "--output_image_dir=out"],
    "sweep": ["experiments.sweep", "--ngf", "0,4"],
    "pages": ["pages", "no/such/folder", "--list"],
    "benchmark": ["benchmark", "nothing"],
    "cyclegan": ["survey.cyclegan", "--con_lambda", "1"],
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


def test_commands_answer_before_anything_slow_is_loaded():
    command = [sys.executable, "-P", "-c", START, json.dumps([SLOW, COMMANDS])]
    end = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert end.returncode == 0, end.stderr
    for name, (status, out, err, loaded) in json.loads(end.stdout).items():
        assert loaded == [], name
        if name == "training help":
            assert (status, err) == (0, "") and out.startswith("usage: ")
        else:
            assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1, name


@pytest.mark.parametrize("script", ["CartoonGAN.py", "test.py", "edge_promoting.py"])
def test_a_script_finds_its_modules_without_its_own_folder_in_the_path(script, run_cli):
    assert run_cli("-P", script, "--help").returncode == 0
