"""The command line that all programs share: the parser, `@file`, and the types of arguments."""

import argparse
import contextlib
import difflib
import math
import os
import re
import shlex
import sys
import unicodedata
from pathlib import Path

from utils import WrongUse

# Python in printed commands: .venv/bin/python, as in the README, if that runs this program.
ROOT = Path(__file__).resolve().parents[1]
PYTHON = os.path.relpath(sys.executable, ROOT) if Path(sys.executable).is_relative_to(ROOT) else "python"

NAME_BYTES, PATH_BYTES = 255, 3000  # limits of file systems, with room for what is added to a path


class Parser(argparse.ArgumentParser):
    """A parser whose errors are WrongUse; `@file` is replaced by the arguments in the file."""

    def __init__(self, description):
        # None for a script, and missing under %run in a notebook
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        prog = f"{PYTHON} -m {spec.name.removesuffix('.__main__')}" if spec else None
        super().__init__(prog, description=description, allow_abbrev=False)
        self.meanings = {}  # {option: its help without the default}, of those that `group` added

    def group(self, title=None):
        """Start a group of options; returns `add(name, default, values, meaning, unset="")`.

        `values` is an argparse type, a tuple of choices, or bool. The help ends with the default, or `unset`
        where it is None; the value "none" then undoes what a preset has set. Without a title the options
        join the parser's first group.
        """
        group = self.add_argument_group(title) if title else self

        def add(name, default, values, meaning, unset="", **more):
            shown = "%(default)s" if default is not None and values is not bool else unset
            if values is bool:
                more["action"] = argparse.BooleanOptionalAction
            elif isinstance(values, tuple):
                more |= {"type": type(values[0]), "choices": values}
            elif default is None:
                more["type"] = lambda text: None if text == "none" else values(text)
            else:
                more["type"] = values
            text = f"{meaning} ({shown})" if shown else meaning
            group.add_argument(f"--{name}", default=default, help=text, **more)
            self.meanings[name] = meaning

        return add

    def parse_known_args(self, args=None, namespace=None):
        return super().parse_known_args([*expand(sys.argv[1:] if args is None else args)], namespace)

    def error(self, message):
        if message.startswith("unrecognized"):
            known, typed = (re.findall(r"--\w[\w-]*", text) for text in (self.format_help(), message))
            meant = {word: _closest(word, known) for word in typed}
            message += "".join(f"; for {word} did you mean {name}?" for word, name in meant.items() if name)
        raise WrongUse(f"{message} (see {self.prog} --help)")


def expand(args, parents=()):
    """Yield `args` with the words of each `@file` in its place; `parents` are the files that include it.

    Quotes work as in a shell, a backslash is an ordinary character, and a comment begins with `#` at the
    start of a line or after white space. Raises WrongUse if a file cannot be read, or includes itself.
    """
    for arg in args:
        if not arg.startswith("@"):
            yield arg
            continue
        name = arg[1:]
        # settings.json records the command, and cannot hold a name that is not UTF-8.
        path = "" if any(map(_is_control, name)) else os.path.realpath(os.path.expanduser(name))
        if not os.path.isfile(path):
            raise WrongUse(f"no file {name}, or its name is not UTF-8{_similar_file(name)}")
        if path in parents:
            raise WrongUse(f"{name} includes itself")
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise WrongUse(f"{name} is not a text in UTF-8") from None
        except OSError as error:
            raise WrongUse(f"cannot read {name}: {error.strerror}") from None
        for line in lines:
            try:
                yield from expand(_words(line), (*parents, path))
            except ValueError as error:
                raise WrongUse(f"{name}: {error} in the line {line!r}") from None


def _similar_file(path):
    """The end of the message about a missing file: a file of options with a similar name, if there is one."""
    folder, name = os.path.split(path.encode("utf-8", "replace").decode())
    known = {}
    for each in ("experiments", folder):
        with contextlib.suppress(OSError, ValueError):
            known |= {x: os.path.join(each, x) for x in os.listdir(each or ".") if x.endswith(".txt")}
    found = _closest(name, known)
    return f"; did you mean @{known[found]}?" if found else ""


def _closest(word, known):
    return next(iter(difflib.get_close_matches(word, known, 1)), "")


def _words(line):
    """The words of a line of a file. Raises ValueError for an unclosed quotation."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    # The lexer has read a word and the one white space that ended it.
    while not line[lexer.instream.tell() :].lstrip().startswith("#"):
        if (word := lexer.get_token()) is None:
            return
        yield word


def _is_control(character):
    """Whether a character may break a line, a terminal or an encoding."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def one_line(text):
    """An argparse type: a text of one line that settings.json can hold and that can be a file's path."""
    if any(map(_is_control, text)):
        raise argparse.ArgumentTypeError(f"{text!r} holds control characters, or is not UTF-8")
    if len(text.encode()) > PATH_BYTES or any(len(part.encode()) > NAME_BYTES for part in text.split("/")):
        raise argparse.ArgumentTypeError(f"'{text[:40]}…' is too long for a file's name")
    return text


def pathname(text):
    """An argparse type: a path as text of one line. No shell expands `~` in an `@file` or after `=`."""
    return one_line(os.path.expanduser(text))


def path(text):
    """An argparse type: a path of one line."""
    return Path(pathname(text))


class number:
    """An argparse type: a finite int or float from `low` (above it, with `above`) to `high`.

    `value in number(int, 1, 9)` checks a value that is a number already.
    """

    def __init__(self, kind, low, high=math.inf, above=False):
        self.kind, self.low, self.high, self.above = kind, low, high, above

    def __contains__(self, value):
        within = type(value) in (int, self.kind) and self.low <= value <= self.high and value < math.inf
        return within and not (self.above and value == self.low)

    def __call__(self, text):
        with contextlib.suppress(ValueError):
            value = self.kind(text)
            if value in self:
                return value
        limits = f"{'above' if self.above else 'of at least'} {self.low}"
        limits += f" and at most {self.high}" if self.high < math.inf else ""
        name = "a whole number" if self.kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} is not {name} {limits}")


def image_size(text):
    """An argparse type: the side of a training image, a multiple of 4 (the generator halves it twice)."""
    value = number(int, 16, 2**14)(text)
    if value % 4:
        raise argparse.ArgumentTypeError(f"{value} is not a multiple of 4")
    return value


def add_device(add):
    """Add --device and --precision through the function that Parser.group returns."""
    add("device", "auto", one_line, "auto, cpu, cuda, cuda:1, …")
    precisions = ("auto", "fp32", "tf32", "bf16", "fp16")
    auto = "auto: bf16 where the processor has it, fp16 on an older GPU, else fp32"
    add("precision", "auto", precisions, f"{auto}; tf32: float32 with rounded factors, on an A100 or later")


def command_line(module, argv):
    """The command that starts a module, as a person types it: "test" is test.py, "survey.gatys" needs -m."""
    start = ("-m", module) if "." in module else (f"{module}.py",)
    return shlex.join([PYTHON, *start, *(sys.argv[1:] if argv is None else argv)])
