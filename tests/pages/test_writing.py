"""The pages as files: their content, that they are always complete, and what is never overwritten."""

import html
import json
import os
import re
import shlex
from unittest import mock

import pytest
from helpers import Killed, make_run

from pages import summaries, writing
from support import files
from support.arguments import PYTHON
from training.log import log_event
from utils import RunFailed, WrongUse

HOSTILE = ["<script>alert('1')<∕script>", "画像 – 東京", 'it\'s "&" {{ 7*7 }}', "100% #1?"]


def read_page(path):
    """(content, text without tags, links) of a page, which is complete."""
    content = path.read_text(encoding="utf-8")
    assert content.startswith("<!doctype html>") and content.endswith("</html>")
    text = " ".join(html.unescape(re.sub("<[^>]*>", " ", content)).split())
    return content, text, [html.unescape(link) for link in re.findall('(?:src|href)="([^"]*)"', content)]


def data_of_runs(results):
    text = (results / "runs.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("window.RUNS = ").removesuffix(";\n"))


def test_names_are_escaped_and_linked(tmp_path):
    """Names of runs and of surveys."""
    for name in HOSTILE:
        folder = make_run(tmp_path, name, note=name.replace("∕", "/"))
        (folder / "Transfer" / f"{name}.png").write_bytes(b"x")
        (folder / "Transfer" / os.fsdecode(b"3_epoch_\xff.png")).write_bytes(b"x")  # not UTF-8
        log_event(folder, "failed", name)
        (tmp_path / f"{name}_survey").mkdir()
        (tmp_path / f"{name}_survey" / summaries.SURVEY).write_text("{}")
    writing.write(tmp_path)
    content, overview, links = read_page(tmp_path / "index.html")
    assert content.count("<script") == 2 and "4 runs" in overview
    for name in HOSTILE:
        run, survey = (summaries.url(f"{name}_{kind}") for kind in ("results", "survey"))
        assert {f"{run}/index.html", f"{survey}/index.html", f"{survey}/sheet.png"} <= {*links}
        assert name in overview and f"{name}_survey" in overview
        content, text, _ = read_page(tmp_path / f"{name}_results/index.html")
        note = data_of_runs(tmp_path)[run]["settings"]["note"]
        assert content.count("<script") == 2 and name in text
        assert note == name.replace("∕", "/") and note in text
    assert "</" not in (tmp_path / "runs.js").read_text()


@pytest.mark.parametrize("write", range(4))
def test_pages_are_complete_when_the_writing_is_interrupted(tmp_path, monkeypatch, write):
    """Interrupted at each of the four files, just before the new one replaces the old one."""
    folder = make_run(tmp_path, "P", epochs=2)
    writing.update(folder)
    (tmp_path / writing.PLOTLY).write_text("another version")
    make_run(tmp_path, "Q")
    replace = mock.Mock(side_effect=[*[mock.DEFAULT] * write, Killed], wraps=os.replace)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(files.os, "replace", replace)
        writing.update(folder)
    for path in tmp_path.rglob("index.html"):
        links = [link for link in read_page(path)[2] if not re.search("^data:|index.html", link)]
        assert all((path.parent / link).exists() for link in links)
    assert data_of_runs(tmp_path).keys() >= {"P_results"} and not list(tmp_path.rglob("*.part"))


def test_a_folder_locked_by_another_process_is_reported(tmp_path, monkeypatch):
    make_run(tmp_path, "P")
    monkeypatch.setattr(writing.time, "sleep", lambda seconds: None)
    with files.locked(tmp_path, wait=False), pytest.raises(RunFailed, match="locked by another process"):
        writing.write(tmp_path)
    writing.write(tmp_path)


def test_a_foreign_page_is_not_overwritten_and_one_failure_does_not_stop_the_others(tmp_path, capsys):
    (make_run(tmp_path, "One") / "index.html").mkdir()
    foreign = make_run(tmp_path, "Foreign") / "index.html", tmp_path / "index.html"
    make_run(tmp_path, "Two")
    foreign[0].write_text("<html>my own</html>")
    foreign[1].write_text('<meta name="generator" content="CartoonGAN gallery.py">')  # of an earlier version
    writing.write(tmp_path)
    assert capsys.readouterr().err.count("warning: no page for") == 2
    assert (tmp_path / "Two_results/index.html").exists() and "One" in read_page(tmp_path / "index.html")[1]
    writing.update(tmp_path / "Two_results")
    assert capsys.readouterr().err == ""
    foreign[1].write_text("<html>my own</html>")
    with pytest.raises(WrongUse, match="was not written by this program"):
        writing.write(tmp_path)
    assert [page.read_text() for page in foreign] == ["<html>my own</html>"] * 2


def test_the_command_that_resumes_a_run(tmp_path):
    """For a finished run it asks for more epochs; otherwise there would be nothing to do."""
    folder = make_run(tmp_path, "my run", epochs=3)
    resume = f"{PYTHON} CartoonGAN.py --resume {shlex.quote(str(folder))}"

    def text():
        writing.update(folder)
        return read_page(folder / "index.html")[1]

    assert "--resume" not in text()
    (folder / "state_latest.pth").write_bytes(b"state")
    assert f"to train longer {resume} --train_epoch 6" in text()
    log_event(folder, "stopped")
    assert f"to resume {resume}" in text() and "--train_epoch" not in text()
    log_event(folder, "started")
    with files.locked(folder, wait=False):
        assert "--resume" not in text()
