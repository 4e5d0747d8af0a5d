"""The shared parser: one line for each error, `@file`, and the types of arguments."""

import argparse
import ast
import runpy
import sys
import types
from pathlib import Path

import pytest
from helpers import ROOT

from support import arguments
from utils import WrongUse

NAME, PATH = arguments.NAME_BYTES, arguments.PATH_BYTES


def parse(*argv):
    parser = arguments.Parser("A command of these tests.")
    parser.add_argument("--ngf", type=arguments.number(int, 1))
    parser.add_argument("--name", type=arguments.one_line)
    parser.add_argument("--independent_edges", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--folder", type=arguments.place)
    parser.add_argument("--pre_lr", type=arguments.or_none(float))
    return parser.parse_args(argv)


def refusal(*argv):
    """The one line with which arguments are refused."""
    with pytest.raises(WrongUse) as error:
        parse(*argv)
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--ngf", "0"], "argument --ngf: '0' is not a whole number of at least 1 (see "),
        (["--ng", "1"], "unrecognized arguments: --ng"),
        (["--na\nme"], "unrecognized arguments: --na?me"),
        (["--nmae", "x"], "unrecognized arguments: --nmae x; for --nmae did you mean --name? (see "),
        (
            ["--nmae", "x", "--ngff", "--away"],
            " --away; for --nmae did you mean --name?; for --ngff did you ",
        ),
        (["--away"], "unrecognized arguments: --away (see "),
        (["\udcff"], "unrecognized arguments: ? (see "),
        (["--name"], "argument --name: expected one argument"),
    ],
)
def test_an_error_is_one_line_with_the_way_to_the_help(argv, told):
    line = refusal(*argv)
    assert told in line and line.endswith(" --help)")


def test_the_program_uses_no_private_attribute_of_argparse():
    """Python 3.14 and later may change those."""
    private = {name for name in dir(argparse.ArgumentParser) if name.startswith("_") and name[1] != "_"}
    found = []
    for path in [*ROOT.glob("*.py"), *ROOT.glob("[!.]*/**/*.py")]:
        if path.is_relative_to(ROOT / "tests"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = {getattr(node, key, None) for key in ("attr", "name")}
            owned = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            of_argparse = owned and node.value.id in ("argparse", "parser")
            if names & private or (of_argparse and node.attr.startswith("_")):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_a_second_run_in_a_notebook_has_no_spec_of_main(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", types.SimpleNamespace())
    assert parse("--ngf", "3").ngf == 3


def test_a_preset_can_be_taken_back(tmp_path):
    (tmp_path / "preset.txt").write_text("--independent_edges --pre_lr 1e-3\n")
    args = parse(f"@{tmp_path}/preset.txt", "--no-independent_edges", "--pre_lr", "none")
    assert (args.independent_edges, args.pre_lr) == (False, None)


def test_a_tilde_is_the_home_folder_where_no_shell_expands_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tilde.txt").write_text("--folder ~/d --name ~\n")
    args = parse("@~/tilde.txt")
    assert (args.folder, args.name) == (f"{tmp_path}/d", "~")
    assert parse("--folder=~/d").folder == f"{tmp_path}/d"
    assert parse("--folder=$HOME/d").folder == "$HOME/d"
    assert arguments.path("~/d") == tmp_path / "d"


# Arguments in files


def test_files_hold_comments_blank_lines_and_quotes(tmp_path):
    file = tmp_path / "experiment.txt"
    file.write_text(
        '# it\'s the "haze" set\n\n--name "two words"  # why\n--ngf 16\n   \n--independent_edges\n',
        encoding="utf-8",
    )
    args = parse(f"@{file}", "--ngf", "32")
    assert (args.name, args.ngf, args.independent_edges) == ("two words", 32, True)
    assert parse("--ngf", "32", f"@{file}").ngf == 16


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--name film#2", ["--name", "film#2"]),
        ("--name film#2 # a sequel", ["--name", "film#2"]),
        ("  # all of it's a comment", []),
        ("--name '#2' \t#3", ["--name", "#2"]),
        ('--name "a # b"', ["--name", "a # b"]),
        ('--name "two"#2', ["--name", "two#2"]),
        (r"--name C:\films\2 # a drive", ["--name", r"C:\films\2"]),
        (r'--name "C:\my films\2"', ["--name", r"C:\my films\2"]),
        ("--name ''", ["--name", ""]),
    ],
)
def test_comments_and_backslashes_in_a_file(line, words, tmp_path):
    (tmp_path / "a.txt").write_text(f"{line}\n--ngf 3\n")
    assert arguments.expand([f"@{tmp_path}/a.txt"]) == [*words, "--ngf", "3"]


def test_a_byte_order_mark_is_skipped_and_utf_16_told(tmp_path):
    (tmp_path / "a.txt").write_text("--ngf 3\n", encoding="utf-8-sig")
    assert parse(f"@{tmp_path}/a.txt").ngf == 3
    (tmp_path / "a.txt").write_text("--ngf 3\n", encoding="utf-16")
    assert refusal(f"@{tmp_path}/a.txt") == f"{tmp_path}/a.txt is not a text in UTF-8"


def test_a_file_may_include_another_and_one_twice(tmp_path):
    (tmp_path / "inner.txt").write_text("--ngf 3\n")
    (tmp_path / "outer.txt").write_text(f"@{tmp_path}/inner.txt --name a\n@{tmp_path}/inner.txt\n")
    assert arguments.expand([f"@{tmp_path}/outer.txt", "b"]) == [
        *("--ngf", "3", "--name", "a", "--ngf", "3", "b")
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'--ngf 16\n--name "Paprika\n', "experiment.txt: No closing quotation in the line '--name \"P"),
        (b"--ngf 16\n@experiment.txt\n", "experiment.txt includes itself"),
        (b"@link.txt\n", "experiment.txt includes itself"),
        (b"@other.txt\n", "no file other.txt"),
        (bytes(range(256)), "experiment.txt is not a text in UTF-8"),
    ],
)
def test_a_faulty_file_is_told(tmp_path, monkeypatch, content, told):
    monkeypatch.chdir(tmp_path)
    Path("experiment.txt").write_bytes(content)
    Path("link.txt").symlink_to("back.txt")
    Path("back.txt").write_text("@experiment.txt")
    assert refusal("@experiment.txt").startswith(told)


@pytest.mark.parametrize("name", ["no/such/file.txt", "", ".", "a\nb", "a\0b", "\udcff", "x" * 300])
def test_what_is_no_file_is_told(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongUse, match=r"^no file "):
        parse(f"@{name}")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("experiments/recomended.txt", "experiments/recommended.txt"),
        ("recommended.txt", "experiments/recommended.txt"),
        ("mine/my_optoins.txt", "mine/my_options.txt"),
    ],
)
def test_a_missing_file_of_options_is_answered_with_a_similar_name(name, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("experiments/recommended.txt", "mine/my_options.txt", "mine/other.txt"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
    assert refusal(f"@{name}").endswith(f"; did you mean @{meant}?")


def test_a_file_that_cannot_be_opened_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.txt").touch()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert refusal(f"@{tmp_path}/a.txt") == f"cannot read {tmp_path}/a.txt: Permission denied"


# The types


@pytest.mark.parametrize("text", ["", "a b", "é", "../x", "x" * NAME, "/".join(["x" * 200] * 10)])
def test_a_text_of_one_line(text):
    assert arguments.one_line(text) == text
    assert arguments.path(text) == Path(text)


@pytest.mark.parametrize("text", ["a\nb", "a\0", "\x1b[m", "\u2028", "\udcff", "x" * (NAME + 1), "é" * NAME])
def test_a_text_that_no_file_or_record_can_hold(text):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        arguments.path(text)
    assert str(error.value).isprintable()


def test_a_path_that_is_too_long():
    with pytest.raises(argparse.ArgumentTypeError, match="too long for a file's name"):
        arguments.one_line("x/" * (PATH // 2 + 1))


@pytest.mark.parametrize(
    ("kind", "limits", "right", "wrong"),
    [
        (int, (1,), ["1", "+2", str(10**400)], ["0", "-1", "1.0", "", "x", "½", "nan", f"-{10**400}"]),
        (int, (0, 3), ["0", "3"], ["-1", "4"]),
        (float, (0,), ["0", "1e-9", "1e300"], ["-0.1", "nan", "inf", "1e999", "-inf", "x", ""]),
    ],
)
def test_numbers(kind, limits, right, wrong):
    parse = arguments.number(kind, *limits)
    assert [parse(text) for text in right] == list(map(kind, right))
    for text in wrong:
        with pytest.raises(argparse.ArgumentTypeError, match=r"is not a (whole )?number of at least"):
            parse(text)


def test_numbers_above_a_limit():
    rate = arguments.number(float, 0, above=True)
    assert rate("1e-9") == 1e-9
    with pytest.raises(argparse.ArgumentTypeError, match="'0' is not a number above 0"):
        rate("0")


def test_sizes_of_images():
    assert arguments.image_size("16") == 16 and arguments.image_size("260") == 260
    for text in ("12", "30", "64.0", "-64", str(2**40)):
        with pytest.raises(argparse.ArgumentTypeError):
            arguments.image_size(text)


def test_a_command_can_be_typed_again():
    typed = lambda module: arguments.command_line(module, ["--name", "two words"])
    assert typed("CartoonGAN") == f"{arguments.PYTHON} CartoonGAN.py --name 'two words'"
    assert typed("survey.gatys") == f"{arguments.PYTHON} -m survey.gatys --name 'two words'"


@pytest.mark.parametrize(
    ("executable", "word"),
    [(ROOT / ".venv/bin/python", ".venv/bin/python"), ("/usr/bin/python3", "python")],
)
def test_printed_commands_name_the_python_of_the_readme_where_that_is_what_runs(
    executable, word, monkeypatch
):
    monkeypatch.setattr(sys, "executable", str(executable))
    assert runpy.run_path(arguments.__file__)["PYTHON"] == word
