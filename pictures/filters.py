"""Frames of a film made progressive and of one size, by FFmpeg's own filters."""

import contextlib

from pictures.listing import report_once

# Discs and broadcasts often mark progressive frames as interlaced: idet looks at the picture and corrects the
# mark, so that those pass unchanged. bwdif is the best deinterlacer of FFmpeg that needs no weights.
DEINTERLACE = (("idet", None), ("bwdif", "mode=send_frame:deint=interlaced"))


def regular(av, file, video, found):
    """Yield (stream, item) as `found` does, frames of the stream `video` of an open file deinterlaced.

    Frames of another size than the first are fitted into it, with black bars, and one line says so.
    """
    first, graph, form = None, None, None
    for stream, item in found:
        if stream is not video:
            yield stream, item
            continue
        now = item.width, item.height, item.format.name
        first = first or now[:2]
        if graph and now != form:
            yield from _filtered(graph, None, video)
            graph = None
        if now[:2] != first:
            report_once(f"{file.name}: its frames change size: all are fitted into {first[0]}x{first[1]}")
        if not graph and (item.interlaced_frame or now[:2] != first):
            graph, form = _graph(av, video, item, *first), now
        if graph:
            yield from _filtered(graph, item, video)
        else:
            yield video, item
    if graph:
        yield from _filtered(graph, None, video)


def _graph(av, video, frame, width, height):
    """A filter graph for frames like this one: deinterlaced, and fitted into width x height."""
    steps = [*DEINTERLACE]
    if (frame.width, frame.height) != (width, height):
        # The stream knows the shape of pixels in the first frames, its decoder that of the newest.
        stretch = (video.codec_context.sample_aspect_ratio or 1) / (video.sample_aspect_ratio or 1)
        scale = min(width / (frame.width * stretch), height / frame.height)
        inner = f"{round(frame.width * stretch * scale)}:{round(frame.height * scale)}"
        steps += [("scale", inner), ("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2")]
    graph = av.filter.Graph()
    form = {"width": frame.width, "height": frame.height, "format": frame.format}
    source = graph.add_buffer(**form, time_base=frame.time_base)
    nodes = [graph.add(*step) for step in steps]
    return graph.link_nodes(source, *nodes, graph.add("buffersink"))


def _filtered(graph, frame, video):
    """Put a frame (None at the end) into a graph; yield (video, frame) of those that are ready."""
    graph.push(frame)
    with contextlib.suppress(BlockingIOError, EOFError):  # there are no more yet, or none at all
        while True:
            ready = graph.pull()
            ticks = ready.time_base / video.time_base
            ready.pts, ready.duration = round(ready.pts * ticks), round(ready.duration * ticks)
            ready.time_base = video.time_base
            yield video, ready
