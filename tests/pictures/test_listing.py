"""Which files are pictures, and where their results go."""

import os

import pytest

import utils
from pictures.listing import find_images, find_pictures, plan_results
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


def test_images_are_found_in_all_folders_except_hidden_and_system_folders(tmp_path, capsys):
    folder = tmp_path / ".hidden above"
    wanted = ["# O-HAZY/c.Png", "B.JPG", "deep/er/d.webp", "e.tif", "h.jfif"]
    touch(folder, *wanted, ".h.jpg", "folder.jpg/j.txt", "jpg", "deep/.thumbs/b.png")
    touch(folder, "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "__MACOSX/a.jpg", "$RECYCLE.BIN/c.png")
    assert [str(path) for path in find_images(folder)] == wanted
    for source in (str(folder), f"{folder}/**/*.*"):
        assert names(find_pictures([source], tmp_path / "out")) == wanted
    assert capsys.readouterr().err == ""


def test_pictures_of_other_kinds_are_counted_in_one_line(tmp_path, capsys):
    touch(tmp_path, "a.jpg", "b.CR2", "deep/c.cr2", "e.gif", "f.jpg_large", "h.mkv", "@eaDir/f.nef")
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff\xe0 and so on")
    os.mkfifo(tmp_path / "pipe")  # reading it would block
    for _ in range(2):
        assert [str(path) for path in find_images(tmp_path)] == ["a.jpg"]
    (line,) = capsys.readouterr().err.splitlines()
    assert ": 2 .cr2, 1 .gif, 1 .jpg_large, 1 .mkv, 1 without an extension; " in line


@pytest.fixture
def pictures(tmp_path):
    touch(tmp_path / "in", "a.png", "x/b.png", "x/y/c.PNG", "x/.hidden/d.png", "x/[e].png", "f.gif", "g.txt")
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("source", "out", "expected"),
    [
        ("x/[e].png", "out", ["[e].png"]),
        ("**/c.*", "out", ["x/y/c.PNG"]),
        ("", "out", ["a.png", "f.gif", "x/[e].png", "x/b.png", "x/y/c.PNG"]),
        ("", "x", ["a.png", "f.gif"]),  # results below the pictures are not pictures
        ("**/*.png", "x", ["a.png"]),
        ("x", "x", ["[e].png", "b.png", "y/c.PNG"]),
    ],
)
def test_files_globs_and_folders(pictures, source, out, expected):
    found = find_pictures([str(pictures / source)], pictures / out)
    assert names(found) == expected
    assert all(source.is_file() and source.name == name.name for source, name in found)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.png", "no file or folder"),
        ("*.txt", "no pictures at .*: looked for "),
        ("f.MP4", "is a film: use --video"),
        ("-", "- is a pipe or a camera"),
        ("https://example.org/a.jpg", "is an address: download it, and name the file"),
        ("x/frame_%04d.png", r"for a sequence of pictures, use --image_dir '.*x/frame_\*\.png'"),
    ],
)
def test_a_source_without_pictures_is_an_error_that_says_what_works(pictures, monkeypatch, source, message):
    (pictures / "f.MP4").touch()
    monkeypatch.chdir(pictures)
    with pytest.raises(WrongUse, match=message):
        find_pictures(["a.png", source], pictures / "out")


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
    sources = [str(pictures / name) for name in ("a.png", "f.gif", "f.png", "a.p*")]  # a.png twice
    found = find_pictures(sources, tmp_path)
    assert len(found) == 4 and len(plan_results(found, tmp_path)) == 3
    with pytest.raises(WrongUse, match=r"f.gif and .*f.png would both become .*f.webp"):
        plan_results(found, tmp_path, "webp")
    with pytest.raises(WrongUse, match=r"in/a.png and .*x/a.png would both become .*a.png"):
        plan_results(find_pictures([*sources, str(pictures / "x/a.png")], tmp_path), tmp_path)
