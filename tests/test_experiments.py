"""The argument files in experiments/: each is parsed, keeps its form, and trains two tiny epochs."""

import csv

import pytest
from helpers import ROOT, VGG

import CartoonGAN
from survey import cyclegan
from survey.cyclegan_options import CYCLEGAN
from training import folder as folders
from training.options import CARTOONGAN
from utils import WrongUse

FILES = sorted((ROOT / "experiments").glob("*.txt"))
CYCLEGANS = [file for file in FILES if file.stem.startswith("cyclegan")]
# Appended to each: the last word on an option wins. Blocks, channels, losses and the rest stay the file's.
SHORT = f"--vgg_model {VGG} --ngf 4 --ndf 4 --batch_size 3 --train_epoch 1 --device cpu --workers 0"


def parsed(file):
    method = CYCLEGAN if file in CYCLEGANS else CARTOONGAN
    return method.parse([f"@{file}"])[0]


def test_all_are_there():
    assert {file.stem for file in FILES} >= {
        *("hayao_100", "hayao_2000", "hayao_2000_lr5e-4", "paprika_2000", "residual", "sword"),
        *("dehaze_thin", "dehaze_thick", "haze", "dehaze_gray", "style", "upsample", "authors", "sample"),
        *("recommended", "finetune", "johnson"),
        *("cyclegan", "cyclegan_dehaze_thin", "cyclegan_dehaze_thick"),
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_comment_first_and_the_data_last(file):
    first, *_, photos, drawings = file.read_text().splitlines()
    assert first.startswith("# ")
    assert photos.startswith("--src_data data/") and drawings.startswith("--tgt_data data/")


def test_no_two_share_a_run_folder():
    assert len({folders.run_folder(parsed(file)) for file in FILES}) == len(FILES)


def test_the_way_on_that_paprika_names_is_to_its_own_folder():
    (file,) = (file for file in FILES if file.stem == "paprika_2000")
    assert f"--resume {folders.run_folder(parsed(file))} --train_epoch 1000" in file.read_text()


def test_finetune_is_refused_without_a_generator_to_start_from(data, monkeypatch):
    monkeypatch.chdir(data)
    argv = [f"@{ROOT}/experiments/finetune.txt", "--src_data", "src_data", "--tgt_data", "tgt_data"]
    with pytest.raises(WrongUse, match=r"no file GENERATOR_TO_START_FROM.pth: --latest_generator_model"):
        folders.find_run(argv)


def trained(main, file, data, results, short):
    """The rows of metrics.csv of a short run of a file."""
    places = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", results]
    main([f"@{file}", *map(str, places), *f"{SHORT} {short}".split()])
    (metrics,) = results.glob("*_results/metrics.csv")
    with open(metrics, newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    "file", [file for file in FILES if file not in CYCLEGANS], ids=lambda file: file.stem
)
def test_two_tiny_epochs(file, data, tmp_path):
    short = "--input_size 16 --pre_train_epoch 1 --latest_generator_model none"
    rows = trained(CartoonGAN.main, file, data, tmp_path, short)
    assert [(row["phase"], row["epoch"]) for row in rows] == [("1", "1"), ("2", "1")]
    args = parsed(file)
    assert ("style" in rows[1], "total_variation" in rows[1]) == (args.style_lambda > 0, args.tv_lambda > 0)


@pytest.mark.parametrize("file", CYCLEGANS, ids=lambda file: file.stem)
def test_a_tiny_epoch_of_cyclegan(file, data, tmp_path):
    (row,) = trained(cyclegan.main, file, data, tmp_path, "--input_size 24")
    assert "identity_back" in row and (row["phase"], row["epoch"]) == ("2", "1")
