"""Bad files among good ones: each is reported in one line, and the rest is done."""

import errno
import json
import os
import shutil

import pytest
from bad_data import BAD, UNUSUAL, assert_reported, fill
from helpers import TINY, VGG

import CartoonGAN
import edge_promoting
import networks
import test
from evaluation import __main__ as evaluation
from pictures import checkpoints
from utils import RunFailed

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes decoding.py's filter


def test_training(data, tmp_path, monkeypatch, capfd):
    reasons, scandir = {}, os.scandir
    for part in ("src_data/train", "src_data/test", "tgt_data/train"):
        folder = data / part
        (folder / "loop.jpg").symlink_to(".")
        (folder / "locked").mkdir()
        reasons |= fill(folder / "deep") | {folder / "loop.jpg": "a link to a folder"}
        reasons[folder / "locked"] = "Permission denied"

    def refuse_locked(path):  # permissions do not bind root
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_locked)
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", tmp_path]
    more = f"{TINY} --name Bad --pre_train_epoch 1 --train_epoch 1 --eval_every 1 --workers 1"
    CartoonGAN.main([*map(str, folders), *more.split()])
    output = capfd.readouterr().err
    assert output.count(f"warning: {len(UNUSUAL)} photographs are in both") == 1
    assert_reported(output, reasons)
    record = json.loads((tmp_path / "Bad_1_1_2_results/settings.json").read_text())["data"]
    for kind, count in (("photographs", 6), ("test photographs", 3), ("drawings", 6)):
        assert record[kind]["count"] == count + len(UNUSUAL)
        assert record[kind]["left out"] == len(BAD)


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
    reasons = fill(data / "in")
    del reasons[data / "in/row.png"]
    checkpoints.save(tmp_path / "net.pth", checkpoints.generator_file(networks.Generator(ngf=4, nb=1)))
    folders = ["--image_dir", data / "in", "--output_image_dir", tmp_path / "out"]
    argv = [*folders, "--pre_trained_model", tmp_path / "net.pth", "--device", "cpu", "--size", "64"]
    with pytest.raises(RunFailed, match=f"{len(reasons)} of {len(BAD | UNUSUAL)} pictures failed"):
        test.main([str(word) for word in argv])
    assert_reported(capfd.readouterr().err, reasons, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*UNUSUAL, "row.png"}


def test_evaluation(data, tmp_path, capfd):
    reasons = fill(data / "src_data/test") | fill(data / "tgt_data/train")
    results = tmp_path / "results"
    results.mkdir()
    for photo in (data / "src_data/test").iterdir():
        shutil.copy(photo.with_name("0.jpg") if photo.name in BAD else photo, results / photo.name)
    (results / "0.jpg").write_text("no image")
    reasons[results / "0.jpg"] = "not an image"
    argv = [results, "--photos", data / "src_data/test", "--drawings", data / "tgt_data/train"]
    more = "--features vgg19 --precision fp32 --device cpu --input_size 16 --vgg_model"
    assert not evaluation.main([*map(str, argv), *more.split(), str(VGG)])
    assert_reported(capfd.readouterr().err, reasons)
    rows = json.loads((results / "evaluation.json").read_text())["rows"]
    counts = [rows[name]["pictures"] for name in ("photos", "drawings", str(results))]
    assert counts == [3 + len(UNUSUAL), 6 + len(UNUSUAL), 2 + len(UNUSUAL)]
