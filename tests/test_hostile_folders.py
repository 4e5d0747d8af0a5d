"""Run folders that were damaged by hand, and names that could lead out of the folders, in all commands."""

import json
import re

import pytest
from helpers import TINY, leave_run, make_data
from PIL import Image

import CartoonGAN
import test
from evaluation import __main__ as evaluation
from networks import Generator
from pages import __main__ as pages
from pages import summaries
from pictures import checkpoints
from training import history
from training.log import log_event
from training.options import CARTOONGAN
from utils import WrongUse, report


def refusal(capsys, main, *argv):
    """The one-line error of a command, as a person reads it."""
    with pytest.raises(WrongUse) as error:
        main([*map(str, argv)])
    capsys.readouterr()
    report(str(error.value))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable() and len(line) < 1000
    return line


BATCH_SIZES = ("abc", -3, 0, 1e99, True, [8], {}, None, "8")
DAMAGE = [({"batch_size": value}, "batch_size") for value in BATCH_SIZES]
DAMAGE += [({"lrG": float("inf")}, "--lrG"), ({"src_data": "a\0b"}, "--src_data")]
DAMAGE += [({"src_data": "\udcff"}, "--src_data"), ({"resize": "pad"}, "--resize")]
DAMAGE += [({"independent_edges": 1}, "--independent_edges"), ({"a\nb": 1}, r"'a\nb' is not an option")]
DAMAGE += [({"__class__": 1}, "is not an option"), ({"help": True}, "is not an option")]


@pytest.mark.parametrize(("options", "message"), DAMAGE)
def test_settings_that_were_edited_are_refused_and_left_alone(tmp_path, capsys, options, message):
    folder = tmp_path / "P_10_100_8_results"
    folder.mkdir()
    record = {"options": CARTOONGAN.defaults() | {"name": "P"} | options, "given": [], "commands": ["a"]}
    text = json.dumps(record)
    (folder / "settings.json").write_text(text)
    line = refusal(capsys, CartoonGAN.main, "--resume", folder)
    assert message in line and str(folder) in line
    line = refusal(capsys, CartoonGAN.main, "--name", "P", "--results_dir", tmp_path)
    assert "its settings cannot be read" in line
    checkpoints.save(folder / "state_latest.pth", {"settings": record})
    assert str(folder) in refusal(capsys, CartoonGAN.main, "--resume", folder)
    assert (folder / "settings.json").read_text() == text and len(list(folder.iterdir())) == 2


def test_an_evaluation_reads_no_damaged_settings(tmp_path, capsys):
    folder = leave_run(tmp_path, "P", input_size="abc")
    line = refusal(capsys, evaluation.main, folder, "--photos", tmp_path, "--drawings", tmp_path)
    assert f"{folder}/settings.json" in line and "--input_size" in line


GARBAGE = [b"", b"\0", b"\xff", b"[" * 10**5, b'{"options": {"ngf": 1' + b"0" * 5000 + b"}}", None]


@pytest.mark.parametrize("name", ["settings.json", "evaluation.json", "metrics.csv", "log.txt"])
def test_a_file_of_garbage_is_named_on_the_page(tmp_path, capsys, name):
    for place, content in enumerate(GARBAGE):
        folder = leave_run(tmp_path, str(place))
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir() if content is None else (folder / name).write_bytes(content)
        problems = [problem for problem in summaries.read(folder)["problems"] if name in problem]
        readable = name == "log.txt" or (name == "metrics.csv" and content not in (b"\xff", None))
        assert bool(problems) != readable and "\n" not in "".join(problems), content
    pages.main([str(tmp_path)])
    assert capsys.readouterr().err == "" and len(list(tmp_path.glob("*/index.html"))) == len(GARBAGE)


def test_what_a_folder_holds_is_shown_as_text(tmp_path, capsys):
    html = "<img src=x onerror=alert(1)>"
    folder = leave_run(tmp_path, html, photos=("test_1",), more=html, batch_size="abc", train=[html])
    (folder / f"Transfer/{html}.png").write_bytes(b"x")
    log_event(folder, "said", html)
    (folder / "evaluation.json").write_text(json.dumps({"rows": {html: {html: 10**400}}}))
    (folder / "metrics.csv").write_text(f"phase,epoch,{html},kid_drawings\n2,1,{html},{html}\n2,x,1,0.5\n")
    pages.main([str(tmp_path)])
    assert capsys.readouterr().err == ""
    for page in (tmp_path / "index.html", folder / "index.html", folder / "page.js"):
        assert "onerror" in page.read_text() and "<img src=x" not in page.read_text()


@pytest.mark.parametrize(
    "rows",
    [
        "phase,content\n1,2\n",
        "phase,epoch,content\n1,1," + "9" * 200_000 + "\n",
        None,
    ],
)
def test_metrics_that_cannot_be_read_are_refused_and_left_alone(tmp_path, rows):
    path = tmp_path / "metrics.csv"
    path.mkdir() if rows is None else path.write_text(rows)
    with pytest.raises(WrongUse) as error:
        history.cut(path, 2, 1)
    assert str(error.value).startswith(str(path)) and str(error.value).isprintable()
    assert "fix it, or move" in str(error.value)
    assert rows is None or path.read_text() == rows


def test_cells_that_are_not_numbers_are_ignored(tmp_path):
    path = tmp_path / "metrics.csv"
    columns = "".join(f",extra{number}" for number in range(300))
    rows = [("1", "1", "what"), ("2", "1", "nan"), ("2", "2", "-inf"), ("2", "3", "0.5"), ("2", "3", "0.5")]
    lines = [f"phase,epoch,kid_drawings,content{columns}"]
    lines += [f"{','.join(row)},{'x' if row[1] == '2' else '1e300'}{',1' * 300}" for row in rows]
    path.write_text("\n".join(lines) + "\n")
    history.cut(path, 3, 1)
    assert len(history.read(path)) == 5
    assert history.best(history.read(path)).epoch == 3
    history.plot_losses(path, tmp_path / "losses.png")
    assert Image.open(tmp_path / "losses.png").height < 2**16


@pytest.mark.parametrize("argument", ["@/dev/zero", "@\ab", "--name=a\0b", "--src_data=a\0b"])
def test_a_hostile_argument_file_is_refused(tmp_path, monkeypatch, capsys, argument):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "\ab").touch()
    (tmp_path / "a").write_text(f"'{argument}'\n")
    line = refusal(capsys, CartoonGAN.main, "@a")
    assert "no file" in line or argument.split("=")[0] in line


BAD = ["..", ".", ".a", "a/b", "/a", "../../a", "a\nb", "a\0b", "\x1b[2Ja", "a\u2028b", "\udcff", ""]
BAD += ["x" * 201, "x" * 300, "x" * 10**5, "é" * 120]
ODD = [  # name and tag
    ("a b$(touch x);`touch x`", "-画像"),
    ("<b>&amp;'\"a*?[b]", "a..b%2e%2e"),
    ("~", "\\..\\a"),
]


@pytest.mark.parametrize("which", ["--name", "--tag"])
def test_a_name_that_no_folder_should_have_is_refused(tmp_path, monkeypatch, capsys, which):
    monkeypatch.chdir(tmp_path)
    for name in BAD:
        refusal(capsys, CartoonGAN.main, f"{which}={name}")
    assert not list(tmp_path.iterdir())


def contents(root):
    """Every path below a folder, with the bytes of each file."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


def test_nothing_is_written_or_removed_outside_the_folders_of_the_results(tmp_path, monkeypatch):
    work = tmp_path / "above/work"
    make_data(work / "data")
    (tmp_path / "above/Transfer").mkdir()
    for kept in ("above/state_latest.pth", "above/Transfer/1_epoch_a_test_1.png", "above/index.html"):
        (tmp_path / kept).write_text("keep")
    (work / "results").mkdir()
    (work / "results/notes.txt").write_text("keep")
    checkpoints.save(work / "g.pth", checkpoints.generator_file(Generator(ngf=4, nb=1)))
    before = contents(tmp_path)
    monkeypatch.chdir(work)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    options = f"{TINY} --batch_size 3 --workers 0 --pre_train_epoch 1 --sample_every 2".split()
    for name, tag in ODD:
        argv = [*options, f"--name={name}", f"--tag={tag}"]
        CartoonGAN.main([*argv, "--train_epoch=1"])
    CartoonGAN.main([*argv, "--resume", "--train_epoch=2"])
    runs = [path for path in (work / "results").iterdir() if path.is_dir()]
    made = "--pre_trained_model g.pth --image_dir data/src_data/test --output_image_dir made --device cpu"
    test.main(made.split())
    measured = "g.pth --photos data/src_data/test --drawings data/tgt_data/train --input_size 16 --device cpu"
    vgg = TINY.split()[1]
    evaluation.main([*measured.split(), "--vgg_model", vgg, "--features", "vgg19", "--precision", "fp32"])
    pages.main(["results"])
    for folder in runs:
        pages.main([f"--slim={folder}"])
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    folders = "|".join(re.escape(folder.name) for folder in runs)
    allowed = rf"results/({folders})(/.*)?|results/(index\.html|runs\.js|plotly\.min\.js)"
    allowed += r"|data/tgt_data/pair(/.*)?|made(/[0-9]\.jpg)?|g-evaluation\.json"
    new = [name.removeprefix("above/work/") for name in after.keys() - before.keys()]
    assert len(runs) == len(ODD) and [name for name in new if not re.fullmatch(allowed, name)] == []
