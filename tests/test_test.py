"""test.py: its options, and a checkpoint applied to pictures from the command line to the files."""

import numpy as np
import pytest
import torch
from PIL import Image

import test
from networks import Generator
from pictures import checkpoints, colour, images, inference
from support.arguments import PYTHON
from utils import RunFailed, WrongUse


@pytest.fixture
def ckpt(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "net.pth"
    checkpoints.save(path, checkpoints.generator_file(Generator(ngf=4, nb=1)))
    return path


@pytest.fixture
def command(ckpt, tmp_path):
    """Runs test.py on tmp_path/in to tmp_path/out in float32."""

    def call(*options):
        where = ["--image_dir", tmp_path / "in", "--output_image_dir", tmp_path / "out"]
        argv = ["--pre_trained_model", ckpt, *where, "--device", "cpu", "--precision", "fp32", *options]
        test.main([*map(str, argv)])

    (tmp_path / "in").mkdir()
    return call


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def put(path, *size, **more):
    image = noise(*size, **more)
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(path)
    return image


def pixels(path, mode="RGB"):
    with Image.open(path) as image:
        return np.asarray(image.convert(mode)).astype(int)


def test_the_result_is_the_networks(command, ckpt, tmp_path, capsys):
    photo = put(tmp_path / "in/a.png", 16, 20)
    command()
    generator = checkpoints.load_generator(ckpt)
    with torch.inference_mode():
        expected = generator(torch.tensor(photo).permute(2, 0, 1)[None] / 127.5 - 1)[0]
    expected = ((expected + 1) * 127.5).permute(1, 2, 0).numpy()
    assert abs(pixels(tmp_path / "out/a.png") - expected).max() <= 0.51
    assert capsys.readouterr().out.startswith(f"1 pictures written to {tmp_path}/out, ")


def test_options_reach_the_work(command, ckpt, tmp_path):
    put(tmp_path / "in/a.png", 30, 60)
    command("--format", "jpg", "--size", "40", "--side_by_side", "--tile", "16", "--suffix", "_x")
    with Image.open(tmp_path / "out/a_x.jpg") as made:
        assert (made.format, made.mode, made.size) == ("JPEG", "RGB", (80, 20))
        origin = made.info["comment"].decode()
    assert f"Model: {tmp_path.name}/net.pth, SHA-256 " in origin
    assert f"Command: {PYTHON} test.py --pre_trained_model {ckpt} " in origin and "--suffix _x" in origin


@pytest.mark.parametrize(
    ("option", "keeps", "strength"),
    [
        ("--keep_colour=chroma", "chroma", 1),
        ("--keep_colour=mean", "mean", 1),
        ("--strength=0.25", "off", 0.25),
    ],
)
def test_what_stays_of_the_photo(command, tmp_path, option, keeps, strength):
    photo = put(tmp_path / "in/a.png", 16, 20)
    command()
    result = pixels(tmp_path / "out/a.png").astype(np.uint8)
    command(option)
    kept = pixels(tmp_path / "out/a.png")
    assert (kept == colour.keep(photo, result, keeps, strength)).all() and (kept != result).any()


def test_skip_existing_finishes_an_interrupted_run(command, tmp_path, monkeypatch, capsys):
    for place in range(6):
        put(tmp_path / f"in/{place}.png", 16, 16, seed=place)
    with monkeypatch.context() as patched:
        calls, stylise = [], inference.stylise

        def interrupted(*args):
            calls.append(args)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return stylise(*args)

        patched.setattr(inference, "stylise", interrupted)
        with pytest.raises(KeyboardInterrupt):
            command()
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert sorted(first) == ["0.png", "1.png", "2.png"]
    command("--skip_existing")
    out = capsys.readouterr().out
    assert out.startswith("3 pictures written") and out.endswith(", 3 existed already\n")
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert len(after) == 6
    assert first.items() <= after.items()


@pytest.mark.parametrize(("option", "actual"), [("--nb=6", 1), ("--ngf=64", 4), ("--out_ngc=1", 3)])
def test_an_option_that_disagrees_with_the_checkpoint_is_an_error(command, tmp_path, option, actual):
    put(tmp_path / "in/a.png", 16, 16)
    name, given = option.split("=")
    with pytest.raises(WrongUse, match=f"{name} is {given}, but .*net.pth has {name[2:]} {actual}"):
        command(option)
    assert not (tmp_path / "out").exists()


def test_the_old_scripts_options_are_accepted(command, tmp_path, capsys):
    put(tmp_path / "in/a.png", 16, 16)
    command("--nb", "1", "--ngf", "4", "--in_ngc", "3", "--out_ngc", "3")
    assert capsys.readouterr().err == ""
    command(
        "--input_size", "256", "--name", "Hayao", "--ndf", "32", "--lrG", "0.0002", "--vgg_model", "none.pth"
    )
    size, ignored = capsys.readouterr().err.splitlines()
    assert size.startswith("--input_size has no effect")
    assert ignored == "training options have no effect here: --name --vgg_model --ndf --lrG"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--pre_trained_model x", "give --image_dir and --output_image_dir, or --video"),
        ("--pre_trained_model x --image_dir x", "give --image_dir"),
        ("--pre_trained_model x --output y", "give --image_dir"),
        ("--pre_trained_model x --image_dir x --output_image_dir y --video z", "give --image_dir"),
        ("--pre_trained_model x --image_dir x --output_image_dir y --video z --output w", "give --image_dir"),
        ("--image_dir x --output_image_dir y", "are required: --pre_trained_model"),
        ("--pre_trained_model x --image_dir x --output_image_dir y --suffix a/b", "part of a file's name"),
    ],
)
def test_an_incomplete_command_is_an_error(given, message):
    with pytest.raises(WrongUse, match=message):
        test.parse(given.split())


def test_a_grey_network_changes_luminance_and_keeps_chroma_and_transparency(command, ckpt, tmp_path):
    network = Generator(in_ngc=1, out_ngc=1, ngf=4, nb=1)
    torch.nn.init.normal_(network.up[-1].weight, 0, 1e-3)  # mid-grey results: no value leaves 0 to 255
    checkpoints.save(ckpt, checkpoints.generator_file(network))
    given = noise(16, 20, 4)
    given[..., :3] = given[..., :3] // 4 + 96
    Image.fromarray(given).save(tmp_path / "in/a.png")
    put(tmp_path / "in/grey.png", 16, 20, 1)
    command("--side_by_side")
    seen = given[..., 3] > 0
    made = pixels(tmp_path / "out/a.png", "RGBA").astype(np.uint8)
    photo, result = made[:, :20], made[:, 20:]
    assert (photo[seen] == given[seen]).all()
    assert (result[..., 3] == given[..., 3]).all()
    result, given = result[..., :3], given[..., :3]
    assert (images.with_luminance(given, images.luminance(result)) == result)[seen].all()
    assert images.luminance(result)[seen].std() < 2 < images.luminance(given)[seen].std()
    grey = pixels(tmp_path / "out/grey.png")
    assert (grey == grey[..., :1]).all()


def test_a_picture_that_fails_is_named_and_the_others_are_done(ckpt, tmp_path, run_cli):
    (tmp_path / "in").mkdir()
    put(tmp_path / "in/a.png", 16, 16)
    (tmp_path / "in/b\udcff.jpg").write_bytes(b"no picture")
    argv = ["--image_dir", tmp_path / "in", "--output_image_dir", tmp_path / "out", "--device", "cpu"]
    end = run_cli("test.py", "--pre_trained_model", ckpt, *argv)
    assert (end.returncode, end.stdout[:20]) == (1, "1 pictures written t")
    failure, *rest = end.stderr.splitlines()
    assert failure.endswith(r"in/b\udcff.jpg: cannot be read: not an image")
    assert rest == ["error: 1 of 2 pictures failed, see above"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (RuntimeError("Expected canUse32BitIndexMath(input) to be true"), "Expected canUse32BitIndexMath"),
        (MemoryError(), "out of memory"),
    ],
)
def test_a_frame_that_cannot_be_made_ends_the_film_with_one_line(fault, message, tmp_path):
    def fail(_):
        raise fault

    (tmp_path / "y.mp4").touch()
    argv = ["--pre_trained_model", "x", "--video", str(tmp_path / "y.mp4"), "--output", "z.mp4"]
    with pytest.raises(RunFailed, match=f"^{message}.*: limit the size with --size N, or work in tiles"):
        test.change_frame(fail, test.parse(argv)[0], noise(16, 16))


OTHER_SYSTEM = """
import os, pathlib, runpy, sys
del os.sched_getaffinity
sys.modules["fcntl"] = None
def refuse(*_):
    raise PermissionError(13, "Permission denied")
os.fsync, opened = refuse, os.open
os.open = lambda path, *more, **options: (refuse if os.path.isdir(path) else opened)(path, *more, **options)
from support import files
files.write_text(pathlib.Path(sys.argv[1]), "written whole")
with files.locked(pathlib.Path.cwd(), wait=False) as free:
    assert free is None
sys.argv = ["test.py", *sys.argv[2:]]
runpy.run_path("test.py", run_name="__main__")
"""


def test_it_runs_without_what_only_linux_has(ckpt, tmp_path, run_cli):
    """macOS has no affinity; Windows has no fcntl, opens no folders and syncs no files opened for reading."""
    (tmp_path / "in").mkdir()
    put(tmp_path / "in/a.png", 16, 20)
    where = ["--image_dir", tmp_path / "in", "--output_image_dir", tmp_path / "out", "--device", "cpu"]
    done = run_cli("-c", OTHER_SYSTEM, tmp_path / "text", "--pre_trained_model", ckpt, *where)
    assert done.returncode == 0, done.stderr
    assert pixels(tmp_path / "out/a.png").shape == (16, 20, 3)
    assert (tmp_path / "text").read_text() == "written whole"
