"""Videos made here, changed, and read back: frames, timestamps, sound, orientation, colours."""

import argparse
import io
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
from films import LEFT, RIGHT, TIMES, make, read
from helpers import ROOT, SHARED
from PIL import Image

import networks
import test
import utils
from pictures import checkpoints, film, video

av = films.av


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov"])
def test_frames_times_and_sound_are_kept(tmp_path, extension):
    make(tmp_path / "in.mp4")
    given_times, given, given_sound = read(tmp_path / "in.mp4")
    assert given_times == pytest.approx([time / 1000 for time in TIMES])
    out = tmp_path / f"new/out.{extension}"
    assert video.convert(tmp_path / "in.mp4", out, lambda frame: frame) == len(TIMES)
    times, made, sound = read(out)
    # Matroska has no negative times: there all is later by as much as the encoder's lead-in of the sound.
    start = 0 if extension != "mkv" else -float(given_sound[0].pts * given_sound[0].time_base)
    assert times == pytest.approx([time + start for time in given_times], abs=1e-3)
    assert [bytes(packet) for packet in sound] == [bytes(packet) for packet in given_sound]
    heard, given_heard = ([float(p.pts * p.time_base) for p in packets] for packets in (sound, given_sound))
    assert heard == pytest.approx([time + start for time in given_heard], abs=1e-3)
    assert len(sound) >= 3
    assert all(np.abs(a.astype(int) - b).max() < 12 for a, b in zip(given, made, strict=True))


@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
def test_a_film_without_times_is_written_at_its_rate(tmp_path, extension):
    make(tmp_path / "in.h264", times=films.EVEN, sound=None)
    out = tmp_path / f"out.{extension}"
    assert video.convert(tmp_path / "in.h264", out, lambda frame: frame) == 50
    assert read(out)[0] == pytest.approx(np.arange(50) / 25, abs=1e-3)


@pytest.mark.parametrize("extension", ["mp4", "webm"])
def test_a_broadcast_whose_clock_jumps_loses_no_frame_and_stays_with_its_sound(tmp_path, extension):
    parts = []
    for place, start in enumerate((0, 0, 500, 2**33 // 90_000 - 1)):  # the last one wraps
        make(tmp_path / f"{place}.ts", times=films.EVEN, hertz=48_000, start=start)
        parts.append((tmp_path / f"{place}.ts").read_bytes())
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    out = tmp_path / f"out.{extension}"
    assert video.convert(tmp_path / "in.ts", out, lambda frame: frame) == 200
    times, _, _ = read(out)
    assert len(times) == 200
    assert 0 <= times[0] < 0.1
    assert np.diff(times) == pytest.approx(0.04, abs=0.002)
    _, _, begin, samples = films.hear(out)
    assert abs(begin) < 0.1
    assert len(samples) / 48_000 == pytest.approx(8, abs=0.3)


def test_a_container_that_loses_frames_is_an_error(tmp_path, monkeypatch):
    make(tmp_path / "in.mp4", sound=None)
    play = film.play

    def early(*args):
        for stream, frame in play(*args):
            frame.pts -= round(0.15 / frame.time_base)  # an MP4 shows nothing before its beginning
            yield stream, frame

    monkeypatch.setattr(film, "play", early)
    with pytest.raises(utils.RunFailed, match=r"out\.mp4 would hold \d of the 6 frames"):
        video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: frame)
    assert not (tmp_path / "out.mp4").exists()


def test_a_video_without_sound(tmp_path):
    make(tmp_path / "in.mp4", sound=None)
    video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: 255 - frame)
    times, made, sound = read(tmp_path / "out.mp4")
    assert sound is None
    assert len(times) == len(TIMES)
    assert np.abs(made[0][24, 5].astype(int) - [255 - value for value in LEFT]).max() < 8


@pytest.mark.parametrize("colorspace", [1, 5])  # BT.709 and BT.601
def test_new_colours_are_what_a_player_shows(tmp_path, colorspace):
    make(tmp_path / "in.mp4", colorspace=colorspace)
    green = np.zeros((48, 64, 3), np.uint8) + np.array([30, 200, 60], np.uint8)
    video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: green)
    with av.open(str(tmp_path / "out.mp4")) as file:
        frame = next(file.decode(video=0))
    assert frame.colorspace == colorspace
    assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - green).max() < 6


@pytest.mark.parametrize(("height", "matrix", "rest"), [(720, 1, 1), (48, 6, 2)])
def test_a_film_without_tags_is_what_players_take_it_for_and_the_result_is_tagged(
    tmp_path, height, matrix, rest
):
    given = films.halves(height)
    stored = av.VideoFrame.from_ndarray(given, "rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
    stored.colorspace = 2
    make(tmp_path / "in.mp4", stored, [0], sound=None)
    seen = []
    video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: seen.append(frame) or frame[:48])
    assert np.abs(seen[0].astype(int) - given)[5:40, 5:25].max() < 6
    with av.open(str(tmp_path / "out.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (matrix, rest, rest)
        assert context.color_range == 1
        shown = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(shown.astype(int) - given[:48])[5:40, 5:25].max() < 8


def test_a_film_of_full_range_keeps_its_colours(tmp_path):
    make(tmp_path / "in.mp4", colorspace=1, color_range=2)
    video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: frame)
    assert np.abs(read(tmp_path / "out.mp4")[1][0][24, 5].astype(int) - LEFT).max() < 8


@pytest.mark.parametrize(
    ("version", "told", "tags"),
    [("18.1.0", "are mapped", (1, 1, 1)), ("17.0.0", "will look pale", (9, 9, 18))],
)
def test_hdr_is_told_and_tagged_as_what_becomes_of_it(tmp_path, monkeypatch, capsys, version, told, tags):
    given = {"colorspace": 9, "color_primaries": 9, "color_trc": 18, "color_range": 1}
    make(tmp_path / "in.mp4", films.grey([700] * 64), [0], sound=None, **given)
    monkeypatch.setattr(av, "__version__", version)
    monkeypatch.setattr(film, "picture", lambda *_: films.halves())  # libswscale needs seconds for its table
    video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: frame)
    with av.open(str(tmp_path / "out.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == tags
    assert f"in.mp4 is HDR (HLG): its colours {told}" in capsys.readouterr().err


def test_odd_results_are_padded_by_one(tmp_path):
    make(tmp_path / "in.mp4")
    video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: frame[:31, :45])
    assert read(tmp_path / "out.mp4")[1][0].shape == (32, 46, 3)


def test_frames_are_streamed(tmp_path):
    make(tmp_path / "in.mp4")
    seen = []

    def change(frame):
        seen.append((tmp_path / ".out.mp4.part").exists())
        return frame

    video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", change)
    assert seen == [True] * len(TIMES)


def test_a_damaged_video_leaves_the_older_result(tmp_path):
    make(tmp_path / "in.mp4")
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "in.mp4").read_bytes()[:500])
    (tmp_path / "out.mp4").write_bytes(b"older")
    with pytest.raises(utils.RunFailed, match=r"cannot make .*out\.mp4 of .*broken\.mp4"):
        video.convert(tmp_path / "broken.mp4", tmp_path / "out.mp4", lambda frame: frame)
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "in.mp4", "out.mp4"]


def test_out_of_memory_is_told_with_a_mend(tmp_path):
    def greedy(_):
        torch.empty(1 << 60, dtype=torch.uint8)

    args = argparse.Namespace(size=None)
    with pytest.raises(utils.RunFailed, match="out of memory: limit the size"):
        test.change_frame(greedy, args, np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ZeroDivisionError):
        test.change_frame(lambda _: 1 / 0, args, np.zeros((16, 16, 3), np.uint8))


def test_a_file_of_sound_alone_is_told(tmp_path):
    with av.open(str(tmp_path / "in.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 8000
        file.mux([*stream.encode(samples), *stream.encode()])
    with pytest.raises(utils.WrongUse, match=r"in\.mp4 has no video in it"):
        video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: frame)


def test_wrong_use_is_told(tmp_path, monkeypatch):
    make(tmp_path / "in.mp4")
    same = lambda frame: frame
    for source, target, says in (
        ("none.mp4", "out.mp4", "no file"),
        ("in.mp4", "in.mp4", "is the video itself"),
        ("in.mp4", "out.txt", "known are"),
        ("in.mp4", "out.avi", "cannot write .*out.avi: an AVI keeps .* name an .mp4 or .mkv"),
    ):
        with pytest.raises(utils.WrongUse, match=says):
            video.convert(tmp_path / source, tmp_path / target, same)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(utils.WrongUse, match="pip install av"):
        video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", same)


def test_a_wrong_output_is_told_before_pytorch_is_loaded(tmp_path):
    make(tmp_path / "in.mp4")
    words = ["--pre_trained_model", "x", "--video", tmp_path / "in.mp4", "--output", tmp_path / "out.avi"]
    blocked = "import runpy, sys; sys.modules['torch'] = None; runpy.run_path('test.py', run_name='__main__')"
    end = subprocess.run(
        [sys.executable, "-c", blocked, *map(str, words)], cwd=ROOT, capture_output=True, text=True
    )
    assert end.returncode == 2
    assert end.stderr.startswith("error: cannot write") and end.stderr.count("\n") == 1


def with_cover(path, alone=False):
    """Write a film whose first video stream is a cover picture, or the cover and sound `alone`."""
    cover = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(cover, "png")
    make(path.with_name("plain.mp4"))
    with av.open(str(path.with_name("plain.mp4"))) as plain, av.open(str(path), "w") as made:
        picture = made.add_stream("png")
        picture.width, picture.height, picture.pix_fmt = 20, 10, "rgb24"
        picture.disposition = av.stream.Disposition.attached_pic
        tracks = plain.streams.audio if alone else tuple(plain.streams)
        copies = {track.index: made.add_stream_from_template(track) for track in tracks}
        packet = av.Packet(cover.getvalue())
        packet.pts, packet.dts, packet.time_base, packet.stream = 0, 0, Fraction(1, 1000), picture
        made.mux(packet)
        for packet in plain.demux(*tracks):
            if packet.size:
                packet.stream = copies[packet.stream.index]
                made.mux(packet)


def test_a_cover_picture_is_no_film(tmp_path, capsys):
    with_cover(tmp_path / "in.mp4")
    seen = []
    change = lambda frame: seen.append(frame.shape) or frame
    assert video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", change) == len(TIMES)
    assert set(seen) == {(48, 64, 3)}
    assert capsys.readouterr().err == "not copied into the new file: a cover picture\n"
    with_cover(tmp_path / "song.mp4", alone=True)
    with pytest.raises(utils.WrongUse, match=r"song\.mp4 has no video in it, only a cover picture"):
        video.convert(tmp_path / "song.mp4", tmp_path / "out.mp4", change)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_film_that_is_stopped_leaves_nothing(tmp_path, monkeypatch, capsys, number):
    make(tmp_path / "in.mp4")
    usual = {
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }  # nohup, and a shell's &, ignore some
    usual[signal.SIGINT] = signal.default_int_handler
    before = {each: signal.signal(each, handler) for each, handler in usual.items()}

    def stopped(frame):
        assert (tmp_path / ".out.mp4.part").exists()
        os.kill(os.getpid(), number)

    convert = video.convert
    monkeypatch.setattr(video, "convert", lambda source, target, *_: convert(source, target, stopped))
    torch.save(checkpoints.generator_file(networks.Generator(ngf=4, nb=0)), tmp_path / "net.pth")
    argv = ["test.py", "--pre_trained_model", tmp_path / "net.pth", "--device", "cpu"]
    argv += ["--video", tmp_path / "in.mp4", "--output", tmp_path / "out.mp4"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in argv])
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "test.py"), run_name="__main__")
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == f"stopped: {tmp_path / 'out.mp4'} is not written\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "net.pth"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov", "webm"])
@pytest.mark.parametrize(
    "name",
    [
        *("android90k.mp4", "cover_before.mp4", "film709tag.mp4", "hflip.mp4", "mono.avi"),
        *("plain.mp4", "raw.h264", "trunc.ts"),
    ],
)
def test_awkward_films_keep_all_frames(tmp_path, name, extension):
    out = tmp_path / f"out.{extension}"
    frames = video.convert(SHARED / "cases" / name, out, lambda frame: frame)
    with av.open(str(SHARED / "cases" / name)) as file:
        assert sum(1 for _ in file.decode(file.streams.video[-1])) == frames
        sound = len(file.streams.audio)
    times, _, packets = read(out)
    assert len(times) == frames and min(np.diff(times)) > 0.01
    assert not sound or len(packets) > 5


@pytest.mark.parametrize("channels", [1, 3])
def test_the_command(tmp_path, capsys, channels):
    make(tmp_path / "in.mp4")
    network = networks.Generator(in_ngc=channels, out_ngc=channels, ngf=4, nb=0)
    torch.nn.init.zeros_(network.up[-1].weight)  # all results are mid-grey
    torch.save(checkpoints.generator_file(network), tmp_path / "net.pth")
    argv = ["--pre_trained_model", tmp_path / "net.pth", "--video", tmp_path / "in.mp4"]
    argv += ["--output", tmp_path / "out.mp4", "--size", "32", "--side_by_side", "--device", "cpu"]
    assert utils.exit_status(lambda: test.main([str(word) for word in argv])) == 0
    assert f"{len(TIMES)} frames" in capsys.readouterr().out
    frame = read(tmp_path / "out.mp4")[1][0].astype(int)
    assert frame.shape == (24, 64, 3)
    for colour, column in ((LEFT, 40), (RIGHT, 56)):
        grey = np.array([128] * 3)
        wanted = grey if channels == 3 else grey + colour - np.dot(colour, [0.299, 0.587, 0.114])
        assert np.abs(frame[12, column] - wanted.clip(0, 255)).max() < 16
