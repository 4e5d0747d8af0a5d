"""Bad files among good ones: every command reports each in one line, and does the rest."""

import csv
import ctypes
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from bad_data import BROKEN, DAMAGED, LINKS, LONG, UNUSUAL, assert_reported, fill, fill_with_links_to_folders
from helpers import TINY, VGG

import CartoonGAN
import edge_promoting
import networks
import test
from data import haze, pairs
from evaluation import __main__ as evaluation
from pictures import checkpoints, images, listing
from training import options
from training.data import prepare
from utils import RunFailed

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes decoding.py's filter

# linux/capability.h; the first is the version of its structures.
CAPABILITIES, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 0x20080522, 1, 2


@pytest.fixture
def limited(tmp_path):
    """Permissions count in this thread, also where the tests are root's."""
    libc, header, held = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(CAPABILITIES), (ctypes.c_uint32 * 6)()
    libc.capget(header, held)
    less = type(held)(*held)
    less[0] &= ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH)  # of those in effect
    libc.capset(header, less)
    (tmp_path / "locked").touch(mode=0)
    try:
        if os.access(tmp_path / "locked", os.R_OK, effective_ids=True):
            pytest.skip("nothing is locked for this user, who may not give that up")
        yield
    finally:
        libc.capset(header, held)


@pytest.mark.usefixtures("limited")
def test_training(data, tmp_path, capfd):
    reasons = {}
    for part in ("src_data/train", "src_data/test", "tgt_data/train"):
        folder = data / part
        reasons |= fill(folder / "deep") | fill_with_links_to_folders(folder)
        (folder / "locked.jpg").write_bytes(UNUSUAL["grey.jpg"])
        (folder / "locked.jpg").chmod(0)
        (folder / "locked").mkdir(mode=0)
        reasons |= dict.fromkeys([folder / "locked.jpg", folder / "locked"], "Permission denied")
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", tmp_path]
    more = f"{TINY} --name Bad --pre_train_epoch 1 --train_epoch 1 --eval_every 1 --workers 1"
    CartoonGAN.main([*map(str, folders), *more.split()])
    output = capfd.readouterr().err
    assert output.count(f"warning: {len(UNUSUAL) - 1} photographs are in both") == 1  # two have one content
    assert_reported(output, reasons)
    record = json.loads((tmp_path / "Bad_1_1_2_results/settings.json").read_text())["data"]
    left_out = len(LONG | DAMAGED | LINKS) + 1
    for kind, count in (("photographs", 17), ("test photographs", 14), ("drawings", 17)):
        assert (record[kind]["count"], record[kind]["left out"]) == (count, left_out)
    with open(tmp_path / "Bad_1_1_2_results/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and all(float(row["ssim"]) for row in rows)


def test_edge_promoting(data, capfd):
    drawings = data / "tgt_data/train"
    reasons = fill(drawings)
    long_name = drawings / f"{'n' * 250}.jpg"
    long_name.write_bytes(UNUSUAL["grey.jpg"])
    reasons[long_name] = "File name too long"
    assert edge_promoting.main([str(drawings), str(data / "pairs"), "--size", "16"]) == 1
    output = capfd.readouterr()
    assert f"{6 + len(UNUSUAL)} pairs in" in output.out
    assert_reported(output.err, reasons, "cannot read ")


def test_test_py(data, tmp_path, capfd):
    reasons = fill(data / "in", long=False)
    net = networks.Generator(ngf=4, nb=1)
    checkpoints.save(tmp_path / "net.pth", checkpoints.generator_file(net))
    links = fill_with_links_to_folders(data / "in")
    argv = ["--pre_trained_model", tmp_path / "net.pth", "--image_dir", data / "in", "--output_image_dir"]
    argv += [tmp_path / "out", "--device", "cpu", "--size", "64"]
    with pytest.raises(
        RunFailed, match=f"{len(reasons)} of {len(reasons) + len(UNUSUAL) + 2} pictures failed"
    ):
        test.main([str(word) for word in argv])
    lines = capfd.readouterr().err.splitlines()
    assert_reported("\n".join(line for line in lines if line.startswith("left out")), links)
    assert_reported("\n".join(line for line in lines if not line.startswith("left out")), reasons, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == UNUSUAL.keys() | LONG.keys()
    assert all(images.read(path).size for path in (tmp_path / "out").iterdir())


def test_haze_and_its_pairs(data, tmp_path, capfd):
    reasons = fill(data / "src_data/train", long=False)
    shutil.copytree(data / "src_data", tmp_path / "depth", symlinks=True)
    argv = [str(data / "src_data"), str(tmp_path / "out")]
    assert haze.main(argv) == 1
    assert_reported(capfd.readouterr().err, reasons)
    made = listing.find_images(tmp_path / "out/hazy/train")
    assert len(made) == 6 + len(UNUSUAL) + len(LONG)
    assert len(listing.find_images(tmp_path / "out/clear/train")) == len(made)
    circle = tmp_path / "out/hazy/train/0.png"
    circle.unlink()
    circle.symlink_to(circle)
    clear = pairs.find_pairs(tmp_path / "out")[f"train/{Path(BROKEN).stem}"]
    assert clear.read_bytes() == UNUSUAL[BROKEN]
    (tmp_path / "depth/train/3.jpg").write_text("no image")
    shutil.rmtree(tmp_path / "out")
    assert haze.main([*argv, "--depth_dir", str(tmp_path / "depth")]) == 1
    reasons[data / "src_data/train/3.jpg"] = f"cannot read {tmp_path}/depth/train/3.jpg: not an image"
    assert_reported(capfd.readouterr().err, reasons)


def test_evaluation(data, tmp_path, capfd):
    reasons = fill(data / "src_data/test") | fill(data / "tgt_data/train")
    results = tmp_path / "results"
    shutil.copytree(data / "src_data/test", results, symlinks=True)
    for path in listing.find_images(results):
        if path.name in DAMAGED.keys() | LINKS.keys() | LONG.keys():
            (results / path).unlink()
            shutil.copy(data / "src_data/test/0.jpg", results / path)
    (results / "0.jpg").write_text("no image")
    reasons[results / "0.jpg"] = "not an image"
    argv = [results, "--photos", data / "src_data/test", "--drawings", data / "tgt_data/train"]
    more = "--features vgg19 --precision fp32 --device cpu --input_size 16 --vgg_model"
    assert not evaluation.main([*map(str, argv), *more.split(), str(VGG)])
    assert_reported(capfd.readouterr().err, reasons)
    rows = json.loads((results / "evaluation.json").read_text())["rows"]
    counts = [rows[name]["pictures"] for name in ("photos", "drawings", str(results))]
    assert counts == [3 + len(UNUSUAL), 6 + len(UNUSUAL), 2 + len(UNUSUAL)]


def test_ready_made_pairs_need_two_halves(data, capsys):
    (data / "tgt_data/pair").mkdir()
    for number in range(3):
        images.write(data / f"tgt_data/pair/{number}.png", np.zeros((1, number or 4, 3), np.uint8))
    argv = ["--src_data", f"{data}/src_data", "--tgt_data", f"{data}/tgt_data", *TINY.split()]
    found = prepare(options.parse(argv)[0], 2, edge_promoting.make_pairs)
    assert [path.name for path in found.pairs] == ["0.png", "2.png"]
    reason = {data / "tgt_data/pair/1.png": "1 pixels wide, at least 2 needed"}
    assert_reported(capsys.readouterr().err, reason)
