"""The sound of a film on its way into another file: copied, or encoded anew where the file cannot hold it."""

import contextlib
import io
import itertools
from fractions import Fraction

from utils import say

OPUS = "libopus"  # what .webm holds; AAC is what all others play
LAYOUTS = {1: "mono", 6: "5.1", 8: "7.1"}  # by channels; all others, and those of unknown places, as stereo
BITS = 96_000  # a second and channel: no loss that is heard


def add(av, read, written, kind, track):
    """Add a sound stream like `track` of the open file `read` to an open container of format `kind`.

    Returns a function that takes the packets of `track` in turn (the last one is empty) and writes them.
    Damaged ones are passed over. Says in a line what cannot be copied.
    """
    if track.codec_context is None:
        say(f"sound track {track.index} is left out: FFmpeg cannot decode it")
        return lambda packet: None
    if _can_hold(av, read.name, kind, track.index):
        return _copier(av, written, track)
    return _encoder(av, written, kind, track)


def _can_hold(av, source, kind, index):
    """Try it with the first packets: a container's list of codecs leaves out what it needs to know beside."""
    try:
        with av.open(source) as read, av.open(io.BytesIO(), "w", format=kind) as trial:
            track = read.streams[index]
            stream = trial.add_stream_from_template(track)
            for packet in itertools.islice(read.demux(track), 8):
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


def _encoder(av, written, kind, track):
    codec = av.Codec(OPUS if kind == "webm" else "aac", "w")
    given = track.codec_context
    layout = LAYOUTS.get(given.layout.nb_channels, "stereo")
    hertz = given.sample_rate if given.sample_rate in codec.audio_rates else 48_000
    say(f"the sound ({given.name}) is encoded anew ({codec.name}): the new file cannot hold it as it is")
    stream = written.add_stream(codec.name, rate=hertz, layout=layout)
    stream.codec_context.bit_rate = BITS * stream.codec_context.layout.nb_channels
    heard, resampler, end = None, None, None

    def encode(packet):
        nonlocal heard, resampler, end
        made = []
        try:
            frames = packet.decode()
        except av.FFmpegError:
            frames = []
        for frame in frames:
            now = frame.format.name, frame.layout.name, frame.sample_rate
            if now != heard:  # broadcasts change between stereo and 5.1
                made += resampler.resample(None) if resampler else []
                heard, resampler = now, av.AudioResampler(stream.codec_context.format, layout, hertz)
            made += resampler.resample(frame)
        if packet.dts is None and resampler:
            made += resampler.resample(None)
        for frame in made:  # one after the other, where those of two parts of a broadcast overlap
            begin = (end or 0) if frame.pts is None else round(frame.pts * frame.time_base * hertz)
            frame.pts = begin if end is None else max(begin, end)
            frame.time_base, end = Fraction(1, hertz), frame.pts + frame.samples
            written.mux(stream.encode(frame))
        if packet.dts is None:
            written.mux(stream.encode(None))

    return encode
