"""What the columns of metrics.csv mean."""

import csv

import pytest
from helpers import tiny_run

import CartoonGAN
from evaluation.measures import MEASURES
from survey import cyclegan
from training import columns

EVERY_LOSS = "--style_lambda 1 --tv_lambda 1 --colour_lambda 1 --pre_train_epoch 1"


@pytest.mark.parametrize(("main", "options"), [(CartoonGAN.main, EVERY_LOSS), (cyclegan.main, "")])
def test_each_column_that_a_run_writes_has_a_line(data, tmp_path, main, options):
    words = tiny_run(data, tmp_path / "results", "--eval_every", 1, "--input_size", 32, "--train_epoch", 1)
    if main is cyclegan.main:
        at = words.index("--pre_train_epoch")
        del words[at : at + 2]
    main([*words, *options.split()])
    (path,) = tmp_path.glob("results/*/metrics.csv")
    with open(path, newline="") as file:
        found = csv.DictReader(file).fieldnames
    assert "kid_drawings" in found and "adversarial" in found
    assert [column for column in found[2:] if not columns.meaning(column, MEASURES, {})] == []


def test_measures_are_neither_losses_nor_companions_of_measures():
    found = ["phase", "epoch", "content", "content_change", "new", "new_std", "checkerboard_photo", "seconds"]
    assert columns.measures(found, {}) == ["content_change", "new", "checkerboard_photo"]
    assert columns.measures(["nce", "new"], {"nce": "the PatchNCE loss"}) == ["new"]


def test_the_meaning_of_a_column_that_is_not_listed():
    meaning = lambda column, **losses: columns.meaning(column, MEASURES, losses)
    assert meaning("new") == "" and "deviation" in meaning("new_std")
    assert meaning("new", new="the PatchNCE loss") == "the PatchNCE loss"
