"""A video with every frame changed, streamed frame by frame: its times, sound, subtitles and chapters stay.

Needs PyAV (`pip install av`), an optional requirement.
"""

import numpy as np
from tqdm import tqdm

from pictures import film, tracks
from support.files import replacing
from utils import RunFailed, Stopped, WrongUse

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


def check(source, target):
    """Raise WrongUse where no video `target` can be made of `source`, as far as their names tell."""
    film.library()
    if not source.is_file():
        raise WrongUse(f"no file {source}")
    kind = target.suffix.lower()
    if kind == ".avi":
        raise WrongUse(f"cannot write {target}: an AVI keeps no times and no colours; name an .mp4 or .mkv")
    if kind not in CONTAINERS:
        raise WrongUse(f"cannot write {target}: known are {' '.join(CONTAINERS)}")
    if target.exists() and target.samefile(source):
        raise WrongUse(f"{target} is the video itself: name another --output")


def convert(source, target, change, about=""):
    """Write the video `source` to `target` with change(frame) for each frame; returns the number of frames.

    `change` takes and gives uint8 RGB arrays, all results of one size; frames come as `film.picture` gives
    them. Results of odd size are padded by one pixel, which 4:2:0 video needs. Other streams are copied where
    the new container holds them (tracks.py). The text `about` becomes the film's comment, after its own.
    Raises WrongUse, RunFailed where the video is damaged or cannot be written, or Stopped by a signal.
    """
    av = film.library()
    check(source, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    kind = CONTAINERS[target.suffix.lower()]
    try:
        with film.opened(source) as read, replacing(target) as part:
            video = film.video_stream(read)
            with open(part, "wb") as file, av.open(file, "w", format=kind) as written:
                made = _stream(av, read, written, kind, video, change, about)
            held = _count(av, part, kind)
            if held != made:
                raise RunFailed(f"{target} would hold {held} of the {made} frames: try another container")
            return made
    except (KeyboardInterrupt, Stopped) as stop:
        raise Stopped(f"stopped: {target} is not written", getattr(stop, "status", 130)) from None
    except av.FFmpegError as error:
        raise RunFailed(f"cannot make {target} of {source}: {error.strerror}") from None


def _stream(av, read, written, kind, video, change, about):
    """Change the frames of `video` and copy the other streams, from one open container to the other."""
    video.thread_type = "AUTO"  # decodes ahead, as the encoder works behind, while the network computes
    others = tracks.to_copy(read)
    out, copies, early, count = None, {}, [], 0
    with tqdm(total=video.frames or None, unit="frame", disable=None, leave=False) as bar:
        for stream, item in film.play(read, video, others):
            if stream is not video:
                if out:
                    copies[stream.index](item)
                else:
                    early.append((stream, item))
                continue
            picture = change(film.picture(video, item))
            picture = np.pad(picture, [(0, side % 2) for side in picture.shape[:2]] + [(0, 0)], mode="edge")
            if not out:  # nothing can be written before all streams are known, and here the size is
                film.tell_hdr(read.name, video)
                out = _add_video(written, video, item, picture)
                copies = tracks.add(av, read, written, kind, video, about)
                for track, packet in early:
                    copies[track.index](packet)
            written.mux(out.encode(_like(av, item, picture, out.codec_context.colorspace)))
            count += 1
            bar.update()
    if not out:
        raise RunFailed(f"no frame of {read.name} can be read")
    written.mux(out.encode())
    return count


def _add_video(written, video, frame, picture):
    """Add a stream to `written` that holds frames like `picture`, made of `frame` of the stream `video`."""
    out = written.add_stream(written.default_video_codec, rate=film.rate(video), options={"crf": "18"})
    out.height, out.width = picture.shape[:2]
    out.pix_fmt = "yuv420p"
    out.codec_context.time_base = video.time_base
    aspect = video.sample_aspect_ratio
    if aspect:
        out.codec_context.sample_aspect_ratio = 1 / aspect if film.turn(frame)[0] else aspect
    for tag, value in film.tags(video, frame).items():
        setattr(out.codec_context, tag, value)
    return out


def _like(av, frame, picture, matrix):
    """An RGB picture as a frame to encode with a YUV `matrix`, at the time of another frame."""
    made = av.VideoFrame.from_ndarray(picture, format="rgb24")
    made = made.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=1)
    made.pts, made.time_base, made.duration = frame.pts, frame.time_base, frame.duration
    return made


def _count(av, path, kind):
    """How many frames a player finds in a video that was written."""
    with av.open(path, format=kind) as file:
        packets = file.demux(file.streams.video[0])
        return sum(1 for packet in packets if packet.size and not packet.is_discard)
