"""Read a film as a player shows it: each frame upright, in its true colours, at a time that increases.

Needs PyAV (`pip install av`), which is optional. Colour tags are the numbers of ITU-T H.273, as in FFmpeg.
"""

import contextlib
from fractions import Fraction

import numpy as np

from utils import WrongUse, report, report_once

try:
    import av

    AV_PROBLEM = f"this is {av.__version__}" if int(av.__version__.split(".")[0]) < 18 else None
except ImportError as error:
    av, AV_PROBLEM = None, str(error)

if av:
    # PyAV's own callback needs the GIL in FFmpeg's threads, which closing a film waits for with the GIL.
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.PANIC)

# One converter for all frames: its table for HDR takes seconds to compute.
CONVERTER = av and av.video.reformatter.VideoReformatter()

# FFmpeg's thresholds, in seconds: in a broadcast, a time further back or ahead is a jump of the clock.
BACK, AHEAD = 0.1, 10

BT709, BT601, UNKNOWN = 1, 6, 2
MATRICES = {1, 4, 5, 6, 7, 9}  # YUV matrices that libswscale knows
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics
LIMITED = 1  # the range of YUV values that every player reads correctly

DECODERS_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders drop the transparency

# Discs and broadcasts often mark progressive frames as interlaced. idet analyses the picture and corrects the
# mark, so these frames pass unchanged. bwdif is FFmpeg's best deinterlacer that needs no weights.
DEINTERLACE = [("idet", None), ("bwdif", "mode=send_frame:deint=interlaced")]


def require_av():
    """Raise WrongUse unless PyAV 18 or later is installed: 16 misreads BT.709, 17 does not map HDR."""
    if AV_PROBLEM:
        raise WrongUse(f"video needs PyAV 18 or later ({AV_PROBLEM}): pip install -U av")


def open_film(path):
    """Open a film, whose titles may be in any encoding. Raises WrongUse without PyAV, and av.FFmpegError."""
    require_av()
    return av.open(path, metadata_errors="replace")


def video_stream(file):
    """The first video stream of an open film that is not a cover picture. Raises WrongUse without one."""
    for video in file.streams.video:
        if not is_attached(video):
            if not video.codec_context:
                raise WrongUse(f"{file.name}: FFmpeg cannot decode its video")
            return video
    only = ", only a cover picture" if file.streams.video else ""
    raise WrongUse(f"{file.name} has no video in it{only}")


def is_attached(video):
    """Whether a video stream is a cover picture or thumbnails instead of a film."""
    kinds = av.stream.Disposition
    return bool(video.disposition & (kinds.attached_pic | kinds.timed_thumbnails))


# Frames and times


def frame_rate(video):
    """Frames per second of a video stream; 25, FFmpeg's default, if the file does not say."""
    return video.average_rate or video.guessed_rate or 25


def clock_may_jump(file):
    """Whether the format of an open file allows its clock to wrap and jump, as in a broadcast."""
    return bool(file.format.flags & av.format.Flags.ts_discont.value)


def play(video, others=()):
    """Yield (video, frame) for a video stream and (stream, packet) for the `others` of its film.

    Times count from the beginning of the film, and those of frames (`pts`) always increase: frames without a
    time get one from the stream's rate, and after a jump of the clock all streams continue from where they
    were. Frames are progressive and have the size of the first. Packets that cannot be decoded are skipped,
    and one line at the end counts them.
    """
    size, graph, graph_form = None, None, None  # the form of frames that the graph takes
    for stream, item in _decode(video, others):
        if stream is not video:
            yield stream, item
            continue
        form = item.width, item.height, item.format.name
        size = size or form[:2]
        if graph and form != graph_form:
            yield from _filter(graph, None, video)
            graph = None
        if form[:2] != size:
            name = video.container.name
            report_once(f"{name}: its frames change size: all are fitted into {size[0]}x{size[1]}")
        if not graph and (item.interlaced_frame or form[:2] != size):
            graph, graph_form = _filter_graph(video, item, *size), form
        yield from _filter(graph, item, video) if graph else [(video, item)]
    if graph:
        yield from _filter(graph, None, video)


def _decode(video, others):
    """As `play`, but interlaced frames stay interlaced and every frame has its own size."""
    last, damaged, decoder = None, 0, video.codec_context
    if decoder.name in DECODERS_WITH_ALPHA and video.metadata.get("alpha_mode") == "1":
        decoder = av.CodecContext.create(DECODERS_WITH_ALPHA[decoder.name], "r")
    step = max(1, round(1 / (frame_rate(video) * video.time_base)))
    ahead = AHEAD / video.time_base if clock_may_jump(video.container) else np.inf
    for packet in _continuous_packets(video, others):
        if packet.stream is not video:
            yield packet.stream, packet
            continue
        try:
            frames = decoder.decode(packet)
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            if last is not None and (frame.pts is None or not last < frame.pts <= last + ahead):
                frame.pts = last + step
            frame.pts = frame.pts or 0
            frame.time_base, last = video.time_base, frame.pts
            yield video, frame
    if damaged:
        report(f"{video.container.name}: {damaged} damaged packets skipped")


def _continuous_packets(video, others):
    """Yield the packets of these streams with times that start at 0 and do not jump.

    Streams jump one after the other, so each has its own shift, which is added to its times. A stream that
    jumps uses the newest shift of any stream; if its time does not fit then either, it continues directly
    after its last packet. Subtitles have long pauses, so they always use the newest shift.
    """
    file = video.container
    ahead = AHEAD if clock_may_jump(file) else np.inf
    newest = Fraction(-(file.start_time or 0), 10**6)  # seconds, as all shifts
    shifts, begins, ends = {}, {}, {}  # by stream: its shift; begin and end of its last packet, shifted

    def fits(time, stream):
        return stream not in begins or -BACK <= time - begins[stream] <= ahead

    for packet in file.demux(video, *others):
        if packet.dts is not None:
            stream, time = packet.stream, packet.dts * packet.time_base
            shift = shifts.get(stream, newest)
            if not fits(time + shift, stream):
                shift = newest
            if not fits(time + shift, stream):
                shift = newest = ends[stream] - time
            if stream.type != "subtitle":
                length = (packet.duration or 0) * packet.time_base
                if not length and stream is video:
                    length = 1 / frame_rate(video)
                begin = time + shift
                shifts[stream], begins[stream], ends[stream] = shift, begin, begin + length
            ticks = round(shift / packet.time_base)
            packet.dts += ticks
            if packet.pts is not None:
                packet.pts += ticks
        yield packet


# Deinterlacing and scaling


def _filter_graph(video, frame, width, height):
    """A filter graph that deinterlaces frames like `frame` and fits them into width x height."""
    steps = [*DEINTERLACE]
    if (frame.width, frame.height) != (width, height):
        # The stream has the pixel aspect of the first frames, its decoder that of the newest.
        stretch = (video.codec_context.sample_aspect_ratio or 1) / (video.sample_aspect_ratio or 1)
        scale = min(width / (frame.width * stretch), height / frame.height)
        inner = f"{round(frame.width * stretch * scale)}:{round(frame.height * scale)}"
        steps += [("scale", inner), ("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2")]
    graph = av.filter.Graph()
    form = {"width": frame.width, "height": frame.height, "format": frame.format}
    source = graph.add_buffer(**form, time_base=frame.time_base)
    return graph.link_nodes(source, *(graph.add(*step) for step in steps), graph.add("buffersink"))


def _filter(graph, frame, video):
    """Put a frame (None at the end) into a graph and yield (video, frame) for those that are ready."""
    graph.push(frame)
    with contextlib.suppress(BlockingIOError, EOFError):  # no more frames yet, or at all
        while True:
            ready = graph.pull()
            ticks = ready.time_base / video.time_base
            ready.pts, ready.duration = round(ready.pts * ticks), round(ready.duration * ticks)
            ready.time_base = video.time_base
            yield video, ready


# Orientation


def orientation(frame):
    """How to turn a frame upright: (swap rows and columns, then flip rows, flip columns).

    A display matrix that is neither a quarter turn nor a mirror is replaced by the nearest.
    """
    try:
        matrix = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    except ValueError:  # PyAV does not know this frame's side data
        quarter = round(frame.rotation / 90) % 4  # anticlockwise
        return quarter % 2 == 1, quarter in (1, 2), quarter in (2, 3)
    if matrix is None:
        return False, False, False
    # FFmpeg's display.h: a pixel (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


# Colours


def yuv_matrix(frame):
    """The number of a frame's YUV matrix: its own tag, else what players assume for its size."""
    if frame.colorspace in MATRICES:
        return frame.colorspace
    return BT709 if frame.height >= 720 or frame.width >= 1280 else BT601


def to_rgb(video, frame):
    """A frame of the stream `video` as a uint8 RGB array H,W,3, upright, as a player shows it, on white.

    HDR is reported once. libswscale maps it to BT.709: it compresses highlights to what a screen can show,
    and brings the reference white of HDR near the screen's white.
    """
    transparent = any(component.is_alpha for component in frame.format.components)
    options = {"format": "rgba" if transparent else "rgb24"}
    if not frame.format.is_rgb:
        options["src_colorspace"] = yuv_matrix(frame)
    if kind := HDR.get(video.codec_context.color_trc):
        name = video.container.name
        report_once(f"{name} is HDR ({kind}): its colours are mapped to those of a usual screen (BT.709)")
        options |= {"dst_color_trc": BT709, "dst_color_primaries": BT709}
    rgb = CONVERTER.reformat(frame, **options).to_ndarray()
    if transparent:
        rgb = np.rint(255 - (255.0 - rgb[..., :3]) * (rgb[..., 3:] / 255)).astype(np.uint8)
    swap, rows, columns = orientation(frame)
    rgb = rgb.swapaxes(0, 1) if swap else rgb
    return np.ascontiguousarray(rgb[:: -1 if rows else 1, :: -1 if columns else 1])


def colour_tags(video, frame):
    """(matrix, primaries, transfer characteristics) of the colours of `to_rgb`, for an encoder of YUV."""
    if video.codec_context.color_trc in HDR:
        return BT709, BT709, BT709
    tags = yuv_matrix(frame), video.codec_context.color_primaries, video.codec_context.color_trc
    if tags[0] == BT709:  # as in a film without tags
        return tuple(BT709 if value == UNKNOWN else value for value in tags)
    return tags
