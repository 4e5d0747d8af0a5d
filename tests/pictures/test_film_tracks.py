"""What belongs to a film beside its pictures: copied, encoded again, or named in a line."""

from fractions import Fraction

import films
import numpy as np
import pytest
from bad_data import encoded, noise
from films import EVEN, make, read

from pictures.film_convert import convert
from utils import WrongUse

av = films.av


def keep(frame):
    return frame


# Sound


@pytest.mark.parametrize(
    ("given", "sound", "layout", "hertz", "extension", "codec", "made"),
    [
        ("in.mp4", "aac", "stereo", 48_000, "webm", "opus", "stereo"),
        ("in.avi", "pcm_u8", "stereo", 48_000, "mp4", "aac", "stereo"),  # an AVI has only the number
        ("in.mov", "pcm_alaw", "mono", 8_000, "mp4", "aac", "mono"),
        (
            "in.mkv",
            "pcm_s16le",
            "quad",
            44_100,
            "mp4",
            "aac",
            "stereo",
        ),  # MP4 holds the codec, not the layout
        ("in.mkv", "pcm_u8", "mono", 192_000, "mp4", "aac", "mono"),
        ("in.mkv", "ac3", "5.1(side)", 48_000, "webm", "opus", "5.1"),
    ],
)
def test_sound_that_the_container_cannot_hold_is_encoded_again(
    tmp_path, capsys, given, sound, layout, hertz, extension, codec, made
):
    make(tmp_path / given, times=EVEN, sound=sound, layout=layout, hertz=hertz)
    out = tmp_path / f"out.{extension}"
    convert(tmp_path / given, out, keep)
    encoder = codec.replace("opus", "libopus")
    expected = f"the sound ({sound}) is encoded again ({encoder}): the new file cannot hold it\n"
    assert capsys.readouterr().err == expected
    name, channels, begin, samples = films.hear(out)
    assert (name, channels) == (codec, made) and abs(begin) < 0.03
    rate = hertz if codec == "aac" and hertz < 96_000 else 48_000
    assert len(samples) / rate == pytest.approx(2, abs=0.1)
    tone = np.abs(np.fft.rfft(samples[rate // 2 :][:rate])).argmax()  # in Hz: one second
    assert tone == pytest.approx(0.3 / (2 * np.pi) * hertz, abs=2)


@pytest.mark.parametrize("extension", ["mp4", "webm"])  # copied, encoded again
def test_sound_that_begins_late_stays_late(tmp_path, extension):
    make(tmp_path / "in.mkv", times=EVEN, hertz=48_000, sound_at=0.5)
    convert(tmp_path / "in.mkv", tmp_path / f"out.{extension}", keep)
    _, _, begin, samples = films.hear(tmp_path / f"out.{extension}")
    assert begin == pytest.approx(0.5, abs=0.03) and len(samples) / 48_000 == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("given", "extension"), [("in.mp4", "mkv"), ("in.ts", "mp4"), ("in.mkv", "mov")])
def test_sound_that_the_container_holds_is_copied(tmp_path, capsys, given, extension):
    make(tmp_path / given, times=EVEN, hertz=48_000)
    convert(tmp_path / given, tmp_path / f"out.{extension}", keep)
    assert capsys.readouterr().err == ""
    copied = [bytes(packet) for packet in read(tmp_path / f"out.{extension}")[2]]
    head = 7 if given == "in.ts" else 0  # of ADTS, in which MPEG-TS wraps AAC
    assert copied == [bytes(packet)[head:] for packet in read(tmp_path / given)[2]]


@pytest.mark.parametrize("extension", ["mp4", "webm"])
def test_damaged_sound_is_skipped(tmp_path, extension):
    make(tmp_path / "in.ts", times=EVEN, hertz=48_000)
    data = bytearray((tmp_path / "in.ts").read_bytes())
    place = data.index(bytes(read(tmp_path / "in.ts")[2][5])[:40])
    data[place + 1], data[place + 6] = 0xF0, 0xFF  # a form of ADTS that FFmpeg does not put into an MP4
    (tmp_path / "in.ts").write_bytes(data)
    assert convert(tmp_path / "in.ts", tmp_path / f"out.{extension}", keep) == 50
    _, _, begin, samples = films.hear(tmp_path / f"out.{extension}")
    assert abs(begin) < 0.1 and len(samples) / 48_000 > 1.8


# Subtitles, chapters, attachments, titles

SUBTITLES = """1
00:00:00,500 --> 00:00:01,000
<i>The</i> sea

2
00:00:01,200 --> 00:00:01,900
The end
"""
TEXTS = [(0.5, b"<i>The</i> sea"), (1.2, b"The end")]
COVER = encoded(noise(20, 10))
CHAPTERS = [("One", 0, 1), ("Two", 1, 2)]  # title, seconds
TRACKS = [("audio", "ger", "Deutsch"), ("audio", "fre", "Français"), ("subtitle", "eng", "Signs")]


def write_rich(path, late=0):
    """Write an .mkv with two sound tracks, subtitles, chapters, titles, a font and a cover picture."""
    make(path.with_name("plain.mkv"), times=EVEN, hertz=48_000, start=late)
    path.with_name("in.srt").write_text(SUBTITLES.replace("00:00:0", f"00:0{late // 60}:0"))
    with (
        av.open(str(path.with_name("plain.mkv"))) as plain,
        av.open(str(path.with_name("in.srt"))) as text,
        av.open(str(path), "w") as made,
    ):
        made.metadata.update(title="Fähre", artist="Nobody")
        chapters = []
        for number, (title, start, end) in enumerate(CHAPTERS):
            times = {"start": start + late, "end": end + late, "time_base": Fraction(1)}
            chapters.append({"id": number, **times, "metadata": {"title": title}})
        made.set_chapters(chapters)
        pictures, german = (made.add_stream_from_template(stream) for stream in plain.streams)
        french = made.add_stream_from_template(plain.streams[1])
        subtitles = made.add_stream_from_template(text.streams[0])
        made.add_attachment("font.ttf", "font/ttf", b"glyphs")
        made.add_attachment("cover.png", "image/png", COVER)
        flags = av.stream.Disposition
        for stream, (_, language, title), flag in zip(
            (german, french, subtitles), TRACKS, (0, flags.default, flags.forced), strict=True
        ):
            stream.metadata.update(language=language, title=title)
            stream.disposition = flag
        for packet in [*plain.demux(), *text.demux()]:
            copies = {"video": [pictures], "audio": [german, french]}.get(packet.stream.type, [subtitles])
            for stream in copies if packet.size else []:
                packet.stream = stream
                made.mux(packet)


def describe(path):
    """(metadata, tracks, their dispositions, chapters, attachments, subtitles) of a film."""
    flags = av.stream.Disposition
    with av.open(str(path)) as file:
        tracks, marks = [], []
        for track in (*file.streams.audio, *file.streams.subtitles):
            title = track.metadata.get("title", track.metadata.get("name"))
            tracks.append((track.type, track.language, title))
            marks.append(track.disposition & (flags.default | flags.forced))
        chapters = [
            (each["metadata"]["title"], *(float(each[key] * each["time_base"]) for key in ("start", "end")))
            for each in file.chapters()
        ]
        attached = [(each.name, each.mimetype, each.data) for each in file.streams.attachments]
        packets = [packet for packet in file.demux(subtitles=0) if packet.size > 2]
        texts = [(round(float(packet.pts * packet.time_base), 1), bytes(packet)) for packet in packets]
        return file.metadata, tracks, marks, chapters, attached, texts


@pytest.mark.parametrize("late", [0, 60])
def test_an_mkv_holds_everything_but_the_cover(tmp_path, capsys, late):
    write_rich(tmp_path / "in.mkv", late)
    assert convert(tmp_path / "in.mkv", tmp_path / "out.mkv", keep) == 50
    assert capsys.readouterr().err == "not copied into the new file: a cover picture\n"
    metadata, tracks, marks, chapters, attached, texts = describe(tmp_path / "out.mkv")
    assert (metadata["title"], metadata["ARTIST"]) == ("Fähre", "Nobody")
    assert tracks == TRACKS
    assert marks == [0, av.stream.Disposition.default, av.stream.Disposition.forced]
    assert chapters == CHAPTERS and attached == [("font.ttf", "font/ttf", b"glyphs")] and texts == TEXTS


@pytest.mark.parametrize(("extension", "codec"), [("mp4", "mov_text"), ("webm", "webvtt")])
def test_other_containers_get_what_they_hold_and_the_rest_is_named(tmp_path, capsys, extension, codec):
    write_rich(tmp_path / "in.mkv")
    out = tmp_path / f"out.{extension}"
    assert convert(tmp_path / "in.mkv", out, keep, "Model: a") == 50
    lines = capsys.readouterr().err.splitlines()
    assert f"the subtitles (srt) are encoded again ({codec}): the new file holds only their text" in lines
    assert lines[-1] == "not copied into the new file: attachment 4 (font.ttf), a cover picture"
    metadata, tracks, marks, chapters, attached, _ = describe(out)
    assert metadata["title"] == "Fähre" and tracks == TRACKS and chapters == CHAPTERS and not attached
    assert marks[:2] == [0, av.stream.Disposition.default]
    convert(out, tmp_path / "back.mkv", keep, "Model: b")
    metadata, tracks, _, chapters, _, texts = describe(tmp_path / "back.mkv")
    assert (tracks, chapters, texts) == (TRACKS, CHAPTERS, TEXTS)
    assert {key.lower(): value for key, value in metadata.items()}["comment"] == "Model: a\nModel: b"


def test_damaged_titles_and_tracks_of_unknown_codecs_do_no_harm(tmp_path, capsys):
    write_rich(tmp_path / "in.mkv")
    data = (tmp_path / "in.mkv").read_bytes()
    data = data.replace("Fähre".encode(), b"F\xe4hre ").replace(b"A_AAC", b"A_XYZ", 1)
    (tmp_path / "in.mkv").write_bytes(data)
    assert convert(tmp_path / "in.mkv", tmp_path / "out.mkv", keep) == 50
    assert capsys.readouterr().err == "not copied into the new file: sound 1 (ger), a cover picture\n"
    assert describe(tmp_path / "out.mkv")[1] == TRACKS[1:]


def test_sound_with_a_cover_picture_is_not_a_film(tmp_path):
    make(tmp_path / "plain.mkv")
    with av.open(str(tmp_path / "plain.mkv")) as plain, av.open(str(tmp_path / "song.mkv"), "w") as song:
        sound = song.add_stream_from_template(plain.streams.audio[0])
        song.add_attachment("cover.png", "image/png", COVER)
        for packet in plain.demux(audio=0):
            if packet.size:
                packet.stream = sound
                song.mux(packet)
    with pytest.raises(WrongUse, match=r"song\.mkv has no video in it, only a cover picture"):
        convert(tmp_path / "song.mkv", tmp_path / "out.mp4", keep)
