"""Edge-smoothed copies compared with their definition by pixel, and pairs written only when needed."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest

import edge_promoting
from edge_promoting import make_pairs, smooth_edges
from pictures import images
from pictures.images import cv2
from utils import WrongUse


@pytest.fixture
def drawings(data):
    return data / "tgt_data/train"


def smoothed_pixel_by_pixel(drawing):
    """A mean with weights 1-4-6-4-1 where an edge lies within two pixels."""
    edges = cv2.Canny(cv2.cvtColor(drawing, cv2.COLOR_RGB2GRAY), 100, 200)
    weights = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    around = np.pad(drawing.astype(float), ((2, 2), (2, 2), (0, 0)), mode="reflect")
    smoothed = drawing.astype(float)
    for y, x in np.ndindex(edges.shape):
        if edges[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].any():
            smoothed[y, x] = (weights[..., None] * around[y : y + 5, x : x + 5]).sum((0, 1))
    return smoothed


def test_smooth_edges_is_as_defined(drawings):
    at_the_border = np.full((24, 24, 3), 255, np.uint8)
    at_the_border[:2], at_the_border[:, -2:] = (0, 0, 200), (200, 0, 0)
    weak, strong = np.full((2, 24, 24, 3), 130, np.uint8)
    weak[:, 12:] = 150  # Canny's gradient is 4 times the step: between the thresholds, so no edge begins here
    strong[:, 12:] = 185
    assert np.array_equal(smooth_edges(weak), weak)
    for drawing in (*map(images.read, sorted(drawings.iterdir())[:2]), at_the_border, strong):
        smoothed = smooth_edges(drawing)
        assert smoothed.dtype == np.uint8 and (smoothed != drawing).any()
        assert np.abs(smoothed - smoothed_pixel_by_pixel(drawing)).max() <= 1


@pytest.mark.parametrize("how", ["crop", "squash"])
def test_a_pair_is_the_drawing_and_its_smoothed_copy(drawings, tmp_path, how, monkeypatch, capsys):
    monkeypatch.setattr(edge_promoting, "BYTES", 1e6)  # so many that the size is reported
    (drawings / "deep").mkdir()
    shutil.move(drawings / "0.jpg", drawings / "deep/0.JPG")
    images.write(drawings / "1.png", images.read(drawings / "1.jpg"))
    assert edge_promoting.main([f"{drawings}", f"{tmp_path}/pairs", "--size", "32", "--resize", how]) == 0
    output, line = capsys.readouterr()
    assert output == f"7 pairs in {tmp_path}/pairs\n"
    assert line.startswith(f"edge smoothing 7 drawings: about 7.2 GB in {tmp_path}/pairs, ")
    for drawing in filter(Path.is_file, drawings.rglob("*")):
        pair = images.read(tmp_path / f"pairs/{drawing.relative_to(drawings)}.png")
        left, right = np.split(pair, 2, axis=1)
        assert np.array_equal(left, images.fit_training(images.read(drawing, at_least=32), 32, how))
        assert np.array_equal(right, smooth_edges(left)) and min(left.shape[:2]) == 32


def test_a_pair_is_made_again_only_if_it_is_out_of_date_or_damaged(drawings, tmp_path, monkeypatch):
    def made(size, how="crop"):
        pairs = make_pairs(drawings, tmp_path / "pairs", size, how)
        return {path.name: path.stat().st_mtime_ns for path in pairs.paths}

    first = made(32)
    (drawings / "0.jpg").touch()
    with monkeypatch.context() as patch:
        patch.setattr(images, "write", None)  # what is up to date needs no permission to write
        assert made(32) == first
    shutil.copyfile(drawings / "1.jpg", drawings / "0.jpg")
    second = made(32)
    assert {name for name in first if second[name] != first[name]} == {"0.jpg.png"}
    third, fourth = made(48), made(48, "squash")
    assert all(second[name] != third[name] != fourth[name] for name in first)
    # Cut off or changed by a power loss, although its header with the stamp is whole.
    path = tmp_path / "pairs/0.jpg.png"
    whole, third = path.read_bytes(), len(path.read_bytes()) // 3
    for damaged in (whole[:third], whole[:third] + bytes(9) + whole[third + 9 :]):
        path.write_bytes(damaged)
        made(48, "squash")
        assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_names_the_option(drawings, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "not here")

    with pytest.raises(WrongUse, match=r"cannot write .*/0.jpg/pairs \(Not a directory\): name another"):
        make_pairs(drawings, drawings / "0.jpg/pairs", 32)
    monkeypatch.setattr(images, "write", refuse)
    with pytest.raises(WrongUse, match=r"cannot write .*/pairs \(not here\): .*--pair_dir DIR"):
        make_pairs(drawings, tmp_path / "pairs", 32)


def test_a_folder_without_drawings_is_a_failure(tmp_path, capsys):
    assert edge_promoting.main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out == f"0 pairs in {tmp_path}/out\n"
