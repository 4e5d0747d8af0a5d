"""The README's commands, run beside sample data; those of other texts parse, and what they name exists."""

import argparse
import ast
import importlib
import re
import shlex
import shutil
import sys

import pytest
from helpers import ROOT, VGG

# Appended to each training command, to make it short: argparse lets the last word on an option win.
SHORT = f"--ngf 4 --ndf 4 --nb 1 --input_size 16 --sample_every 100 --vgg_model {VGG} --workers 0"
README = (ROOT / "README.md").read_text()
PAGES = [
    ROOT / "README.md",
    ROOT / "data/README.md",
    ROOT / "survey/README.md",
    *sorted(ROOT.glob("docs/*.md")),
]
TEXTS = [*PAGES, *sorted(ROOT.glob("experiments/*.txt"))]
LINK = r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)"
# Commands at the start of a line, or of a code span; in a preset they are comments.
COMMAND = r"(?:^[# ]*|`)((?:(?:\.venv/bin/)?python|torchrun) \S[^`\n]*)"
OPTION = r"(?<![\w-])--[a-zA-Z][\w-]*"


def shell_blocks():
    """The shell blocks of the README, a command a line."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", README, re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


def program(command):
    """(the module of ours that a command runs, its arguments); None where it is another program."""
    found = re.search(r" (?:-m ([\w.]+)|([\w/]+)\.py)(?: |$)", f"{command} ")
    name = found and (found[1] or found[2].replace("/", "."))
    if not name or not list(ROOT.glob(f"{name.split('.')[0]}*")):
        return None
    if (ROOT / name / "__main__.py").exists():
        name += ".__main__"
    return importlib.import_module(name), shlex.split(command[found.end() :])


@pytest.fixture
def copy(tmp_path):
    """What the commands need of the tree, apart from a person's own data, with this Python as its .venv."""
    for folder in ("experiments", "models"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copytree(
        ROOT / "data" / "sample", tmp_path / "data" / "sample", ignore=shutil.ignore_patterns("pair")
    )
    starter = tmp_path / ".venv" / "bin" / "python"
    starter.parent.mkdir(parents=True)
    starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    starter.chmod(0o755)
    return tmp_path


def test_every_command_of_the_readme(copy, monkeypatch, capsys):
    install, apply, train, tests, *rest = shell_blocks()
    assert install == "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    # This very run:
    assert tests == ".venv/bin/pip install -r requirements-dev.txt && .venv/bin/python -m pytest"
    # In this process, and short; .ci/run types the first four as they stand.
    monkeypatch.chdir(copy)
    for part in ("src_data", "tgt_data"):
        (copy / "data" / part).symlink_to(copy / "data" / "sample" / part)
    for command in [apply, train, *rest]:
        assert command.startswith(".venv/bin/python "), command
        # Fewer epochs, also in the folder names that follow from them.
        for many, few in (("200", "2"), ("20", "1")):
            command = command.replace(many, few)
        module, argv = program(command)
        if "--name" in argv:
            argv += [*SHORT.split(), "--batch_size", "16"]
        if command == train:
            argv += [*SHORT.split(), "--pre_train_epoch", "1", "--train_epoch", "1"]
        if "--help" in argv:
            with pytest.raises(SystemExit, match=r"^0$"):
                module.main(argv)
            assert "--con_lambda" in capsys.readouterr().out
        elif "--resume" in argv:  # of a finished run
            with pytest.raises(module.utils.Stopped, match="nothing to do") as end:
                module.main(argv)
            assert end.value.status == 0
        else:
            assert not module.main(argv), command
    for made in ("drawn", "cartoons"):
        assert len(list((copy / made).iterdir())) == len(list((copy / "data/src_data/test").iterdir()))
    for run in ("Sample_1_1_4", "Paprika_1_2_16"):
        assert (copy / f"results/{run}_results/index.html").exists()


class Parsed(Exception):
    """Raised in place of the work that follows the parsing."""


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_text_parses(text, monkeypatch):
    """Its options exist, have values of their kind, and lack none that is required.

    Of a command without any, as a sentence names it, only the program must exist.
    """
    parse_args = argparse.ArgumentParser.parse_args

    def parse_only(*args):
        parse_args(*args)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    monkeypatch.chdir(ROOT)
    for command in re.findall(COMMAND, text.read_text(), re.M):
        module, argv = program(command) or (None, None)
        if argv:
            with pytest.raises((Parsed, SystemExit)) as end:
                module.main(argv)
            assert end.type is Parsed or "--help" in argv, command


def test_commands_are_found_and_wrong_ones_seen():
    texts = ["# python a.py", "    .venv/bin/python a.py", "see `python -m a --b` and", "torchrun x a.py"]
    assert [len(re.findall(COMMAND, text, re.M)) for text in texts] == [1, 1, 1, 1]
    module, argv = program("torchrun --nproc_per_node 4 CartoonGAN.py --nmae x")
    with pytest.raises(module.utils.WrongUse, match="--nmae"):
        module.main(argv)
    assert program("python -m pytest -m slow") is None
    assert program("python -m pages results --list")[1] == ["results", "--list"]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_page_names_exists(page):
    for target, heading in re.findall(LINK, page.read_text()):
        if target.startswith("http"):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", there.read_text(), re.M)
            assert heading in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    for name in re.findall(r"(?<![\w/.])[\w/]+\.py\b", page.read_text()):
        assert (ROOT / name).is_file() or list(ROOT.glob(f"*/{name}")), name


def test_options_named_in_the_pages_exist(capsys):
    commands = [
        "CartoonGAN.py",
        "test.py",
        "edge_promoting.py",
        "data/frames.py",
        "data/haze.py",
        "data/pairs.py",
    ]
    commands += ["-m evaluation", "-m pages", "-m benchmark", "-m pictures.export"]
    commands += ["-m survey", "-m survey.texture", "-m survey.gatys"]
    commands += ["-m survey.mrf", "-m survey.analogy", "-m survey.multimodal", "-m survey.video"]
    commands += ["-m survey.cyclegan"]
    for command in commands:
        module, _ = program(f"python {command}")
        with pytest.raises(SystemExit):
            module.main(["--help"])
    torchrun = "--standalone --nproc_per_node --nnodes --max-restarts --rdzv_backend --rdzv_endpoint"
    others = "--shm-size --ipc --logdir --torch-backend --signal"  # of docker, TensorBoard, uv and sbatch
    known = {*re.findall(OPTION, capsys.readouterr().out), *torchrun.split(), *others.split()}
    for page in PAGES:
        assert {*re.findall(OPTION, page.read_text())} <= known, page.name


def test_imports_go_one_way():
    """As docs/house.md draws it; function-level imports count too."""
    text = (ROOT / "docs/house.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("utils.py  <"))
    groups = [re.findall(r"\w+(?=\.py|\b)(?<!\bpy)", group) for group in line.split("<")]
    level = {name: place for place, names in enumerate(groups) for name in names}
    for path in [*ROOT.glob("*.py"), *(path for name in level for path in ROOT.glob(f"{name}/*.py"))]:
        where = path.relative_to(ROOT).parts[0].removesuffix(".py")
        assert where in level, f"{where} is not in docs/house.md"
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in (name.split(".")[0] for name in names):
                assert level.get(name, -1) < level[where] or name == where, f"{path.name} imports {name}"
