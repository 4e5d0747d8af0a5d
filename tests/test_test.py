"""test.py on pictures of every kind: what comes out, what is refused, and what is told."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import networks
import test
import utils
from pictures import checkpoints, images, inference


@pytest.fixture
def ckpt(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "net.pth"
    checkpoints.save(path, checkpoints.generator_file(networks.Generator(ngf=4, nb=1)))
    return path


@pytest.fixture
def command(ckpt, tmp_path):
    """Runs test.py on tmp_path/in (or `image_dir`) to tmp_path/out; returns the exit status."""

    def call(*options, image_dir=None):
        where = [
            "--image_dir",
            image_dir or str(tmp_path / "in"),
            "--output_image_dir",
            str(tmp_path / "out"),
        ]
        argv = ["--pre_trained_model", str(ckpt), *where, "--device", "cpu", *options]
        return utils.exit_status(lambda: test.main(argv))

    (tmp_path / "in").mkdir()
    return call


def noise(height, width, channels=3, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    return Image.fromarray(small[..., 0] if channels == 1 else small)


def rows(path, mode="RGB"):
    with Image.open(path) as image:
        return np.asarray(image.convert(mode))


@pytest.mark.parametrize(
    ("name", "image", "options", "mode"),
    [
        ("a.jpg", noise(33, 18), {}, "RGB"),
        ("a.JPEG", noise(33, 18, 1), {}, "RGB"),
        ("cmyk.jpg", noise(20, 20).convert("CMYK"), {}, "RGB"),
        ("a.png", noise(33, 18), {}, "RGB"),
        ("a.webp", noise(33, 18), {}, "RGB"),
        ("a.bmp", noise(33, 18), {}, "RGB"),
        ("a.tif", noise(33, 18), {}, "RGB"),
        ("still.gif", noise(33, 18).quantize(16), {}, "P"),
        ("palette.png", noise(33, 18).quantize(16), {}, "RGB"),
        ("seen_through.png", noise(33, 18).quantize(16), {"transparency": 3}, "RGBA"),
        ("bits.png", Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160), {}, "RGB"),
        ("bits.tif", Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160), {}, "RGB"),
        ("black.png", noise(17, 20, 1).convert("1"), {}, "RGB"),
        ("alpha.png", noise(33, 18, 4), {}, "RGBA"),
        ("grey_alpha.png", noise(33, 18, 2), {}, "RGBA"),
        ("alpha.webp", noise(33, 18, 4), {"exact": True}, "RGBA"),
        ("alpha.tif", noise(33, 18, 4), {}, "RGBA"),
        ("pixel.png", noise(1, 1), {}, "RGB"),
        ("row.png", noise(1, 50), {}, "RGB"),
        ("column.webp", noise(100, 2), {}, "RGB"),
    ],
)
def test_kinds_keep_their_size_and_format(command, tmp_path, name, image, options, mode):
    image.save(tmp_path / "in" / name, **options)
    assert command() == 0
    with Image.open(tmp_path / "in" / name) as given, Image.open(tmp_path / "out" / name) as made:
        assert (made.size, made.format, made.mode) == (given.size, given.format, mode)
        if mode == "RGBA" and made.format != "WEBP":
            assert (np.asarray(made)[..., 3] == np.asarray(given.convert("RGBA"))[..., 3]).all()


def test_result_is_the_networks(command, ckpt, tmp_path):
    photo = noise(16, 20)
    photo.save(tmp_path / "in/a.png")
    assert command("--precision", "fp32") == 0
    generator = checkpoints.load_generator(ckpt)
    with torch.inference_mode():
        expected = generator(torch.tensor(np.asarray(photo)).permute(2, 0, 1)[None] / 127.5 - 1)[0]
    expected = ((expected + 1) * 127.5).permute(1, 2, 0).numpy()
    assert np.abs(rows(tmp_path / "out/a.png") - expected).max() <= 0.51


def test_16_bits_and_cmyk_are_what_they_look_like():
    wide = Image.fromarray(np.full((4, 4), 40000, np.uint16))
    cyan = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    for image, kind, expected in ((wide, "png", [155] * 3), (cyan, "tiff", [0, 255, 255])):
        frames, _ = images.decode_frames(encoded(image, kind))
        assert np.abs(frames[0][0, 0].astype(int) - expected).max() <= 1


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_unseen_colours_are_white():
    image = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    image.putpixel((0, 0), (9, 8, 7, 1))
    (frame,), _ = images.decode_frames(encoded(image, "png"))
    assert frame[0, 0].tolist() == [9, 8, 7, 1]
    assert frame[1, 1].tolist() == [255, 255, 255, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_the_pixels(command, tmp_path, orientation):
    image = noise(20, 36)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "in/turned.png", exif=exif)
    with Image.open(tmp_path / "in/turned.png") as turned:
        ImageOps.exif_transpose(turned).convert("RGB").save(tmp_path / "in/upright.png")
    assert command() == 0
    with Image.open(tmp_path / "out/turned.png") as made:
        assert made.getexif().get(0x0112, 1) == 1
        assert made.size == ((20, 36) if orientation > 4 else (36, 20))
    assert (rows(tmp_path / "out/turned.png") == rows(tmp_path / "out/upright.png")).all()


def animation(path, frames=3, **options):
    made = [noise(20, 24, seed=seed) for seed in range(frames)]
    options = {"duration": [100, 200, 300][:frames], "loop": 0} | options
    made[0].save(path, save_all=True, append_images=made[1:], **options)


@pytest.mark.parametrize("extension", ["gif", "png", "webp"])
def test_every_frame_of_an_animation(command, tmp_path, extension):
    animation(tmp_path / f"in/a.{extension}")
    assert command() == 0
    with Image.open(tmp_path / f"out/a.{extension}") as made:
        assert (made.n_frames, made.size) == (3, (24, 20))
        seen, durations = [], []
        for place in range(3):
            made.seek(place)
            seen.append(np.asarray(made.convert("RGB")))
            durations.append(made.info["duration"])
    assert durations == [100, 200, 300]
    assert all(np.abs(seen[0].astype(int) - frame).max() > 20 for frame in seen[1:])


def test_transparent_animation_stays_transparent(command, tmp_path):
    frames = [Image.new("RGBA", (20, 20), (0, 0, 0, 0)) for _ in range(2)]
    for place, frame in enumerate(frames):
        frame.paste((200, 20, 20, 255), (place * 10, 0, place * 10 + 8, 20))
    frames[0].save(tmp_path / "in/a.gif", save_all=True, append_images=frames[1:], disposal=2)
    assert command() == 0
    with Image.open(tmp_path / "out/a.gif") as made:
        for place in range(2):
            made.seek(place)
            alpha = np.asarray(made.convert("RGBA"))[..., 3]
            assert alpha[:, place * 10 : place * 10 + 8].min() == 255
            assert alpha[:, (1 - place) * 10 : (1 - place) * 10 + 8].max() == 0


def test_folders_globs_and_files(command, tmp_path):
    for name in ("a.png", "x/b.png", "x/y/c.PNG", "x/.hidden/d.png", "x/[e].png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(16, 16).save(path)
    (tmp_path / "in/notes.txt").write_text("no picture")
    made = lambda: sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert command(image_dir=str(tmp_path / "in/x/[e].png")) == 0
    assert made() == ["[e].png"]
    assert command(image_dir=str(tmp_path / "in/x/*.png")) == 0
    assert made() == ["[e].png", "b.png"]
    assert command(image_dir=str(tmp_path / "in/**/c.*")) == 0
    assert made() == ["[e].png", "b.png", "x/y/c.PNG"]
    assert command() == 0
    assert made() == ["[e].png", "a.png", "b.png", "x/[e].png", "x/b.png", "x/y/c.PNG"]


def test_results_below_the_pictures_are_no_pictures(command, tmp_path, capsys):
    noise(16, 16).save(tmp_path / "in/a.png")
    for _ in range(2):
        assert command("--output_image_dir", str(tmp_path / "in/made")) == 0
        assert "1 pictures" in capsys.readouterr().out


@pytest.mark.parametrize("link", [False, True])
def test_a_picture_is_never_overwritten(command, tmp_path, capsys, link):
    noise(16, 16).save(tmp_path / "in/a.png")
    if link:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/a.png").hardlink_to(tmp_path / "in/a.png")
    before = (tmp_path / "in/a.png").read_bytes()
    assert command("--output_image_dir", str(tmp_path / ("out" if link else "in"))) == 2
    assert "would overwrite" in capsys.readouterr().err
    assert (tmp_path / "in/a.png").read_bytes() == before


def test_two_pictures_never_share_a_result(command, tmp_path, capsys):
    for name in ("a.png", "a.bmp"):
        noise(16, 16).save(tmp_path / "in" / name)
    assert command("--format", "jpg") == 2
    assert "would both become" in capsys.readouterr().err


def test_format_size_and_side_by_side(command, tmp_path):
    noise(30, 60, 4).save(tmp_path / "in/a.png")
    assert command("--format", "jpg", "--size", "40", "--side_by_side") == 0
    with Image.open(tmp_path / "out/a.jpg") as made:
        assert (made.format, made.mode, made.size) == ("JPEG", "RGB", (80, 20))
    assert command("--side_by_side") == 0
    made, given = rows(tmp_path / "out/a.png", "RGBA"), rows(tmp_path / "in/a.png", "RGBA")
    seen = given[..., 3] > 0
    assert (made[:, :60][seen] == given[seen]).all()
    assert (made[:, 60:, 3] == given[..., 3]).all()


def test_small_pictures_are_not_enlarged(command, tmp_path):
    noise(18, 22).save(tmp_path / "in/a.png")
    assert command("--size", "999") == 0
    assert rows(tmp_path / "out/a.png").shape == (18, 22, 3)


def test_unreadable_files_are_named_and_the_rest_goes_on(command, tmp_path, capsys):
    noise(16, 16).save(tmp_path / "in/b.png")
    (tmp_path / "in/a.jpg").write_bytes(b"no picture")
    (tmp_path / "in/c.png").write_bytes((tmp_path / "in/b.png").read_bytes()[:200])
    (tmp_path / "in/d.webp").write_bytes(b"")
    animation(tmp_path / "in/e.gif")
    (tmp_path / "in/e.gif").rename(tmp_path / "in/e.bmp")
    assert command() == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told] == [
        *(str(tmp_path / "in" / name) for name in ("a.jpg", "c.png", "d.webp", "e.bmp")),
        "error",
    ]
    assert told[-1].startswith("error: 4 of 5 pictures failed")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_batches_change_nothing(command, tmp_path):
    for place, size in enumerate([(16, 20), (16, 20), (16, 20), (24, 16), (16, 20)]):
        noise(*size, seed=place).save(tmp_path / f"in/{place}.png")
    assert command("--precision", "fp32") == 0
    alone = [rows(path).astype(int) for path in sorted((tmp_path / "out").iterdir())]
    assert command("--precision", "fp32", "--batch_size", "2") == 0
    together = [rows(path).astype(int) for path in sorted((tmp_path / "out").iterdir())]
    assert len(alone) == 5
    assert max(np.abs(a - b).max() for a, b in zip(alone, together, strict=True)) <= 1


def test_an_interrupted_run_is_finished_by_skip_existing(command, tmp_path, monkeypatch, capsys):
    for place in range(6):
        noise(16, 16, seed=place).save(tmp_path / f"in/{place}.png")
    with monkeypatch.context() as patched:
        calls, stylise = [], inference.stylise

        def interrupted(generator, photos):
            calls.append(photos)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return stylise(generator, photos)

        patched.setattr(inference, "stylise", interrupted)
        assert command() == 130
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert sorted(first) == ["0.png", "1.png", "2.png"]
    capsys.readouterr()
    assert command("--skip_existing") == 0
    assert "3 pictures written" in capsys.readouterr().out
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert len(after) == 6
    assert first.items() <= after.items()


def test_out_of_memory_is_told_in_a_line(command, tmp_path, monkeypatch, capsys):
    for name in ("a.png", "b.png"):
        noise(16, 16).save(tmp_path / "in" / name)
    noise(20, 20).save(tmp_path / "in/c.png")
    stylise = inference.stylise

    def greedy(generator, photos):
        if len(photos) > 1 or photos[0].shape[0] > 16:
            torch.empty(1 << 60, dtype=torch.uint8)
        return stylise(generator, photos)

    monkeypatch.setattr(inference, "stylise", greedy)
    assert command("--batch_size", "2") == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert "c.png" in told[0]
    assert "--size" in told[0]
    assert "--tile" in told[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--nb", "6"], "--nb is 6, but .*net.pth has nb 1"),
        (["--ngf", "64"], "--ngf is 64, but .*net.pth has ngf 4"),
        (["--out_ngc", "1"], "--out_ngc is 1, but .*net.pth has out_ngc 3"),
    ],
)
def test_options_that_disagree_with_the_checkpoint(command, tmp_path, options, says):
    noise(16, 16).save(tmp_path / "in/a.png")
    with pytest.raises(utils.WrongUse, match=says):
        # exit_status would print the line; what matters is that it names both values.
        argv = ["--pre_trained_model", str(tmp_path / "net.pth"), "--image_dir", str(tmp_path / "in")]
        test.main([*argv, "--output_image_dir", str(tmp_path / "out"), *options])
    agreeing = ["--nb", "1", "--ngf", "4", "--in_ngc", "3", "--out_ngc", "3", "--input_size", "256"]
    assert command(*agreeing) == 0


def test_nothing_to_do_is_wrong_use(command, tmp_path, capsys):
    assert command() == 2
    assert "no pictures at" in capsys.readouterr().err
    for argv in ([], ["--image_dir", "x"], ["--image_dir", "x", "--output_image_dir", "y", "--video", "z"]):
        with pytest.raises(SystemExit) as stopped:
            test.main(["--pre_trained_model", "x", *argv])
        assert stopped.value.code == 2


def chroma(picture):
    """R - Y and B - Y of RGB values (ITU-R BT.601)."""
    return picture[..., [0, 2]] - (picture @ [0.299, 0.587, 0.114])[..., None]


def test_a_grey_network_changes_luminance_and_keeps_chroma_and_transparency(command, ckpt, tmp_path):
    network = networks.Generator(in_ngc=1, out_ngc=1, ngf=4, nb=1)
    torch.nn.init.normal_(network.up[-1].weight, 0, 1e-3)  # mid-grey results: no value leaves 0 to 255
    checkpoints.save(ckpt, checkpoints.generator_file(network))
    soft = noise(16, 20).point(lambda value: value // 4 + 96)
    soft.putalpha(noise(16, 20, 1))
    soft.save(tmp_path / "in/a.png")
    noise(16, 20, 1).save(tmp_path / "in/grey.png")
    assert command("--side_by_side") == 0
    made, given = rows(tmp_path / "out/a.png", "RGBA"), rows(tmp_path / "in/a.png", "RGBA")
    seen = given[..., 3] > 0
    left, right = made[:, :20], made[:, 20:]
    assert (left[seen] == given[seen]).all()
    assert (right[..., 3] == given[..., 3]).all()
    assert np.abs(chroma(right[..., :3]) - chroma(given[..., :3]))[seen].max() < 1e-9
    assert images.luminance(right[..., :3])[seen].std() < 2 < images.luminance(given[..., :3])[seen].std()
    grey = rows(tmp_path / "out/grey.png")
    assert (grey == grey[..., :1]).all()
