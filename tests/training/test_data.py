"""The pictures of a run: which are found, left out and reported, which pairs are used, the record."""

import shutil

import numpy as np
import pytest

from edge_promoting import make_pairs
from pictures import images
from training import options
from training.data import prepare
from utils import WrongUse


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
    files(data / "src_data/train")[0].rename(data / "src_data/train/z.jpg")
    assert found(data).record == of_run.record  # the fingerprint is of the content, not of the names


def test_pairs_are_kept_by_size_and_way_of_resizing(data, tmp_path):
    more = ["--resize", "squash", "--pair_dir", f"{tmp_path}/elsewhere"]
    assert found(data, *more).pairs == files(tmp_path / "elsewhere/32_squash")
    assert not (data / "tgt_data/pair").exists()
    pairs = found(data, "--load_size", "40").pairs
    assert pairs == files(data / "tgt_data/pair/40")
    height, width, _ = images.read(pairs[0]).shape
    assert min(height, width // 2) == 40


def test_cyclegans_layout_is_used_and_reported_if_there_is_no_other(data, tmp_path, capsys):
    cycle = tmp_path / "cycle"
    shutil.copytree(data / "src_data", cycle)
    shutil.copytree(data / "tgt_data/train", cycle / "trainB")
    for name in ("train", "test"):
        (cycle / name).rename(cycle / f"{name}A")
    of_run = found(data, "--src_data", str(cycle), "--tgt_data", str(cycle))
    assert of_run.photos == files(cycle / "trainA") and of_run.tests == files(cycle / "testA")
    assert of_run.pairs == files(cycle / "pair/32") and of_run.record == found(data).record
    expected = f"CycleGAN's layout: photographs {cycle}/trainA and {cycle}/testA, drawings {cycle}/trainB\n"
    assert capsys.readouterr().err == expected


def test_numbered_pairs_replace_drawings_but_not_for_measures(data, tmp_path, capsys):
    drawings, pair_dir = data / "tgt_data/train", data / "tgt_data/pair"
    pair_dir.mkdir()
    for number in (10, 9, 1, 2):
        images.write(pair_dir / f"{number}.png", np.full((256, 512, 3), number, np.uint8))
    (pair_dir / "notes.txt").touch()
    drawings.rename(tmp_path / "drawings")
    assert [path.name for path in found(data).pairs] == ["1.png", "2.png", "9.png", "10.png"]
    assert f"4 ready-made pairs in {pair_dir}" in capsys.readouterr().err
    assert found(data, drawings=False).record.keys() == {"photographs", "test photographs"}
    with pytest.raises(WrongUse, match=f"--eval_every .* at least 2 drawings, but {drawings} holds 0"):
        found(data, "--eval_every", "1", drawings=False)
    (tmp_path / "drawings").rename(drawings)
    (pair_dir / "256").mkdir()  # a folder of this program's
    assert found(data).pairs == files(pair_dir / "32")


@pytest.mark.parametrize(
    ("part", "wanted"), [("src_data/train", "photographs"), ("tgt_data/train", "drawings")]
)
def test_a_batch_of_readable_images_is_needed(data, part, wanted):
    whole = found(data)
    for file in files(data / part)[:2]:
        file.write_text("no image")
    of_run = found(data)
    assert len(of_run.photos if wanted == "photographs" else of_run.pairs) == 4
    assert (of_run.record[wanted]["count"], of_run.record[wanted]["left out"]) == (4, 2)
    assert of_run.record[wanted]["fingerprint"] != whole.record[wanted]["fingerprint"]

    files(data / part)[2].write_bytes(b"")
    with pytest.raises(WrongUse, match=f"{data / part} holds 3 readable {wanted}, but at least 4 are"):
        found(data)
    for file in files(data / part)[:3]:
        file.unlink()
    with pytest.raises(WrongUse, match=f"{data / part} holds 3 {wanted}, but at least 4 are .*--batch_size"):
        found(data)
    assert found(data, "--batch_size", "3").record[wanted]["count"] == 3
