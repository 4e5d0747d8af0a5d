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

from pages import summaries, writing
from support import files
from support.arguments import PYTHON
from training import history
from training.log import log_event
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


@pytest.mark.parametrize("name", HOSTILE)
def test_surveys_lie_beside_runs_and_are_no_runs(tmp_path, name):
    leave_run(tmp_path, "Paprika")
    folder = tmp_path / f"{name.replace('/', '∕')}_results"
    folder.mkdir()
    (folder / summaries.SURVEY).write_text("{}")
    writing.write(tmp_path)
    page, place = Page(tmp_path / "index.html"), summaries.url(folder.name)
    assert {f"{place}/index.html", f"{place}/sheet.png", "Paprika_results/index.html"} <= {*page.links}
    assert folder.name in page.text and "1 run" in page.text and "2 runs" not in page.text
    assert [path.name for path in folder.iterdir()] == [summaries.SURVEY]


def test_a_folder_of_the_old_script_holds_images_alone_and_gets_its_page(tmp_path):
    folder = tmp_path / "Hayao_results"
    for part, name in (("Reconstruction", "Hayao_train_recon_1"), ("Transfer", "7_epoch_Hayao_train_1")):
        (folder / part).mkdir(parents=True)
        Image.new("RGB", (8, 4)).save(folder / part / f"{name}.png")
    writing.write(tmp_path)
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
    log_event(folder, "failed", name)
    writing.write(tmp_path)
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
            patch.setattr(files.os, "replace", replace)
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


def test_a_run_that_has_not_changed_is_not_read_again(tmp_path, monkeypatch):
    """Each change that a page would show is seen: of a file, of the pictures in a folder, of the lock."""
    folders = [leave_run(tmp_path, name) for name in "ABC"]
    real, read = summaries.read, []
    monkeypatch.setattr(summaries, "read", lambda folder: read.append(folder.name[0]) or real(folder))
    epochs = lambda: Page(tmp_path / "index.html").text.count("3 of 3")

    def updated():
        read.clear()
        writing.update(folders[0])
        return "".join(read)

    assert (updated(), updated(), updated()) == ("ABC", "A", "A")  # A's page was written meanwhile
    assert epochs() == 3
    history.add(folders[1] / "metrics.csv", {"phase": 2, "epoch": 4, "ssim": 0.125})
    assert updated() == "AB" and "0.125" in Page(tmp_path / "index.html").text
    (folders[2] / "Transfer/3_epoch_C_test_1.png").unlink()
    assert updated() == "AC" and "no picture of epoch 3" in (tmp_path / "index.html").read_text()
    log_event(folders[1], "started")
    with files.locked(folders[1], wait=False):
        assert updated() == "AB"
        assert updated() == "AB"  # it is running
    assert updated() == "AB" and "killed" in Page(tmp_path / "index.html").text
    assert updated() == "A"


def test_a_folder_held_by_another_process_is_told_in_a_line(tmp_path, monkeypatch):
    leave_run(tmp_path, "P")
    monkeypatch.setattr(writing.time, "sleep", lambda seconds: None)
    with files.locked(tmp_path, wait=False), pytest.raises(RunFailed, match="locked by another process"):
        writing.write(tmp_path)
    writing.write(tmp_path)


def test_another_index_html_is_left_alone(tmp_path):
    leave_run(tmp_path, "P")
    (tmp_path / "index.html").write_text("<html>my own</html>")
    with pytest.raises(WrongUse, match="was not written by this program"):
        writing.write(tmp_path)
    assert (tmp_path / "index.html").read_text() == "<html>my own</html>"


def test_a_run_whose_page_cannot_be_written_does_not_stop_the_others(tmp_path, capsys):
    leave_run(tmp_path, "One")
    (tmp_path / "One_results" / "page.js").mkdir()
    (tmp_path / "One_results" / "index.html").mkdir()
    leave_run(tmp_path, "Two")
    writing.update(tmp_path / "Two_results")
    assert "no page for" in capsys.readouterr().err
    writing.write(tmp_path)
    assert "no page for" in capsys.readouterr().err
    assert (tmp_path / "Two_results" / "index.html").exists()
    assert "One" in Page(tmp_path / "index.html").text


def test_the_command_that_continues_a_run_is_one_that_does(tmp_path):
    """Of a finished run it has more epochs, else there would be nothing to do."""
    folder = leave_run(tmp_path, "my run", epochs=3)
    resume = f"{PYTHON} CartoonGAN.py --resume {shlex.quote(str(folder))}"

    def text():
        writing.update(folder)
        return Page(folder / "index.html").text

    assert "--resume" not in text()
    (folder / "state_latest.pth").write_bytes(b"state")
    assert f"{resume} --train_epoch 6\n" in text()
    log_event(folder, "stopped")
    assert f"{resume}\n" in text()
    log_event(folder, "started")
    with files.locked(folder, wait=False):
        assert "--resume" not in text()


def test_a_page_says_when_a_run_was_first_started_and_how_far_each_phase_is(tmp_path):
    folder = leave_run(tmp_path, "P", epochs=6)
    log = folder / "log.txt"
    log.write_text("2029-05-06 07:08:09 +0000 started: python\n" + log.read_text())  # and again, as resumed
    writing.update(folder)
    text = " ".join(Page(folder / "index.html").text.split())
    assert "first started 2029-05-06 07:08 " in text
    assert "phase one: 1 of 1 epochs phase two: 6 of 6 epochs" in text
    assert "2 s an epoch, 3 images/s (medians of the last 5 epochs)" in text


def test_the_page_of_five_hundred_epochs_and_the_overview_of_fifty_runs_are_small(tmp_path):
    name = "Paprika_20_500_16_0.0005_res8"
    photos = [f"{kind}_{number}" for kind in ("test", "train") for number in range(1, 6)]
    folder = leave_run(tmp_path, name, epochs=1, photos=photos)
    picture = folder / "Transfer" / f"1_epoch_{name}_test_1.png"
    for epoch in range(2, 501):
        for photo in photos:
            os.link(picture, folder / "Transfer" / f"{epoch}_epoch_{name}_{photo}.png")
    columns = "content,seconds,images_per_second,learning_rate,discriminator,adversarial,change,fakes,kid"
    values = ",".join("0.123456789" for _ in columns.split(","))
    places = [(1, epoch) for epoch in range(1, 21)] + [(2, epoch) for epoch in range(1, 501)]
    lines = [f"{phase},{epoch},{values}\n" for phase, epoch in places]
    (folder / "metrics.csv").write_text(f"phase,epoch,{columns}\n" + "".join(lines))
    for number in range(49):
        leave_run(tmp_path, f"Run{number}", epochs=1, ngf=number)
    writing.write(tmp_path)
    assert (folder / "page.js").stat().st_size < 300_000
    assert (folder / "index.html").stat().st_size < 100_000
    assert (tmp_path / "index.html").stat().st_size < 300_000
    samples = page_data(folder)["samples"]["photos"]
    assert len(samples) == 10
    assert all([*photo["epochs"].values()] == [[str(n) for n in range(1, 501)]] for photo in samples)


def test_the_overview_runs_nothing_that_lies_in_a_run_folder(tmp_path):
    folder = leave_run(tmp_path, "Foreign")
    (folder / "page.js").write_text("alert(1)")
    writing.write(tmp_path, names=set())
    assert "/page.js" not in (tmp_path / "index.html").read_text()
    data = (tmp_path / "runs.js").read_text(encoding="utf-8")
    runs = json.loads(data.removeprefix("window.PAGE = ").removesuffix(";\n"))
    assert runs["Foreign_results"] == summaries.read(folder)["page"]


def test_pages_of_the_earlier_program_are_written_again(tmp_path):
    for name in ("Old", "New", "Foreign", "None"):
        leave_run(tmp_path, name)
    old = '<!doctype html>\n<meta name="generator" content="CartoonGAN gallery.py">'
    (tmp_path / "index.html").write_text(old)
    for name, text in (("Old", old), ("Foreign", "<html>my own</html>")):
        (tmp_path / f"{name}_results" / "index.html").write_text(text)
        (tmp_path / f"{name}_results" / "page.js").write_text("earlier")
    writing.update(tmp_path / "New_results")
    for folder in (tmp_path, tmp_path / "Old_results", tmp_path / "New_results"):
        assert writing.MARK in (folder / "index.html").read_text()
    assert page_data(tmp_path / "Old_results")["name"] == "Old"
    assert (tmp_path / "Foreign_results" / "page.js").read_text() == "earlier"
    assert not (tmp_path / "None_results" / "index.html").exists()
    before = (tmp_path / "Old_results" / "index.html").stat().st_mtime_ns
    writing.update(tmp_path / "New_results")
    assert (tmp_path / "Old_results" / "index.html").stat().st_mtime_ns == before
