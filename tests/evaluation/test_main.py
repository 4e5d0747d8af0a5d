"""The command from end to end on tiny data, what RESULTS may be, and errors of one line."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from helpers import VGG

from evaluation import __main__ as evaluate
from evaluation import results as opened
from evaluation import table
from networks import Generator
from pictures import checkpoints, images, inference
from utils import WrongUse

SHORT = ["--features", "vgg19", "--vgg_model", VGG, "--precision", "fp32", "--device", "cpu"]


@pytest.fixture
def measured(data, capsys):
    """measured(*arguments) -> (the table's lines, the JSON), of the tiny data at 32 pixels."""

    def run(*arguments, photos="src_data/test", size=("--input_size", 32)):
        folders = ["--photos", data / photos, "--drawings", data / "tgt_data/train"]
        assert not evaluate.main([str(word) for word in (*arguments, *folders, *SHORT, *size)])
        out = capsys.readouterr().out
        (line,) = [line for line in out.splitlines() if line.startswith("written to ")]
        with open(line.removeprefix("written to ")) as file:
            return [line for line in out.splitlines() if line.startswith("|")], json.load(file)

    return run


@pytest.fixture
def checkpoint(tmp_path):
    """A small generator's file, beside it nothing."""
    torch.manual_seed(0)
    path = tmp_path / "weights" / "small.pth"
    path.parent.mkdir()
    checkpoints.save(path, checkpoints.generator_file(Generator(ngf=2, nb=1)))
    return path


def copy_photos(data, out, extension=".png"):
    out.mkdir()
    for path in (data / "src_data/test").iterdir():
        images.write(out / (path.stem + extension), images.read(path))
    return out


def test_a_folder_of_results(measured, data, tmp_path):
    results = copy_photos(data, tmp_path / "results")
    lines, record = measured(results)
    assert [line.split("|")[1].strip() for line in lines] == [
        "",
        "-" * len(str(results)),
        "photos",
        "drawings",
        str(results),
    ]
    assert "KID to drawings" in lines[0] and len({len(line) for line in lines}) == 1
    row = record["rows"][str(results)]
    assert row["content_change"] == 0 and row["ssim"] == 1
    assert f"{row['kid_drawings']:.4f} ± {row['kid_drawings_std']:.4f}" in lines[-1]
    assert row["kid_drawings"] == record["rows"]["photos"]["kid_drawings"]
    assert record["features"] == f"VGG19 conv4_4, mean of a square ({VGG})"
    sizes = record["input_size"], record["load_size"], record["resize"]
    assert (sizes, record["pairs"]) == ((32, 32, "crop"), None)
    assert (results / "evaluation.json").exists()


def test_results_keep_their_folders_and_may_have_another_extension_or_size(measured, data, tmp_path):
    nested = data / "src_data/test/deep"
    nested.mkdir()
    shutil.move(data / "src_data/test/0.jpg", nested / "0.jpg")
    results = tmp_path / "results"
    for path in (data / "src_data/test").rglob("*.jpg"):
        target = results / path.relative_to(data / "src_data/test").with_suffix(".webp")
        target.parent.mkdir(parents=True, exist_ok=True)
        images.write(target, images.fit_within(images.read(path), 40))
    _, record = measured(results)
    row = record["rows"][str(results)]
    assert row["pictures"] == 3 and 0.5 < row["ssim"] < 1


def test_a_photo_without_result_is_left_out(data, tmp_path, capsys):
    results = copy_photos(data, tmp_path / "results")
    (results / "0.png").unlink()
    photos = evaluate.pictures(data / "src_data/test")
    _, found = opened.open_results(results, data / "src_data/test", photos, None, None, None)
    assert [path.name for path in found] == ["1.jpg", "2.jpg"]
    assert "1 of 3 photos have no result" in capsys.readouterr().err


def test_checkpoints_and_runs_in_one_table(measured, checkpoint, tmp_path):
    run = tmp_path / "Small_1_1_4_results"
    run.mkdir()
    shutil.copy(checkpoint, run / "generator_latest.pth")
    options = {"options": {"input_size": 48, "load_size": 64, "resize": "squash"}}
    (run / "settings.json").write_text(json.dumps(options))
    lines, record = measured(run, checkpoint, "--output", tmp_path / "all.json", size=())
    assert (record["input_size"], record["load_size"], record["resize"]) == (48, 64, "squash")
    assert record["rows"]["photos"]["squares"] == 3 * 4  # 64 pixels are two squares of 48 that overlap
    assert not (run / "evaluation.json").exists() and len(lines) == 6
    rows = record["rows"]
    assert rows[str(run)] == rows[str(checkpoint)] and rows[str(run)]["content_change"] > 0
    # The photo is given in training's size: both are looked at in that.
    assert rows[str(run)]["checkerboard_photo"] == rows["photos"]["checkerboard"]


def test_a_run_knows_its_data_and_each_of_two_has_a_file_of_its_own(data, checkpoint, tmp_path, capsys):
    runs = [tmp_path / name for name in ("One_results", "Two_results")]
    for run in runs:
        run.mkdir()
        shutil.copy(checkpoint, run / "generator_latest.pth")
    options = {"input_size": 32, "src_data": str(data / "src_data"), "tgt_data": str(data / "tgt_data")}
    (runs[0] / "settings.json").write_text(json.dumps({"options": options}))
    assert not evaluate.main([*map(str, (*runs, *SHORT))])
    told = capsys.readouterr()
    assert f"photographs {data}/src_data/test, drawings {data}/tgt_data/train" in told.err
    for run in runs:
        assert f"written to {run}/evaluation.json\n" in told.out
        assert [*json.loads((run / "evaluation.json").read_text())["rows"]] == [
            "photos",
            "drawings",
            str(run),
        ]
    with pytest.raises(WrongUse, match="--photos DIR and --drawings DIR needed"):
        evaluate.main([str(runs[1]), *map(str, SHORT)])


def test_the_json_lies_beside_a_checkpoint_or_where_told(measured, checkpoint, tmp_path):
    measured(checkpoint)
    assert (checkpoint.parent / "small-evaluation.json").exists()
    _, record = measured(checkpoint, "--output", tmp_path / "told.json")
    assert (tmp_path / "told.json").exists() and record["rows"][str(checkpoint)]["pictures"] == 3


def test_one_channel_is_measured_with_the_colour_that_it_is_shown_with(measured, data, tmp_path):
    torch.manual_seed(0)
    path, shown = tmp_path / "grey.pth", tmp_path / "shown"
    checkpoints.save(path, checkpoints.generator_file(Generator(in_ngc=1, out_ngc=1, ngf=2, nb=1)))
    generator = inference.prepare(checkpoints.load_generator(path), torch.device("cpu"), "fp32")
    small = copy_photos(data, tmp_path / "small")
    shown.mkdir()
    for photo in small.iterdir():
        images.write(photo, images.fit_training(images.read(photo), 32, "crop"))
        images.write(shown / photo.name, inference.convert(generator, [images.read(photo)])[0])
    rows = measured(path, shown, "--output", tmp_path / "all.json", photos=small)[1]["rows"]
    assert rows[str(path)] == rows[str(shown)] and rows[str(path)]["ssim"] < 1


def test_pairs_are_measured_beside_the_dark_channel_prior(measured, data, tmp_path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    hazy = copy_photos(data, folder / "hazy")
    with open(folder / "pairs.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["hazy", "clear", "beta"])
        for path in sorted(hazy.iterdir())[:2]:
            image = images.read(path)
            images.write(path, (0.5 * image + 0.5 * 230).astype(np.uint8))
            clear = data / "src_data/test" / f"{path.stem}.jpg"
            table.writerow([f"hazy/{path.name}", clear, 1.0])
    perfect = copy_photos(data, tmp_path / "perfect")
    lines, record = measured(perfect, "--pairs", folder, photos=hazy)
    rows = record["rows"]
    assert rows[str(perfect)]["psnr_clear"] is None  # infinite, for which JSON has no number
    assert rows[str(perfect)]["ssim_clear"] == 1
    assert rows["photos"]["psnr_clear"] < rows["dark channel prior"]["psnr_clear"]
    assert rows["dark channel prior"]["pictures"] == 2
    assert lines[-1].startswith("| dark channel prior") and "psnr_clear" not in rows["drawings"]


def test_inception_is_taken_where_it_can_be_had(monkeypatch, capsys):
    torchmetrics = pytest.importorskip("torchmetrics.image.fid")

    def lost(*_):
        raise OSError("no network")

    monkeypatch.setattr(torchmetrics, "FrechetInceptionDistance", lost)
    assert evaluate.find_inception("vgg19", "cpu") is None
    assert capsys.readouterr().err == ""
    assert evaluate.find_inception(None, "cpu") is None
    assert "no Inception (its weights: no network): VGG19's" in capsys.readouterr().err
    with pytest.raises(WrongUse, match=r"no Inception .*no network.*--features vgg19"):
        evaluate.find_inception("inception", "cpu")


def side_by_side(data, results):
    for path in results.iterdir():
        images.write(path, images.side_by_side(images.read(path), images.read(path)))


def cut(data, results):
    for path in results.iterdir():
        images.write(path, images.read(path)[:, :20])


def rename(data, results):
    (results / "0.png").rename(results / "other.png")


def empty(data, results):
    for path in results.iterdir():
        path.unlink()


def gone(data, results):
    shutil.rmtree(results)


def no_photos(data, results):
    shutil.rmtree(data / "src_data/test")


def no_drawings(data, results):
    shutil.rmtree(data / "tgt_data/train")
    (data / "tgt_data/train").mkdir()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (side_by_side, "0.png is twice as wide as its photo: run test.py without --side_by_side"),
        (cut, "0.png has not the shape of its photo"),
        (rename, "other.png has no photo in"),
        (empty, "results holds neither a generator_latest.pth nor pictures"),
        (gone, "results: name a run folder"),
        (no_photos, "no folder"),
        (no_drawings, "no images in"),
    ],
)
def test_what_is_wrong_with_the_folders_is_told_before_anything_slow(
    spoil, told, data, tmp_path, monkeypatch
):
    results = copy_photos(data, tmp_path / "results")
    spoil(data, results)
    monkeypatch.setattr(checkpoints, "load_vgg", None)
    arguments = [results, "--photos", data / "src_data/test", "--drawings", data / "tgt_data/train", *SHORT]
    with pytest.raises(WrongUse, match=told) as caught:
        evaluate.main(list(map(str, arguments)))
    assert "\n" not in str(caught.value)


def test_pairs_of_other_photos(data, tmp_path):
    (tmp_path / "pairs.csv").write_text("hazy,clear\nfar.png,away.png\n")
    photos = evaluate.pictures(data / "src_data/test")
    with pytest.raises(WrongUse, match="is a hazy picture of"):
        evaluate.clear_pictures(tmp_path, photos, data / "src_data/test")


def test_the_command_as_typed(data, checkpoint, run_cli):
    """Of one small photograph and drawing, which have no KID: its library takes seconds to load."""
    for part in ("src_data/test", "tgt_data/train"):
        for number, path in enumerate(sorted((data / part).iterdir())):
            if number:
                path.unlink()
    folders = "--photos", data / "src_data/test", "--drawings", data / "tgt_data/train"
    end = run_cli("-m", "evaluation", checkpoint, *folders, *SHORT, "--input_size", 32, "--resize", "squash")
    told = "style is not measured: 6 photographs and 1 drawings to learn it from, at least 40 needed\n"
    assert (end.returncode, end.stderr) == (0, told)
    assert "\nbelow 64 pixels a side the checkerboard's figure says nothing\n" in end.stdout
    assert end.stdout.startswith("squares of 32 pixels") and end.stdout.count("\n|") == 5
    assert "content change" in end.stdout and "KID to" not in end.stdout


def test_photographs_that_a_checkpoint_was_chosen_by_are_not_its_final_figure(
    data, checkpoint, tmp_path, capsys
):
    photos = evaluate.pictures(data / "src_data/test")
    content = checkpoints.load(checkpoint) | {"epoch": 3, "drawn": 0.5}
    chosen = [images.digest(path.read_bytes()) for path in photos]
    for chosen_by, left in (([chosen[0], "other"], photos[1:]), (["other"], photos), (chosen, photos)):
        checkpoints.save(tmp_path / "generator_best.pth", content | {"chosen_by": chosen_by})
        assert opened.not_chosen_by(tmp_path / "generator_best.pth", photos) == left
    assert opened.not_chosen_by(checkpoint, photos) == photos
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("was chosen by 1 of the 3 photos: left out of its row")
    checkpoints.load_generator(tmp_path / "generator_best.pth")


def test_style_is_learned_from_photographs_that_are_not_measured(data, capsys):
    photos, train = data / "src_data/test", evaluate.pictures(data / "src_data/train")
    assert evaluate.training_photos(None, photos) == train
    assert evaluate.training_photos(data / "src_data/train", photos) == train
    assert evaluate.training_photos(None, data / "src_data/train") == []
    assert evaluate.training_photos(data / "src_data", photos) == train
    assert evaluate.training_photos(None, data) == [] and "--train_photos" in capsys.readouterr().err


def test_differences_in_style_within_the_error_are_named():
    drawn = lambda style, error: {"drawn": style, "drawn_std": error}
    rows = {"photos": drawn(0, 0.1), "drawings": drawn(1, 0.1), "old": {"ssim": 1}, "a": drawn(0.05, 0.1)}
    rows |= {"b": drawn(0.4, 0.1), "c": drawn(0.35, 0.1)}
    assert table.remarks(rows) == [
        "a: the style differs from the photographs' by no more than its error",
        "c: the style is within the error of the highest, b",
    ]
    assert "| 0.400 ± 0.100 |" in table.markdown(rows)
