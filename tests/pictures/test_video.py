"""Videos made here, changed, and read back: frames, timestamps, sound, orientation, colours."""

import argparse
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch

import networks
import test
import utils
from pictures import checkpoints, video

av = pytest.importorskip("av")

TIMES = [0, 40, 80, 200, 230, 310]  # milliseconds, of no constant rate
MILLI = Fraction(1, 1000)
LEFT, RIGHT = (200, 60, 30), (20, 100, 220)


def make(path, height=48, width=64, sound=True, colorspace=None, rotation=0):
    """A video of a red left and a blue right half."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = LEFT, RIGHT
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = MILLI
        if colorspace:
            stream.codec_context.colorspace = colorspace
        audio = file.add_stream("aac", rate=8000, layout="mono") if sound else None
        for time in TIMES:
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=colorspace)
            frame.pts, frame.time_base = time, MILLI
            file.mux(stream.encode(frame))
        for place in range(3 if sound else 0):
            tone = np.sin(np.arange(1024) * 0.3 + place)[None].astype(np.float32)
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 8000, place * 1024, Fraction(1, 8000)
            file.mux(audio.encode(samples))
        file.mux(stream.encode())
        if sound:
            file.mux(audio.encode())
    if rotation:
        turn(path, rotation)


def turn(path, quarters):
    """Write a rotation by quarter turns, clockwise, into the track header of an MP4."""
    data = bytearray(path.read_bytes())
    a, b, c, d = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}[quarters]
    one = 1 << 16
    matrix = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)


def read(path):
    """(times, RGB pictures, audio packets) of a video, its frames as stored; times are in seconds."""
    with av.open(str(path)) as file:
        frames = [
            (frame.time, frame.rotation, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)
        ]
    with av.open(str(path)) as file:
        sound = [p for p in file.demux(audio=0) if p.size] if file.streams.audio else None
    assert all(rotation == 0 for _, rotation, _ in frames) or path.name.startswith("in")
    return [time for time, _, _ in frames], [picture for _, _, picture in frames], sound


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


def test_a_video_without_sound(tmp_path):
    make(tmp_path / "in.mp4", sound=False)
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


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotation_is_applied_to_the_pixels(tmp_path, quarters):
    make(tmp_path / "in.mp4", rotation=quarters)
    video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: frame)
    _, (stored, *_), _ = read(tmp_path / "in.mp4")
    _, (made, *_), _ = read(tmp_path / "out.mp4")
    upright = np.rot90(stored, -quarters)
    assert made.shape == upright.shape
    assert np.abs(made.astype(int) - upright).mean() < 4


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
    ):
        with pytest.raises(utils.WrongUse, match=says):
            video.convert(tmp_path / source, tmp_path / target, same)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(utils.WrongUse, match="pip install av"):
        video.convert(tmp_path / "in.mp4", tmp_path / "out.mp4", same)


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
