"""A film with every frame changed: frames, times and colours of the new file, errors, the command."""

import signal
from fractions import Fraction
from unittest import mock

import films
import numpy as np
import pytest
import torch
from films import EVEN, LEFT, RIGHT, TIMES, make, read
from helpers import SHARED

import networks
import test
from pictures import checkpoints, film
from pictures.film_convert import convert
from utils import RunFailed, Stopped, WrongUse

av = films.av


def keep(frame):
    return frame


# Frames and times


def test_frames_times_and_sound_are_kept(tmp_path):
    make(tmp_path / "in.mp4")
    given_times, given, given_sound = read(tmp_path / "in.mp4")
    assert given_times == pytest.approx([time / 1000 for time in TIMES])
    out, files = tmp_path / "new/out.mp4", []
    watch = lambda frame: files.append(list(out.parent.iterdir())) or frame
    assert convert(tmp_path / "in.mp4", out, watch) == 6
    assert files == [[out.parent / ".out.mp4.part"]] * 6  # written frame by frame, under another name
    times, made, sound = read(out)
    assert times == pytest.approx(given_times, abs=1e-3)
    assert [(packet.pts, bytes(packet)) for packet in sound] == [(p.pts, bytes(p)) for p in given_sound]
    assert np.abs(np.array(given, int) - made).max() < 12


def test_a_film_without_times_is_written_at_its_rate(tmp_path):
    make(tmp_path / "in.h264", times=EVEN, sound=None)
    assert convert(tmp_path / "in.h264", tmp_path / "out.mkv", keep) == 50
    assert read(tmp_path / "out.mkv")[0] == pytest.approx(np.arange(50) / 25, abs=1e-3)


@pytest.mark.parametrize("extension", ["mp4", "webm"])  # sound copied, encoded again
def test_a_broadcast_whose_clock_jumps_loses_no_frame_and_stays_with_its_sound(tmp_path, extension):
    parts = []
    for place, start in enumerate((0, 0, 500, 2**33 // 90_000 - 1)):  # the last one wraps
        layout = "stereo" if place == 3 else "mono"  # as in broadcasts
        make(tmp_path / "part.ts", times=EVEN, hertz=48_000, start=start, layout=layout)
        parts.append((tmp_path / "part.ts").read_bytes())
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    out = tmp_path / f"out.{extension}"
    convert(tmp_path / "in.ts", out, keep)
    times, _, sound = read(out)
    assert len(times) == 200 and 0 <= times[0] < 0.1
    assert np.diff(times) == pytest.approx(0.04, abs=0.002)
    begins = [float(packet.pts * packet.time_base) for packet in sound]
    assert begins[-1] == pytest.approx(8, abs=0.1) and max(np.diff(begins)) < 0.1
    _, _, begin, samples = films.hear(out)
    assert abs(begin) < 0.1 and len(samples) / 48_000 == pytest.approx(8, abs=0.3)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize(("name", "extension"), [("cover_before.mp4", "mkv"), ("trunc.ts", "mp4")])
def test_real_films_keep_all_frames(tmp_path, name, extension):
    out = tmp_path / f"out.{extension}"
    frames = convert(SHARED / "cases" / name, out, keep)
    with av.open(str(SHARED / "cases" / name)) as file:
        assert sum(1 for _ in file.decode(file.streams.video[-1])) == frames
    times = read(out)[0]
    assert len(times) == frames and min(np.diff(times)) > 0.01


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


@pytest.mark.parametrize(
    ("height", "matrix", "tags", "expected"),
    [
        (48, 5, {"colorspace": 5, "color_range": 1}, (5, 2, 2)),
        (48, 1, {"colorspace": 1, "color_range": 2}, (1, 1, 1)),
        (720, 1, {}, (1, 1, 1)),  # without tags: as players read it
        (48, 6, {}, (6, 2, 2)),
    ],
)
def test_colours_are_what_a_player_shows(tmp_path, height, matrix, tags, expected):
    given, seen = films.halves(height), []
    colours = {"dst_colorspace": matrix, "dst_color_range": tags.get("color_range")}
    stored = av.VideoFrame.from_ndarray(given, "rgb24").reformat(format="yuv420p", **colours)
    stored.colorspace = tags.get("colorspace", 2)
    make(tmp_path / "in.mp4", stored, [0], sound=None, **tags)
    convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: seen.append(frame) or frame[:47, :45])
    with av.open(str(tmp_path / "out.mp4")) as file:
        context, frame = file.streams.video[0].codec_context, next(file.decode(video=0))
        assert (context.colorspace, context.color_primaries, context.color_trc) == expected
        assert context.color_range == 1
    made = frame.to_ndarray(format="rgb24")
    assert made.shape == (48, 46, 3)  # odd sides grow by one
    for picture in (seen[0], made):
        assert np.abs(picture[5:48, 5:25].astype(int) - LEFT).max() < 8


def test_a_turned_film_keeps_the_shape_of_its_pixels(tmp_path):
    make(tmp_path / "in.mp4", sound=None, sample_aspect_ratio=Fraction(4, 3))
    films.set_display_matrix(tmp_path / "in.mp4", 0, 1, -1, 0)
    convert(tmp_path / "in.mp4", tmp_path / "out.mp4", keep)
    with av.open(str(tmp_path / "out.mp4")) as file:
        video = file.streams.video[0]
        assert (video.width, video.height, video.sample_aspect_ratio) == (48, 64, Fraction(3, 4))


# Errors and the command


def test_a_film_that_cannot_be_made_leaves_the_older_result(tmp_path):
    make(tmp_path / "in.mp4")
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "in.mp4").read_bytes()[:500])
    (tmp_path / "out.mp4").write_bytes(b"older")
    with pytest.raises(RunFailed, match=r"cannot make .*out\.mp4 of .*broken\.mp4"):
        convert(tmp_path / "broken.mp4", tmp_path / "out.mp4", keep)
    with pytest.raises(Stopped, match=r"out\.mp4 is not written") as end:
        convert(tmp_path / "in.mp4", tmp_path / "out.mp4", mock.Mock(side_effect=KeyboardInterrupt))
    assert end.value.status == 130
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "in.mp4", "out.mp4"]


def test_wrong_use(tmp_path, monkeypatch):
    make(tmp_path / "in.mp4")
    for source, target, message in (
        ("none.mp4", "out.mp4", "no file"),
        ("in.mp4", "in.mp4", "is the video itself"),
        ("in.mp4", "out.txt", r"use one of \.mp4"),
    ):
        with pytest.raises(WrongUse, match=message):
            convert(tmp_path / source, tmp_path / target, keep)
    monkeypatch.setattr(film, "AV_PROBLEM", "this is 16.1.0")
    with pytest.raises(WrongUse, match="needs PyAV 18 or later"):
        convert(tmp_path / "in.mp4", tmp_path / "out.mp4", keep)


def test_a_missing_pyav_is_reported(run_cli):
    code = "import sys; sys.modules['av'] = None; from pictures import film_convert, film; film.require_av()"
    assert "WrongUse: video needs PyAV" in run_cli("-c", code).stderr


def film_command(tmp_path, generator):
    torch.save(checkpoints.generator_file(generator), tmp_path / "net.pth")
    make(tmp_path / "in.mp4")
    argv = f"--pre_trained_model {tmp_path}/net.pth --device cpu"
    return f"{argv} --video {tmp_path}/in.mp4 --output {tmp_path}/out.mp4".split()


STOPPED_FILM = """
import os, runpy, signal, sys
from pictures import film_convert
signal.signal(signal.SIGTERM, signal.SIG_DFL)
convert = film_convert.convert
kill = lambda frame: os.kill(os.getpid(), signal.SIGTERM)
film_convert.convert = lambda source, target, *_: convert(source, target, kill)
runpy.run_path("test.py", run_name="__main__")
"""


def test_a_signal_leaves_no_file(tmp_path, run_cli):
    end = run_cli("-c", STOPPED_FILM, *film_command(tmp_path, networks.Generator(ngf=4, nb=0)))
    assert end.stderr == f"stopped: {tmp_path / 'out.mp4'} is not written\n"
    assert end.returncode == 128 + signal.SIGTERM
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "net.pth"]


def test_the_command(tmp_path, capsys):
    network = networks.Generator(ngf=4, nb=0)
    torch.nn.init.zeros_(network.up[-1].weight)  # all results are mid-grey
    test.main([*film_command(tmp_path, network), "--size=32", "--side_by_side"])
    assert f"{len(TIMES)} frames" in capsys.readouterr().out
    frame = read(tmp_path / "out.mp4")[1][0].astype(int)
    assert frame.shape == (24, 64, 3)
    for column, colour in ((8, LEFT), (24, RIGHT), (48, 128)):
        assert np.abs(frame[12, column] - colour).max() < 16
