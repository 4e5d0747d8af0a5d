"""Make tiny films with PyAV, and read them, for the tests of pictures and data."""

from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av")

TIMES = [0, 40, 80, 200, 230, 310]  # milliseconds, not evenly spaced
EVEN = range(0, 2000, 40)  # milliseconds: 50 frames at 25 per second
MILLI = Fraction(1, 1000)
LEFT, RIGHT = (200, 60, 30), (20, 100, 220)


def halves(height=48, width=64):
    """A picture with a red left and a blue right half."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = LEFT, RIGHT
    return picture


def make(
    path, pictures=None, times=TIMES, sound="aac", layout="mono", hertz=8000, start=0, sound_at=0, **how
):
    """Write a film that shows pictures at `times` (milliseconds), with a tone of 0.3 rad per sample.

    `pictures` is one for all times, or a list: uint8 RGB, or frames of PyAV that are stored as they are.
    `start` (seconds) is added to all times, `sound_at` to those of the sound. In `how`, `codec` and its
    `options` are FFmpeg's names; the rest (colorspace, …) are attributes of PyAV's codec context.
    """
    pictures = halves() if pictures is None else pictures
    pictures = pictures if isinstance(pictures, list) else [pictures] * len(times)
    codec, options = how.pop("codec", "libx264"), how.pop("options", None)
    if isinstance(pictures[0], np.ndarray):
        pictures = [av.VideoFrame.from_ndarray(x, "rgb24").reformat(format="yuv420p") for x in pictures]
    with av.open(str(path), "w") as file:
        stream, first = file.add_stream(codec, rate=25, options=options), pictures[0]
        stream.height, stream.width, stream.pix_fmt = first.height, first.width, first.format.name
        stream.codec_context.time_base = Fraction(1, 25) if path.suffix == ".avi" else MILLI
        for name, value in how.items():
            setattr(stream.codec_context, name, value)
        if sound:
            audio = file.add_stream(sound, rate=hertz, layout=layout)
            length = max(3 * 1024, (times[-1] + 40) * hertz // 1000)
            tone = (8000 * np.sin(np.arange(length) * 0.3)).astype(np.int16)
            tone = np.tile(tone, (audio.codec_context.layout.nb_channels, 1))
            samples = av.AudioFrame.from_ndarray(tone, format="s16p", layout=layout)
            samples.sample_rate, samples.time_base = hertz, Fraction(1, hertz)
            samples.pts = round((start + sound_at) * hertz)
            file.mux(audio.encode(samples))
        for time, picture in zip(times, pictures, strict=True):
            picture.pts, picture.time_base, picture.pict_type = time + 1000 * start, MILLI, 0
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
        if sound:
            file.mux(audio.encode())


def set_display_matrix(path, a, b, c, d):
    """Write a matrix into the track header of an MP4: a pixel (x, y) is shown at (a x + c y, b x + d y)."""
    data = bytearray(path.read_bytes())
    one = 1 << 16
    matrix = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)


def read(path):
    """(times in seconds, RGB pictures, sound packets) of a film, its frames as they are stored."""
    with av.open(str(path)) as file:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    with av.open(str(path)) as file:
        sound = [packet for packet in file.demux(audio=0) if packet.size] if file.streams.audio else []
    return [time for time, _ in frames], [picture for _, picture in frames], sound


def read_sound(path):
    """(codec, layout, start in seconds, samples of the first channel) of a film's sound."""
    with av.open(str(path)) as file:
        context = file.streams.audio[0].codec_context
        frames = list(file.decode(audio=0))
        samples = np.hstack([frame.to_ndarray()[0] for frame in frames])
        return context.name, context.layout.name, frames[0].time, samples
