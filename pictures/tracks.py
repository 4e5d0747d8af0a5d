"""What belongs to a film beside its pictures: sound, subtitles, chapters, attachments, titles, languages.

What the new container holds is copied. Sound and subtitles of text are encoded anew where it does not hold
them as they are. One line names what is left out.
"""

import contextlib
import io
import itertools

from pictures import film, sound
from utils import report

TEXT = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}  # subtitle codecs
OF_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # and not of the film
LEAD = 8  # packets: a container's list of codecs leaves out what it must know of a stream besides


def to_copy(read):
    """The streams of an open film whose packets `add` copies."""
    return [stream for stream in (*read.streams.audio, *read.streams.subtitles) if stream.codec_context]


def add(av, read, written, kind, video, about):
    """Add what belongs to the film `read` to an open container of format `kind` that has its pictures.

    `video` is the stream of the pictures, `about` a text that is added to the film's comment. Returns {index
    of each stream of `to_copy`: a function that takes its packets in turn (the last one is empty) and writes
    them}. Damaged packets are left out.
    """
    copies, lost = {}, []
    _describe(video, written.streams[0])
    for track in read.streams:
        chapters = track.discard == av.stream.Discard.all  # MP4 keeps them in a stream
        if track is video or chapters:
            continue
        before = len(written.streams)
        if track in to_copy(read):
            copies[track.index] = _add(av, read, written, kind, track)
        elif track.type == "attachment" and kind == "matroska":
            written.add_stream_from_template(track)
        if len(written.streams) == before:
            lost.append(_name(track))
        else:
            _describe(track, written.streams[before])
    kept = {key: value for key, value in read.metadata.items() if key.lower() not in OF_CONTAINER}
    comment = next((key for key in kept if key.lower() == "comment"), "comment")
    written.metadata.update(kept | {comment: "\n".join(filter(None, [kept.get(comment), about]))})
    written.set_chapters([_moved(chapter, read.start_time or 0) for chapter in read.chapters()])
    if lost:
        report(f"not copied into the new file: {', '.join(lost)}")
    return copies


def _add(av, read, written, kind, track):
    """Add a stream for a track of sound or subtitles, if possible; returns the function for its packets."""
    if _can_hold(av, read.name, kind, track.index):
        return _copier(av, written, track)
    if track.type == "audio":
        return sound.encoder(av, written, kind, track)
    if track.codec_context.codec.text_sub:
        return _text_encoder(av, written, kind, track)
    return lambda packet: None


def _can_hold(av, source, kind, index):
    """Try it: with the header, and for sound with the first packets; those of subtitles may be far apart."""
    try:
        with film.opened(source) as read, av.open(io.BytesIO(), "w", format=kind) as trial:
            track = read.streams[index]
            stream = trial.add_stream_from_template(track)
            trial.start_encoding()
            for packet in itertools.islice(read.demux(track), LEAD if track.type == "audio" else 0):
                if packet.dts is not None:
                    packet.stream = stream
                    trial.mux(packet)
        return True
    except (ValueError, av.FFmpegError):
        return False


def _copier(av, written, track):
    stream, last = written.add_stream_from_template(track), None

    def copy(packet):
        nonlocal last
        if packet.dts is None:
            return
        if last is not None and packet.dts <= last:  # no container holds that
            packet.dts = last + 1
            packet.pts = max(packet.pts or 0, packet.dts)
        last, packet.stream = packet.dts, stream
        with contextlib.suppress(av.error.InvalidDataError, av.error.PatchWelcomeError):
            written.mux(packet)

    return copy


def _text_encoder(av, written, kind, track):
    """As `_copier`, for subtitles of text, encoded anew: their fonts and places are lost."""
    decoder, stream = track.codec_context, written.add_stream(TEXT[kind])
    decoder.open(strict=False)  # which makes the header
    stream.codec_context.subtitle_header = decoder.subtitle_header
    report(f"the subtitles ({decoder.name}) are encoded anew ({TEXT[kind]}): the new file holds text alone")

    def encode(packet):
        with contextlib.suppress(av.FFmpegError):  # damaged
            if packet.dts is not None and (found := decoder.decode2(packet)):
                made = stream.codec_context.encode_subtitle(found)
                made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
                made.time_base, made.stream = packet.time_base, stream
                written.mux(made)

    return encode


def _describe(track, stream):
    """Give a new stream the language, title and rank (default, forced, …) of the track that it is made of."""
    known = {"language": track.language, "title": track.metadata.get("title", track.metadata.get("name"))}
    stream.metadata.update({key: value for key, value in known.items() if value})  # MP4 calls a title "name"
    stream.disposition = track.disposition


def _moved(chapter, start):
    """A chapter, its times counted from the film's beginning at `start` (microseconds)."""
    ticks = round(start / (10**6 * chapter["time_base"]))
    return chapter | {key: max(0, chapter[key] - ticks) for key in ("start", "end")}


def _name(track):
    """What a line calls a track that is left out."""
    if track.type == "video" and film.is_attached(track):
        return "a cover picture"
    kind = {"audio": "sound", "subtitle": "subtitles"}.get(track.type, track.type)
    about = [getattr(track, "name", None), track.language]
    return f"{kind} {track.index} ({', '.join(word for word in about if word) or 'unknown codec'})"
