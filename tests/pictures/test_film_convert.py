"""A film with every frame changed: frames, times and colours of the new file, errors, the command."""

import os
import runpy
import signal
import subprocess
import sys
from fractions import Fraction

import films
import numpy as np
import pytest
import torch
from films import EVEN, LEFT, RIGHT, TIMES, make, read
from helpers import ROOT, SHARED

import networks
import test
from pictures import checkpoints, film, film_convert
from pictures.film_convert import convert
from utils import RunFailed, WrongUse, exit_status

av = films.av


def keep(frame):
    return frame


# Frames and times


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov"])
def test_frames_times_and_sound_are_kept(tmp_path, extension):
    make(tmp_path / "in.mp4")
    given_times, given, given_sound = read(tmp_path / "in.mp4")
    assert given_times == pytest.approx([time / 1000 for time in TIMES])
    out, files = tmp_path / f"new/out.{extension}", []
    watch = lambda frame: files.append(list(out.parent.iterdir())) or frame
    assert convert(tmp_path / "in.mp4", out, watch) == 6
    assert files == [[out.parent / f".{out.name}.part"]] * 6  # written frame by frame, under another name
    times, made, sound = read(out)
    # Matroska has no negative times: there everything is later by the encoder's lead-in of the sound.
    start = 0 if extension != "mkv" else -float(given_sound[0].pts * given_sound[0].time_base)
    assert times == pytest.approx([time + start for time in given_times], abs=1e-3)
    assert len(sound) >= 3 and [*map(bytes, sound)] == [*map(bytes, given_sound)]
    begins, given_begins = ([float(p.pts * p.time_base) for p in packets] for packets in (sound, given_sound))
    assert begins == pytest.approx([begin + start for begin in given_begins], abs=1e-3)
    assert all(np.abs(a.astype(int) - b).max() < 12 for a, b in zip(given, made, strict=True))


@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
def test_a_film_without_times_is_written_at_its_rate(tmp_path, extension):
    make(tmp_path / "in.h264", times=EVEN, sound=None)
    assert convert(tmp_path / "in.h264", tmp_path / f"out.{extension}", keep) == 50
    assert read(tmp_path / f"out.{extension}")[0] == pytest.approx(np.arange(50) / 25, abs=1e-3)


@pytest.mark.parametrize("extension", ["mp4", "webm"])
def test_a_broadcast_whose_clock_jumps_loses_no_frame_and_stays_with_its_sound(tmp_path, extension):
    parts = []
    for place, start in enumerate((0, 0, 500, 2**33 // 90_000 - 1)):  # the last one wraps
        layout = "stereo" if place == 3 else "mono"  # as in broadcasts
        make(tmp_path / "part.ts", times=EVEN, hertz=48_000, start=start, layout=layout)
        parts.append((tmp_path / "part.ts").read_bytes())
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    out = tmp_path / f"out.{extension}"
    assert convert(tmp_path / "in.ts", out, keep) == 200
    times, _, sound = read(out)
    assert len(times) == 200 and 0 <= times[0] < 0.1
    assert np.diff(times) == pytest.approx(0.04, abs=0.002)
    begins = [float(packet.pts * packet.time_base) for packet in sound]
    assert begins[-1] == pytest.approx(8, abs=0.1) and max(np.diff(begins)) < 0.1
    _, _, begin, samples = films.hear(out)
    assert abs(begin) < 0.1 and len(samples) / 48_000 == pytest.approx(8, abs=0.3)


CASES = ["android90k.mp4", "cover_before.mp4", "film709tag.mp4", "hflip.mp4"]
CASES += ["mono.avi", "plain.mp4", "raw.h264", "trunc.ts"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize(("name", "extension"), [*zip(CASES, 2 * ["mp4", "mkv", "mov", "webm"], strict=True)])
def test_real_films_keep_all_frames(tmp_path, name, extension):
    out = tmp_path / f"out.{extension}"
    frames = convert(SHARED / "cases" / name, out, keep)
    with av.open(str(SHARED / "cases" / name)) as file:
        assert sum(1 for _ in file.decode(file.streams.video[-1])) == frames
        sound = len(file.streams.audio)
    times, _, packets = read(out)
    assert len(times) == frames and min(np.diff(times)) > 0.01
    assert not sound or len(packets) > 5


def test_a_container_that_loses_frames_is_an_error(tmp_path, monkeypatch):
    make(tmp_path / "in.mp4", sound=None)
    play = film.play

    def early(*args):
        for stream, frame in play(*args):
            frame.pts -= round(0.15 / frame.time_base)  # an MP4 shows nothing before its beginning
            yield stream, frame

    monkeypatch.setattr(film, "play", early)
    with pytest.raises(RunFailed, match=r"out\.mp4 would have \d of the 6 frames"):
        convert(tmp_path / "in.mp4", tmp_path / "out.mp4", keep)
    assert not (tmp_path / "out.mp4").exists()


# Colours and sizes


@pytest.mark.parametrize(("matrix", "range"), [(1, 1), (5, 1), (1, 2)])  # BT.709, BT.601; limited, full
def test_colours_are_what_a_player_shows(tmp_path, matrix, range):
    make(tmp_path / "in.mp4", colorspace=matrix, color_range=range)
    green, seen = np.full((31, 45, 3), (30, 200, 60), np.uint8), []
    convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: seen.append(frame) or green)
    assert np.abs(seen[0][24, 5].astype(int) - LEFT).max() < 8
    with av.open(str(tmp_path / "out.mp4")) as file:
        frame = next(file.decode(video=0))
    assert (frame.colorspace, frame.color_range) == (matrix, 1)
    picture = frame.to_ndarray(format="rgb24").astype(int)
    assert picture.shape == (32, 46, 3)  # odd sides grow by one
    assert np.abs(picture - green[0, 0]).max() < 6


@pytest.mark.parametrize(("height", "matrix", "rest"), [(720, 1, 1), (48, 6, 2)])
def test_a_film_without_tags_is_read_as_players_do_and_the_result_is_tagged(tmp_path, height, matrix, rest):
    given = films.halves(height)
    stored = av.VideoFrame.from_ndarray(given, "rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
    stored.colorspace = 2
    make(tmp_path / "in.mp4", stored, [0], sound=None)
    seen = []
    convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: seen.append(frame) or frame[:48])
    assert np.abs(seen[0].astype(int) - given)[5:40, 5:25].max() < 6
    with av.open(str(tmp_path / "out.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (matrix, rest, rest)
        assert context.color_range == 1
        shown = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(shown.astype(int) - given[:48])[5:40, 5:25].max() < 8


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_reported_and_the_result_is_tagged_as_bt709(tmp_path, monkeypatch, capsys, transfer, name):
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1}
    make(tmp_path / "in.mp4", films.grey([700] * 64), [0], sound=None, **tags)
    monkeypatch.setattr(film, "to_rgb", lambda *_: films.halves())  # libswscale needs seconds for its table
    convert(tmp_path / "in.mp4", tmp_path / "out.mp4", keep)
    with av.open(str(tmp_path / "out.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
    assert f"in.mp4 is HDR ({name}): its colours are mapped" in capsys.readouterr().err


def test_a_turned_film_keeps_the_shape_of_its_pixels(tmp_path):
    make(tmp_path / "in.mp4", sound=None, sample_aspect_ratio=Fraction(4, 3))
    films.set_display_matrix(tmp_path / "in.mp4", 0, 1, -1, 0)
    convert(tmp_path / "in.mp4", tmp_path / "out.mp4", keep)
    with av.open(str(tmp_path / "out.mp4")) as file:
        video = file.streams.video[0]
        assert (video.width, video.height, video.sample_aspect_ratio) == (48, 64, Fraction(3, 4))


# Errors and the command


def test_a_damaged_film_leaves_the_older_result(tmp_path):
    make(tmp_path / "in.mp4")
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "in.mp4").read_bytes()[:500])
    (tmp_path / "out.mp4").write_bytes(b"older")
    with pytest.raises(RunFailed, match=r"cannot make .*out\.mp4 of .*broken\.mp4"):
        convert(tmp_path / "broken.mp4", tmp_path / "out.mp4", keep)
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "in.mp4", "out.mp4"]


def test_wrong_use(tmp_path, monkeypatch):
    make(tmp_path / "in.mp4")
    for source, target, message in (
        ("none.mp4", "out.mp4", "no file"),
        ("in.mp4", "in.mp4", "is the video itself"),
        ("in.mp4", "out.txt", r"use one of \.mp4"),
        ("in.mp4", "out.avi", "an AVI keeps no times"),
    ):
        with pytest.raises(WrongUse, match=message):
            convert(tmp_path / source, tmp_path / target, keep)
    monkeypatch.setattr(film, "AV_PROBLEM", "this is 16.1.0")
    with pytest.raises(WrongUse, match=r"needs PyAV 18 or later \(this is 16.1.0\): pip install -U av"):
        convert(tmp_path / "in.mp4", tmp_path / "out.mp4", keep)


@pytest.mark.parametrize(
    ("missing", "target", "message"),
    [("torch", "out.avi", "cannot write"), ("av", "out.mp4", "video needs PyAV")],
)
def test_wrong_use_is_reported_before_pytorch_is_loaded_and_without_pyav(tmp_path, missing, target, message):
    make(tmp_path / "in.mp4")
    words = ["--pre_trained_model", "x", "--video", tmp_path / "in.mp4", "--output", tmp_path / target]
    code = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; runpy.run_path('test.py', run_name='__main__')"
    )
    end = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
    assert end.returncode == 2
    assert end.stderr.startswith(f"error: {message}") and end.stderr.count("\n") == 1


def run_command(tmp_path, generator, *words):
    torch.save(checkpoints.generator_file(generator), tmp_path / "net.pth")
    make(tmp_path / "in.mp4")
    argv = ["--pre_trained_model", tmp_path / "net.pth", "--device", "cpu", *words]
    argv += ["--video", tmp_path / "in.mp4", "--output", tmp_path / "out.mp4"]
    return [str(word) for word in argv]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_no_file(tmp_path, monkeypatch, capsys, number):
    # A shell's & and nohup change these.
    usual = {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    usual[signal.SIGINT] = signal.default_int_handler
    before = {each: signal.signal(each, handler) for each, handler in usual.items()}

    def stop(frame):
        assert (tmp_path / ".out.mp4.part").exists()
        os.kill(os.getpid(), number)

    monkeypatch.setattr(film_convert, "convert", lambda source, target, *_: convert(source, target, stop))
    argv = run_command(tmp_path, networks.Generator(ngf=4, nb=0))
    monkeypatch.setattr(sys, "argv", ["test.py", *argv])
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "test.py"), run_name="__main__")
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == f"stopped: {tmp_path / 'out.mp4'} is not written\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "net.pth"]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_command(tmp_path, capsys, channels):
    network = networks.Generator(in_ngc=channels, out_ngc=channels, ngf=4, nb=0)
    torch.nn.init.zeros_(network.up[-1].weight)  # all results are mid-grey
    argv = run_command(tmp_path, network, "--size", 32, "--side_by_side")
    assert exit_status(lambda: test.main(argv)) == 0
    assert f"{len(TIMES)} frames" in capsys.readouterr().out
    frame = read(tmp_path / "out.mp4")[1][0].astype(int)
    assert frame.shape == (24, 64, 3)
    for colour, column in ((LEFT, 40), (RIGHT, 56)):
        grey = np.array([128] * 3)
        expected = grey if channels == 3 else grey + colour - np.dot(colour, [0.299, 0.587, 0.114])
        assert np.abs(frame[12, column] - expected.clip(0, 255)).max() < 16
