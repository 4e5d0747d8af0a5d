"""What belongs to a film beside its pictures: copied, encoded anew, or named in a line."""

from fractions import Fraction

import films
import pytest

from pictures import video

av = films.av

SUBTITLES = """1
00:00:00,500 --> 00:00:01,000
<i>The</i> sea

2
00:00:01,200 --> 00:00:01,900
The end
"""
CHAPTERS = [("One", 0, 1), ("Two", 1, 2)]  # title, seconds


@pytest.fixture
def rich(tmp_path):
    """A film with two sound tracks, subtitles, a font, chapters and titles."""
    films.make(tmp_path / "plain.mkv", times=films.EVEN, hertz=48_000)
    (tmp_path / "in.srt").write_text(SUBTITLES)
    with (
        av.open(str(tmp_path / "plain.mkv")) as plain,
        av.open(str(tmp_path / "in.srt")) as text,
        av.open(str(tmp_path / "in.mkv"), "w") as made,
    ):
        made.metadata.update(title="Au bord de la mer", artist="Nobody")
        made.set_chapters(
            [
                {
                    "id": place,
                    "start": start,
                    "end": end,
                    "time_base": Fraction(1),
                    "metadata": {"title": title},
                }
                for place, (title, start, end) in enumerate(CHAPTERS)
            ]
        )
        pictures, german = (made.add_stream_from_template(stream) for stream in plain.streams)
        french = made.add_stream_from_template(plain.streams[1])
        subtitles = made.add_stream_from_template(text.streams[0])
        made.add_attachment("font.ttf", "font/ttf", b"glyphs")
        for stream, language, title, rank in (
            (german, "ger", "Deutsch", 0),
            (french, "fre", "Français", av.stream.Disposition.default),
            (subtitles, "eng", "Signs", av.stream.Disposition.forced),
        ):
            stream.metadata.update(language=language, title=title)
            stream.disposition = rank
        for packet in [*plain.demux(), *text.demux()]:
            copies = {"video": [pictures], "audio": [german, french]}.get(packet.stream.type, [subtitles])
            for stream in copies if packet.size else []:
                packet.stream = stream
                made.mux(packet)
    return tmp_path / "in.mkv"


def about(path):
    """What a film has beside its pictures."""
    with av.open(str(path)) as file:
        tracks = [
            (track.type, track.language, track.metadata.get("title", track.metadata.get("name")))
            for track in (*file.streams.audio, *file.streams.subtitles)
        ]
        ranks = [
            track.disposition & (av.stream.Disposition.default | av.stream.Disposition.forced)
            for track in (*file.streams.audio, *file.streams.subtitles)
        ]
        chapters = [
            (each["metadata"]["title"], *(float(each[key] * each["time_base"]) for key in ("start", "end")))
            for each in file.chapters()
        ]
        attached = [(each.name, each.mimetype, each.data) for each in file.streams.attachments]
        texts = [
            (round(float(packet.pts * packet.time_base), 1), bytes(packet))
            for packet in file.demux(subtitles=0)
            if packet.size > 2
        ]
        return file.metadata, tracks, ranks, chapters, attached, texts


TRACKS = [("audio", "ger", "Deutsch"), ("audio", "fre", "Français"), ("subtitle", "eng", "Signs")]


def test_a_container_that_holds_all_gets_all_without_a_line(rich, tmp_path, capsys):
    assert video.convert(rich, tmp_path / "out.mkv", lambda frame: frame) == 50
    assert capsys.readouterr().err == ""
    metadata, tracks, ranks, chapters, attached, texts = about(tmp_path / "out.mkv")
    assert (metadata["title"], metadata["ARTIST"]) == ("Au bord de la mer", "Nobody")
    assert tracks == TRACKS
    assert ranks == [0, av.stream.Disposition.default, av.stream.Disposition.forced]
    assert chapters == CHAPTERS and attached == [("font.ttf", "font/ttf", b"glyphs")]
    assert texts == [(0.5, b"<i>The</i> sea"), (1.2, b"The end")]


@pytest.mark.parametrize(("extension", "codec"), [("mp4", "mov_text"), ("webm", "webvtt")])
def test_what_a_container_does_not_hold_is_encoded_anew_or_named(rich, tmp_path, capsys, extension, codec):
    out = tmp_path / f"out.{extension}"
    assert video.convert(rich, out, lambda frame: frame) == 50
    said = capsys.readouterr().err.splitlines()
    assert f"the subtitles (srt) are encoded anew ({codec}): the new file holds text alone" in said
    assert said[-1] == "not copied into the new file: attachment 4 (font.ttf)"
    metadata, tracks, ranks, chapters, attached, texts = about(out)
    assert metadata["title"] == "Au bord de la mer"
    assert tracks == TRACKS and ranks[:2] == [0, av.stream.Disposition.default]
    assert chapters == CHAPTERS and not attached
    assert [time for time, _ in texts] == [0.5, 1.2] and b"sea" in texts[0][1]
    video.convert(out, tmp_path / "back.mkv", lambda frame: frame)
    assert about(tmp_path / "back.mkv")[1::2] == (
        TRACKS,
        CHAPTERS,
        [(0.5, b"<i>The</i> sea"), (1.2, b"The end")],
    )


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "webm"])
def test_how_a_film_was_made_is_added_to_its_comment(tmp_path, extension):
    films.make(tmp_path / "in.mp4", sound=None)
    for source, target, about in (("in.mp4", "a.mkv", "Model: a"), ("a.mkv", f"b.{extension}", "Model: b")):
        video.convert(tmp_path / source, tmp_path / target, lambda frame: frame, about)
    with av.open(str(tmp_path / f"b.{extension}")) as file:
        metadata = {key.lower(): value for key, value in file.metadata.items()}
    assert metadata["comment"] == "Model: a\nModel: b"


def test_chapters_and_subtitles_count_from_the_films_beginning(tmp_path):
    films.make(tmp_path / "late.mkv", times=films.EVEN, sound=None, start=70)
    (tmp_path / "in.srt").write_text(SUBTITLES.replace("00:00:0", "00:01:1"))
    with (
        av.open(str(tmp_path / "late.mkv")) as late,
        av.open(str(tmp_path / "in.srt")) as text,
        av.open(str(tmp_path / "in.mkv"), "w") as made,
    ):
        made.set_chapters(
            [{"id": 1, "start": 71, "end": 72, "time_base": Fraction(1), "metadata": {"title": "Two"}}]
        )
        copies = {file: made.add_stream_from_template(file.streams[0]) for file in (late, text)}
        for file, stream in copies.items():
            for packet in file.demux():
                if packet.size:
                    packet.stream = stream
                    made.mux(packet)
    video.convert(tmp_path / "in.mkv", tmp_path / "out.mkv", lambda frame: frame)
    *_, chapters, _, texts = about(tmp_path / "out.mkv")
    assert chapters == [("Two", 1, 2)]
    assert [time for time, _ in texts] == [0.5, 1.2]


def test_titles_of_another_encoding_are_read(tmp_path):
    films.make(tmp_path / "plain.mkv", sound=None)
    with (
        av.open(str(tmp_path / "plain.mkv")) as plain,
        av.open(str(tmp_path / "in.mkv"), "w", metadata_encoding="latin-1") as made,
    ):
        made.metadata["title"] = "Fähre"
        stream = made.add_stream_from_template(plain.streams[0])
        for packet in plain.demux():
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    assert video.convert(tmp_path / "in.mkv", tmp_path / "out.mkv", lambda frame: frame) == len(films.TIMES)
