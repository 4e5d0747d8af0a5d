"""The pictures of a run: which are found, which are left out and told, which pairs are used, the record."""

import shutil

import numpy as np
import pytest

from edge_promoting import make_pairs
from pictures import images
from training import options
from training.data import choosing, prepare
from utils import WrongUse

BOTH = [("src_data/train", "photographs"), ("tgt_data/train", "drawings")]


def found(data, *more, drawings=True):
    folders = ["--src_data", f"{data}/src_data", "--tgt_data", f"{data}/tgt_data"]
    args, _ = options.parse([*folders, "--batch_size", "4", "--input_size", "32", *more])
    return prepare(args, options.fewest_drawings(args) if drawings else 0, make_pairs)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_found_and_recorded(data, capsys):
    of_run = found(data)
    assert of_run.photos == files(data / "src_data/train")
    assert of_run.tests == files(data / "src_data/test")
    assert of_run.pairs == files(data / "tgt_data/pair/32") and len(of_run.pairs) == 6
    counts = {kind: (entry["count"], entry["left out"]) for kind, entry in of_run.record.items()}
    assert counts == {"photographs": (6, 0), "test photographs": (3, 0), "drawings": (6, 0)}
    assert capsys.readouterr() == ("", "")


def test_pairs_are_of_the_size_that_is_loaded(data):
    pairs = found(data, "--load_size", "40").pairs
    assert pairs == files(data / "tgt_data/pair/40")
    height, width, _ = images.read(pairs[0]).shape
    assert min(height, width // 2) == 40


def test_squashed_pairs_have_a_folder_of_their_own_and_pair_dir_moves_it(data, tmp_path):
    pairs = found(data, "--resize", "squash", "--pair_dir", f"{tmp_path}/elsewhere").pairs
    assert pairs == files(tmp_path / "elsewhere/32_squash")
    assert not (data / "tgt_data/pair").exists()


def test_without_a_loss_that_looks_at_them_no_drawings_are_needed(data):
    shutil.rmtree(data / "tgt_data")
    of_run = found(data, drawings=False)
    assert len(of_run.photos) == 6 and of_run.pairs == [] and "drawings" not in of_run.record


@pytest.fixture
def cycle(data, tmp_path):
    """The same pictures in the folders of a data set of CycleGAN."""
    for part, name in (
        ("src_data/train", "trainA"),
        ("src_data/test", "testA"),
        ("tgt_data/train", "trainB"),
    ):
        shutil.copytree(data / part, tmp_path / "cycle" / name)
    return tmp_path / "cycle"


def test_the_layout_of_cyclegan_is_told_in_one_line(data, cycle, capsys):
    both = ["--src_data", str(cycle), "--tgt_data", str(cycle)]
    of_run = found(data, *both)
    assert of_run.photos == files(cycle / "trainA") and of_run.tests == files(cycle / "testA")
    assert of_run.pairs == files(cycle / "pair/32") and len(of_run.pairs) == 6
    assert of_run.record == found(data).record
    told = f"CycleGAN's layout: photographs {cycle}/trainA and {cycle}/testA, drawings {cycle}/trainB\n"
    assert capsys.readouterr().err == told
    shutil.rmtree(cycle / "testA")
    with pytest.raises(WrongUse, match=f"no folder {cycle}/testA: "):
        found(data, *both)
    shutil.copytree(data / "src_data/test", cycle / "test")
    (cycle / "trainA").rename(cycle / "train")  # this program's own layout comes first
    assert found(data, "--src_data", str(cycle)).photos == files(cycle / "train")


@pytest.mark.parametrize("part", ["src_data/train", "src_data/test", "tgt_data/train"])
def test_a_missing_or_empty_folder_is_told_with_the_layout(data, part):
    layout = r"SRC_DATA/\{train,test\} hold photographs and TGT_DATA/train drawings"
    for file in files(data / part):
        file.rename(file.with_suffix(".gif"))
    with pytest.raises(WrongUse, match=rf"no images in {data / part}: {layout}.*; looked for .* \.jpeg "):
        found(data)
    shutil.rmtree(data / part)
    with pytest.raises(WrongUse, match=f"no folder {data / part}: {layout}"):
        found(data)


def test_one_folder_too_deep_is_told(data):
    inside = data / "src_data/train"
    with pytest.raises(WrongUse, match=f"no folder {inside}/train: name the folder above {inside}: SRC_DATA"):
        found(data, "--src_data", str(inside))


@pytest.mark.parametrize("drawings", [True, False])
def test_measures_need_the_drawings_too_which_is_told_before_anything_is_read(data, drawings, monkeypatch):
    """Ready-made pairs alone, or no loss that looks at drawings, are enough to train."""
    pairs, folder = data / "tgt_data/pair", data / "tgt_data/train"
    pairs.mkdir()
    for file in files(folder)[:4]:
        wide = images.side_by_side(*[images.read(file)] * 2)
        images.write(pairs / f"{file.stem}.png", wide)
    shutil.rmtree(folder)
    assert len(found(data, drawings=drawings).photos) == 6
    monkeypatch.setattr(images, "check", None)
    told = f"--eval_every compares .* at least 2 needed, and {folder} holds 0: put them there, or .*_every 0"
    with pytest.raises(WrongUse, match=told):
        found(data, "--eval_every", "1", drawings=drawings)


@pytest.mark.parametrize(("part", "wanted"), BOTH)
def test_fewer_than_a_batch(data, part, wanted):
    for file in files(data / part)[3:]:
        file.unlink()
    with pytest.raises(WrongUse, match=f"3 {wanted} in {data / part}, at least 4 needed: .*--batch_size"):
        found(data)
    of_run = found(data, "--batch_size", "3")
    assert len(of_run.photos if wanted == "photographs" else of_run.pairs) == 3


@pytest.mark.parametrize(("part", "wanted"), BOTH)
def test_unreadable_images_are_left_out_while_a_batch_remains(data, part, wanted, capsys):
    whole = found(data)
    for file in files(data / part)[:2]:
        file.write_text("no image")
    of_run = found(data)
    assert len(of_run.photos if wanted == "photographs" else of_run.pairs) == 4
    assert capsys.readouterr().err == "".join(
        f"left out {data / part}/{number}.jpg: not an image\n" for number in (0, 1)
    )
    assert (of_run.record[wanted]["count"], of_run.record[wanted]["left out"]) == (4, 2)
    assert of_run.record[wanted]["fingerprint"] != whole.record[wanted]["fingerprint"]

    files(data / part)[2].write_bytes(b"")
    told = f"3 readable {wanted} in {data / part}, at least 4 needed"
    with pytest.raises(WrongUse, match=told):
        found(data)
    assert f"left out {data / part}/2.jpg: the file is empty\n" in capsys.readouterr().err


def test_test_photographs_need_no_batch_but_one_that_can_be_read(data):
    tests = files(data / "src_data/test")
    tests[0].write_text("no image")
    assert found(data).tests == tests[1:]
    for file in tests:
        file.write_text("no image")
    with pytest.raises(WrongUse) as error:
        found(data)
    assert str(error.value) == f"0 readable photographs in {data}/src_data/test, at least 1 needed: add some"


def test_a_photograph_in_train_and_test_is_warned_of_whatever_its_name(data, capsys):
    for number in (0, 1):
        shutil.copy(data / f"src_data/train/{number}.jpg", data / f"src_data/test/same_{number}.jpg")
    found(data)
    said = f"warning: 2 photographs stand in both {data}/src_data/train and {data}/src_data/test\n"
    assert capsys.readouterr().err == said


def test_the_fingerprint_tells_the_content_not_the_names(data):
    before = found(data).record
    files(data / "src_data/train")[0].rename(data / "src_data/train/z.jpg")
    assert found(data).record == before


def test_numbered_pairs_are_used_as_they_are_when_no_sized_folder_exists(data, capsys):
    pair_dir = data / "tgt_data/pair"
    pair_dir.mkdir()
    for number in (10, 9, 1, 2):
        images.write(pair_dir / f"{number}.png", np.full((256, 512, 3), number, np.uint8))
    (pair_dir / "notes.txt").touch()
    drawings = data / "tgt_data/train"
    drawings.rename(data / "away")
    assert [path.name for path in found(data).pairs] == ["1.png", "2.png", "9.png", "10.png"]
    assert f"4 ready-made pairs in {pair_dir}" in capsys.readouterr().err

    (data / "away").rename(drawings)
    (pair_dir / "256").mkdir()
    assert found(data).pairs == files(pair_dir / "32")


def test_drawings_are_taken_as_they_are_where_no_pairs_are_made(data, capsys):
    (data / "tgt_data/train/0.jpg").write_bytes(b"")
    folders = ["--src_data", f"{data}/src_data", "--tgt_data", f"{data}/tgt_data", "--batch_size", "4"]
    args, _ = options.parse(folders)
    del args.pair_dir  # which such a method has not
    of_run = prepare(args, 4)
    assert of_run.pairs == [data / f"tgt_data/train/{n}.jpg" for n in range(1, 6)] and not of_run.smoothed
    assert of_run.record["drawings"]["count"] == 5 and of_run.record["drawings"]["left out"] == 1
    assert "left out" in capsys.readouterr().err and not (data / "tgt_data/pair").exists()
    with pytest.raises(WrongUse, match=r"5 readable drawings in .*, at least 6 needed"):
        prepare(args, 6)


def test_test_photographs_are_shared_between_choosing_and_measuring_where_there_are_enough():
    assert choosing(list(range(10))) == [0, 2, 4, 6, 8]
    assert choosing((1, 2, 3)) == (1, 2, 3)
