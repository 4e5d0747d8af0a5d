"""Films read as a player shows them: each frame upright, in its true colours, at a time that increases.

Needs PyAV (`pip install av`), an optional requirement.
"""

import functools
from fractions import Fraction

import numpy as np

from pictures import filters
from utils import WrongUse, report

BACK, AHEAD = 0.1, 10  # seconds of FFmpeg's own program: what is beyond is a jump of a broadcast's clock

BT709, BT601, UNKNOWN = 1, 6, 2  # these and the numbers below are those of ITU-T H.273, which FFmpeg has too
MATRICES = {1, 4, 5, 6, 7, 9}  # of YUV, known to libswscale
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics

# FFmpeg's own decoders of these leave the transparency out.
DECODERS_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def library():
    """PyAV. Raises WrongUse where it is not installed, or older than 17, which takes BT.709 for BT.601."""
    try:
        import av
    except ImportError as error:
        raise WrongUse(f"video needs PyAV ({error}): pip install av") from None
    if _release(av) < 17:
        raise WrongUse(f"video needs PyAV 17 or later, this is {av.__version__}: pip install -U av")
    return av


def _release(av):
    return int(av.__version__.split(".")[0])


# Streams


def opened(path):
    """An open film. Its titles may be in any encoding. Raises PyAV's FFmpegError."""
    return library().open(path, metadata_errors="replace")


def video_stream(file):
    """The video stream of an open film: the first that is no cover picture. Raises WrongUse without one."""
    for video in file.streams.video:
        if not is_attached(video):
            if not video.codec_context:
                raise WrongUse(f"{file.name}: FFmpeg cannot decode its video")
            return video
    more = ", only a cover picture" if file.streams.video else ""
    raise WrongUse(f"{file.name} has no video in it{more}")


def is_attached(video):
    """Whether a video stream is a cover picture or thumbnails, and not a film."""
    kinds = library().stream.Disposition
    return bool(video.disposition & (kinds.attached_pic | kinds.timed_thumbnails))


# Time


def rate(video):
    """Frames a second of a video stream; 25, FFmpeg's own guess, where nothing tells."""
    return video.average_rate or video.guessed_rate or 25


def may_jump(file):
    """Whether the format of an open file is one whose clock may wrap and jump, as that of a broadcast."""
    return bool(file.format.flags & library().format.Flags.ts_discont.value)


def play(file, video, others=()):
    """Yield (stream, frame) of the stream `video` of an open file, and (stream, packet) of those in `others`.

    Times count from the film's beginning, and those of frames (`pts`) always increase: frames without one are
    counted at the stream's rate, and where a clock wraps or jumps, later times continue from there in all
    streams. Frames are progressive and of one size (filters.py). Packets that cannot be decoded are left out;
    one line at the end gives their number.
    """
    return filters.regular(library(), file, video, _decoded(file, video, others))


def _decoded(file, video, others):
    """As `play`, with the frames as they are stored."""
    av, last, damaged, decoder = library(), None, 0, _decoder(video)
    step = max(1, round(1 / (rate(video) * video.time_base)))
    ahead = _ahead(file) / video.time_base
    for packet in _on_one_clock(file, video, others):
        if packet.stream is not video:
            yield packet.stream, packet
            continue
        try:
            decoded = decoder.decode(packet)
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in decoded:
            if last is not None and not (frame.pts is not None and last < frame.pts <= last + ahead):
                frame.pts = last + step
            frame.pts = frame.pts or 0
            frame.time_base, last = video.time_base, frame.pts
            yield video, frame
    if damaged:
        report(f"{file.name}: damaged packets passed over: {damaged}")


def _decoder(video):
    """The codec context that decodes a stream, with its transparency."""
    name = DECODERS_WITH_ALPHA.get(video.codec_context.name)
    if name and video.metadata.get("alpha_mode") == "1":
        return library().CodecContext.create(name, "r")
    return video.codec_context


def _ahead(file):
    """The longest pause, in seconds, that is no jump of the clock: any, where clocks do not jump."""
    return AHEAD if may_jump(file) else np.inf


def _on_one_clock(file, video, others):
    """Yield all packets of these streams, their times moved to begin at 0, without the clock's jumps.

    Streams jump one after the other, so each has its own shift, and takes the newest of all where that fits.
    Subtitles, whose pauses are no jumps, always take the newest.
    """
    ahead = _ahead(file)
    newest, shifts, last = Fraction(-(file.start_time or 0), 10**6), {}, {}  # seconds; of each stream

    def fits(time, key):
        return key not in last or -BACK <= time - last[key][0] <= ahead

    for packet in file.demux(video, *others):
        if packet.dts is not None:
            key, time, tick = packet.stream.index, packet.dts * packet.time_base, packet.time_base
            sparse = packet.stream.type == "subtitle"
            shift = newest if sparse else shifts.get(key, newest)
            if not (sparse or fits(time + shift, key)):
                shift = newest if fits(time + newest, key) else last[key][0] + last[key][1] - time
                newest = shift
            shifts[key] = shift
            length = packet.duration * tick if packet.duration else 0
            if not length and packet.stream is video:
                length = 1 / rate(video)
            last[key] = time + shift, length
            ticks = round(shift / tick)
            packet.dts += ticks
            if packet.pts is not None:
                packet.pts += ticks
        yield packet


# Orientation


def turn(frame):
    """(whether its rows become columns, what is flipped then: rows, columns) for a frame to be upright.

    From the whole display matrix; one that is no quarter turn and no mirror counts as the nearest.
    """
    try:
        matrix = frame.side_data.get(library().sidedata.sidedata.Type.DISPLAYMATRIX)
    except ValueError:  # PyAV fails on side data that is newer than itself
        quarter = round(frame.rotation / 90) % 4  # anticlockwise
        return quarter % 2 == 1, quarter in (1, 2), quarter in (2, 3)
    if matrix is None:
        return False, False, False
    # FFmpeg's display.h: a pixel (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


def upright(array, frame):
    """An array H,W,C of the stored pixels of `frame` as its player shows it."""
    swap, rows, columns = turn(frame)
    array = array.swapaxes(0, 1) if swap else array
    return np.ascontiguousarray(array[:: -1 if rows else 1, :: -1 if columns else 1])


# Colours


def matrix(frame):
    """Which matrix makes RGB of a frame's YUV: its own tag's, else what players take for its size."""
    if frame.colorspace in MATRICES:
        return frame.colorspace
    return BT709 if frame.height >= 720 or frame.width >= 1280 else BT601


def _maps_hdr(video):
    """Whether a stream is HDR, and PyAV lets libswscale map its colours: from 18 on."""
    return video.codec_context.color_trc in HDR and _release(library()) >= 18


def tell_hdr(name, video):
    """Say in a line what becomes of the colours of a film `name` with the stream `video`, if it is HDR."""
    kind = HDR.get(video.codec_context.color_trc)
    if _maps_hdr(video):
        report(f"{name} is HDR ({kind}): its colours are mapped to those of a usual screen (BT.709)")
    elif kind:
        report(f"{name} is HDR ({kind}): its colours will look pale; PyAV 18 maps them: pip install -U av")


@functools.cache
def _converter():
    """One for all frames: its table for HDR takes seconds to make, and is kept as long as the film's tags."""
    return library().video.reformatter.VideoReformatter()


def picture(video, frame):
    """A frame of the stream `video` as a uint8 RGB array H,W,3, upright, in a player's colours, on white.

    HDR is mapped to BT.709 by libswscale: highlights are bent to what a screen can show, and the reference
    white of HDR is near the screen's.
    """
    transparent = any(component.is_alpha for component in frame.format.components)
    wanted = {"format": "rgba" if transparent else "rgb24", "src_color_range": frame.color_range or None}
    if not frame.format.is_rgb:
        wanted["src_colorspace"] = matrix(frame)
    if _maps_hdr(video):
        wanted |= {"dst_color_trc": BT709, "dst_color_primaries": BT709}
    made = _converter().reformat(frame, **wanted).to_ndarray()
    if transparent:
        made = np.rint(255 - (255.0 - made[..., :3]) * (made[..., 3:] / 255)).astype(np.uint8)
    return upright(made, frame)


def tags(video, frame):
    """{attribute of a codec context: value}: which colours `picture` gives, for an encoder of YUV."""
    given = video.codec_context
    if _maps_hdr(video):
        found = [BT709] * 3
    else:
        found = [matrix(frame), given.color_primaries, given.color_trc]
        if found[0] == BT709:  # a tag that is missing beside it, as in an untagged film
            found = [BT709 if value == UNKNOWN else value for value in found]
    limited = 1  # the range that every player reads right
    return dict(zip(("colorspace", "color_primaries", "color_trc"), found, strict=True), color_range=limited)
