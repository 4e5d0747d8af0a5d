"""Bad files among good ones: each is told in a line with its reason, and what can go on goes on."""

import collections
import csv
import ctypes
import functools
import gc
import io
import json
import multiprocessing
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import edge_promoting
import networks
import test
from data import haze, pairs
from evaluation import __main__ as evaluate
from evaluation import judge
from pictures import checkpoints, images
from training import datasets, options, samples
from utils import RunFailed, WrongUse

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes what images.py has said of these

TINY = (
    "--vgg_model random --ngf 4 --ndf 4 --nb 1 --input_size 16 --batch_size 2 --device cpu --precision fp32"
)
CPU = torch.device("cpu")
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2  # linux/prctl.h, linux/capability.h
BROKEN = os.fsdecode(b"br\xf6ken.jpg")  # Latin-1, as old archives and cameras write it; no UTF-8


def noise(width, height, channels=3):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return images.as_pillow(pixels)


def encoded(image, kind="png", **how):
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def bomb(width, height):
    """A PNG of a few bytes that says it has so many pixels."""
    chunks = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b""))
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def floats(*values):
    return encoded(Image.fromarray(np.full((20, 20), values, np.float32)), "tiff")


PHOTO = noise(24, 20)
UNUSUAL = {
    "grey.jpg": encoded(PHOTO.convert("L"), "jpeg"),
    "palette.png": encoded(PHOTO.quantize(16), transparency=3),
    "cmyk.jpg": encoded(PHOTO.convert("CMYK"), "jpeg"),
    "bits.png": encoded(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160)),
    "tiff bits.tif": encoded(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160), "tiff"),
    "float.tif": floats(0.5),
    "alpha.png": encoded(noise(24, 20, 4)),
    "a png.jpg": encoded(PHOTO),
    "pixel.png": encoded(noise(1, 1)),
    "new\nline.png": encoded(PHOTO),
    BROKEN: encoded(PHOTO, "jpeg"),
}
LONG = {  # only what is trained on has a limit
    "row.png": (encoded(noise(20000, 1)), "20000x1 pixels, more than 100 times as long as wide"),
    "column.jpg": (encoded(noise(1, 20000), "jpeg"), "1x20000 pixels, more than 100 times as long as wide"),
}
DAMAGED = {
    "cut.jpg": (encoded(PHOTO, "jpeg")[:-200], "image file is truncated"),
    "cut short.png": (encoded(PHOTO)[:-200], "image file is truncated"),
    "empty.jpg": (b"", "the file is empty"),
    "text.jpg": (b"<html>404 not found</html>", "not an image"),
    "bomb.png": (bomb(60000, 60000), "Image size (3600000000 pixels) exceeds limit"),
    "far.tif": (floats(300.0), "floating point values outside 0 to 1: save it with 8 or 16 bits"),
    "no number.tif": (floats(np.nan), "floating point values outside 0 to 1: save it with 8 or 16 bits"),
    f"bad {BROKEN}": (b"\xff\xfe", "not an image"),
}
LINKS = {  # what they lead to
    "dangling.jpg": ("gone.jpg", "No such file or directory"),
    "circle.jpg": ("circle.jpg", "Too many levels of symbolic links"),
}


def fill(folder, *, long=True):
    """Write every kind into a folder; returns {path: reason} of those that cannot be used."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in UNUSUAL.items():
        (folder / name).write_bytes(data)
    told = {}
    for name, (data, reason) in (LONG | DAMAGED).items():
        (folder / name).write_bytes(data)
        told |= {folder / name: reason} if long or name not in LONG else {}
    for name, (target, reason) in LINKS.items():
        (folder / name).symlink_to(target)
        told[folder / name] = reason
    return told


def fill_with_links_to_folders(folder):
    (folder / "loop").symlink_to(".")
    (folder / "outside.jpg").symlink_to(folder.parents[1])
    return {folder / "loop": "a link to a folder", folder / "outside.jpg": "a link to a folder"}


def assert_told(stderr, told, before="left out "):
    """One line for each, with the path and the reason, and nothing else."""
    lines = [line for line in stderr.splitlines() if not line.startswith("using ")]
    for path, reason in told.items():
        # Python's own stderr writes what is no UTF-8 as \\udcf6, pytest's as a question mark.
        begins = [f"{before}{path}: ".encode("utf-8", how) for how in ("backslashreplace", "replace")]
        found = [line for line in lines if line.encode().startswith(tuple(begins))]
        assert len(found) == 1 and reason in found[0], (path, reason, lines)
        lines.remove(found[0])
    assert lines == []


# One run with all of them


@pytest.fixture
def run_limited(run_cli, tmp_path):
    """run_cli in which permissions count, also where the tests are root's."""

    def give_up_what_root_may():
        for capability in CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH:
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)

    (tmp_path / "locked").touch(mode=0)
    limited = functools.partial(run_cli, preexec_fn=give_up_what_root_may)
    if limited("-c", f"open({str(tmp_path / 'locked')!r})").returncode == 0:
        pytest.skip("nothing is locked for this user, who may not give that up")
    return limited


def test_a_run_goes_through_all_of_them_together(data, tmp_path, run_limited):
    told = {}
    for part in ("src_data/train", "src_data/test", "tgt_data/train"):
        folder = data / part
        told |= fill(folder / "deep") | fill_with_links_to_folders(folder)
        (folder / "locked.jpg").write_bytes(UNUSUAL["grey.jpg"])
        (folder / "locked.jpg").chmod(0)
        (folder / "locked").mkdir(mode=0)
        told |= dict.fromkeys([folder / "locked.jpg", folder / "locked"], "Permission denied")
    folders = ["--src_data", data / "src_data", "--tgt_data", data / "tgt_data", "--results_dir", tmp_path]
    more = f"{TINY} --name Bad --pre_train_epoch 1 --train_epoch 1 --eval_every 1 --workers 1".split()
    done = run_limited("CartoonGAN.py", *folders, *more)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    twice = f"warning: {len(UNUSUAL) - 1} photographs stand in both"  # two names, one content
    assert done.stderr.count(twice) == 1
    rest = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert_told("\n".join(rest), told)
    settings = json.loads((tmp_path / "Bad_1_1_2_results/settings.json").read_text())
    each = {"count": 17, "left out": len(LONG | DAMAGED | LINKS) + 1}
    for kind, count in (("photographs", 17), ("test photographs", 14), ("drawings", 17)):
        entry = settings["data"][kind]
        assert {key: entry[key] for key in each} == {**each, "count": count}
    with open(tmp_path / "Bad_1_1_2_results/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and all(float(row["ssim"]) for row in rows)


# Kind by kind


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_images_are_used(name):
    for decoded in (images.decode(UNUSUAL[name], at_least=16), images.decode_frames(UNUSUAL[name])[0][0]):
        assert decoded.dtype == np.uint8 and decoded.shape[2] in (3, 4)
    assert images.decode(UNUSUAL[name], channels=1).shape[2] == 1
    assert images.fit_training(images.decode(UNUSUAL[name]), 16, "crop").shape[2] == 3


def test_floating_point_black_is_0_and_white_is_1():
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    decoded = images.decode(encoded(Image.fromarray(values), "tiff"))
    assert (decoded == np.arange(256).reshape(16, 16, 1)).all()


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_images_have_a_reason(name):
    data, reason = DAMAGED[name]
    for decode in (images.decode, images.decode_frames):
        with pytest.raises(images.Unreadable) as error:
            decode(data)
        assert reason in str(error.value)


@pytest.mark.parametrize("how", ["crop", "squash"])
@pytest.mark.parametrize("name", LONG)
def test_the_longest_and_thinnest_are_refused_in_training_only(name, how):
    data, reason = LONG[name]
    whole = images.decode(data)
    assert max(whole.shape) == 20000
    for refused in (lambda: images.decode(data, at_least=16), lambda: images.fit_training(whole, 16, how)):
        with pytest.raises(images.Unreadable) as error:
            refused()
        assert str(error.value) == reason
    assert images.fit_training(np.zeros((1, 100, 3), np.uint8), 16, "crop").shape == (16, 1600, 3)


def test_an_animation_too_large_for_the_memory_is_refused_before_it_is_read():
    small = [Image.new("L", (8, 8), shade) for shade in range(4)]
    data = bytearray(encoded(small[0], "gif", save_all=True, append_images=small[1:]))
    data[6:10] = struct.pack("<HH", 13000, 13000)  # the canvas; each frame is still 8x8
    with pytest.raises(images.Unreadable, match="4 frames of 13000x13000 pixels are too much at once"):
        images.decode_frames(bytes(data))


def test_pillow_says_nothing_of_its_own(run_cli, tmp_path):
    """It would not name the file: warnings by Python's module, and errors by its logger."""
    samples = bytearray(encoded(PHOTO, "tiff"))
    place = samples.index(struct.pack("<HHI", 277, 3, 1))  # the tag SamplesPerPixel, a short
    samples[place + 8 : place + 10] = struct.pack("<H", 20000)
    exif = encoded(PHOTO, "jpeg", exif=b"Exif\0\0II*\0\x08\0\0\0\x03\0\x12\x01")
    for number, data in enumerate((bytes(samples), exif)):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    code = (
        f"import images, pathlib; print(images.check(sorted(pathlib.Path({str(tmp_path)!r}).iterdir()), ''))"
    )
    done = run_cli("-c", code)
    assert done.returncode == 0 and done.stderr == ""
    assert "0.jpg'): 'not an image'" in done.stdout and "1.jpg'): " not in done.stdout


def test_frames_of_different_sizes_are_refused():
    first, wider = (encoded(noise(width, 20).quantize(16), "gif") for width in (24, 60))
    data = first[:-1] + wider[wider.index(b",\0\0\0\0") :]  # beyond the first one's canvas
    with pytest.raises(images.Unreadable, match="its frames differ in size"):
        images.decode_frames(data)


@pytest.mark.parametrize("decode", [images.decode, images.decode_frames])
def test_failures_leave_no_images_behind(decode):
    """An exception holds the frames that it went through; whoever keeps one would keep the pixels."""
    errors, held = [], lambda: sum(issubclass(type(each), Image.Image) for each in gc.get_objects())
    decode(UNUSUAL["grey.jpg"])
    gc.collect()
    gc.disable()
    try:
        before = held()
        for data, _ in list(DAMAGED.values()) * 3:
            try:
                decode(data)
            except images.Unreadable as error:
                errors.append(str(error))
        assert len(errors) == 3 * len(DAMAGED) and held() == before
    finally:
        gc.enable()


def test_a_kept_failure_holds_no_frames():
    kept = []
    for _ in range(2):
        with pytest.raises(images.Unreadable) as error:
            images.decode(DAMAGED["cut short.png"][0])
        kept.append(error.value)
    assert all(error.__context__ is None for error in kept)


# The other commands


def test_edge_promoting(data, capfd):
    drawings = data / "tgt_data/train"
    told = fill(drawings)
    long_name = drawings / f"{'n' * 245}.jpg"
    long_name.write_bytes(UNUSUAL["grey.jpg"])
    told[long_name] = "File name too long"
    status = edge_promoting.main([str(drawings), str(data / "pairs"), "--size", "16"])
    said = capfd.readouterr()
    assert status == 1 and f"{6 + len(UNUSUAL)} pairs in" in said.out
    assert_told(said.err, told, "cannot read ")


def test_test_py(data, tmp_path, capfd):
    told = fill(data / "in", long=False)
    torch.manual_seed(0)
    net = networks.Generator(ngf=4, nb=1)
    checkpoints.save(tmp_path / "net.pth", checkpoints.generator_file(net))
    loop = fill_with_links_to_folders(data / "in")
    argv = ["--pre_trained_model", tmp_path / "net.pth", "--image_dir", data / "in", "--output_image_dir"]
    argv += [tmp_path / "out", "--device", "cpu", "--size", "64"]
    with pytest.raises(RunFailed, match=f"{len(told)} of {len(told) + len(UNUSUAL) + 2} pictures failed"):
        test.main([str(word) for word in argv])
    lines = capfd.readouterr().err.splitlines()
    assert_told("\n".join(line for line in lines if line.startswith("left out")), loop)
    assert_told("\n".join(line for line in lines if not line.startswith("left out")), told, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == UNUSUAL.keys() | LONG.keys()
    for path in (tmp_path / "out").iterdir():
        assert images.read(path).size


def test_test_py_finds_links_that_lead_nowhere_and_names_them_later(data):
    folder = data / "src_data/test"
    for name, (target, _) in LINKS.items():
        (folder / name).symlink_to(target)
    for source in (folder, folder / "*.jpg"):
        found = test.find_pictures([str(source)], folder / "out")
        assert len(test.plan(found, folder / "out", None)) == len(found) == 3 + len(LINKS)


def test_haze_and_its_pairs(data, tmp_path, capfd):
    told = fill(data / "src_data/train", long=False)
    assert haze.main([str(data / "src_data"), str(tmp_path / "out")]) == 1
    assert_told(capfd.readouterr().err, told)
    made = images.find(tmp_path / "out/hazy/train")
    assert len(made) == 6 + len(UNUSUAL) + len(LONG)
    assert len(images.find(tmp_path / "out/clear/train")) == len(made)
    circle = tmp_path / "out/hazy/train/0.png"
    circle.unlink()
    circle.symlink_to(circle)
    clear = pairs.find(tmp_path / "out")[f"train/{Path(BROKEN).stem}"]
    assert clear.read_bytes() == UNUSUAL[BROKEN]


def test_haze_names_the_depth_that_cannot_be_read(data, tmp_path, capsys):
    shutil.copytree(data / "src_data", tmp_path / "depth")
    (tmp_path / "depth/train/3.jpg").write_text("no image")
    argv = [data / "src_data", tmp_path / "out", "--depth_dir", tmp_path / "depth"]
    assert haze.main([str(word) for word in argv]) == 1
    cause = f"cannot read {tmp_path}/depth/train/3.jpg: not an image"
    assert_told(capsys.readouterr().err, {data / "src_data/train/3.jpg": cause})


def test_evaluate(data, tmp_path, capfd):
    told = fill(data / "src_data/test") | fill(data / "tgt_data/train")
    results = tmp_path / "results"
    shutil.copytree(data / "src_data/test", results, symlinks=True)
    for path in images.find(results):
        if path.name in DAMAGED.keys() | LINKS.keys() | LONG.keys():
            (results / path).unlink()
            shutil.copy(data / "src_data/test/0.jpg", results / path)
    (results / "0.jpg").write_text("no image")
    told[results / "0.jpg"] = "not an image"
    argv = [results, "--photos", data / "src_data/test", "--drawings", data / "tgt_data/train"]
    more = "--features vgg19 --vgg_model random --precision fp32 --device cpu --input_size 16"
    assert not evaluate.main([*map(str, argv), *more.split()])
    said = capfd.readouterr()
    assert_told(said.err, told)
    rows = json.loads((results / "evaluation.json").read_text())["rows"]
    counts = [rows[name]["pictures"] for name in ("photos", "drawings", str(results))]
    assert counts == [3 + len(UNUSUAL), 6 + len(UNUSUAL), 2 + len(UNUSUAL)]


# What disappears during the run


def training_images(data):
    photos, pairs = sorted((data / "src_data/train").iterdir()), sorted((data / "pairs").iterdir())
    return datasets.TrainingImages(photos, pairs, 16, "crop", 3, 3)


@pytest.fixture
def trained(data):
    """The tiny data with its pairs, as datasets.TrainingImages."""
    edge_promoting.make_pairs(data / "tgt_data/train", data / "pairs", 16)
    return training_images(data)


HARM = {
    "gone": lambda file: file.unlink(),
    "garbage": lambda file: file.write_bytes(b"\xff\xd8 no image"),
    "too long": lambda file: (
        images.write(file.with_suffix(".png"), np.zeros((1, 500, 3), np.uint8))
        or file.with_suffix(".png").replace(file)
    ),
    "too narrow": lambda file: (
        images.write(file.with_suffix(".png"), np.zeros((500, 1, 3), np.uint8))
        or file.with_suffix(".png").replace(file)
    ),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a circle": lambda file: (file.unlink(), file.symlink_to(file)),
}


@pytest.mark.parametrize("harm", HARM)
def test_the_next_image_takes_the_place_of_a_lost_one(trained, harm):
    draw = lambda photo, pair: [(photo, (7,)), (pair, (8,)), (pair, (8,))]
    expected = trained[draw(0, 3)]
    for path in (trained.photos[4], trained.photos[5], trained.pairs[2]):
        HARM[harm](path)
    assert all(torch.equal(*both) for both in zip(trained[draw(4, 2)], expected, strict=True))
    instead = {path: where for path, (_, where) in trained.lost.items()}
    photos, pairs = trained.photos, trained.pairs
    assert instead == {photos[4]: photos[0], photos[5]: photos[0], pairs[2]: pairs[3]}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_lost_image_is_said_once(trained, workers, capsys):
    trained.photos[1].unlink()
    trained.pairs[5].write_bytes(b"")
    for epoch in (1, 9):  # a second stream, as the second phase has its own
        draws = datasets.draws(6, 6, 2, 0, 2, epoch, 0)
        batches = datasets.load_batches(trained, draws, workers, CPU)
        for _ in range(9):
            assert [len(part) for part in next(batches)] == [2, 2, 2]
        batches.close()
    assert sorted(capsys.readouterr().err.splitlines()) == sorted(
        [
            f"lost {trained.photos[1]} (No such file or directory): {trained.photos[2]} takes its place",
            f"lost {trained.pairs[5]} (the file is empty): {trained.pairs[0]} takes its place",
        ]
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_disk_that_went_away_ends_the_run_in_a_line(trained, workers):
    trained.photos = [path.with_stem(f"{path.stem}_{copy}") for path in trained.photos for copy in "abcd"]
    draws = datasets.draws(len(trained.photos), 0, 2, 0, 1, 1, 0)
    with pytest.raises(RunFailed) as error:
        next(datasets.load_batches(trained, draws, workers, CPU))
    told = str(error.value)
    assert told.startswith("training images are lost, 10 in a row, the last is ") and "\n" not in told
    assert "No such file or directory; see to the disk, then go on with --resume" in told
    assert multiprocessing.active_children() == []


def test_as_many_as_are_allowed_may_be_lost_in_a_row(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(30)]
    images.write(paths[9], np.zeros((16, 16, 3), np.uint8))
    image, lost = datasets.first_readable(paths, 0, images.read)
    assert image.shape == (16, 16, 3) and len(lost) == datasets.IN_A_ROW - 1
    with pytest.raises(RunFailed, match="10 in a row"):
        datasets.first_readable(paths, 10, images.read)


def test_a_sample_photograph_that_got_lost(data, capsys):
    photos, tests = (sorted((data / part).iterdir()) for part in ("src_data/train", "src_data/test"))
    args = options.parse_training(TINY.split())[0]
    tests[2].unlink()
    chosen = samples.choose(datasets.Data(photos, tests, [], {}), args, CPU)
    assert [name for name, _ in chosen][-3:] == ["test_1", "test_2", "test_3"]
    assert torch.equal(chosen[-1][1], chosen[-3][1])
    told = f"lost {tests[2]} (No such file or directory): {tests[0]} takes its place\n"
    assert capsys.readouterr().err == told


@pytest.fixture
def measure(data):
    """judge.in_training's function on the tiny data, before anything is lost."""
    args = options.parse_training([*TINY.split(), "--tgt_data", f"{data}/tgt_data"])[0]
    torch.manual_seed(0)
    running = collections.namedtuple("Running", "vgg generator")
    running = running(checkpoints.load_vgg("random"), networks.Generator(ngf=4, nb=1))
    tests = sorted((data / "src_data/test").iterdir())
    return judge.in_training(running, args, datasets.Data([], tests, [], {}), CPU, "fp32"), tests


def test_a_test_photograph_that_got_lost_is_not_measured(measure, capsys):
    measured, tests = measure
    before = measured()
    tests[0].write_text("no image")
    shutil.rmtree(tests[0].parents[2] / "tgt_data")  # the drawings were looked at once
    rows = measured(), measured()
    assert rows[0] == rows[1] and rows[0].keys() == before.keys() and rows[0]["ssim"] != before["ssim"]
    assert capsys.readouterr().err == f"left out {tests[0]}: not an image\n"


def test_without_a_test_photograph_nothing_is_measured_and_the_run_goes_on(measure, capsys):
    measured, tests = measure
    for path in tests:
        path.unlink()
    assert measured() == measured() == {}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "warning: nothing is measured: none of the 3 results can be read"


def test_a_judge_needs_one_picture_that_can_be_read(data):
    drawings = sorted((data / "tgt_data/train").iterdir())
    for path in drawings:
        path.write_bytes(b"")
    with pytest.raises(WrongUse, match="none of the 6 drawings can be read"):
        judge.Judge([], drawings, checkpoints.load_vgg("random"), CPU, "fp32", 16)


def test_ready_made_pairs_need_two_halves(data, capsys):
    (data / "tgt_data/pair").mkdir()
    for number in range(3):
        images.write(data / f"tgt_data/pair/{number}.png", np.zeros((1, number or 4, 3), np.uint8))
    argv = ["--src_data", f"{data}/src_data", "--tgt_data", f"{data}/tgt_data", *TINY.split()]
    found = datasets.prepare(options.parse_training(argv)[0], drawings=True)
    assert [path.name for path in found.pairs] == ["0.png", "2.png"]
    assert_told(capsys.readouterr().err, {data / "tgt_data/pair/1.png": "1 pixels wide, at least 2 needed"})
