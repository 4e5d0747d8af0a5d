"""Which files are pictures, and where their results go."""

import os

import numpy as np
import pytest
from PIL import Image

import utils
from pictures import images, listing
from pictures.listing import find_images, find_pictures, plan_results
from test import parse
from utils import WrongUse


@pytest.fixture(autouse=True)
def nothing_reported():
    utils.report_once.cache_clear()


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(found):
    return sorted(str(name) for _, name in found)


# Folders

RARE_EXTENSIONS = ["h.jfif", "i.JPE", "j.jfi", "k.avif", "m.pjpeg"]
NOT_PICTURES = [
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "__MACOSX/a.jpg", ".ipynb_checkpoints/a-checkpoint.png"),
    *("deep/.thumbs/b.png", "#recycle/c.png", "@Recycle/c.png", "$RECYCLE.BIN/c.png"),
    *(".h.jpg", "j.txt", "jpg"),
]


def test_images_are_found_in_all_folders_but_hidden_ones_and_those_of_machines(tmp_path, capsys):
    folder = tmp_path / ".hidden above"
    wanted = [
        "B.JPG",
        "# O-HAZY/c.Png",
        "deep/er/d.webp",
        "e.tif",
        "f.TIFF",
        "g.bmp",
        "l.apng",
        *RARE_EXTENSIONS,
    ]
    touch(folder, *wanted, *NOT_PICTURES)
    assert [str(path) for path in find_images(folder)] == sorted(wanted)
    for source in (str(folder), f"{folder}/**/*.*"):
        assert names(find_pictures([source], tmp_path / "out")) == sorted(wanted)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [*RARE_EXTENSIONS, "a.jpg"])
def test_every_extension_can_be_written_and_read(tmp_path, name):
    image = np.full((16, 24, 3), (200, 60, 40), np.uint8)
    images.write(tmp_path / name, image)
    with Image.open(tmp_path / name) as written:
        assert written.format == ("AVIF" if name == "k.avif" else "JPEG")
    assert np.abs(images.read(tmp_path / name).astype(int) - image).max() < 6


def test_pictures_of_other_kinds_are_counted_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(listing, "EXTENSIONS", listing.EXTENSIONS - listing.HEIF)
    touch(tmp_path, "a.jpg", "b.CR2", "deep/c.cr2", "d.heic", "e.gif", "f.jpg_large", "g.png!d", "h.mkv")
    touch(tmp_path, "@eaDir/f.nef", "notes.txt", "empty", "i.jpg.txt")
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff\xe0 and so on")
    (tmp_path / "README").write_text("how it was made")
    os.mkfifo(tmp_path / "pipe")
    for _ in range(2):
        assert [str(path) for path in find_images(tmp_path, listing.EXTENSIONS)] == ["a.jpg"]
    counts = "2 .cr2, 1 .gif, 1 .heic, 1 .jpg_large, 1 .mkv, 1 .png!d, 1 without an extension; "
    start, *advice = capsys.readouterr().err.split("; ")
    assert f"{start}; " == f"left out in {tmp_path}, kinds that are not read: {counts}"
    assert [text.split()[0] for text in advice] == ["`pip", "of", "rename"]
    find_pictures([f"{tmp_path}/[abc].[jC]*"], tmp_path / "out")
    assert capsys.readouterr().err == f"left out in {tmp_path}/[abc].[jC]*, kinds that are not read: 1 .cr2\n"


@pytest.mark.parametrize("installed", [True, False])
def test_heic_is_an_image_if_its_package_is_installed(run_cli, installed):
    patched = f"import importlib.util; importlib.util.find_spec = lambda name: {installed} or None"
    end = run_cli("-c", f"{patched}; from pictures import listing; print('.heic' in listing.EXTENSIONS)")
    assert end.stdout == f"{installed}\n", end.stderr


# test.py's --image_dir


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures, some of them in folders below it or hidden, and a text."""
    for name in ("a.png", "x/b.png", "x/y/c.PNG", "x/.hidden/d.png", "x/[e].png", "f.gif"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1, 1)).save(tmp_path / "in" / name)
    (tmp_path / "in/notes.txt").write_text("no picture")
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["x/[e].png"], ["[e].png"]),
        (["x/*.png"], ["[e].png", "b.png"]),
        (["**/c.*"], ["x/y/c.PNG"]),
        (["x/y", "a.png"], ["a.png", "c.PNG"]),
        ([""], ["a.png", "f.gif", "x/[e].png", "x/b.png", "x/y/c.PNG"]),
    ],
)
def test_files_globs_and_folders(pictures, tmp_path, sources, expected):
    found = find_pictures([str(pictures / source) for source in sources], tmp_path / "out")
    assert names(found) == expected
    assert all(source.is_file() and source.name == name.name for source, name in found)


def test_results_below_the_pictures_are_not_pictures(pictures):
    out = pictures / "x"
    assert names(find_pictures([str(pictures)], out)) == ["a.png", "f.gif"]
    assert names(find_pictures([f"{pictures}/**/*.png"], out)) == ["a.png"]
    assert names(find_pictures([str(out)], out)) == ["[e].png", "b.png", "y/c.PNG"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.png", "no file or folder"),
        *((source, "no pictures at .*: looked for ") for source in ("none/*.png", "notes", "*.txt")),
        ("f.MP4", r"f\.MP4 is a film: use --video .*f\.MP4 --output NAME\.mp4"),
        ("pipe", "pipe is standard input or a pipe: write it to a file"),
        ("-", "- is standard input or a pipe"),
        ("https://example.org/a.jpg", "is an address: download it, and name the file"),
        ("0", "0 is not a file or folder: record a film with the camera"),
        ("/dev/video7", "record a film with the camera"),
        ("x/frame_%04d.png", r"for a sequence of pictures, use --image_dir '.*x/frame_\*\.png'"),
    ],
)
def test_a_source_without_pictures_is_an_error_that_says_what_works(
    pictures, tmp_path, monkeypatch, source, message
):
    (pictures / "notes").mkdir()
    (pictures / "f.MP4").touch()
    os.mkfifo(pictures / "pipe")
    monkeypatch.chdir(pictures)
    with pytest.raises(WrongUse, match=message):
        find_pictures(["a.png", source], tmp_path / "out")
    if not message.startswith("no ") and source != "f.MP4":
        with pytest.raises(WrongUse, match=message):
            parse(["--pre_trained_model", "x", "--video", source, "--output", "y.mp4"])


@pytest.mark.parametrize(
    ("extension", "suffix", "expected"),
    [
        (None, "", ["[e].png", "b.png", "y/c.PNG"]),
        ("jpg", "", ["[e].jpg", "b.jpg", "y/c.jpg"]),
        (None, "_x", ["[e]_x.png", "b_x.png", "y/c_x.PNG"]),
    ],
)
def test_results_have_the_names_of_their_pictures(pictures, tmp_path, extension, suffix, expected):
    found = find_pictures([str(pictures / "x")], tmp_path)
    planned = plan_results(found, tmp_path, extension, suffix)
    assert [picture.target for picture in planned] == [tmp_path / name for name in expected]
    assert [picture.source for picture in planned] == [source for source, _ in found]


def test_a_picture_is_never_overwritten(pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").hardlink_to(pictures / "a.png")
    touch(pictures, "a_x.png")
    for folder, suffix in ((pictures, ""), (out, ""), (pictures, "_x")):
        with pytest.raises(WrongUse, match=r"a\S*\.png would overwrite a picture"):
            plan_results(find_pictures([str(pictures)], folder), folder, None, suffix)


def test_two_pictures_never_share_a_result(pictures, tmp_path):
    touch(pictures, "f.png", "x/a.png")
    sources = [str(pictures / name) for name in ("a.png", "f.gif", "f.png")]
    assert len(plan_results(find_pictures(sources, tmp_path), tmp_path)) == 3
    with pytest.raises(WrongUse, match=r"f.gif and .*f.png would both become .*f.webp"):
        plan_results(find_pictures(sources, tmp_path), tmp_path, "webp")
    with pytest.raises(WrongUse, match=r"in/a.png and .*x/a.png would both become .*a.png"):
        plan_results(find_pictures([*sources, str(pictures / "x/a.png")], tmp_path), tmp_path)
    twice = find_pictures([f"{pictures}/a.png", f"{pictures}/a.p*"], tmp_path)
    assert len(twice) == 2 and len(plan_results(twice, tmp_path)) == 1


def test_links_to_nowhere_and_in_a_circle_are_left_for_the_reader_to_report(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").symlink_to("gone.png")
    (tmp_path / "in/b.png").symlink_to("b.png")
    planned = plan_results(find_pictures([f"{tmp_path}/in/*"], tmp_path / "out"), tmp_path / "out")
    assert [picture.source.name for picture in planned] == ["a.png", "b.png"]
