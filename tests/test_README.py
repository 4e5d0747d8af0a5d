"""The README's commands, run on sample data; the commands and links of all pages exist."""

import argparse
import importlib
import re
import shlex
import shutil

import pytest
from helpers import ROOT, VGG

# Appended to each training command to make it short: argparse uses the last value of an option.
SHORT = f"--ngf 4 --ndf 4 --nb 1 --input_size 16 --sample_every 100 --vgg_model {VGG} --workers 0"
README = (ROOT / "README.md").read_text()
PAGES = [
    *(ROOT / f"{folder}README.md" for folder in ("", "data/", "data/sample/", "models/", "survey/")),
    *sorted(ROOT.glob("docs/*.md")),
]
TEXTS = [*PAGES, *sorted(ROOT.glob("experiments/*.txt"))]
LINK = r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)"
# Commands at the start of a line or of a code span; in a preset they are comments.
COMMAND = r"(?:^[# ]*|`)((?:(?:\.venv/bin/)?python|torchrun) \S[^`\n]*)"


def program(command):
    """(the program's module that a command runs, its arguments); None for other programs."""
    found = re.search(r" (?:-m ([\w.]+)|([\w/]+)\.py)(?: |$)", f"{command} ")
    name = found and (found[1] or found[2].replace("/", "."))
    if not name or not list(ROOT.glob(f"{name.split('.')[0]}*")):
        return None
    if (ROOT / name / "__main__.py").exists():
        name += ".__main__"
    return importlib.import_module(name), shlex.split(command[found.end() :])


@pytest.fixture
def copy(tmp_path):
    """The part of the tree that the commands need."""
    for folder in ("experiments", "models", "data/sample"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("pair"))
    for part in ("src_data", "tgt_data"):
        (tmp_path / "data" / part).symlink_to(tmp_path / "data" / "sample" / part)
    return tmp_path


def test_every_command_of_the_readme(copy, monkeypatch, capsys):
    blocks = re.findall(r"^```bash\n(.*?)^```$", README, re.M | re.S)
    install, apply, train, tests, *rest = "".join(blocks).splitlines()
    assert install == "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    assert tests == ".venv/bin/pip install -r requirements-dev.txt && .venv/bin/python -m pytest"
    # In this process and with short trainings; .ci/run executes the first four as written.
    monkeypatch.chdir(copy)
    for command in [apply, train, *rest]:
        assert command.startswith(".venv/bin/python "), command
        # Fewer epochs, also in the folder names that follow from them.
        module, argv = program(command.replace("200", "2").replace("20", "1"))
        if module.__name__ != "CartoonGAN":
            assert not module.main(argv), command
        elif "--resume" in argv:  # of a finished run
            with pytest.raises(module.utils.Stopped) as end:
                module.main(argv)
            assert end.value.status == 0
        else:
            sizes = "--pre_train_epoch 1 --train_epoch 1" if command == train else "--batch_size 16"
            assert not module.main([*argv, *SHORT.split(), *sizes.split()]), command
    for made in ("drawn", "cartoons"):
        assert len(list((copy / made).iterdir())) == len(list((copy / "data/src_data/test").iterdir()))
    for run in ("Sample_1_1_4", "Paprika_1_2_16"):
        assert (copy / f"results/{run}_results/index.html").exists()


class Parsed(Exception):
    """Raised instead of the work that follows the parsing."""


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_text_parses(text, monkeypatch):
    """Its options are valid and complete; of a command without arguments only the program must exist."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_only(*args):
        parse_args(*args)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    monkeypatch.chdir(ROOT)
    found = [*filter(None, map(program, re.findall(COMMAND, text.read_text(), re.M)))]
    assert found or text.suffix == ".md"  # a preset names the command that uses it
    for module, argv in found:
        if argv:
            with pytest.raises((Parsed, SystemExit)) as end:
                module.main(argv)
            assert end.type is Parsed or "--help" in argv, argv


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_page_exist(page):
    for target, heading in re.findall(LINK, page.read_text()):
        if target.startswith("http"):
            continue
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", linked.read_text(), re.M)
            assert heading in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
