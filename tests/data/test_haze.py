"""data/haze.py: the scattering model, what is written, and what determines the haze."""

import csv

import numpy as np
import pytest
from PIL import Image

from data import haze, pairs
from pictures import images, listing
from utils import WrongUse

TESTS = "test/0", "test/1", "test/2"


@pytest.fixture
def clear(data):
    """A folder with train/ (six photographs) and test/ (three)."""
    return data / "src_data"


def run(*args):
    """The rows of the table that data/haze.py writes."""
    assert not haze.main([*map(str, args)])
    with open(args[1] / "pairs.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_scattering_model_by_hand():
    pixel, depth = np.array([[[200, 100, 0]]], np.uint8), np.array([[0.5]])
    # t = exp(-1.2 * 0.5) = 0.548812; 255 * 0.9 * (1 - t) = 103.5477
    assert haze.add_haze(pixel, depth, beta=1.2, airlight=0.9).tolist() == [[[213, 158, 104]]]


def test_synthetic_depth_is_smooth_and_increases_from_the_ground_to_the_sky():
    for seed in range(5):
        depth = haze.make_depth(90, 120, np.random.default_rng(seed))
        assert depth.shape == (90, 120) and depth.min() >= 0 and depth.max() <= 1
        assert depth[:30].mean() > depth[30:60].mean() > depth[60:].mean()
        assert max(abs(np.diff(depth, axis=axis)).max() for axis in (0, 1)) < 0.06
        assert np.ptp(depth.mean(0)) > 0.01  # columns differ


def test_hazy_pictures_links_to_clear_ones_and_their_pairs_are_written(clear, tmp_path):
    out = tmp_path / "hazed"
    table = run(clear, out, "--airlight", 0.8, 0.9)
    assert list(table[0]) == ["hazy", "clear", "beta", "airlight"] and len(table) == 9
    for row in table:
        name = row["hazy"].removeprefix("hazy/").removesuffix(".png")
        assert (out / row["clear"]).samefile(clear / f"{name}.jpg")
        assert 0.6 <= float(row["beta"]) <= 1.8 and 0.8 <= float(row["airlight"]) <= 0.9
        hazy, picture = images.read(out / row["hazy"]), images.read(out / row["clear"])
        light = 255 * float(row["airlight"])
        assert hazy.shape == picture.shape and (abs(hazy - light) <= abs(picture - light) + 1).all()
    assert len({row["beta"] for row in table}) == 9
    assert pairs.find_pairs(out)["test/0"].samefile(clear / "test/0.jpg")
    for part in ("train", "test"):
        assert listing.find_images(out / "clear" / part) == listing.find_images(clear / part)


def test_the_haze_depends_only_on_seed_and_name_also_in_disjoint_halves(clear, tmp_path):
    table = run(clear, tmp_path / "a")
    other = run(clear, tmp_path / "b", "--seed", 1)
    assert not {row["beta"] for row in table} & {row["beta"] for row in other}
    (clear / "train/5.jpg").unlink()
    run(clear, tmp_path / "half", "--disjoint")
    hazy, clear_ones = (listing.find_images(tmp_path / "half" / side) for side in ("hazy", "clear"))
    assert [*map(str, hazy)] == [f"{name}.png" for name in [*TESTS, "train/0", "train/2", "train/4"]]
    assert [*map(str, clear_ones)] == [f"{name}.jpg" for name in [*TESTS, "train/1", "train/3"]]
    for name in hazy:  # other files make no difference
        assert np.array_equal(*(images.read(tmp_path / folder / "hazy" / name) for folder in ("a", "half")))
    assert pairs.find_pairs(tmp_path / "half")["train/4"].samefile(clear / "train/4.jpg")


def test_depth_files_are_read(clear, tmp_path):
    for name in listing.find_images(clear):
        depth = np.zeros((10, 10), np.uint8)
        depth[:, 5:] = 255  # near on the left, far on the right
        (tmp_path / "depth" / name.parent).mkdir(parents=True, exist_ok=True)
        Image.fromarray(depth).save(tmp_path / "depth" / name.with_suffix(".png"))
    more = "--depth_dir", tmp_path / "depth", "--beta", 50, 50, "--airlight", 1, 1
    for row in run(clear, tmp_path / "out", *more):
        hazy, picture = (images.read(tmp_path / "out" / row[key]) for key in ("hazy", "clear"))
        edge = picture.shape[1] // 2
        assert np.array_equal(hazy[:, : edge - 6], picture[:, : edge - 6])
        assert (hazy[:, edge + 6 :] == 255).all()
    (tmp_path / "depth/test/2.png").unlink()
    with pytest.raises(WrongUse, match=r"no depth for test/2.jpg: save it as .*/depth/test/2.png"):
        run(clear, tmp_path / "other", "--depth_dir", tmp_path / "depth")
    assert not (tmp_path / "other").exists()
