"""Imports follow the layers without cycles, and commands answer before PyTorch is loaded."""

import ast
import graphlib

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


def test_imports_follow_the_layers_without_cycles():
    paths = [path for part in BELOW for path in (ROOT / f"{part}.py", *ROOT.glob(f"{part}/**/*.py"))]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths if path.is_file()}
    known = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {name: set() for name in known}  # the modules that each imports, anywhere in its file
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                inner = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
                imported = [one if one in known else package for one, package in inner]
            graph[name] |= {other for other in imported if other in known and other != name}
    wrong = []
    for name, imported in graph.items():
        part = name.split(".")[0]
        allowed = BELOW[part] | {part}
        wrong += [f"{name} imports {x}" for x in imported if not {x, x.split(".")[0]} & allowed]
    assert wrong == [] and "networks" in graph["CartoonGAN"]
    for each in (BELOW, graph):
        graphlib.TopologicalSorter(each).prepare()  # raises CycleError


COMMANDS = ["CartoonGAN.py --ngf 0", "test.py --image_dir=no/such", "-m experiments.sweep --ngf 0,4"]
COMMANDS += ["-m pages no/such/folder --list", "-m survey.cyclegan --con_lambda 1"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_is_refused_before_anything_slow_is_loaded(command, run_cli):
    done = run_cli("-X", "importtime", *command.split())
    lines = done.stderr.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert "utils" in loaded and not loaded & {"torch", "torchvision", "matplotlib", "jinja2", "plotly"}
    (error,) = (line for line in lines if not line.startswith("import time:"))
    assert done.returncode == 2 and done.stdout == "" and error.startswith("error: ")


def test_a_script_finds_its_modules_without_its_own_folder_in_the_path(run_cli):
    for script in ("CartoonGAN.py", "test.py"):
        assert run_cli("-P", script, "--help").returncode == 0
