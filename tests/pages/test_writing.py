"""The pages as files: what they hold, that they are whole at any moment, and that nothing else is written."""

import html.parser
import json
import os
import re
import shlex
from pathlib import Path

import pytest
from helpers import leave_run
from PIL import Image

import utils
from pages import summaries, writing
from training import folders
from utils import RunFailed, WrongUse

HOSTILE = [
    'a "quoted" name',
    "<script>alert(1)</script>",
    "画像 – 東京",
    "it's & {{ 7*7 }}",
    "100% #1?",
    "</title>",
]


class Page(html.parser.HTMLParser):
    """The text and the links of a page; `whole` if it ends as a page does."""

    def __init__(self, path):
        super().__init__()
        self.text, self.links, self.tags = "", [], []
        content = path.read_text(encoding="utf-8")
        self.whole = content.startswith("<!doctype html>") and content.endswith("</html>")
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for key, value in attributes if key in ("src", "href") and value]

    def handle_data(self, data):
        self.text += data


def page_data(folder):
    text = (folder / "page.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("window.PAGE = ").removesuffix(";\n"))


def listing_of(results):
    return {str(path.relative_to(results)) for path in results.rglob("*")}


def test_only_the_pages_are_written(tmp_path):
    leave_run(tmp_path, "One")
    leave_run(tmp_path, "Two")
    (tmp_path / "notes").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = listing_of(tmp_path)
    assert writing.main([str(tmp_path)]) is None
    pages = {f"{name}_results/{page}" for name in ("One", "Two") for page in ("index.html", "page.js")}
    assert listing_of(tmp_path) - names == {"index.html", "plotly.min.js", *pages}
    assert all(path.read_bytes() == content for path, content in before.items())


def test_the_overview_shows_the_settings_in_which_runs_differ(tmp_path):
    found = [
        summaries.read(leave_run(tmp_path, name, ngf=ngf, lrG=2e-4))
        for name, ngf in (("One", 4), ("Two", 64))
    ]
    shown = writing.overview(found)
    assert shown["columns"] == [("ngf", "ngf", "setting"), ("last content", "content", "measure")]
    assert [row["cells"]["ngf"] for row in shown["rows"]] == [("4", 4), ("64", 64)]
    assert shown["equal"] == {"pre_train_epoch": "1", "train_epoch": "3", "lrG": "0.0002"}


def test_a_folder_of_the_old_script_holds_images_alone_and_gets_its_page(tmp_path):
    folder = tmp_path / "Hayao_results"
    for part, name in (("Reconstruction", "Hayao_train_recon_1"), ("Transfer", "7_epoch_Hayao_train_1")):
        (folder / part).mkdir(parents=True)
        Image.new("RGB", (8, 4)).save(folder / part / f"{name}.png")
    writing.main([str(tmp_path)])
    (photo,) = page_data(folder)["samples"]["photos"]
    assert photo["recon"] == "Reconstruction/Hayao_train_recon_1.png" and photo["pair"]
    assert "settings.json is missing" in Page(folder / "index.html").text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_as_text_and_linked_to(tmp_path, name):
    folder = leave_run(tmp_path, "plain", note=name)
    folder = folder.rename(tmp_path / f"{name.replace('/', '∕')}_results")
    for path in list((folder / "Transfer").iterdir()):
        path.rename(path.with_name(path.name.replace("plain", folder.name.removesuffix("_results"))))
    (folder / "Transfer" / f"{folder.name}.png").write_bytes(b"x")
    folders.log(folder, "failed", name)
    writing.main([str(tmp_path)])
    for path in (tmp_path / "index.html", folder / "index.html"):
        page = Page(path)
        assert folder.name.removesuffix("_results") in page.text and name in page.text
        assert page.tags.count("script") == path.read_text().count("<script")  # none opened by a name
        assert page.whole
    (link,) = [link for link in Page(tmp_path / "index.html").links if link.endswith("index.html")]
    assert link == f"{summaries.url(folder.name)}/index.html"
    assert page_data(folder)["settings"]["note"] == name
    assert "</script" not in (folder / "page.js").read_text()


class Killed(BaseException):
    """Ends the writing at once."""


@pytest.mark.parametrize("write", range(4))
@pytest.mark.parametrize("earlier", [False, True])
def test_pages_are_whole_when_the_writing_is_cut(tmp_path, monkeypatch, write, earlier):
    """At each of the four files, right before the new one takes its place and right after."""
    folder = leave_run(tmp_path, "P", epochs=2)
    if earlier:
        writing.update(folder)
        (tmp_path / writing.PLOTLY).write_text("another version")
        leave_run(tmp_path, "Q")
    for after in (False, True):
        written = []

        def replace(part, path, after=after, written=written):
            if len(written) == write and not after:
                raise Killed
            os.rename(part, path)
            written.append(Path(path).name)
            if len(written) > write:
                raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(utils.os, "replace", replace)
            writing.update(folder)
        for path in tmp_path.rglob("index.html"):
            page = Page(path)
            assert page.whole
            missing = [link for link in page.links if not re.match("data:|\\.\\./index", link)]
            assert all((path.parent / link).exists() for link in missing if "/index.html" not in link)
        for path in tmp_path.rglob("page.js"):
            page_data(path.parent)
        (tmp_path / writing.PLOTLY).write_text("another version")  # so that all four are written again
    writing.update(folder)
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_held_by_another_process_is_told_in_a_line(tmp_path, monkeypatch):
    leave_run(tmp_path, "P")
    monkeypatch.setattr(writing.time, "sleep", lambda seconds: None)
    with utils.locked(tmp_path, wait=False), pytest.raises(RunFailed, match="held by another process"):
        writing.main([str(tmp_path)])
    writing.main([str(tmp_path)])


def test_another_index_html_is_left_alone(tmp_path):
    leave_run(tmp_path, "P")
    (tmp_path / "index.html").write_text("<html>my own</html>")
    with pytest.raises(WrongUse, match="was not written by this program"):
        writing.main([str(tmp_path)])
    assert (tmp_path / "index.html").read_text() == "<html>my own</html>"


def test_one_run_alone_gets_a_page_and_nothing_is_written_beside_it(tmp_path):
    folder = leave_run(tmp_path, "P")
    writing.main([str(folder)])
    assert [path.name for path in tmp_path.iterdir()] == ["P_results"]
    assert (folder / "index.html").exists() and (folder / writing.PLOTLY).exists()


def test_a_run_whose_page_cannot_be_written_does_not_stop_the_others(tmp_path, capsys):
    leave_run(tmp_path, "One")
    (tmp_path / "One_results" / "page.js").mkdir()
    leave_run(tmp_path, "Two")
    writing.main([str(tmp_path)])
    assert "no page for" in capsys.readouterr().err
    assert (tmp_path / "Two_results" / "index.html").exists()
    assert "One" in Page(tmp_path / "index.html").text


def test_how_to_go_on_is_told_where_it_is_possible(tmp_path):
    folder = leave_run(tmp_path, "my run")
    writing.update(folder)
    assert "--resume" not in Page(folder / "index.html").text
    (folder / "state_latest.pth").write_bytes(b"state")
    writing.update(folder)
    assert f"python CartoonGAN.py --resume {shlex.quote(str(folder))}" in Page(folder / "index.html").text


def test_fifty_runs_and_a_page_of_five_thousand_images_are_small(tmp_path):
    photos = [f"{kind}_{number}" for kind in ("test", "train") for number in range(1, 6)]
    folder = leave_run(tmp_path, "Paprika_20_500_16", epochs=1, photos=photos)
    picture = folder / "Transfer" / "1_epoch_Paprika_20_500_16_test_1.png"
    for epoch in range(2, 501):
        for photo in photos:
            os.link(picture, folder / "Transfer" / f"{epoch}_epoch_Paprika_20_500_16_{photo}.png")
    for number in range(49):
        leave_run(tmp_path, f"Run{number}", epochs=1, ngf=number)
    writing.main([str(tmp_path)])
    assert sum(path.stat().st_size for path in map(folder.joinpath, ("index.html", "page.js"))) < 300_000
    assert (tmp_path / "index.html").stat().st_size < 300_000
    epochs = page_data(folder)["samples"]["epochs"]
    assert epochs == [list(range(1, 501))]


def test_the_list_in_the_terminal(tmp_path, capsys):
    leave_run(tmp_path, "One", epochs=4)
    leave_run(tmp_path, "画像\x1b[31m")
    names = listing_of(tmp_path)
    writing.main([str(tmp_path), "--list"])
    head, one, other = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "state", "epochs", "content", "size"]
    assert one.split()[:4] == ["One", "finished", "5/5", "0.25"]
    assert other.startswith("画像?[31m  finished")
    assert head.index("state") == one.index("finished")
    assert listing_of(tmp_path) == names


@pytest.mark.parametrize(("answer", "kept"), [("y", False), ("n", True), ("", True)])
def test_slimming_asks_and_removes_the_state_alone(tmp_path, monkeypatch, capsys, answer, kept):
    folder = leave_run(tmp_path, "P")
    (folder / "state_latest.pth").write_bytes(bytes(2_500_000))
    names = listing_of(tmp_path)
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    writing.main(["--slim", str(folder)])
    assert "2.5 MB" in asked[0]
    gone = set() if kept else {"P_results/state_latest.pth"}
    assert names - listing_of(tmp_path) == gone
    assert ("2.5 MB freed" in capsys.readouterr().out) != kept


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (82_600_000, "82.6 MB"), (5.2e13, "52 TB")]
)
def test_sizes(count, text):
    assert writing.size(count) == text


def test_wrong_folders_are_told_in_a_line(tmp_path):
    with pytest.raises(WrongUse, match="no folder"):
        writing.main([str(tmp_path / "none")])
    with pytest.raises(WrongUse, match="no run in"):
        writing.main([str(tmp_path)])
