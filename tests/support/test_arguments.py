"""The shared parser: one-line errors, `@file`, and the types of arguments."""

import argparse
import runpy
import sys
import types
from pathlib import Path
from unittest import mock

import pytest
from helpers import ROOT, refusal

from support import arguments
from utils import WrongUse

NAME, PATH = arguments.NAME_BYTES, arguments.PATH_BYTES


def parser():
    made = arguments.Parser("A command of these tests.")
    add = made.group("options of these tests")
    add("ngf", 64, arguments.number(int, 1), "filters")
    add("name", "", arguments.one_line, "a name")
    add("edges", False, bool, "independent edges")
    add("folder", None, arguments.pathname, "a folder", "beside the data")
    add("pre_lr", None, arguments.number(float, 0), "a rate", metavar="RATE")
    return made


def parse(argv):
    return parser().parse_args(argv)


def test_an_error_is_one_line_that_names_the_help():
    assert refusal(parse, "--ngf", "0").startswith("argument --ngf: '0' is not a whole number of at least 1")
    line = refusal(parse, "--ng", "1")  # no abbreviation
    assert "unrecognized arguments: --ng" in line and line.endswith(" --help)")


def test_a_preset_can_be_overridden_and_its_paths_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "preset.txt").write_text("--edges --pre_lr 1e-3 --ngf 16 --folder ~/d --name ~\n")
    args = parse(["@~/preset.txt", "--no-edges", "--pre_lr", "none", "--ngf=32"])
    assert (args.edges, args.pre_lr, args.ngf) == (False, None, 32)
    assert (args.folder, args.name) == (f"{tmp_path}/d", "~")
    assert parse(["--ngf", "32", "@~/preset.txt"]).ngf == 16


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--name film#2 # a sequel", ["--name", "film#2"]),
        ("--name '#2' \t#3", ["--name", "#2"]),
        (r'--name "C:\my films\2" # a drive', ["--name", r"C:\my films\2"]),
        ("@inner.txt --name ''\n@inner.txt", ["--nb", "1", "--name", "", "--nb", "1"]),
    ],
)
def test_the_syntax_of_a_file(line, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("inner.txt").write_text("--nb 1")
    for encoding in ("utf-8", "utf-8-sig"):
        Path("a.txt").write_text(f"{line}\n--ngf 3\n", encoding=encoding)
        assert [*arguments.expand(["@a.txt", "b"])] == [*words, "--ngf", "3", "b"]


def test_a_file_that_is_faulty_missing_or_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("link.txt").symlink_to("back.txt")
    Path("back.txt").write_text("@mine.txt")
    for content, message in (
        (b'--ngf 16\n--name "Paprika\n', "mine.txt: No closing quotation in the line '--name \"P"),
        (b"@link.txt\n", "mine.txt includes itself"),
        (b"@othr.txt\n", "no file othr.txt"),
        (bytes(range(256)), "mine.txt is not a text in UTF-8"),
    ):
        Path("mine.txt").write_bytes(content)
        assert refusal(parse, "@mine.txt").startswith(message)
    for name in ("", ".", "a\nb", "a\0b", "\udcff", "x" * 300, "/dev/zero"):
        with pytest.raises(WrongUse, match=r"^no file "):
            parse([f"@{name}"])
    monkeypatch.setattr(Path, "read_text", mock.Mock(side_effect=PermissionError(13, "Permission denied")))
    assert refusal(parse, "@mine.txt") == "cannot read mine.txt: Permission denied"


def test_texts_that_files_and_records_can_hold():
    for text in ("", "a b", "é", "../x", "x" * NAME, "/".join(["x" * 200] * 10)):
        assert arguments.one_line(text) == text and arguments.path(text) == Path(text)
    for text in ("a\nb", "a\0", "\u2028", "\udcff", "x" * (NAME + 1), "é" * NAME, "x/" * (PATH // 2 + 1)):
        with pytest.raises(argparse.ArgumentTypeError) as error:
            arguments.path(text)
        assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("number", "right", "wrong", "limits"),
    [
        (arguments.number(int, 1), "1 +2", "0 -1 1.0 x ½ nan", "a whole number of at least 1"),
        (arguments.number(int, 0, 3), "0 3", "-1 4", "a whole number of at least 0 and at most 3"),
        (arguments.number(float, 0), "0 1e-9 1e300", "-0.1 nan inf 1e999 x", "a number of at least 0"),
        (arguments.number(float, 0, 1, above=True), "1e-9 1", "0 1.1", "a number above 0 and at most 1"),
    ],
)
def test_numbers(number, right, wrong, limits):
    for text in right.split():
        assert number(text) == number.kind(text) and number(text) in number
    for text in ["", *wrong.split()]:
        with pytest.raises(argparse.ArgumentTypeError, match=f"^'{text}' is not {limits}$"):
            number(text)


def test_a_recorded_command_can_be_typed(monkeypatch):
    typed = lambda module: arguments.command_line(module, ["--name", "two words"])
    assert typed("CartoonGAN") == f"{arguments.PYTHON} CartoonGAN.py --name 'two words'"
    assert typed("survey.gatys") == f"{arguments.PYTHON} -m survey.gatys --name 'two words'"
    for path, word in ((f"{ROOT}/.venv/bin/python", ".venv/bin/python"), ("/bin/python3", "python")):
        monkeypatch.setattr(sys, "executable", path)
        assert runpy.run_path(arguments.__file__)["PYTHON"] == word


def test_a_second_run_in_a_notebook_has_no_spec_of_main(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", types.SimpleNamespace())
    assert parse(["--ngf", "3"]).ngf == 3
