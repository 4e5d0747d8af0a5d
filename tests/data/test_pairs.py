"""data/pairs.py on data sets as they are downloaded, recreated with tiny files."""

import re

import pytest
from helpers import ROOT
from PIL import Image

from data import pairs
from pictures import listing
from utils import WrongUse


def layouts():
    """{name: {hazy picture: its clear one}}: the rows of the table in data/README.md, and harder ones."""
    rows = re.findall(
        r"^\| ([^|`]+) \| (`[^|]+) \| (`[^|]+) \|$", (ROOT / "data/README.md").read_text(), re.M
    )
    found = {}
    for name, *cells in rows:
        hazy, clear = (re.findall("`([^`]+)`", cell) for cell in cells)
        for number in range(max(len(hazy), len(clear))):  # a cell lists the paths of several versions
            found[f"{name} {number}"] = {hazy[number % len(hazy)]: clear[number % len(clear)]}
    numbers = (1, 10, 100)
    found["numbers without zeros"] = {f"hazy/{n:04}_0.8_0.2.jpg": f"clear/{n}.png" for n in numbers}
    found["first number"] = {"hazy/7_a.png": "clear/7_b_2.png"}
    found["longest"] = {f"hazy/1_{n}_0.9.png": f"clear/1_{n}.png" for n in (2, 3)}
    found["words"] = {"hazy/cat_hazy.png": "clear/cat.png", "hazy/old dog-hazy.png": "clear/old dog-GT.png"}
    found["one folder"] = {f"NH-HAZE/{n:02}_hazy.png": f"NH-HAZE/{n:02}_GT.png" for n in (1, 2, 55)}
    found["one folder"]["other/1_hazy.png"] = "other/1_GT.png"
    return found


LAYOUTS = layouts()
REVIDE = {
    f"{part}/hazy/{scene}/{frame:05}.JPG": f"{part}/gt/{scene}/{frame:05}.JPG"
    for part, scene in (("Train", "C001"), ("Train", "C002"), ("Test", "E001"))
    for frame in range(3)
}


def make(folder, layout):
    for name in {*layout, *layout.values()}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(folder / name)
    return folder


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name, tmp_path):
    found = pairs.find_pairs(make(tmp_path / "set", LAYOUTS[name]))
    for hazy, clear in LAYOUTS[name].items():
        assert found[hazy.split("/")[-1].rsplit(".", 1)[0]] == tmp_path / "set" / clear
    assert set(found.values()) == {tmp_path / "set" / clear for clear in LAYOUTS[name].values()}


def test_a_hazy_picture_without_its_clear_one_is_left_out(tmp_path):
    layout = {"simu/IMG_8583_50.jpg": "img/IMG_8583_RGB.jpg", "hazy/scene_1_a.png": "clear/scene_1.png"}
    make(tmp_path, layout | {"simu/IMG_9999_50.jpg": "simu/IMG_9999_50.jpg"})
    make(tmp_path, {"hazy/scene_2_a.png": "hazy/scene_2_a.png", "hazy/5_x.png": "hazy/5_x.png"})
    make(tmp_path, {"clear/5_1.png": "clear/5_2.png"})  # which of the two is not known
    assert pairs.find_pairs(tmp_path) == {
        hazy.split("/")[1].rsplit(".", 1)[0]: tmp_path / clear for hazy, clear in layout.items()
    }


def test_names_are_the_ends_of_a_path_that_identify_one_picture(tmp_path):
    words = make(tmp_path / "words", LAYOUTS["words"])
    assert set(pairs.find_pairs(words)) == {"cat_hazy", "old dog-hazy"}
    assert pairs.find_pairs(words / "hazy") == pairs.find_pairs(words)
    both = {f"{place}/hazy/{n}.png": f"{place}/gt/{n}.png" for place, n in (("a", 1), ("b", 1), ("b", 2))}
    assert set(pairs.find_pairs(make(tmp_path / "both", both))) == {"a/1", "b/1", "b/2", "2"}
    (words / "pairs.csv").write_text("one,two\n1,2\n")
    with pytest.raises(WrongUse, match=r"pairs.csv is not a table of pairs, with columns hazy,clear"):
        pairs.find_pairs(words)


def test_own_train_and_test_parts_are_kept_and_scenes_of_frames_are_not_split(tmp_path, monkeypatch):
    revide = make(tmp_path / "REVIDE", REVIDE)
    found = pairs.find_pairs(revide)
    assert found["Train/C002/00001"] == revide / "Train/gt/C002/00001.JPG" and "00001" not in found
    frames = lambda *scenes: {f"{scene}/{frame:05}.JPG" for scene in scenes for frame in range(3)}
    names = lambda folder: {path.as_posix() for path in listing.find_images(folder)}
    pairs.lay_out(revide, tmp_path / "own")
    for side in ("hazy", "clear"):
        assert names(tmp_path / "own" / side / "train") == frames("C001", "C002")
        assert names(tmp_path / "own" / side / "test") == frames("E001")
    pairs.lay_out(revide, tmp_path / "two", tests=2)
    assert names(tmp_path / "two/hazy/train") == frames("Test/E001")
    monkeypatch.setattr(pairs, "TESTS", 2)
    with pytest.raises(WrongUse, match="--test 2 leaves none of 2 folders of frames to train on"):
        pairs.lay_out(revide / "Train", tmp_path / "none")


@pytest.fixture
def its(tmp_path):
    """Twelve scenes, two hazy pictures of each, and one hazy picture without its clear one."""
    layout = {f"hazy/part{i}/{n}_{i}_0.9.png": f"clear/{n}.png" for n in range(1, 13) for i in (1, 2)}
    make(tmp_path / "ITS", layout)
    Image.new("L", (4, 4)).save(tmp_path / "ITS/hazy/99_1_0.9.png")
    return tmp_path / "ITS"


def scenes(folder):
    return {int(path.stem.split("_")[0]) for path in listing.find_images(folder)}


def test_a_data_set_is_laid_out_by_links(its, tmp_path, capsys):
    out = tmp_path / "out"
    pairs.main([str(its), str(out), "--test", "3"])
    assert capsys.readouterr().err == f"left out 1 hazy pictures of {its} that have no clear one\n"
    for side in ("hazy", "clear"):
        assert scenes(out / side / "train") == {*range(1, 10)} and scenes(out / side / "test") == {10, 11, 12}
    found = pairs.find_pairs(out)
    assert found["test/part2/11_2_0.9"].samefile(its / "clear/11.png") and len(set(found.values())) == 12
    (tmp_path / "moved").mkdir()
    for folder in (its, out):
        folder.rename(tmp_path / "moved" / folder.name)
    links = [tmp_path / "moved/out" / name for name in listing.find_images(tmp_path / "moved/out")]
    assert len(links) == 24 + 12 and all(path.is_symlink() and path.exists() for path in links)
    with pytest.raises(WrongUse, match="already laid out"):
        pairs.lay_out(tmp_path / "moved/out", tmp_path / "again", tests=1)


def test_disjoint_scenes(its, tmp_path):
    pairs.main([str(its), str(tmp_path / "out"), "--test", "2", "--disjoint"])
    hazy, clear = (scenes(tmp_path / "out" / side / "train") for side in ("hazy", "clear"))
    assert not hazy & clear and hazy | clear == set(range(1, 11)) and len(hazy) == len(clear)
    assert scenes(tmp_path / "out/hazy/test") == scenes(tmp_path / "out/clear/test") == {11, 12}
