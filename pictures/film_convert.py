"""Change every frame of a film and write a new film that keeps its times, sound, subtitles and chapters.

What the new container can hold is copied. Sound and text subtitles are encoded again where it cannot hold
them as they are. One line names what is left out. Needs PyAV (`pip install av`), which is optional.
"""

import contextlib
import io
import itertools
from fractions import Fraction

import numpy as np
from tqdm import tqdm

from pictures import film
from pictures.film import av
from support.files import replacing
from utils import RunFailed, Stopped, WrongUse, report

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}  # text codecs
LAYOUTS = {1: "mono", 6: "5.1", 8: "7.1"}  # by number of channels; all others become stereo
BITS_PER_CHANNEL = 96_000  # of sound, per second: no audible loss
OF_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # not metadata of the film
TRIAL = 8  # packets of sound: a container may refuse a stream only at its first packets


def check(source, target):
    """Raise WrongUse if the names show that the film `target` cannot be made from `source`."""
    film.require_av()
    if not source.is_file():
        raise WrongUse(f"no file {source}")
    if target.suffix.lower() not in CONTAINERS:
        raise WrongUse(f"cannot write {target}: use one of {' '.join(CONTAINERS)}")
    if target.exists() and target.samefile(source):
        raise WrongUse(f"{target} is the video itself: choose another --output")


def convert(source, target, change, about=""):
    """Write the film `source` to `target` with change(frame) for each frame; returns the number of frames.

    `change` takes and returns a frame in uint8 RGB (`film.to_rgb`); its results have one size. An odd side
    grows by a pixel, because 4:2:0 video needs even sides. `about` is added to the film's comment. Raises
    WrongUse, RunFailed if the film is damaged or cannot be written, and Stopped on a signal.
    """
    check(source, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    kind = CONTAINERS[target.suffix.lower()]
    try:
        with film.open_film(source) as old, replacing(target) as part:
            with open(part, "wb") as file, av.open(file, "w", format=kind) as new:
                count = _convert(old, new, change, about)
            with av.open(part, format=kind) as file:  # count the frames that a player will find
                packets = file.demux(video=0)
                kept = sum(1 for packet in packets if packet.size and not packet.is_discard)
            if kept != count:
                raise RunFailed(f"{target} would have only {kept} of {count} frames: try another container")
            return count
    except (KeyboardInterrupt, Stopped) as stop:
        raise Stopped(f"stopped: {target} is not written", getattr(stop, "status", 130)) from None
    except av.FFmpegError as error:
        raise RunFailed(f"cannot make {target} from {source}: {error.strerror}") from None


def _convert(old, new, change, about):
    """Write the open film `old` to the open film `new`; returns the number of frames."""
    video = film.video_stream(old)
    video.thread_type = "AUTO"  # decodes ahead while the network computes
    others = [stream for stream in (*old.streams.audio, *old.streams.subtitles) if stream.codec_context]
    out, write, waiting, count = None, {}, [], 0
    with tqdm(total=video.frames or None, unit="frame", disable=None, leave=False) as bar:
        for stream, item in film.play(video, others):
            if stream is not video:
                if out:
                    write[stream](item)
                else:
                    waiting.append((stream, item))
                continue
            picture = change(film.to_rgb(video, item))
            picture = np.pad(picture, [(0, side % 2) for side in picture.shape[:2]] + [(0, 0)], mode="edge")
            if not out:  # all streams must be known before anything is written, and now the size is
                out = _add_video(new, video, item, picture)
                write = _add_others(old, new, video, others, about)
                for stream, packet in waiting:
                    write[stream](packet)
            yuv = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=out.codec_context.colorspace, dst_color_range=film.LIMITED
            )
            yuv.pts, yuv.time_base, yuv.duration = item.pts, item.time_base, item.duration
            new.mux(out.encode(yuv))
            count += 1
            bar.update()
    if not out:
        raise RunFailed(f"no frame of {old.name} can be read")
    new.mux(out.encode())
    return count


def _add_video(new, video, frame, picture):
    """Add a stream for pictures like `picture`, the result for `frame` of the stream `video`."""
    out = new.add_stream(new.default_video_codec, rate=film.frame_rate(video), options={"crf": "18"})
    out.height, out.width = picture.shape[:2]
    out.pix_fmt = "yuv420p"
    context = out.codec_context
    context.time_base = video.time_base
    if aspect := video.sample_aspect_ratio:
        context.sample_aspect_ratio = 1 / aspect if film.orientation(frame)[0] else aspect
    context.colorspace, context.color_primaries, context.color_trc = film.colour_tags(video, frame)
    context.color_range = film.LIMITED
    _copy_description(video, out)
    return out


# Sound, subtitles, chapters, attachments, titles


def _add_others(old, new, video, others, about):
    """Add everything except the pictures; returns {stream of `others`: function that writes its packets}.

    The function takes one packet at a time (the last one is empty) and skips damaged ones.
    """
    write, lost = {}, []
    for track in old.streams:
        if track is video or track.discard == av.stream.Discard.all:  # the latter holds an MP4's chapters
            continue
        before = len(new.streams)
        if track in others:
            write[track] = _add_track(old.name, new, track)
        elif track.type == "attachment" and new.format.name == "matroska":
            new.add_stream_from_template(track)
        if len(new.streams) == before:
            lost.append(_name(track))
        else:
            _copy_description(track, new.streams[before])
    metadata = {key: value for key, value in old.metadata.items() if key.lower() not in OF_CONTAINER}
    comment = next((key for key in metadata if key.lower() == "comment"), "comment")
    metadata[comment] = "\n".join(filter(None, [metadata.get(comment), about]))
    new.metadata.update(metadata)
    start = Fraction(old.start_time or 0, 10**6)  # seconds
    for chapter in (chapters := old.chapters()):  # their times count from the film's beginning
        for key in ("start", "end"):
            chapter[key] = max(0, chapter[key] - round(start / chapter["time_base"]))
    new.set_chapters(chapters)
    if lost:
        report(f"not copied into the new file: {', '.join(lost)}")
    return write


def _add_track(source, new, track):
    """Add a stream for sound or subtitles of the file `source`; returns the function for its packets."""
    if _can_hold(source, new.format.name, track):
        return _copier(new, track)
    if track.type == "audio":
        return _sound_encoder(new, track)
    if track.codec_context.codec.text_sub:
        return _subtitle_encoder(new, track)
    return lambda packet: None


def _can_hold(source, kind, track):
    """Whether a container can hold a track: tries to write the header, and for sound the first packets."""
    try:
        with film.open_film(source) as again, av.open(io.BytesIO(), "w", format=kind) as trial:
            track = again.streams[track.index]
            stream = trial.add_stream_from_template(track)
            trial.start_encoding()
            for packet in itertools.islice(again.demux(track), TRIAL if track.type == "audio" else 0):
                if packet.dts is not None:
                    packet.stream = stream
                    trial.mux(packet)
        return True
    except (ValueError, av.FFmpegError):
        return False


def _copier(new, track):
    """Add a copy of a track; returns the function that copies its packets."""
    stream, last = new.add_stream_from_template(track), None

    def write(packet):
        nonlocal last
        if packet.dts is None:
            return
        if last is not None and packet.dts <= last:  # containers refuse times that do not increase
            packet.dts = last + 1
            packet.pts = max(packet.pts or 0, packet.dts)
        last, packet.stream = packet.dts, stream
        with contextlib.suppress(av.error.InvalidDataError, av.error.PatchWelcomeError):  # damaged
            new.mux(packet)

    return write


def _sound_encoder(new, track):
    """Add sound, encoded again: Opus in .webm, AAC elsewhere; returns the function for packets."""
    codec = av.Codec("libopus" if new.format.name == "webm" else "aac", "w")
    context = track.codec_context
    layout = LAYOUTS.get(context.layout.nb_channels, "stereo")
    rate = context.sample_rate if context.sample_rate in codec.audio_rates else 48_000
    report(f"the sound ({context.name}) is encoded again ({codec.name}): the new file cannot hold it")
    stream = new.add_stream(codec.name, rate=rate, layout=layout)
    stream.codec_context.bit_rate = BITS_PER_CHANNEL * stream.codec_context.layout.nb_channels
    form, resampler, end = None, None, None

    def write(packet):
        nonlocal form, resampler, end
        resampled, decoded = [], []
        with contextlib.suppress(av.FFmpegError):  # damaged
            decoded = packet.decode()
        for frame in decoded:
            now = frame.format.name, frame.layout.name, frame.sample_rate
            if now != form:  # broadcasts change between stereo and 5.1
                resampled += resampler.resample(None) if resampler else []
                form, resampler = now, av.AudioResampler(stream.codec_context.format, layout, rate)
            resampled += resampler.resample(frame)
        if packet.dts is None and resampler:
            resampled += resampler.resample(None)
        for frame in resampled:  # parts of a broadcast may overlap: their sound follows one another
            begin = (end or 0) if frame.pts is None else round(frame.pts * frame.time_base * rate)
            frame.pts = begin if end is None else max(begin, end)
            frame.time_base, end = Fraction(1, rate), frame.pts + frame.samples
            new.mux(stream.encode(frame))
        if packet.dts is None:
            new.mux(stream.encode(None))

    return write


def _subtitle_encoder(new, track):
    """Add text subtitles, encoded again without fonts and positions; returns the function for packets."""
    codec, decoder = SUBTITLES[new.format.name], track.codec_context
    stream = new.add_stream(codec)
    decoder.open(strict=False)  # creates the header
    stream.codec_context.subtitle_header = decoder.subtitle_header
    report(f"the subtitles ({decoder.name}) are encoded again ({codec}): the new file holds only their text")

    def write(packet):
        with contextlib.suppress(av.FFmpegError):  # damaged
            if packet.dts is not None and (subtitle := decoder.decode2(packet)):
                encoded = stream.codec_context.encode_subtitle(subtitle)
                encoded.pts, encoded.dts, encoded.duration = packet.pts, packet.dts, packet.duration
                encoded.time_base, encoded.stream = packet.time_base, stream
                new.mux(encoded)

    return write


def _copy_description(track, stream):
    """Copy the language, title and disposition (default, forced) of a track to the new stream."""
    title = track.metadata.get("title", track.metadata.get("name"))  # MP4 calls it "name"
    known = {"language": track.language, "title": title}
    stream.metadata.update({key: value for key, value in known.items() if value})
    stream.disposition = track.disposition


def _name(track):
    """The name of a track in the message about what is not copied."""
    if track.type == "video" and film.is_attached(track):
        return "a cover picture"
    kind = {"audio": "sound", "subtitle": "subtitles"}.get(track.type, track.type)
    words = [getattr(track, "name", None), track.language]
    return f"{kind} {track.index} ({', '.join(filter(None, words)) or 'unknown codec'})"
