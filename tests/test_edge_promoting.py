"""Edge-smoothed copies against their definition written out plainly, and pairs made only when needed."""

import errno
import shutil

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import edge_promoting
from edge_promoting import make_pairs, smooth_edges
from pictures import images
from pictures.images import cv2
from utils import WrongUse


@pytest.fixture
def drawings(data):
    return data / "tgt_data/train"


# The smoothed copy


def smoothed_pixel_by_pixel(drawing):
    """The definition, read plainly: a mean with weights 1-4-6-4-1 where an edge lies within two pixels."""
    edges = cv2.Canny(cv2.cvtColor(drawing, cv2.COLOR_RGB2GRAY), 100, 200)
    weights = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    around = np.pad(drawing.astype(float), ((2, 2), (2, 2), (0, 0)), mode="reflect")
    smoothed = drawing.astype(float)
    for y, x in np.ndindex(edges.shape):
        if edges[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].any():
            smoothed[y, x] = (weights[..., None] * around[y : y + 5, x : x + 5]).sum((0, 1))
    return smoothed


def assert_as_defined(drawing):
    smoothed = smooth_edges(drawing)
    assert smoothed.dtype == np.uint8 and smoothed.shape == drawing.shape
    assert np.abs(smoothed - smoothed_pixel_by_pixel(drawing)).max() <= 1
    assert (smoothed != drawing).any()


def test_smooth_edges_is_as_defined(drawings):
    for path in sorted(drawings.iterdir())[:2]:
        assert_as_defined(images.read(path))
    at_the_border = np.full((24, 24, 3), 255, np.uint8)
    at_the_border[:2], at_the_border[:, -2:] = (0, 0, 200), (200, 0, 0)
    assert_as_defined(at_the_border)
    weak = np.full((24, 24, 3), 130, np.uint8)
    weak[:, 12:] = 150  # Canny's gradient is 4 times the step: between the thresholds, so no edge begins here
    assert np.array_equal(smooth_edges(weak), weak)
    weak[:, 12:] = 185
    assert_as_defined(weak)


def test_smooth_edges_leaves_what_is_far_from_edges():
    drawing = np.full((40, 40, 3), 255, np.uint8)
    drawing[:, 20:] = 0
    changed = (smooth_edges(drawing) != drawing).any(axis=(0, 2))
    assert changed[18:22].all()
    assert not changed[:16].any() and not changed[24:].any()


# Pairs


@pytest.mark.parametrize("how", ["crop", "squash"])
def test_a_pair_is_the_drawing_and_its_smoothed_copy(drawings, tmp_path, how, capsys):
    assert edge_promoting.main([f"{drawings}", f"{tmp_path}/pairs", "--size", "32", "--resize", how]) == 0
    assert capsys.readouterr() == (f"6 pairs in {tmp_path}/pairs\n", "")
    for drawing in drawings.iterdir():
        left, right = np.split(images.read(tmp_path / f"pairs/{drawing.name}.png"), 2, axis=1)
        assert np.array_equal(left, images.fit_training(images.read(drawing, at_least=32), 32, how))
        assert np.array_equal(right, smooth_edges(left)) and min(left.shape[:2]) == 32


def test_pairs_are_named_by_the_whole_path_of_the_drawing(drawings, tmp_path):
    for path in list(drawings.iterdir())[1:]:
        path.unlink()
    (drawings / "b").mkdir()
    shutil.move(drawings / "0.jpg", drawings / "a.jpg")
    images.write(drawings / "a.png", images.read(drawings / "a.jpg"))
    shutil.copy(drawings / "a.jpg", drawings / "b/A.JPG")
    out = tmp_path / "pairs"
    make_pairs(drawings, out, 32)
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == ["a.jpg.png", "a.png.png", "b/A.JPG.png"]


def test_a_pair_is_made_again_only_when_its_drawing_or_the_settings_changed(drawings, tmp_path, monkeypatch):
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


def test_a_damaged_pair_is_made_again(drawings, tmp_path):
    """Empty, cut off or changed by a power loss, although its header with the stamp is whole."""
    path = make_pairs(drawings, tmp_path / "pairs", 32).paths[0]
    whole, third = path.read_bytes(), len(path.read_bytes()) // 3
    with Image.open(path) as image:
        stamp = image.info["pair"]
    for damaged in (b"", whole[:third], whole[:third] + bytes(9) + whole[third + 9 :]):
        path.write_bytes(damaged)
        make_pairs(drawings, tmp_path / "pairs", 32)
        assert path.read_bytes() == whole
    old = PngImagePlugin.PngInfo()
    old.add_text("pair", stamp.removesuffix(" colours=sRGB"))  # of before profiles were followed
    images.write(path, np.zeros((32, 64, 3), np.uint8), pnginfo=old)
    make_pairs(drawings, tmp_path / "pairs", 32)
    assert path.read_bytes() == whole


def test_what_a_killed_run_left_is_finished(drawings, tmp_path):
    out = tmp_path / "pairs"
    whole = {path: path.read_bytes() for path in make_pairs(drawings, out, 32).paths}
    first, second, *_ = whole
    first.unlink()
    second.rename(second.with_name(f".{second.name}.part"))
    assert set(make_pairs(drawings, out, 32).paths) == set(out.iterdir()) == set(whole)
    assert {path: path.read_bytes() for path in whole} == whole


def test_the_size_of_many_new_pairs_is_reported_before_they_are_made(drawings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(edge_promoting, "BYTES", 1e6)
    make_pairs(drawings, tmp_path / "pairs", 32)
    message = capsys.readouterr().err
    assert message.startswith(f"edge smoothing 6 drawings: about 6.1 GB in {tmp_path}/pairs, ")
    (tmp_path / "pairs/0.jpg.png").unlink()
    monkeypatch.setattr(edge_promoting, "BYTES", 1e3)
    make_pairs(drawings, tmp_path / "pairs", 32)
    assert capsys.readouterr().err == ""


# What cannot be read or written


def test_unreadable_drawings_are_reported_and_the_others_made(drawings, tmp_path, run_cli):
    (drawings / "2.jpg").write_bytes((drawings / "2.jpg").read_bytes()[:-300])
    (drawings / "3.jpg").write_text("no drawing")
    (drawings / "4.jpg").unlink()
    (drawings / "4.jpg").symlink_to("gone.jpg")
    (drawings / "5.jpg").rename(drawings / f"{'x' * 250}.jpg")
    pairs = make_pairs(drawings, tmp_path / "pairs", 32)
    assert [path.name for path in pairs.paths] == ["0.jpg.png", "1.jpg.png"] and len(pairs.digests) == 2
    reasons = {path.name[0]: reason for path, reason in pairs.unreadable.items()}
    assert "truncated" in reasons.pop("2")
    assert reasons == {"3": "not an image", "4": "No such file or directory", "x": "File name too long"}
    end = run_cli("edge_promoting.py", drawings, tmp_path / "pairs", "--size", 32)
    assert (end.returncode, end.stdout) == (1, f"2 pairs in {tmp_path}/pairs; 4 drawings cannot be read\n")
    assert f"cannot read {drawings}/3.jpg: not an image\n" in end.stderr and end.stderr.count("\n") == 4


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_names_the_option(drawings, tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, "not here")

    monkeypatch.setattr(images, "write", refuse)
    with pytest.raises(WrongUse, match=r"cannot write .*/pairs \(not here\): .*--pair_dir DIR"):
        make_pairs(drawings, tmp_path / "pairs", 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("no/such/folder OUT", "no folder no/such/folder"),
        ("IN OUT --size 30", "argument --size: 30 is not a multiple of 4"),
        ("IN", "the following arguments are required: out"),
        ("IN IN/0.jpg/pairs", "/0.jpg/pairs (Not a directory): name another folder"),
    ],
)
def test_wrong_use_of_the_command_is_one_line(arguments, message, drawings, tmp_path):
    places = arguments.replace("IN", str(drawings)).replace("OUT", str(tmp_path / "pairs"))
    with pytest.raises(WrongUse) as error:
        edge_promoting.main(places.split())
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_empty_folder_is_a_failure(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert edge_promoting.main([str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out == f"0 pairs in {tmp_path}/out\n"
