"""A film with every frame converted: frames, times, colours and other streams of the new file; errors."""

import signal
from fractions import Fraction
from unittest import mock

import films
import numpy as np
import pytest
import torch
from bad_data import encoded, noise
from films import EVEN, LEFT, RIGHT, TIMES, make, read

import networks
import test
from pictures import checkpoints, film, inference
from pictures.film_convert import convert
from utils import RunFailed, Stopped, WrongUse

av = films.av


def keep(frame):
    return frame


# Frames and times


def test_frames_times_and_sound_are_kept(tmp_path):
    make(tmp_path / "in.mp4", sound_at=0.1)
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


@pytest.mark.parametrize("extension", ["mp4", "webm"])  # sound copied, encoded again
def test_a_broadcast_whose_clock_jumps_loses_no_frame_and_stays_in_sync(tmp_path, extension):
    parts = []
    for place, start in enumerate((0, 0, 500, 2**33 // 90_000 - 1)):  # the last one wraps
        last = {"layout": "stereo", "sound_at": 0.5} if place == 3 else {}
        make(tmp_path / "part.ts", times=EVEN, hertz=48_000, start=start, **last)
        parts.append((tmp_path / "part.ts").read_bytes())
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    out = tmp_path / f"out.{extension}"
    convert(tmp_path / "in.ts", out, keep)
    times, _, sound = read(out)
    assert len(times) == 200 and 0 <= times[0] < 0.1
    assert np.diff(times) == pytest.approx(0.04, abs=0.002)
    begins = [float(packet.pts * packet.time_base) for packet in sound]
    *gaps, pause = sorted(np.diff(begins))
    assert max(gaps) < 0.1 and abs(pause - 0.5) < 0.1 and abs(begins[-1] - 8.5) < 0.1
    _, _, begin, samples = films.read_sound(out)
    assert abs(begin) < 0.1 and len(samples) / 48_000 == pytest.approx(8, abs=0.3)


def test_a_container_that_loses_frames_is_an_error(tmp_path, monkeypatch):
    make(tmp_path / "in.mp4", sound=None)
    play = film.play

    def early(*args):
        for stream, frame in play(*args):
            frame.pts -= round(0.15 / frame.time_base)  # an MP4 shows nothing before its beginning
            yield stream, frame

    monkeypatch.setattr(film, "play", early)
    with pytest.raises(RunFailed, match=r"out\.mp4 would have only \d of 6 frames"):
        convert(tmp_path / "in.mp4", tmp_path / "out.mp4", keep)
    assert not (tmp_path / "out.mp4").exists()


# Colours and sizes


# Films without tags: as players read them.
@pytest.mark.parametrize(
    ("height", "matrix", "tags"), [(48, 1, {"colorspace": 1, "color_range": 2}), (720, 1, {}), (48, 6, {})]
)
def test_colours_are_what_a_player_shows(tmp_path, height, matrix, tags):
    given, seen = films.halves(height), []
    colours = {"dst_colorspace": matrix, "dst_color_range": tags.get("color_range")}
    stored = av.VideoFrame.from_ndarray(given, "rgb24").reformat(format="yuv420p", **colours)
    stored.colorspace = tags.get("colorspace", 2)
    make(tmp_path / "in.mp4", stored, [0], sound=None, **tags)
    convert(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda frame: seen.append(frame) or frame[:47, :45])
    with av.open(str(tmp_path / "out.mp4")) as file:
        context, frame = file.streams.video[0].codec_context, next(file.decode(video=0))
        assert (context.colorspace, context.color_range) == (matrix, 1)
        assert context.color_primaries == context.color_trc == (1 if matrix == 1 else 2)
    made = frame.to_ndarray(format="rgb24")
    assert made.shape == (48, 46, 3)  # odd sides grow by one
    for picture in (seen[0], made):
        assert np.abs(picture[5:48, 5:25].astype(int) - LEFT).max() < 8


def test_a_rotated_film_keeps_the_aspect_ratio_of_its_pixels(tmp_path):
    make(tmp_path / "in.mp4", sound=None, sample_aspect_ratio=Fraction(4, 3))
    films.set_display_matrix(tmp_path / "in.mp4", 0, 1, -1, 0)
    convert(tmp_path / "in.mp4", tmp_path / "out.mp4", keep)
    with av.open(str(tmp_path / "out.mp4")) as file:
        video = file.streams.video[0]
        assert (video.width, video.height, video.sample_aspect_ratio) == (48, 64, Fraction(3, 4))


# Sound


@pytest.mark.parametrize(
    ("sound", "layout", "hertz", "extension", "made"),
    [
        ("pcm_s16le", "quad", 44_100, "mp4", "stereo"),
        ("pcm_u8", "mono", 192_000, "mp4", "mono"),
        ("ac3", "5.1(side)", 48_000, "webm", "5.1"),
    ],
)
def test_sound_is_encoded_again_if_it_must_be(tmp_path, capsys, sound, layout, hertz, extension, made):
    make(tmp_path / "in.mkv", times=EVEN, sound=sound, layout=layout, hertz=hertz, sound_at=0.5)
    convert(tmp_path / "in.mkv", tmp_path / f"out.{extension}", keep)
    assert capsys.readouterr().err.startswith(f"the sound ({sound}) is encoded again (")
    codec, channels, begin, samples = films.read_sound(tmp_path / f"out.{extension}")
    assert (codec, channels) == ("opus" if extension == "webm" else "aac", made)
    assert begin == pytest.approx(0.5, abs=0.03)
    rate = min(hertz, 48_000)
    assert 2 <= len(samples) / rate < 2.06  # nothing is lost at the end
    tone = np.abs(np.fft.rfft(samples[rate // 2 :][:rate])).argmax()  # in Hz: one second
    assert tone == pytest.approx(0.3 / (2 * np.pi) * hertz, abs=2)


@pytest.mark.parametrize("extension", ["mp4", "webm"])
def test_damaged_sound_is_skipped(tmp_path, extension):
    make(tmp_path / "in.ts", times=EVEN, hertz=48_000)
    data = bytearray((tmp_path / "in.ts").read_bytes())
    place = data.index(bytes(read(tmp_path / "in.ts")[2][20])[:40])  # after those that are tried
    data[place + 1], data[place + 6] = 0xF0, 0xFF  # a form of ADTS that FFmpeg does not put into an MP4
    (tmp_path / "in.ts").write_bytes(data)
    assert convert(tmp_path / "in.ts", tmp_path / f"out.{extension}", keep) == 50
    _, _, begin, samples = films.read_sound(tmp_path / f"out.{extension}")
    assert abs(begin) < 0.1 and len(samples) / 48_000 > 1.8


# Subtitles, chapters, attachments, titles

LATE = 60  # seconds at which the film begins
SUBTITLES = "1\n00:01:00,500 --> 00:01:01,000\n<i>The</i> sea\n"
TEXTS = [(0.5, 0.5, b"<i>The</i> sea")]  # begin and length in seconds
COVER = encoded(noise(20, 10))
CHAPTERS = [("One", 0, 1), ("Two", 1, 2)]  # title, seconds
FLAGS = av.stream.Disposition
TRACKS = [
    ("video", "jpn", "Film", FLAGS.default),
    ("audio", "ger", "Deutsch", 0),
    ("audio", "fre", "Français", FLAGS.default),
    ("subtitle", "eng", "Signs", FLAGS.forced),
]


@pytest.fixture
def rich_mkv(tmp_path):
    """An .mkv with two sound tracks, subtitles, chapters, titles, a font and a cover picture."""
    make(tmp_path / "plain.mkv", times=EVEN, hertz=48_000, start=LATE)
    (tmp_path / "in.srt").write_text(SUBTITLES)
    with (
        av.open(str(tmp_path / "plain.mkv")) as plain,
        av.open(str(tmp_path / "in.srt")) as text,
        av.open(str(tmp_path / "in.mkv"), "w") as made,
    ):
        made.metadata.update(title="Fähre", artist="Nobody")
        times = lambda start, end: {"start": start + LATE, "end": end + LATE, "time_base": Fraction(1)}
        chapters = [{"metadata": {"title": title}, **times(*each)} for title, *each in CHAPTERS]
        made.set_chapters([{"id": number, **chapter} for number, chapter in enumerate(chapters)])
        given = [*plain.streams, plain.streams[1], text.streams[0]]
        tracks = [made.add_stream_from_template(stream) for stream in given]
        made.add_attachment("font.ttf", "font/ttf", b"glyphs")
        made.add_attachment("cover.png", "image/png", COVER)
        for stream, (_, language, title, flag) in zip(tracks, TRACKS, strict=True):
            stream.metadata.update(language=language, title=title)
            stream.disposition = flag
        for packet in [*plain.demux(), *text.demux()]:
            kind = packet.stream.type
            for track in [track for track in tracks if track.type == kind and packet.size]:
                packet.stream = track
                made.mux(packet)
    return tmp_path / "in.mkv"


def describe(path):
    """(metadata, tracks, chapters, attachments, subtitles) of a film."""
    with av.open(str(path)) as file:
        tracks = []
        for track in (*file.streams.video, *file.streams.audio, *file.streams.subtitles):
            title = track.metadata.get("title", track.metadata.get("name"))
            mark = track.disposition & (FLAGS.default | FLAGS.forced)
            tracks.append((track.type, track.language, title, mark))
        chapters = [
            (each["metadata"]["title"], *(float(each[key] * each["time_base"]) for key in ("start", "end")))
            for each in file.chapters()
        ]
        attached = [(each.name, each.mimetype, each.data) for each in file.streams.attachments]
        packets = [packet for packet in file.demux(*file.streams.subtitles) if packet.size > 2]
        seconds = lambda packet, ticks: round(float(ticks * packet.time_base), 1)
        texts = [(seconds(p, p.pts), seconds(p, p.duration), bytes(p)) for p in packets]
        return {key.lower(): value for key, value in file.metadata.items()}, tracks, chapters, attached, texts


def test_an_mkv_holds_everything_but_the_cover(rich_mkv, tmp_path, capsys):
    assert convert(rich_mkv, tmp_path / "out.mkv", keep) == 50
    assert capsys.readouterr().err == "not copied into the new file: a cover picture\n"
    metadata, *others = describe(tmp_path / "out.mkv")
    assert (metadata["title"], metadata["artist"]) == ("Fähre", "Nobody")
    assert others == [TRACKS, CHAPTERS, [("font.ttf", "font/ttf", b"glyphs")], TEXTS]


@pytest.mark.parametrize(("extension", "codec"), [("mp4", "mov_text"), ("webm", "webvtt")])
def test_other_containers_get_what_fits_and_the_rest_is_named(rich_mkv, tmp_path, capsys, extension, codec):
    convert(rich_mkv, tmp_path / f"out.{extension}", keep, "Model: a")
    lines = capsys.readouterr().err.splitlines()
    assert f"the subtitles (srt) are encoded again ({codec}): the new file holds only their text" in lines
    assert lines[-1] == "not copied into the new file: attachment 4 (font.ttf), a cover picture"
    convert(tmp_path / f"out.{extension}", tmp_path / "back.mkv", keep, "Model: b")
    assert "not copied" not in capsys.readouterr().err
    metadata, tracks, *others = describe(tmp_path / "back.mkv")
    assert "major_brand" not in metadata
    assert (metadata["title"], metadata["comment"]) == ("Fähre", "Model: a\nModel: b")
    assert tracks[:3] == TRACKS[:3] and tracks[3][:3] == TRACKS[3][:3]
    assert others == [CHAPTERS, [], TEXTS]


def test_damaged_titles_and_tracks_of_unknown_codecs_are_tolerated(rich_mkv, tmp_path, capsys):
    data = rich_mkv.read_bytes().replace("Fähre".encode(), b"F\xe4hre ").replace(b"A_AAC", b"A_XYZ", 1)
    rich_mkv.write_bytes(data)
    assert convert(rich_mkv, tmp_path / "out.mkv", keep) == 50
    assert capsys.readouterr().err == "not copied into the new file: sound 1 (ger), a cover picture\n"
    assert describe(tmp_path / "out.mkv")[1] == [TRACKS[0], *TRACKS[2:]]


def test_sound_with_a_cover_picture_is_not_a_film(tmp_path):
    with av.open(str(tmp_path / "song.mkv"), "w") as song:
        sound = song.add_stream("pcm_s16le", rate=8000, layout="mono")
        song.add_attachment("cover.png", "image/png", COVER)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        samples.sample_rate = 8000
        song.mux(sound.encode(samples))
    with pytest.raises(WrongUse, match=r"song\.mkv has no video in it, only a cover picture"):
        convert(tmp_path / "song.mkv", tmp_path / "out.mp4", keep)


# Errors and the command


def test_a_failed_conversion_keeps_the_older_result(tmp_path):
    make(tmp_path / "in.mp4")
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "in.mp4").read_bytes()[:500])
    (tmp_path / "out.mp4").write_bytes(b"older")
    with pytest.raises(RunFailed, match=r"cannot make .*out\.mp4 from .*broken\.mp4"):
        convert(tmp_path / "broken.mp4", tmp_path / "out.mp4", keep)
    with pytest.raises(Stopped, match=r"out\.mp4 is not written") as end:
        convert(tmp_path / "in.mp4", tmp_path / "out.mp4", mock.Mock(side_effect=KeyboardInterrupt))
    assert end.value.status == 130
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "in.mp4", "out.mp4"]


def test_wrong_use(tmp_path):
    make(tmp_path / "in.mp4")
    for source, target, message in (
        ("none.mp4", "out.mp4", "no file"),
        ("in.mp4", "in.mp4", "is the video itself"),
        ("in.mp4", "out.txt", r"use one of \.mp4"),
    ):
        with pytest.raises(WrongUse, match=message):
            convert(tmp_path / source, tmp_path / target, keep)
    with pytest.raises(WrongUse, match="is an address: download it"):
        test.parse(["--pre_trained_model=x", "--video=https://a/b.mp4", "--output=c.mp4"])


@pytest.fixture
def command(tmp_path):
    """The options of test.py for a film whose results are all mid-grey."""
    network = networks.Generator(ngf=4, nb=0)
    torch.nn.init.zeros_(network.up[-1].weight)
    torch.save(checkpoints.generator_file(network), tmp_path / "net.pth")
    make(tmp_path / "in.mp4")
    argv = f"--pre_trained_model {tmp_path}/net.pth --device cpu"
    return f"{argv} --video {tmp_path}/in.mp4 --output {tmp_path}/out.mp4".split()


def test_a_missing_pyav_is_reported(command, run_cli):
    code = "import runpy, sys; sys.modules['av'] = None; runpy.run_path('test.py', run_name='__main__')"
    end = run_cli("-c", code, *command)
    assert end.returncode == 2 and end.stderr.startswith("error: video needs PyAV 18 or later (")


STOPPED = """
import os, runpy, signal
from pictures import film
signal.signal(signal.SIGTERM, signal.SIG_DFL)
film.to_rgb = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
runpy.run_path("test.py", run_name="__main__")
"""


def test_a_signal_leaves_no_file(command, tmp_path, run_cli):
    end = run_cli("-c", STOPPED, *command)
    assert end.stderr == f"stopped: {tmp_path / 'out.mp4'} is not written\n"
    assert end.returncode == 128 + signal.SIGTERM
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "net.pth"]


def test_the_command_and_a_frame_that_does_not_fit_into_memory(command, tmp_path, monkeypatch, capsys):
    test.main([*command, "--size=32", "--side_by_side"])
    assert f"{len(TIMES)} frames" in capsys.readouterr().out
    assert "net.pth, SHA-256 " in describe(tmp_path / "out.mp4")[0]["comment"]
    frame = read(tmp_path / "out.mp4")[1][0].astype(int)
    assert frame.shape == (24, 64, 3)
    for column, colour in ((8, LEFT), (24, RIGHT), (48, 128)):
        assert np.abs(frame[12, column] - colour).max() < 16
    monkeypatch.setattr(inference, "convert", mock.Mock(side_effect=MemoryError))
    with pytest.raises(RunFailed, match=r"^out of memory: limit the size with --size N, or work in tiles"):
        test.main(command)
