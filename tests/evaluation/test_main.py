"""python -m evaluation on tiny data: what RESULTS may be, what is printed and written, one-line errors."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from helpers import VGG, tiny_run

import CartoonGAN
from evaluation import __main__ as evaluate
from evaluation import results
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
    """A small generator's file, alone in its folder."""
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


# Results


def test_a_folder_of_results(measured, data, tmp_path):
    folder = copy_photos(data, tmp_path / "results")
    lines, record = measured(folder)
    names = [line.split("|")[1].strip() for line in lines]
    assert [names[0], *names[2:]] == ["", "photos", "drawings", str(folder)]
    row = record["rows"][str(folder)]
    assert row["content_change"] == 0 and row["ssim"] == 1
    assert row["kid_drawings"] == pytest.approx(record["rows"]["photos"]["kid_drawings"])
    assert record["features"] == f"VGG19 conv4_4, mean of a square ({VGG})" and record["pairs"] is None
    assert (record["input_size"], record["load_size"], record["resize"]) == (32, 32, "crop")
    assert (folder / "evaluation.json").exists()


def test_results_keep_their_folders_and_may_have_another_extension_or_size(measured, data, tmp_path, capsys):
    nested, folder = data / "src_data/test/deep", tmp_path / "results"
    nested.mkdir()
    shutil.move(data / "src_data/test/0.jpg", nested / "0.jpg")
    for path in (data / "src_data/test").rglob("*.jpg"):
        target = folder / path.relative_to(data / "src_data/test").with_suffix(".webp")
        target.parent.mkdir(parents=True, exist_ok=True)
        images.write(target, images.fit_within(images.read(path), 40))
    row = measured(folder)[1]["rows"][str(folder)]
    assert row["pictures"] == 3 and 0.5 < row["ssim"] < 1
    (folder / "1.webp").unlink()
    photos = results.find_pictures(data / "src_data/test")
    _, found = results.open_results(folder, data / "src_data/test", photos, None, None, None)
    assert sorted(path.name for path in found) == ["0.jpg", "2.jpg"]
    assert "1 of 3 photos have no result" in capsys.readouterr().err


def test_a_run_has_its_own_sizes_and_a_checkpoint_those_of_the_run(measured, checkpoint, tmp_path):
    run = tmp_path / "Small_1_1_4_results"
    run.mkdir()
    shutil.copy(checkpoint, run / "generator_latest.pth")
    options = {"options": {"input_size": 48, "load_size": 64, "resize": "squash"}}
    (run / "settings.json").write_text(json.dumps(options))
    _, record = measured(run, checkpoint, "--output", tmp_path / "all.json", size=())
    assert (record["input_size"], record["load_size"], record["resize"]) == (48, 64, "squash")
    rows = record["rows"]
    assert rows["photos"]["squares"] == 3 * 4  # 64 pixels are two squares of 48 that overlap
    assert rows[str(run)] == rows[str(checkpoint)] and rows[str(run)]["content_change"] > 0
    # The generator gets the photo in the size of training: both are measured in that.
    assert rows[str(run)]["checkerboard_photo"] == rows["photos"]["checkerboard"]
    assert not (run / "evaluation.json").exists()
    measured(checkpoint)
    assert (checkpoint.parent / "small-evaluation.json").exists()


def test_a_run_knows_its_data_and_each_of_two_has_a_file_of_its_own(data, checkpoint, tmp_path, capsys):
    runs = [tmp_path / name for name in ("One_results", "Two_results")]
    for run in runs:
        run.mkdir()
        shutil.copy(checkpoint, run / "generator_latest.pth")
    options = {"input_size": 32, "src_data": str(data / "src_data"), "tgt_data": str(data / "tgt_data")}
    (runs[0] / "settings.json").write_text(json.dumps({"options": options}))
    assert not evaluate.main([*map(str, (*runs, *SHORT))])
    output = capsys.readouterr()
    assert f"photographs {data}/src_data/test, drawings {data}/tgt_data/train" in output.err
    for run in runs:
        assert f"written to {run}/evaluation.json\n" in output.out
        record = json.loads((run / "evaluation.json").read_text())
        assert [*record["rows"]] == ["photos", "drawings", str(run)]
    with pytest.raises(WrongUse, match="--photos DIR and --drawings DIR needed"):
        evaluate.main([str(runs[1]), *map(str, SHORT)])


def test_one_channel_is_measured_with_the_colour_that_test_py_gives_it(measured, data, tmp_path):
    torch.manual_seed(0)
    path, applied = tmp_path / "grey.pth", tmp_path / "applied"
    checkpoints.save(path, checkpoints.generator_file(Generator(in_ngc=1, out_ngc=1, ngf=2, nb=1)))
    generator = inference.prepare(checkpoints.load_generator(path), torch.device("cpu"), "fp32")
    small = copy_photos(data, tmp_path / "small")
    applied.mkdir()
    for photo in small.iterdir():
        images.write(photo, images.fit_training(images.read(photo), 32, "crop"))
        images.write(applied / photo.name, inference.convert(generator, [images.read(photo)])[0])
    rows = measured(path, applied, "--output", tmp_path / "all.json", photos=small)[1]["rows"]
    assert rows[str(path)] == rows[str(applied)] and rows[str(path)]["ssim"] < 1


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
    (folder / "pairs.csv").write_text("hazy,clear\nfar.png,away.png\n")
    with pytest.raises(WrongUse, match="is a hazy picture of"):
        measured(perfect, "--pairs", folder, photos=hazy)


def test_photographs_that_a_checkpoint_was_chosen_by_are_left_out(data, checkpoint, tmp_path, capsys):
    photos = results.find_pictures(data / "src_data/test")
    content = checkpoints.load(checkpoint) | {"epoch": 3, "drawn": 0.5}
    chosen = [images.digest(path.read_bytes()) for path in photos]
    for chosen_by, left in (([chosen[0], "other"], photos[1:]), (["other"], photos), (chosen, photos)):
        checkpoints.save(tmp_path / "generator_best.pth", content | {"chosen_by": chosen_by})
        assert results.not_chosen_by(tmp_path / "generator_best.pth", photos) == left
    assert results.not_chosen_by(checkpoint, photos) == photos
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("was chosen by 1 of the 3 photos: left out of its row")


def test_the_best_of_a_run_is_chosen_by_one_half_and_evaluated_on_the_other(data, tmp_path):
    for number in range(10):
        images.write(data / f"src_data/test/{number}.png", np.full((48, 48, 3), 25 * number, np.uint8))
        (data / f"src_data/test/{number}.jpg").unlink(missing_ok=True)
    more = "--eval_every", 1, "--pre_train_epoch", 0, "--train_epoch", 1
    CartoonGAN.main(tiny_run(data, tmp_path / "results", *more))
    (best,) = tmp_path.glob("results/*/generator_best.pth")
    photos = results.find_pictures(data / "src_data/test")
    assert results.not_chosen_by(best, photos) == photos[1::2]


def test_style_is_fitted_to_photographs_that_are_not_measured(data, capsys):
    photos, train = data / "src_data/test", results.find_pictures(data / "src_data/train")
    assert results.find_training_photos(None, photos) == train
    assert results.find_training_photos(data / "src_data", photos) == train
    assert results.find_training_photos(None, data / "src_data/train") == []
    assert results.find_training_photos(None, data) == [] and "--train_photos" in capsys.readouterr().err


# The table


def test_the_table_fits_and_names_what_it_leaves_out():
    row = {"pictures": 21, "drawn": 0.4, "drawn_std": 0.1, "flat": 0.5, "ssim": 1 / 3, "stripes_photo": 1.0}
    rows = {"photos": {"pictures": 21, "flat": 0.25}, "results/Paprika_20_200_16_results": row}
    table, left_out = evaluate.format_table(rows)
    lines = table.splitlines()
    assert "| style     | flat | SSIM  |" in lines[0] and left_out == []
    assert "| 0.4 ± 0.1 | 0.5  | 0.333 |" in lines[-1] and lines[2].count(" - ") == 3
    whole = rows | {"results/Another_with_a_long_name_20_200_16_0.0005_residual_results": row}
    table, left_out = evaluate.format_table(whole)
    assert {len(line) for line in table.splitlines()} == {len(table.splitlines()[0])}
    assert len(table.splitlines()[0]) <= 110 and left_out == ["stripes of the photos"]


def test_differences_in_style_within_the_error_are_named():
    drawn = lambda style, error: {"drawn": style, "drawn_std": error}
    rows = {"photos": drawn(0, 0.1), "drawings": drawn(1, 0.1), "old": {"ssim": 1}, "a": drawn(0.05, 0.1)}
    rows |= {"b": drawn(0.4, 0.1), "c": drawn(0.35, 0.1)}
    assert evaluate.remarks(rows) == [
        "a: the style differs from the photographs' by no more than its error",
        "c: the style is within the error of the highest, b",
    ]


def test_the_command_as_typed(data, checkpoint, run_cli):
    """Of one small photograph and drawing, which have no KID: its library takes seconds to load."""
    for part in ("src_data/test", "tgt_data/train"):
        for path in sorted((data / part).iterdir())[1:]:
            path.unlink()
    folders = "--photos", data / "src_data/test", "--drawings", data / "tgt_data/train"
    end = run_cli("-m", "evaluation", checkpoint, *folders, *SHORT, "--input_size", 32, "--resize", "squash")
    message = "style is not measured: 6 photographs and 1 drawings to learn it from, at least 40 needed\n"
    assert (end.returncode, end.stderr) == (0, message)
    assert end.stdout.startswith("squares of 32 pixels") and end.stdout.count("\n|") == 5
    assert "\nbelow 64 pixels a side the checkerboard's value means nothing\n" in end.stdout
    assert "content change" in end.stdout and "KID to" not in end.stdout


# Errors


def test_inception_is_taken_where_it_is_available(monkeypatch, capsys):
    torchmetrics = pytest.importorskip("torchmetrics.image.fid")

    def lost(*_):
        raise OSError("no network")

    monkeypatch.setattr(torchmetrics, "FrechetInceptionDistance", lost)
    assert evaluate.find_inception("vgg19", "cpu") is None and capsys.readouterr().err == ""
    assert evaluate.find_inception(None, "cpu") is None
    assert "no Inception (its weights: no network): using VGG19's" in capsys.readouterr().err
    with pytest.raises(WrongUse, match=r"no Inception .*no network.*--features vgg19"):
        evaluate.find_inception("inception", "cpu")


def in_twos(data, folder):
    for path in folder.iterdir():
        images.write(path, images.side_by_side(images.read(path), images.read(path)))


def cut(data, folder):
    for path in folder.iterdir():
        images.write(path, images.read(path)[:, :-6])


HARM = {
    "0.png is twice as wide as its photo: run test.py without --side_by_side": in_twos,
    "0.png does not have the shape of its photo": cut,
    "other.png has no photo in": lambda data, folder: (folder / "0.png").rename(folder / "other.png"),
    "holds neither a generator_latest.pth nor pictures": lambda data, folder: (
        shutil.rmtree(folder) or folder.mkdir()
    ),
    "results: name a run folder": lambda data, folder: shutil.rmtree(folder),
    "no folder": lambda data, folder: shutil.rmtree(data / "src_data/test"),
    "no images in": lambda data, folder: [path.unlink() for path in (data / "tgt_data/train").iterdir()],
}


@pytest.mark.parametrize("message", HARM)
def test_wrong_folders_are_reported_before_anything_slow(message, data, tmp_path, monkeypatch):
    folder = copy_photos(data, tmp_path / "results")
    HARM[message](data, folder)
    monkeypatch.setattr(checkpoints, "load_vgg", None)
    arguments = [folder, "--photos", data / "src_data/test", "--drawings", data / "tgt_data/train", *SHORT]
    with pytest.raises(WrongUse, match=message) as caught:
        evaluate.main(list(map(str, arguments)))
    assert "\n" not in str(caught.value)
