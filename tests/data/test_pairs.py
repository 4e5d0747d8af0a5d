"""data/pairs.py on data sets as they are downloaded, made here of tiny files."""

import pytest
from PIL import Image

from data import pairs
from pictures import images, listing
from utils import WrongUse

# Hazy picture: its clear one. The names are those of the data sets.
LAYOUTS = {
    "ITS": {
        "hazy/1_1_0.90179.png": "clear/1.png",
        "hazy/1_2_0.97842.png": "clear/1.png",
        "hazy/10_1_0.8.png": "clear/10.png",
        "hazy/2_1_0.99082.png": "clear/2.png",
    },
    "OTS": {
        "hazy/part1/0005_0.8_0.04.jpg": "clear/clear_images/0005.jpg",
        "hazy/part2/0025_1_0.2.jpg": "clear/clear_images/0025.jpg",
    },
    "OTS_ALPHA": {"haze/OTS/0005_0.8_0.04.jpg": "clear/clear_images/0005.jpg"},
    "OTS_BETA": {"hazy/0005_0.8_0.04.jpg": "clear/0005.jpg"},
    "SOTS": {
        "indoor/nyuhaze500/hazy/1400_1.png": "indoor/nyuhaze500/gt/1400.png",
        "outdoor/hazy/0001_0.8_0.2.jpg": "outdoor/gt/0001.png",
    },
    "ITS_standard": {"train/ITS_haze/1_1_0.90179.png": "train/ITS_clear/1.png"},
    "O-HAZE": {
        "# O-HAZY NTIRE 2018/hazy/01_outdoor_hazy.jpg": "# O-HAZY NTIRE 2018/GT/01_outdoor_GT.jpg",
        "# O-HAZY NTIRE 2018/hazy/45_outdoor_hazy.JPG": "# O-HAZY NTIRE 2018/GT/45_outdoor_GT.jpg",
    },
    "RESIDE-6K": {
        "train/hazy/1.jpg": "train/GT/1.jpg",
        "train/hazy/2.jpg": "train/GT/2.jpg",
        "test/hazy/0001.jpg": "test/GT/0001.jpg",
    },
    "NH-HAZE": {f"NH-HAZE/{n:02}_hazy.png": f"NH-HAZE/{n:02}_GT.png" for n in (1, 2, 55)},
    "clear numbers without zeros": {
        "hazy/0001_0.8_0.2.jpg": "clear/1.png",
        "hazy/0010_0.8_0.2.jpg": "clear/10.png",
        "hazy/0100_1_0.2.jpg": "clear/100.png",
    },
    "words": {"hazy/cat_hazy.png": "clear/cat.png", "hazy/old dog-hazy.png": "clear/old dog-GT.png"},
    "HSTS": {"synthetic/synthetic/0586.jpg": "synthetic/original/0586.jpg"},
    "SateHaze1k": {
        f"Haze1k_{kind}/dataset/{part}/input/{n}-inputs.png": (
            f"Haze1k_{kind}/dataset/{part}/target/{n}-targets.png"
        )
        for kind, part, n in (("thin", "train", 1), ("thin", "train", 12), ("thick", "valid", 321))
    },
    "RICE": {f"RICE{n}/cloud/{n}7.png": f"RICE{n}/label/{n}7.png" for n in (1, 2)},
    "HazeRD": {
        f"data/simu/IMG_{n}_{visibility}.jpg": f"data/img/IMG_{n}_RGB.jpg"
        for n in (8583, 8589)
        for visibility in (50, 100)
    },
    "Foggy Cityscapes": {
        f"leftImg8bit_foggy/{city}_{n}_leftImg8bit_foggy_beta_{beta}.png": (
            f"leftImg8bit/{city}_{n}_leftImg8bit.png"
        )
        for city, n in (("train/ulm/ulm", "000000_000019"), ("val/lindau/lindau", "000001_000019"))
        for beta in ("0.005", "0.02")
    },
    "same names": {"hazy/a_1.png": "clear/a_1.png", "hazy/a_2.png": "clear/a_2.png"},
}
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


def laid_out(out):
    """{part/side: names below it} of what lay_out made."""
    return {
        f"{part}/{side}": {path.as_posix() for path in listing.find_images(out / side / part)}
        for part in ("train", "test")
        for side in ("hazy", "clear")
    }


# Which clear picture belongs to which hazy one


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name, tmp_path):
    layout = LAYOUTS[name]
    found = pairs.find_pairs(make(tmp_path / name, layout))
    for hazy, clear in layout.items():
        stem = hazy.split("/")[-1].rsplit(".", 1)[0]
        assert found[stem] == tmp_path / name / clear
    assert set(found.values()) == {tmp_path / name / clear for clear in layout.values()}


def test_a_hazy_picture_without_its_clear_one_gets_no_other(tmp_path):
    layout = {"simu/IMG_8583_50.jpg": "img/IMG_8583_RGB.jpg", "hazy/scene_1_a.png": "clear/scene_1.png"}
    make(tmp_path, layout | {"simu/IMG_9999_50.jpg": "simu/IMG_9999_50.jpg"})
    make(tmp_path, {"hazy/scene_2_a.png": "hazy/scene_2_a.png"})
    assert pairs.find_pairs(tmp_path) == {
        hazy.split("/")[1].rsplit(".", 1)[0]: tmp_path / clear for hazy, clear in layout.items()
    }


def test_names_are_the_ends_of_the_path_that_mean_one_picture(tmp_path):
    its = make(tmp_path / "ITS", LAYOUTS["ITS"])
    assert set(pairs.find_pairs(its)) == {"1_1_0.90179", "1_2_0.97842", "10_1_0.8", "2_1_0.99082"}
    assert pairs.find_pairs(its / "hazy") == pairs.find_pairs(its)
    both = {f"{place}/hazy/{n}.png": f"{place}/gt/{n}.png" for place, n in (("a", 1), ("b", 1), ("b", 2))}
    assert set(pairs.find_pairs(make(tmp_path / "both", both))) == {"a/1", "b/1", "b/2", "2"}


def test_a_table_is_read_back(tmp_path):
    out, clear = tmp_path / "out", make(tmp_path / "photos", {"test/a.jpg": "test/b.jpg"})
    (out / "hazy/test").mkdir(parents=True)
    hazy = lambda name: out / f"hazy/test/{name}.png"
    pairs.write(out, [{"hazy": hazy(x), "clear": clear / f"test/{x}.jpg", "beta": 1} for x in "ab"])
    assert (out / "pairs.csv").read_text().splitlines() == [
        "hazy,clear,beta",
        *(f"hazy/test/{name}.png,../photos/test/{name}.jpg,1" for name in "ab"),
    ]
    for folder in (out, out / "hazy/test"):
        found = pairs.find_pairs(folder)
        assert set(found) >= {"hazy/test/a", "test/a", "a", "b"}
        assert found["a"].samefile(clear / "test/a.jpg")
    (out / "pairs.csv").write_text("one,two\n1,2\n")
    with pytest.raises(WrongUse, match="is not a table of pairs"):
        pairs.find_pairs(out)


@pytest.mark.parametrize(
    ("files", "folder", "message"),
    [
        (["hazy/a.png", "gt/b.png"], "", "none of 1 hazy pictures has a clear one of its name, .* in .*gt "),
        (["01_hazy.png", "02_GT.png"], "", "none of 1 hazy pictures has a clear one"),
        (["hazy/a.png"], "", "hazy has no folder clear or gt beside it"),
        (["hazy/a.txt", "gt/a.png"], "", "no pictures in .*hazy"),
        (["hazy/a.png", "gt/a.png"], "gt", "it must hold folders hazy and clear or gt side by side"),
    ],
)
def test_what_is_missing_is_named(tmp_path, files, folder, message):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(WrongUse, match=f"no pairs in {tmp_path / folder}: .*{message}"):
        pairs.lay_out(tmp_path / folder, tmp_path.parent / f"{tmp_path.name}_out")


# Laid out for training


def test_a_data_sets_own_parts_are_kept(tmp_path, capsys):
    pairs.main([str(make(tmp_path / "6K", LAYOUTS["RESIDE-6K"])), str(tmp_path / "out")])
    train, test = {"1.jpg", "2.jpg"}, {"0001.jpg"}
    sides = {"train/hazy": train, "train/clear": train, "test/hazy": test, "test/clear": test}
    assert laid_out(tmp_path / "out") == sides
    assert capsys.readouterr().err == (
        "the data set's own train and test parts are kept; --test N would choose others\n"
    )
    pairs.lay_out(tmp_path / "6K", tmp_path / "other", tests=2)
    assert laid_out(tmp_path / "other")["train/hazy"] == {"train/1.jpg"}
    for name, tests in (("SateHaze1k", 1), ("Foggy Cityscapes", 2)):
        pairs.lay_out(make(tmp_path / name, LAYOUTS[name]), tmp_path / f"{name} out")
        assert len(laid_out(tmp_path / f"{name} out")["test/hazy"]) == tests
    layout = {f"{part}/hazy/1.png": f"{part}/gt/1.png" for part in ("train", "val", "test")}
    pairs.lay_out(make(tmp_path / "val", layout), tmp_path / "val out")  # val keeps its name beside test
    assert laid_out(tmp_path / "val out")["test/hazy"] == {"1.png", "val/1.png"}


def test_scenes_of_frames_are_paired_within_their_folder_and_not_split(tmp_path):
    revide = make(tmp_path / "REVIDE", REVIDE)
    found = pairs.find_pairs(revide)
    for hazy, clear in REVIDE.items():
        assert found[hazy.replace("/hazy", "").removesuffix(".JPG")] == revide / clear
    pairs.lay_out(revide, tmp_path / "own")
    made = laid_out(tmp_path / "own")
    assert made["test/hazy"] == made["test/clear"] == {f"E001/{frame:05}.JPG" for frame in range(3)}
    assert len(made["train/hazy"]) == 6
    pairs.lay_out(revide / "Train", tmp_path / "one", tests=1)
    made = laid_out(tmp_path / "one")
    assert {path.split("/")[0] for path in made["test/clear"]} == {"C002"} and len(made["test/clear"]) == 3
    assert {path.split("/")[0] for path in made["train/hazy"]} == {"C001"}
    with pytest.raises(WrongUse, match="--test 5 leaves none of 2 folders of frames to train on"):
        pairs.lay_out(revide / "Train", tmp_path / "two")
    (revide / REVIDE["Train/hazy/C002/00001.JPG"]).unlink()  # another scene's frame does not replace it
    assert "Train/C002/00001" not in pairs.find_pairs(revide)


@pytest.fixture
def its(tmp_path):
    """Twelve scenes, two hazy pictures of each, and one hazy picture without its clear one."""
    layout = {f"hazy/{n}_{turn}_0.9.png": f"clear/{n}.png" for n in range(1, 13) for turn in (1, 2)}
    make(tmp_path / "ITS", layout)
    Image.new("L", (4, 4)).save(tmp_path / "ITS/hazy/99_1_0.9.png")
    return tmp_path / "ITS"


def scenes(folder):
    return {int(path.stem.split("_")[0]) for path in listing.find_images(folder)}


def test_command_lays_out_by_links(its, tmp_path, run_cli):
    out = tmp_path / "out"
    end = run_cli("data/pairs.py", its, out, "--test", 3)
    assert end.returncode == 0 and end.stdout == f"24 hazy pictures in {out}/hazy, pairs in {out}/pairs.csv\n"
    assert end.stderr == "left out 1 hazy pictures that have no clear one\n"
    for side in ("hazy", "clear"):
        assert scenes(out / side / "train") == {*range(1, 10)} and scenes(out / side / "test") == {10, 11, 12}
    links = [out / name for name in listing.find_images(out)]
    assert len(listing.find_images(out / "hazy")) == 24 and len(links) == 24 + 12
    assert all(path.is_symlink() for path in links) and not images.check(links, "links").unreadable
    found = pairs.find_pairs(out)
    assert found["test/11_2_0.9"].samefile(its / "clear/11.png") and len(set(found.values())) == 12
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for folder in (its, out):
        folder.rename(moved / folder.name)
    assert all((moved / "out" / name).exists() for name in listing.find_images(moved / "out"))
    with pytest.raises(WrongUse, match="laid out already"):
        pairs.lay_out(moved / "out", tmp_path / "again", tests=1)


def test_disjoint_scenes(its, tmp_path):
    pairs.main([str(its), str(tmp_path / "out"), "--test", "2", "--disjoint"])
    hazy, clear = (scenes(tmp_path / "out" / side / "train") for side in ("hazy", "clear"))
    assert not hazy & clear and hazy | clear == set(range(1, 11)) and len(hazy) == len(clear)
    assert scenes(tmp_path / "out/hazy/test") == scenes(tmp_path / "out/clear/test") == {11, 12}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{IN} {OUT} --test 12", "--test 12 leaves none of 12 clear pictures to train on"),
        ("{IN} {IN}/out", "lies in"),
        ("{IN} {IN}/..", "is not empty"),
        ("none {OUT}", "no folder none"),
        ("{IN}/clear {OUT}", "no pairs in"),
    ],
)
def test_wrong_use(arguments, message, its, tmp_path):
    with pytest.raises(WrongUse, match=message):
        pairs.main(arguments.format(IN=its, OUT=tmp_path / "out").split())
