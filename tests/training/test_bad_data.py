"""Test photographs that disappear while a run trains are no longer measured."""

import shutil
import types

import pytest
import torch
from helpers import TINY, VGG

import networks
from evaluation import judge
from pictures import checkpoints
from training import options
from training.data import Data
from utils import WrongUse

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes decoding.py's filter

CPU = torch.device("cpu")


def test_lost_test_photographs_are_not_measured(data, capsys):
    args = options.parse([*TINY.split(), "--tgt_data", f"{data}/tgt_data"])[0]
    torch.manual_seed(0)
    model = types.SimpleNamespace(generator=networks.Generator(ngf=4, nb=1), ema=None)
    model.vgg = checkpoints.load_vgg(VGG)
    tests = sorted((data / "src_data/test").iterdir())
    run = types.SimpleNamespace(args=args, data=Data([], tests, [], {}), model=model)
    run.device, run.precision = CPU, "fp32"
    measure = judge.measure_of(run)
    before = measure()
    tests[0].write_text("no image")
    shutil.rmtree(data / "tgt_data")  # the drawings were read once
    rows = measure(), measure()
    assert rows[0] == rows[1] and rows[0].keys() == before.keys() and rows[0]["ssim"] != before["ssim"]
    assert capsys.readouterr().err == f"left out {tests[0]}: not an image\n"
    for path in tests:
        path.unlink()
    assert measure() == measure() == {}
    assert capsys.readouterr().err.count("warning: nothing is measured") == 1


def test_a_judge_needs_one_picture_that_can_be_read(data):
    drawings = sorted((data / "tgt_data/train").iterdir())
    for path in drawings:
        path.write_bytes(b"")
    with pytest.raises(WrongUse, match="none of the 6 drawings can be read"):
        judge.Judge([], drawings, checkpoints.load_vgg(VGG), CPU, "fp32", 16, lambda image: image)
