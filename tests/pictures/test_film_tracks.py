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
    ("name", "sound", "layout", "hertz", "extension", "made"),
    [
        ("in.mp4", "aac", "stereo", 48_000, "webm", "stereo"),
        ("in.mkv", "pcm_s16le", "quad", 44_100, "mp4", "stereo"),
        ("in.mkv", "pcm_u8", "mono", 192_000, "mp4", "mono"),
        ("in.mkv", "ac3", "5.1(side)", 48_000, "webm", "5.1"),
    ],
)
def test_sound_that_the_container_cannot_hold_is_encoded_again(
    tmp_path, capsys, name, sound, layout, hertz, extension, made
):
    make(tmp_path / name, times=EVEN, sound=sound, layout=layout, hertz=hertz)
    convert(tmp_path / name, tmp_path / f"out.{extension}", keep)
    assert capsys.readouterr().err.startswith(f"the sound ({sound}) is encoded again (")
    codec, channels, begin, samples = films.hear(tmp_path / f"out.{extension}")
    assert (codec, channels) == ("opus" if extension == "webm" else "aac", made) and abs(begin) < 0.03
    rate = min(hertz, 48_000)
    assert len(samples) / rate == pytest.approx(2, abs=0.1)
    tone = np.abs(np.fft.rfft(samples[rate // 2 :][:rate])).argmax()  # in Hz: one second
    assert tone == pytest.approx(0.3 / (2 * np.pi) * hertz, abs=2)


@pytest.mark.parametrize("extension", ["mp4", "webm"])  # copied, encoded again
def test_sound_that_begins_late_stays_late(tmp_path, extension):
    make(tmp_path / "in.mkv", times=EVEN, hertz=48_000, sound_at=0.5)
    convert(tmp_path / "in.mkv", tmp_path / f"out.{extension}", keep)
    _, _, begin, samples = films.hear(tmp_path / f"out.{extension}")
    assert begin == pytest.approx(0.5, abs=0.03) and len(samples) / 48_000 == pytest.approx(2, abs=0.1)


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

LATE = 60  # seconds at which the film begins
SUBTITLES = """1
00:01:00,500 --> 00:01:01,000
<i>The</i> sea

2
00:01:01,200 --> 00:01:01,900
The end
"""
TEXTS = [(0.5, b"<i>The</i> sea"), (1.2, b"The end")]
COVER = encoded(noise(20, 10))
CHAPTERS = [("One", 0, 1), ("Two", 1, 2)]  # title, seconds
FLAGS = av.stream.Disposition
TRACKS = [
    ("audio", "ger", "Deutsch", 0),
    ("audio", "fre", "Français", FLAGS.default),
    ("subtitle", "eng", "Signs", FLAGS.forced),
]


@pytest.fixture
def rich(tmp_path):
    """An .mkv with two sound tracks, subtitles, chapters, titles, a font and a cover picture."""
    make(tmp_path / "plain.mkv", times=EVEN, hertz=48_000, start=LATE)
    (tmp_path / "in.srt").write_text(SUBTITLES)
    with (
        av.open(str(tmp_path / "plain.mkv")) as plain,
        av.open(str(tmp_path / "in.srt")) as text,
        av.open(str(tmp_path / "in.mkv"), "w") as made,
    ):
        made.metadata.update(title="Fähre", artist="Nobody")
        chapters = []
        for number, (title, start, end) in enumerate(CHAPTERS):
            times = {"start": start + LATE, "end": end + LATE, "time_base": Fraction(1)}
            chapters.append({"id": number, **times, "metadata": {"title": title}})
        made.set_chapters(chapters)
        given = [*plain.streams, plain.streams[1], text.streams[0]]
        pictures, *others = (made.add_stream_from_template(stream) for stream in given)
        made.add_attachment("font.ttf", "font/ttf", b"glyphs")
        made.add_attachment("cover.png", "image/png", COVER)
        for stream, (_, language, title, flag) in zip(others, TRACKS, strict=True):
            stream.metadata.update(language=language, title=title)
            stream.disposition = flag
        copies = {"video": [pictures], "audio": others[:2], "subtitle": others[2:]}
        for packet in [*plain.demux(), *text.demux()]:
            for stream in copies[packet.stream.type] if packet.size else []:
                packet.stream = stream
                made.mux(packet)
    return tmp_path / "in.mkv"


def describe(path):
    """(metadata, tracks, chapters, attachments, subtitles) of a film."""
    with av.open(str(path)) as file:
        tracks = []
        for track in (*file.streams.audio, *file.streams.subtitles):
            title = track.metadata.get("title", track.metadata.get("name"))
            mark = track.disposition & (FLAGS.default | FLAGS.forced)
            tracks.append((track.type, track.language, title, mark))
        chapters = [
            (each["metadata"]["title"], *(float(each[key] * each["time_base"]) for key in ("start", "end")))
            for each in file.chapters()
        ]
        attached = [(each.name, each.mimetype, each.data) for each in file.streams.attachments]
        packets = [packet for packet in file.demux(subtitles=0) if packet.size > 2]
        texts = [(round(float(packet.pts * packet.time_base), 1), bytes(packet)) for packet in packets]
        return {key.lower(): value for key, value in file.metadata.items()}, tracks, chapters, attached, texts


def test_an_mkv_holds_everything_but_the_cover(rich, tmp_path, capsys):
    assert convert(rich, tmp_path / "out.mkv", keep) == 50
    assert capsys.readouterr().err == "not copied into the new file: a cover picture\n"
    metadata, *others = describe(tmp_path / "out.mkv")
    assert (metadata["title"], metadata["artist"]) == ("Fähre", "Nobody")
    assert others == [TRACKS, CHAPTERS, [("font.ttf", "font/ttf", b"glyphs")], TEXTS]


@pytest.mark.parametrize(("extension", "codec"), [("mp4", "mov_text"), ("webm", "webvtt")])
def test_other_containers_get_what_they_hold_and_the_rest_is_named(rich, tmp_path, capsys, extension, codec):
    convert(rich, tmp_path / f"out.{extension}", keep, "Model: a")
    lines = capsys.readouterr().err.splitlines()
    assert f"the subtitles (srt) are encoded again ({codec}): the new file holds only their text" in lines
    assert lines[-1] == "not copied into the new file: attachment 4 (font.ttf), a cover picture"
    convert(tmp_path / f"out.{extension}", tmp_path / "back.mkv", keep, "Model: b")
    metadata, tracks, *others = describe(tmp_path / "back.mkv")
    assert (metadata["title"], metadata["comment"]) == ("Fähre", "Model: a\nModel: b")
    assert tracks[:2] == TRACKS[:2] and tracks[2][:3] == TRACKS[2][:3]
    assert others == [CHAPTERS, [], TEXTS]


def test_damaged_titles_and_tracks_of_unknown_codecs_do_no_harm(rich, tmp_path, capsys):
    data = rich.read_bytes().replace("Fähre".encode(), b"F\xe4hre ").replace(b"A_AAC", b"A_XYZ", 1)
    rich.write_bytes(data)
    assert convert(rich, tmp_path / "out.mkv", keep) == 50
    assert capsys.readouterr().err == "not copied into the new file: sound 1 (ger), a cover picture\n"
    assert describe(tmp_path / "out.mkv")[1] == TRACKS[1:]


def test_sound_with_a_cover_picture_is_not_a_film(tmp_path):
    with av.open(str(tmp_path / "song.mkv"), "w") as song:
        sound = song.add_stream("pcm_s16le", rate=8000, layout="mono")
        song.add_attachment("cover.png", "image/png", COVER)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        samples.sample_rate = 8000
        song.mux(sound.encode(samples))
    with pytest.raises(WrongUse, match=r"song\.mkv has no video in it, only a cover picture"):
        convert(tmp_path / "song.mkv", tmp_path / "out.mp4", keep)
