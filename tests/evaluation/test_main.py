"""python -m evaluation on tiny data: kinds of RESULTS, what is printed and written, one-line errors."""

import json
import shutil

import numpy as np
import pytest
import torch
from helpers import VGG

from evaluation import __main__ as evaluate
from evaluation import results, style
from networks import Generator
from pictures import checkpoints, images
from utils import WrongUse

SHORT = ["--features", "vgg19", "--vgg_model", VGG, "--precision", "fp32", "--device", "cpu"]


@pytest.fixture
def measured(data, capsys):
    """measured(*arguments) -> (the table's lines, the JSON), of the tiny data at 32 pixels."""

    def run(*arguments, photos="src_data/test"):
        folders = ["--photos", data / photos, "--drawings", data / "tgt_data/train", "--input_size", 32]
        assert not evaluate.main([str(word) for word in (*arguments, *folders, *SHORT)])
        lines = capsys.readouterr().out.splitlines()
        (line,) = [line for line in lines if line.startswith("written to ")]
        with open(line.removeprefix("written to ")) as file:
            return [line for line in lines if line.startswith("|")], json.load(file)

    return run


@pytest.fixture
def checkpoint(tmp_path):
    """A small generator's file, the only one in its folder."""
    torch.manual_seed(0)
    path = tmp_path / "weights" / "small.pth"
    path.parent.mkdir()
    checkpoints.save(path, checkpoints.generator_file(Generator(ngf=2, nb=1)))
    return path


def copy_photos(data, out):
    out.mkdir(parents=True)
    for path in (data / "src_data/test").iterdir():
        images.write(out / f"{path.stem}.png", images.read(path))
    return out


def test_results_keep_their_folders_and_may_have_another_extension_or_size(
    measured, data, tmp_path, monkeypatch
):
    for limit in ("FEWEST", "FEWEST_JUDGED", "LOWEST_AUC"):  # so that style is measured with few pictures
        monkeypatch.setattr(style, limit, 0)
    photos, folder = data / "src_data/test", tmp_path / "results"
    (photos / "deep").mkdir()
    (photos / "0.jpg").rename(photos / "deep/0.jpg")
    (folder / "deep").mkdir(parents=True)
    for name in ("deep/0", "2"):
        images.write(folder / f"{name}.webp", images.fit_within(images.read(photos / f"{name}.jpg"), 40))
    lines, record = measured(folder)
    row = record["rows"][str(folder)]
    assert row["pictures"] == 2 and 0.5 < row["ssim"] < 1 and "drawn" in row
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["photos", "drawings", folder.name]


def test_a_run_determines_data_and_sizes_and_each_of_two_results_has_a_file(
    data, checkpoint, tmp_path, monkeypatch, capsys
):
    run = tmp_path / "Small_1_1_4_results"
    run.mkdir()
    shutil.copy(checkpoint, run / "generator_latest.pth")
    sizes = {"input_size": 48, "load_size": 64, "resize": "squash"}
    folders = {"src_data": str(data / "src_data"), "tgt_data": str(data / "tgt_data")}
    settings = {"options": {**sizes, **folders, "vgg_model": "small"}}
    (run / "settings.json").write_text(json.dumps(settings))
    assert not evaluate.main([*map(str, (run, checkpoint, *SHORT))])
    assert f"photographs {data}/src_data/test, drawings {data}/tgt_data/train" in capsys.readouterr().err
    files = {run: run / "evaluation.json", checkpoint: checkpoint.with_name("small-evaluation.json")}
    rows = []
    for source, file in files.items():
        record = json.loads(file.read_text())
        assert record.items() >= sizes.items()
        assert [*record["rows"]] == ["photos", "drawings", str(source)]
        assert record["rows"]["photos"]["squares"] == 3 * 4  # 64 pixels are two squares of 48 that overlap
        rows.append(record["rows"][str(source)])
    assert rows[0] == rows[1] and rows[0]["content_change"] > 0
    with pytest.raises(WrongUse, match="--photos DIR and --drawings DIR needed"):
        evaluate.main([str(checkpoint), *map(str, SHORT)])
    monkeypatch.setattr(checkpoints, "load_vgg", None)
    with pytest.raises(TypeError):  # where VGG19 would be loaded
        evaluate.main([str(run), "--device", "cpu"])
    assert "the run was trained with --vgg_model small" in capsys.readouterr().err
    (run / "settings.json").write_text('{"options": {"input_size": -1}}')
    with pytest.raises(WrongUse, match=r"settings.json is damaged: .*input_size"):
        results.trained_with(run)


def test_pairs_are_measured_beside_the_dark_channel_prior(measured, data, tmp_path):
    folder = tmp_path / "pairs"
    hazy = copy_photos(data, folder / "hazy")
    table = "hazy,clear\n"
    for path in sorted(hazy.iterdir())[:2]:
        images.write(path, (0.5 * images.read(path) + 0.5 * 230).astype(np.uint8))
        table += f"hazy/{path.name},{data}/src_data/test/{path.stem}.jpg\n"
    (folder / "pairs.csv").write_text(table)
    perfect = copy_photos(data, tmp_path / "perfect")
    lines, record = measured(perfect, "--pairs", folder, "--output", tmp_path / "all.json", photos=hazy)
    assert not (perfect / "evaluation.json").exists()
    rows = record["rows"]
    assert rows[str(perfect)]["psnr_clear"] is None  # infinite, for which JSON has no number
    assert rows[str(perfect)]["ssim_clear"] == 1
    assert rows["photos"]["psnr_clear"] < rows["dark channel prior"]["psnr_clear"]
    assert rows["dark channel prior"]["pictures"] == 2
    assert lines[-1].startswith("| dark channel prior") and "psnr_clear" not in rows["drawings"]


def test_the_photographs_that_a_checkpoint_was_chosen_by_are_left_out(data, checkpoint, capsys):
    photos = results.find_pictures(data / "src_data/test")
    assert results.not_chosen_by(checkpoint, photos) == photos
    content = checkpoints.load(checkpoint) | {"chosen_by": images.check(photos[::2], "photographs").digests}
    checkpoints.save(checkpoint, content)
    assert results.not_chosen_by(checkpoint, photos) == photos[1::2]
    assert "was chosen by 2 of the 3 photos: left out of its row" in capsys.readouterr().err
    assert results.not_chosen_by(checkpoint, photos[::2]) == photos[::2]  # better than none


def test_style_is_fitted_to_photographs_that_are_not_measured(data, capsys):
    photos, train = data / "src_data/test", results.find_pictures(data / "src_data/train")
    assert results.find_training_photos(None, photos) == train
    assert results.find_training_photos(data / "src_data", photos) == train
    assert results.find_training_photos(None, data / "src_data/train") == []
    assert results.find_training_photos(None, data) == [] and "--train_photos" in capsys.readouterr().err
    with pytest.raises(WrongUse, match=f"no images in {VGG.parent}: looked for .*.jpg"):
        results.find_pictures(VGG.parent)


def test_differences_in_style_within_the_error_are_reported():
    drawn = lambda style, error: {"drawn": style, "drawn_std": error}
    rows = {"photos": drawn(0, 0.1), "drawings": drawn(1, 0.1), "old": {"ssim": 1}, "a": drawn(0.05, 0.1)}
    rows |= {"b": drawn(0.4, 0.1), "c": drawn(0.35, 0.1)}
    assert evaluate.remarks(rows) == [
        "a: the style differs from the photographs' by no more than its error",
        "c: the style is within the error of the highest, b",
    ]


def test_vgg19_replaces_an_unavailable_inception_unless_inception_was_requested(monkeypatch, capsys):
    def lost():
        raise OSError("no network")

    monkeypatch.setattr("torchmetrics.image.fid.FrechetInceptionDistance", lost)
    assert evaluate.find_inception(None, "cpu") is None
    assert "no Inception (its weights: no network): using VGG19's" in capsys.readouterr().err
    with pytest.raises(WrongUse, match=r"no Inception .*no network.*--features vgg19"):
        evaluate.find_inception("inception", "cpu")


FAULTS = {
    "0.png is twice as wide as its photo: run test.py without --side_by_side": lambda path, image: (
        images.write(path, images.side_by_side(image, image))
    ),
    "0.png does not have the aspect ratio": lambda path, image: images.write(path, image[:, :-6]),
    "other.png has no photo in": lambda path, _: path.rename(path.with_name("other.png")),
    "results: name a run folder": lambda path, _: shutil.rmtree(path.parent),
    "holds neither a generator_latest.pth nor pictures": lambda path, _: path.rename(path.with_suffix("")),
}


@pytest.mark.parametrize("message", FAULTS)
def test_wrong_results_are_reported_before_anything_slow(message, measured, data, tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    path, photo = tmp_path / "results/0.png", images.read(data / "src_data/test/0.jpg")
    images.write(path, photo)
    FAULTS[message](path, photo)
    monkeypatch.setattr(checkpoints, "load_vgg", None)
    with pytest.raises(WrongUse, match=message):
        measured(path.parent)
