"""Test photographs that disappear while a run trains: they are no longer measured."""

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

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes what decoding.py has said of these

CPU = torch.device("cpu")


@pytest.fixture
def measure(data):
    """(the function of judge.measure_of, the test photographs) of the tiny data, before anything is lost."""
    args = options.parse([*TINY.split(), "--tgt_data", f"{data}/tgt_data"])[0]
    torch.manual_seed(0)
    model = types.SimpleNamespace(generator=networks.Generator(ngf=4, nb=1), ema=None)
    model.vgg = checkpoints.load_vgg(VGG)
    tests = sorted((data / "src_data/test").iterdir())
    run = types.SimpleNamespace(args=args, data=Data([], tests, [], {}), model=model)
    run.device, run.precision = CPU, "fp32"
    return judge.measure_of(run), tests


def test_a_test_photograph_that_got_lost_is_not_measured(measure, capsys):
    measured, tests = measure
    before = measured()
    tests[0].write_text("no image")
    shutil.rmtree(tests[0].parents[2] / "tgt_data")  # the drawings were looked at once
    rows = measured(), measured()
    assert rows[0] == rows[1] and rows[0].keys() == before.keys() and rows[0]["ssim"] != before["ssim"]
    assert capsys.readouterr().err == f"left out {tests[0]}: not an image\n"


def test_without_a_test_photograph_nothing_is_measured_and_the_run_goes_on(measure, capsys):
    measured, tests = measure
    for path in tests:
        path.unlink()
    assert measured() == measured() == {}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "warning: nothing is measured: none of the 3 results can be read"


def test_a_judge_needs_one_picture_that_can_be_read(data):
    drawings = sorted((data / "tgt_data/train").iterdir())
    for path in drawings:
        path.write_bytes(b"")
    with pytest.raises(WrongUse, match="none of the 6 drawings can be read"):
        judge.Judge([], drawings, checkpoints.load_vgg(VGG), CPU, "fp32", 16, lambda image: image)
