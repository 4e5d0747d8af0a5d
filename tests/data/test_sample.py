"""data/sample.py: the folders it writes, where its photographs come from, the style of its drawings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data import sample
from pictures import images, listing

SCRIPT = Path(sample.__file__)
FOLDERS = {"src_data/train": 48, "src_data/test": 5, "tgt_data/train": 48}
INK = np.array((0x22, 0x11, 0x33))


def contents(folder):
    """{path below the folder: bytes} of all files."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def noise(seed, channel):
    """A photograph of random squares, all of one hue."""
    squares = np.random.default_rng(seed).integers(0, 256, (20, 28))
    picture = np.kron(squares, np.ones((25, 25)))[..., None] * np.where(np.arange(3) == channel, 1, 0.7)
    return Image.fromarray(picture.astype(np.uint8))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("sample")
    sample.main(["--out", str(out)])
    return out


def test_command_on_a_bare_machine(made, tmp_path):
    """It needs no module but Pillow, no network and no photograph but the installed ones."""
    blocked = ("cv2", "torch", "numpy", "skimage.data", "pooch", "socket", "tqdm")
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({blocked})); sys.argv = sys.argv[1:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, SCRIPT, "--out", tmp_path / "new" / "sample"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1 and str(tmp_path / "new" / "sample") in done.stdout
    assert contents(tmp_path / "new" / "sample") == contents(made)


def test_layout_and_sizes(made):
    assert {path.parent.as_posix() for path in contents(made)} == set(FOLDERS)
    for folder, count in FOLDERS.items():
        names = listing.find_images(made / folder)
        assert len(names) == count == len(list((made / folder).iterdir()))
        sizes = [images.read(made / folder / name).shape for name in names]
        if folder == "src_data/train":
            assert all(96 <= side <= 128 for size in sizes for side in size[:2])
            assert len(set(sizes)) > 10
        elif folder == "src_data/test":
            assert all(max(size[:2]) <= 256 for size in sizes) and len(set(sizes)) == count
        else:
            assert set(sizes) == {(144, 192, 3)}


def test_no_training_photograph_is_cut_from_a_test_photograph(tmp_path):
    """With stand-ins of one hue for each half, no cut has the hue of the other half."""
    for channel, names in enumerate((sample.TRAIN, sample.TEST)):
        for seed, name in enumerate(names):
            noise(seed, channel).save(tmp_path / name, quality=100, subsampling=0)
    hues = {"train": set(), "test": set()}
    for name, picture in sample.photographs(tmp_path, seed=0):
        hues[Path(name).parent.name].add(int(np.asarray(picture).mean((0, 1)).argmax()))
    assert hues == {"train": {0}, "test": {1}}


def test_the_two_halves_use_no_view_of_the_same_scene():
    scenes = [{name.split("_")[0].split(".")[0] for name in names} for names in (sample.TRAIN, sample.TEST)]
    assert not scenes[0] & scenes[1]


def test_cuts_avoid_blank_parts():
    photo = np.asarray(noise(0, 1)).copy()
    photo[:, 350:] = photo[0, 0]
    cuts = list(sample.cuts(sample.random.Random(0), Image.fromarray(photo), 6))
    assert len(cuts) == 6 and all(np.asarray(cut.convert("L")).std() > 35 for cut in cuts)


@pytest.fixture
def few(monkeypatch):
    """Two cuts of each photograph, and seven drawings: two cats, and one palette twice."""
    monkeypatch.setattr(sample, "TRAIN", dict.fromkeys(sample.TRAIN, 2))
    monkeypatch.setattr(sample, "DRAWINGS", 7)


def test_seed_and_repetition(few, tmp_path):
    sample.main(["--out", str(tmp_path / "a")])
    before = contents(tmp_path / "a")
    (tmp_path / "a/tgt_data/train/drawing_06.png").write_bytes(b"damaged")
    sample.main(["--out", str(tmp_path / "a"), "--seed", "0"])
    assert contents(tmp_path / "a") == before
    sample.main(["--out", str(tmp_path / "b"), "--seed", "1"])
    other = contents(tmp_path / "b")
    assert other.keys() == before.keys()
    for path in before:
        assert (other[path] == before[path]) == (path.parts[:2] == ("src_data", "test")), path


def style(picture):
    """Shares of the pixels that have the colour of their right and lower neighbours, and that are ink."""
    picture = np.asarray(picture).astype(int)
    here, right, below = picture[:-1, :-1], picture[:-1, 1:], picture[1:, :-1]
    flat = (here == right).all(2) & (here == below).all(2)
    return flat.mean(), (np.abs(picture - INK).max(2) < 12).mean()


def test_drawings_have_flat_colours_and_ink_and_photographs_do_not(made):
    for name in listing.find_images(made / "tgt_data"):
        flat, ink = style(images.read(made / "tgt_data" / name))
        assert flat > 0.6 and 0.03 < ink < 0.25, name
    for name in listing.find_images(made / "src_data"):
        flat, ink = style(images.read(made / "src_data" / name))
        assert flat < 0.4 and ink < 0.02, name


@pytest.mark.parametrize(
    "paint",
    [
        lambda draw: sample.shape(draw, [(5, 5), (30, 9), (12, 33)], "#f00"),
        lambda draw: sample.blobs(draw, [(12, 12, 8), (22, 20, 11)], "#f00"),
    ],
    ids=["shape", "blobs"],
)
def test_an_outline_parts_a_figure_from_its_ground(paint):
    canvas = Image.new("RGB", (40 * sample.FINE, 40 * sample.FINE), "#fff")
    paint(ImageDraw.Draw(canvas))
    figure, ground = ((np.asarray(canvas) == colour).all(2) for colour in ((255, 0, 0), (255, 255, 255)))
    assert figure.sum() > 1000 and ground.sum() > 1000
    reach = sample.FINE  # a line of at least a pixel of the finished drawing
    for axis in (0, 1):
        for step in range(-reach, reach + 1):
            assert not (np.roll(figure, step, axis) & ground).any()


def test_every_drawing_is_another(made):
    drawings = {path.read_bytes() for path in (made / "tgt_data/train").iterdir()}
    assert len(drawings) == sample.DRAWINGS


def test_folder_that_cannot_be_written(few, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stop:
        sample.main(["--out", str(tmp_path / "file" / "sample")])
    assert "cannot write" in stop.value.code and "--out" in stop.value.code and "\n" not in stop.value.code


@pytest.mark.parametrize("found", [None, "an older package"])
def test_photographs_not_installed(monkeypatch, tmp_path, found):
    package = found and sample.importlib.machinery.ModuleSpec("skimage", None, is_package=True)
    if package:
        package.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(sample.importlib.util, "find_spec", lambda name: package)
    with pytest.raises(SystemExit) as stop:
        sample.main(["--out", str(tmp_path / "out")])
    assert "pip install" in stop.value.code
    assert not (tmp_path / "out").exists()
