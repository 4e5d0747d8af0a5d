"""test.py: its options, and a checkpoint applied to pictures from the command line to the files."""

import numpy as np
import pytest
import torch
from foreign import animegan_weights
from PIL import Image

import test
from networks import Generator
from pictures import checkpoints, colour, images, inference
from support.arguments import PYTHON
from utils import WrongUse


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


def put(path, height=16, width=20):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(image).save(path)
    return image


def test_the_result_is_the_networks_and_may_keep_something_of_the_photo(command, ckpt, tmp_path, capsys):
    photo = put(tmp_path / "in/a.png")
    command()
    assert capsys.readouterr().out.startswith(f"1 pictures written to {tmp_path}/out, ")
    generator = checkpoints.load_generator(ckpt)
    with torch.inference_mode():
        expected = generator(torch.tensor(photo).permute(2, 0, 1)[None] / 127.5 - 1)[0]
    expected, result = ((expected + 1) * 127.5).permute(1, 2, 0).numpy(), images.read(tmp_path / "out/a.png")
    assert abs(result - expected).max() <= 0.51
    for option, keeps, strength in (("--keep_colour=chroma", "chroma", 1), ("--strength=0.25", "off", 0.25)):
        command(option)
        kept = images.read(tmp_path / "out/a.png")
        assert (kept == colour.keep(photo, result, keeps, strength)).all() and (kept != result).any()


def test_options_reach_the_work(command, ckpt, tmp_path, monkeypatch):
    tiles, convert = [], inference.convert
    monkeypatch.setattr(inference, "convert", lambda *args: tiles.append(args[2]) or convert(*args))
    (tmp_path / "in/deep").mkdir()
    put(tmp_path / "in/deep/a.png", 30, 60)
    command("--format", "jpg", "--size", "40", "--side_by_side", "--tile", "16", "--suffix", "_x")
    with Image.open(tmp_path / "out/deep/a_x.jpg") as made:
        assert (made.format, made.mode, made.size, tiles) == ("JPEG", "RGB", (80, 20), [16])
        origin = made.info["comment"].decode()
    assert f"Model: {tmp_path.name}/net.pth, SHA-256 " in origin
    assert f"Command: {PYTHON} test.py --pre_trained_model {ckpt} " in origin and "--suffix _x" in origin


def test_skip_existing_finishes_an_interrupted_run(command, tmp_path, capsys):
    put(tmp_path / "in/a.png")
    command()
    before = (tmp_path / "out/a.png").stat()
    put(tmp_path / "in/b.png")
    command("--skip_existing")
    assert capsys.readouterr().out.splitlines()[1].endswith(", 1 already existed")
    assert (tmp_path / "out/a.png").stat() == before and (tmp_path / "out/b.png").exists()


def test_an_option_that_does_not_fit_the_checkpoint_is_an_error(command, ckpt, tmp_path):
    put(tmp_path / "in/a.png")
    with pytest.raises(WrongUse, match=r"leave out --nb 7: .*net.pth has nb 1"):
        command("--nb=7")
    checkpoints.save(ckpt, animegan_weights())
    with pytest.raises(WrongUse, match="AnimeGANv2's network, which cannot work in tiles: use --size N"):
        command("--tile=16")
    assert not (tmp_path / "out").exists()


def test_the_old_scripts_options_are_accepted(command, tmp_path, capsys):
    put(tmp_path / "in/a.png")
    command("--nb=1", "--ngf=4", "--in_ngc=3", "--out_ngc=3", "--input_size=256", "--ndf=32")
    size, ignored = capsys.readouterr().err.splitlines()
    assert size.startswith("--input_size has no effect")
    assert ignored == "training options have no effect here: --ndf"


@pytest.mark.parametrize("given", ["--image_dir x", "--image_dir x --output_image_dir y --video z"])
def test_an_incomplete_command_is_an_error(given):
    with pytest.raises(WrongUse, match="give --image_dir and --output_image_dir, or --video"):
        test.parse(["--pre_trained_model=x", *given.split()])


# macOS has no affinity of processes, Windows no fcntl.
OTHER_SYSTEM = "import os, runpy, sys; del os.sched_getaffinity; sys.modules['fcntl'] = None; "
OTHER_SYSTEM += "runpy.run_path('test.py', run_name='__main__')"


def test_on_other_systems_a_picture_that_fails_is_named_and_the_others_are_done(ckpt, tmp_path, run_cli):
    (tmp_path / "in").mkdir()
    put(tmp_path / "in/a.png")
    (tmp_path / "in/b\udcff.jpg").write_bytes(b"no picture")
    argv = ["--image_dir", tmp_path / "in", "--output_image_dir", tmp_path / "out", "--device", "cpu"]
    end = run_cli("-c", OTHER_SYSTEM, "--pre_trained_model", ckpt, *argv)
    assert (end.returncode, end.stdout[:20]) == (1, "1 pictures written t")
    failure, *rest = end.stderr.splitlines()
    assert failure.endswith(r"in/b\udcff.jpg: cannot be read: not an image")
    assert rest == ["error: 1 of 2 pictures failed, see above"]
