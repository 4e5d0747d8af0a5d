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
# Appended to each: the last word on an option wins. Blocks, channels, losses and the rest stay the file's.
SHORT = f"--vgg_model {VGG} --ngf 4 --ndf 4 --batch_size 3 --train_epoch 1 --input_size 24 --device cpu"
SHORT += " --workers 0"


def parsed(file):
    method = CYCLEGAN if file.stem.startswith("cyclegan") else CARTOONGAN
    return method.parse([f"@{file}"])[0]


def test_no_two_share_a_run_folder():
    assert len({run_folder(parsed(file)) for file in FILES}) == len(FILES) > 15


def form(file):
    """What a file sets beyond sizes, rates and numbers of epochs, which a tiny run need not repeat."""
    kept = "in_ngc res_convs upsample norm_init predict resize gan_mode diffaugment adv_lambda style_lambda "
    kept += "latest_generator_model cycle_lambda"
    return tuple(vars(parsed(file)).get(name) for name in kept.split())


@pytest.mark.parametrize("file", {form(file): file for file in FILES}.values(), ids=lambda file: file.stem)
def test_tiny_epochs(file, data, tmp_path):
    main, short, places = CartoonGAN.main, "--pre_train_epoch 1 --latest_generator_model none", ["1 1", "2 1"]
    if file.stem.startswith("cyclegan"):
        main, short, places = cyclegan.main, "", ["2 1"]
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", tmp_path]
    main([f"@{file}", *map(str, folders), *f"{SHORT} {short}".split()])
    (metrics,) = tmp_path.glob("*_results/metrics.csv")
    rows = history.read(metrics)
    assert [f"{row['phase']} {row['epoch']}" for row in rows] == places
    losses = {"style": "style", "tv": "total_variation", "pixel": "pixel", "cycle": "cycle"}
    for option, loss in losses.items():
        assert bool(rows[-1].get(loss)) == bool(vars(parsed(file)).get(f"{option}_lambda"))
