"""data/haze.py: the scattering model at its ends and by hand, what it writes, what decides it."""

import csv

import numpy as np
import pytest
from PIL import Image

import edge_promoting
import training.data
from data import haze, pairs
from pictures import images, listing
from training import options
from utils import RunFailed, WrongUse

PICTURE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)


@pytest.fixture
def clear(data):
    """A folder with train/ (six photographs) and test/ (three)."""
    return data / "src_data"


def run(*args):
    assert not haze.main([*map(str, args)])


def rows(out):
    with open(out / "pairs.csv", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}


def test_the_ends_of_the_model():
    far = np.ones((9, 12))
    assert np.array_equal(haze.haze(PICTURE, far, beta=0, airlight=0.8), PICTURE)
    assert np.array_equal(haze.haze(PICTURE, 0 * far, beta=9, airlight=0.8), PICTURE)
    assert (haze.haze(PICTURE, far, beta=50, airlight=0.8) == 204).all()


def test_a_pixel_by_hand():
    pixel, depth = np.array([[[200, 100, 0]]], np.uint8), np.array([[0.5]])
    # t = exp(-1.2 * 0.5) = 0.548812; 255 * 0.9 * (1 - t) = 103.5477
    assert haze.haze(pixel, depth, beta=1.2, airlight=0.9).tolist() == [[[213, 158, 104]]]


def test_made_depth_is_smooth_and_grows_from_the_ground_to_the_sky():
    for seed in range(20):
        depth = haze.made_depth(90, 120, np.random.default_rng(seed))
        assert depth.shape == (90, 120) and depth.min() >= 0 and depth.max() <= 1
        assert depth[:30].mean() > depth[30:60].mean() > depth[60:].mean()
        assert max(abs(np.diff(depth, axis=axis)).max() for axis in (0, 1)) < 0.06
        assert np.ptp(depth.mean(0)) > 0.01  # no two columns need be alike


def test_what_is_written(clear, tmp_path):
    out = tmp_path / "hazed"
    run(clear, out, "--airlight", 0.8, 0.9)
    table = rows(out)
    assert list(table[0]) == ["hazy", "clear", "beta", "airlight"] and len(table) == 9
    for row in table:
        name = row["hazy"].removeprefix("hazy/").removesuffix(".png")
        assert (out / row["clear"]).samefile(clear / f"{name}.jpg")
        assert 0.6 <= float(row["beta"]) <= 1.8 and 0.8 <= float(row["airlight"]) <= 0.9
        hazy, picture = images.read(out / row["hazy"]), images.read(out / row["clear"])
        assert hazy.shape == picture.shape
        light = 255 * float(row["airlight"])
        assert (abs(hazy - light) <= abs(picture - light) + 1).all()
    assert len({row["beta"] for row in table}) == 9
    found = pairs.find_pairs(out)
    assert found["test/0"].samefile(clear / "test/0.jpg")
    for part in ("train", "test"):
        assert listing.find_images(out / "clear" / part) == listing.find_images(clear / part)
        assert (out / "clear" / part / "1.jpg").samefile(clear / part / "1.jpg")


def test_the_folders_train_both_ways(clear, tmp_path):
    run(clear, tmp_path / "out")
    for src, tgt in (("hazy", "clear"), ("clear", "hazy")):
        places = [f"--{key}_data={tmp_path}/out/{name}" for key, name in (("src", src), ("tgt", tgt))]
        args, _ = options.parse([*places, "--batch_size=2", "--input_size=16"])
        data = training.data.prepare(args, fewest=2, make_pairs=edge_promoting.make_pairs)
        assert [len(paths) for paths in data[:3]] == [6, 3, 6]


def test_only_seed_and_name_decide(clear, tmp_path):
    run(clear, tmp_path / "a")
    run(clear, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    run(clear, tmp_path / "c", "--seed", 1)
    assert all(contents(tmp_path / "a")[name] != data for name, data in contents(tmp_path / "c").items())
    (clear / "train/0.jpg").unlink()  # what else there is does not matter
    run(clear, tmp_path / "d")
    assert contents(tmp_path / "d").items() <= contents(tmp_path / "a").items()


def test_disjoint_halves(clear, tmp_path):
    run(clear, tmp_path / "out", "--disjoint")
    hazy, plain = (listing.find_images(tmp_path / "out" / name) for name in ("hazy", "clear"))
    assert [path.as_posix() for path in hazy if path.parts[0] == "train"] == [
        f"train/{n}.png" for n in (0, 2, 4)
    ]
    assert [path.as_posix() for path in plain if path.parts[0] == "train"] == [
        f"train/{n}.jpg" for n in (1, 3, 5)
    ]
    assert (
        sum(path.parts[0] == "test" for path in hazy) == sum(path.parts[0] == "test" for path in plain) == 3
    )
    assert pairs.find_pairs(tmp_path / "out")["train/4"].samefile(clear / "train/4.jpg")


def test_depths_are_read(clear, tmp_path):
    for name in listing.find_images(clear):
        depth = np.zeros((10, 10), np.uint8)
        depth[:, 5:] = 255  # near on the left, far on the right
        (tmp_path / "depth" / name.parent).mkdir(parents=True, exist_ok=True)
        Image.fromarray(depth).save(tmp_path / "depth" / name.with_suffix(".png"))
    run(clear, tmp_path / "out", "--depth_dir", tmp_path / "depth", "--beta", 50, 50, "--airlight", 1, 1)
    for row in rows(tmp_path / "out"):
        hazy, picture = (images.read(tmp_path / "out" / row[key]) for key in ("hazy", "clear"))
        edge = picture.shape[1] // 2
        assert np.array_equal(hazy[:, : edge - 6], picture[:, : edge - 6])
        assert (hazy[:, edge + 6 :] == 255).all()
    (tmp_path / "depth/test/2.png").unlink()
    with pytest.raises(WrongUse, match=r"no depth for test/2.jpg: it must be .*/depth/test/2.png"):
        run(clear, tmp_path / "other", "--depth_dir", tmp_path / "depth")
    assert not (tmp_path / "other").exists()


def test_a_damaged_picture_is_left_out(clear, tmp_path, run_cli):
    (clear / "train/3.jpg").write_text("no picture")
    end = run_cli("data/haze.py", clear, tmp_path / "out")
    assert (end.returncode, end.stderr) == (1, f"left out {clear}/train/3.jpg: not an image\n")
    assert len(rows(tmp_path / "out")) == 8


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("no/folder {OUT}", "no folder no/folder"),
        ("{EMPTY} {OUT}", "no images in"),
        ("{IN} {IN}/train/hazy", "lies in"),
        ("{IN} {FULL}", "is not empty: name a new folder"),
        ("{IN} {OUT} --beta 2 1", "argument --beta: 2 is more than 1"),
        ("{IN} {OUT} --airlight 0.5 1.5", "argument --airlight"),
        ("{TWICE} {OUT}", "1 pictures in"),
    ],
)
def test_wrong_use(arguments, told, clear, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    for extension in ("png", "jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"twice/a.{extension}")
    names = {"OUT": "out", "EMPTY": "empty", "FULL": "data", "TWICE": "twice"}
    places = {"IN": clear, **{word: tmp_path / name for word, name in names.items()}}
    with pytest.raises(WrongUse, match=told):
        haze.main(arguments.format(**places).split())


def test_no_picture_can_be_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_text("no picture")
    with pytest.raises(RunFailed, match=r"no image in .* can be read"):
        haze.main([str(tmp_path / "in"), str(tmp_path / "out")])
