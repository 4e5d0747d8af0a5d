"""The argument files in experiments/: each has its own run folder, and trains tiny epochs."""

import csv

import pytest
from helpers import ROOT, VGG

import CartoonGAN
from survey import cyclegan
from survey.cyclegan_options import CYCLEGAN
from training.folder import find_run, run_folder
from training.options import CARTOONGAN
from utils import WrongUse

FILES = sorted((ROOT / "experiments").glob("*.txt"))
# Appended to each: the last word on an option wins. Blocks, channels, losses and the rest stay the file's.
SHORT = f"--vgg_model {VGG} --ngf 4 --ndf 4 --batch_size 3 --train_epoch 1 --device cpu --workers 0"


def is_cyclegan(file):
    return file.stem.startswith("cyclegan")


def parsed(file):
    method = CYCLEGAN if is_cyclegan(file) else CARTOONGAN
    return method.parse([f"@{file}"])[0]


def test_no_two_share_a_run_folder():
    assert len({run_folder(parsed(file)) for file in FILES}) == len(FILES) > 15
    (paprika,) = (file for file in FILES if file.stem == "paprika_2000")
    assert f"--resume {run_folder(parsed(paprika))} --train_epoch 1000" in paprika.read_text()


def test_finetune_is_refused_without_a_generator_to_start_from(data, monkeypatch):
    monkeypatch.chdir(data)
    argv = [f"@{ROOT}/experiments/finetune.txt", "--src_data", "src_data", "--tgt_data", "tgt_data"]
    with pytest.raises(WrongUse, match=r"no file GENERATOR_TO_START_FROM.pth: --latest_generator_model"):
        find_run(argv)


def form(file):
    """What a file sets that a tiny run keeps."""
    lost = (
        "name tag src_data tgt_data ngf ndf batch_size input_size load_size train_epoch pre_train_epoch lrG"
    )
    return str(sorted((key, value) for key, value in vars(parsed(file)).items() if key not in lost.split()))


@pytest.mark.parametrize("file", {form(file): file for file in FILES}.values(), ids=lambda file: file.stem)
def test_tiny_epochs(file, data, tmp_path):
    main, short, places = CartoonGAN.main, "--pre_train_epoch 1 --latest_generator_model none", ["1 1", "2 1"]
    if is_cyclegan(file):
        main, short, places = cyclegan.main, "", ["2 1"]
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", tmp_path]
    main([f"@{file}", *map(str, folders), *f"{SHORT} --input_size 24 {short}".split()])
    (metrics,) = tmp_path.glob("*_results/metrics.csv")
    with open(metrics, newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [f"{row['phase']} {row['epoch']}" for row in rows] == places
    weights = vars(parsed(file))
    for loss, option in (
        ("style", "style"),
        ("total_variation", "tv"),
        ("pixel", "pixel"),
        ("cycle", "cycle"),
    ):
        assert bool(rows[-1].get(loss)) == bool(weights.get(f"{option}_lambda"))
