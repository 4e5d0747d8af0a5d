"""The argument files in experiments/: each has its own run folder, and trains tiny epochs."""

import pytest
from helpers import ROOT, VGG

import CartoonGAN
from survey import cyclegan
from survey.cyclegan_options import CYCLEGAN
from training import history
from training.folder import run_folder
from training.options import CARTOONGAN

FILES = sorted((ROOT / "experiments").glob("*.txt"))
# Appended to each: the last value of an option counts. Blocks, channels, losses and the rest stay the file's.
SHORT = f"--vgg_model {VGG} --ngf 4 --ndf 4 --batch_size 3 --train_epoch 1 --input_size 24 --device cpu"
SHORT += " --workers 0"


def parsed(file):
    method = CYCLEGAN if file.stem.startswith("cyclegan") else CARTOONGAN
    return method.parse([f"@{file}"])[0]


def test_no_two_share_a_run_folder():
    assert len({run_folder(parsed(file)) for file in FILES}) == len(FILES) > 15


PRESETS = ("authors", "cyclegan_dehaze_thin", "dehaze_gray", "johnson", "residual")


@pytest.mark.parametrize("name", PRESETS)
def test_tiny_epochs(name, data, tmp_path):
    main, short, places = CartoonGAN.main, "--pre_train_epoch 1", ["1 1", "2 1"]
    if name.startswith("cyclegan"):
        main, short, places = cyclegan.main, "", ["2 1"]
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", tmp_path]
    main([f"@{ROOT}/experiments/{name}.txt", *map(str, folders), *f"{SHORT} {short}".split()])
    (metrics,) = tmp_path.glob("*_results/metrics.csv")
    assert [f"{row['phase']} {row['epoch']}" for row in history.read(metrics)] == places
