"""Which pictures a command line names, and where their results go."""

import os

import pytest
from PIL import Image

from pictures.plan import find_pictures, plan
from test import asked
from utils import WrongUse


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures, some in folders below it, some that are not for us."""
    for name in ("a.png", "x/b.png", "x/y/c.PNG", "x/.hidden/d.png", "x/[e].png", "f.gif"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1, 1)).save(path)
    (tmp_path / "in/notes.txt").write_text("no picture")
    return tmp_path / "in"


def names(found):
    return [str(name) for _, name in found]


@pytest.mark.parametrize(
    ("sources", "wanted"),
    [
        (["x/[e].png"], ["[e].png"]),
        (["x/*.png"], ["[e].png", "b.png"]),
        (["**/c.*"], ["x/y/c.PNG"]),
        (["x/y", "a.png"], ["c.PNG", "a.png"]),
        ([""], ["a.png", "f.gif", "x/[e].png", "x/b.png", "x/y/c.PNG"]),
    ],
)
def test_files_globs_and_folders(pictures, tmp_path, sources, wanted):
    found = find_pictures([str(pictures / source) for source in sources], tmp_path / "out")
    assert names(found) == wanted
    assert all(source.is_file() and source.name == name.name for source, name in found)


def test_results_below_the_pictures_are_no_pictures(pictures):
    out = pictures / "x"
    assert names(find_pictures([str(pictures)], out)) == ["a.png", "f.gif"]
    assert names(find_pictures([f"{pictures}/**/*.png"], out)) == ["a.png"]
    assert names(find_pictures([str(out)], out)) == ["[e].png", "b.png", "y/c.PNG"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("none.png", "no file or folder"),
        ("none", "no file or folder"),
        *((source, r"no pictures at .*: looked for ") for source in ("none/*.png", "notes", "*.txt")),
    ],
)
def test_no_pictures_are_told(pictures, tmp_path, source, told):
    (pictures / "notes").mkdir()
    with pytest.raises(WrongUse, match=told):
        find_pictures([str(pictures), str(pictures / source)], tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("f.MP4", r"f\.MP4 is a film: give --video .*f\.MP4 --output NAME\.mp4"),
        ("pipe", "pipe is standard input or a pipe: write it to a file"),
        ("-", "- is standard input or a pipe"),
        ("https://example.org/a.jpg", "is an address: download it, and name the file"),
        ("0", "0 is no file or folder: of a camera, record a film"),
        ("/dev/video7", "of a camera, record a film"),
        ("x/frame_%04d.png", r"for a sequence of pictures, give --image_dir '.*x/frame_\*\.png'"),
    ],
)
def test_what_works_in_place_of_films_and_streams(pictures, tmp_path, monkeypatch, source, told):
    (pictures / "f.MP4").touch()
    os.mkfifo(pictures / "pipe")
    monkeypatch.chdir(pictures)
    with pytest.raises(WrongUse, match=told):
        find_pictures([source], tmp_path / "out")
    video = ["--pre_trained_model", "x", "--video", source, "--output", "y.mp4"]
    if source != "f.MP4":
        with pytest.raises(WrongUse, match=told):
            asked(video)


def test_films_in_a_folder_are_counted(pictures, tmp_path, capsys):
    (pictures / "a.mkv").touch()
    find_pictures([str(pictures)], tmp_path)
    told = capsys.readouterr().err
    assert told == (
        f"left out in {pictures}, kinds that are not read: 1 .mkv; of films, data/frames.py takes pictures, "
        "and test.py --video changes one\n"
    )


@pytest.mark.parametrize("extension", [None, "jpg"])
def test_results_are_named_as_their_pictures(pictures, tmp_path, extension):
    made = plan(find_pictures([str(pictures / "x")], tmp_path), tmp_path, extension)
    wanted = ["[e].jpg", "b.jpg", "y/c.jpg"] if extension else ["[e].png", "b.png", "y/c.PNG"]
    assert [picture.target for picture in made] == [tmp_path / name for name in wanted]
    assert [picture.source.parent for picture in made] == [pictures / "x", pictures / "x", pictures / "x/y"]


def test_a_suffix_stands_before_the_extension(pictures, tmp_path):
    found = find_pictures([str(pictures)], tmp_path / "out")
    names = [picture.target.name for picture in plan(found, tmp_path / "out", None, "_paprika")]
    assert names == ["a_paprika.png", "f_paprika.gif", "[e]_paprika.png", "b_paprika.png", "c_paprika.PNG"]
    # Results beside their photographs are not changed once more.
    Image.new("RGB", (1, 1)).save(pictures / "a_paprika.png")
    with pytest.raises(WrongUse, match=r"a_paprika\.png would overwrite a picture"):
        plan(find_pictures([str(pictures)], pictures), pictures, None, "_paprika")


@pytest.mark.parametrize("link", [False, True])
def test_a_picture_is_never_overwritten(pictures, tmp_path, link):
    out = tmp_path / "out" if link else pictures
    if link:
        out.mkdir()
        (out / "a.png").hardlink_to(pictures / "a.png")
    with pytest.raises(WrongUse, match=r"a\.png would overwrite a picture"):
        plan(find_pictures([str(pictures)], out), out, None)


def test_two_pictures_never_share_a_result(pictures, tmp_path):
    found = find_pictures([str(pictures / "a.png"), str(pictures / "f.gif")], tmp_path)
    (pictures / "f.png").write_bytes((pictures / "a.png").read_bytes())
    found += find_pictures([str(pictures / "f.png")], tmp_path)
    assert len(plan(found, tmp_path, None)) == 3
    with pytest.raises(WrongUse, match=r"f.gif and .*f.png would both become .*f.webp"):
        plan(found, tmp_path, "webp")


def test_a_picture_that_is_named_twice_is_done_once(pictures, tmp_path):
    found = find_pictures([f"{pictures}/a.png", f"{pictures}/*.png"], tmp_path)
    assert len(found) == 2 and len(plan(found, tmp_path, None)) == 1


def test_links_to_nowhere_and_in_a_circle_are_left_to_their_turn(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").symlink_to("gone.png")
    (tmp_path / "in/b.png").symlink_to("b.png")
    made = plan(find_pictures([f"{tmp_path}/in/*"], tmp_path / "out"), tmp_path / "out", None)
    assert [picture.source.name for picture in made] == ["a.png", "b.png"]
