"""The sound of a film encoded anew, for a file that cannot hold it as it is."""

from fractions import Fraction

from utils import report

OPUS = "libopus"  # what .webm holds; AAC is what all others play
LAYOUTS = {1: "mono", 6: "5.1", 8: "7.1"}  # by channels; all others, and those of unknown places, as stereo
BITS = 96_000  # a second and channel: no loss that is heard


def encoder(av, written, kind, track):
    """Add a stream for the sound stream `track` of another file to an open container of format `kind`.

    Returns a function that takes the packets of `track` in turn (the last one is empty), encodes and writes
    them. Damaged ones are left out.
    """
    codec = av.Codec(OPUS if kind == "webm" else "aac", "w")
    given = track.codec_context
    layout = LAYOUTS.get(given.layout.nb_channels, "stereo")
    hertz = given.sample_rate if given.sample_rate in codec.audio_rates else 48_000
    report(f"the sound ({given.name}) is encoded anew ({codec.name}): the new file cannot hold it as it is")
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
