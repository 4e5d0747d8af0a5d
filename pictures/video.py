"""A video with every frame changed: its timestamps, sound and orientation kept, frames streamed one by one.

Needs PyAV (`pip install av`), an optional requirement.
"""

import numpy as np
from tqdm import tqdm

from utils import RunFailed, WrongUse, replacing

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}


def convert(source, target, change):
    """Write the video `source` to `target` with change(frame) for each frame; returns the number of frames.

    `change` takes and gives uint8 RGB arrays, all results of one size; frames come upright, whatever rotation
    the file asks its player for. Results of odd size are padded by one pixel, which 4:2:0 video needs. Audio
    is copied as it is. Raises WrongUse, or RunFailed where the video is damaged or cannot be written.
    """
    av = library()
    if not source.is_file():
        raise WrongUse(f"no file {source}")
    if target.suffix.lower() not in CONTAINERS:
        raise WrongUse(f"cannot write {target}: known are {' '.join(CONTAINERS)}")
    if target.exists() and target.samefile(source):
        raise WrongUse(f"{target} is the video itself: name another --output")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with av.open(source) as read, replacing(target) as part:
            if not read.streams.video:
                raise WrongUse(f"{source} has no video in it")
            kind = CONTAINERS[target.suffix.lower()]
            with open(part, "wb") as file, av.open(file, "w", format=kind) as written:
                return _stream(av, read, written, change)
    except av.FFmpegError as error:
        raise RunFailed(f"cannot make {target} of {source}: {error.strerror}") from None


def library():
    try:
        import av
    except ImportError as error:
        raise WrongUse(f"video needs PyAV ({error}): pip install av") from None
    return av


def _stream(av, read, written, change):
    """Copy the audio packets and change the video frames of one open container to the other."""
    video = read.streams.video[0]
    video.thread_type = "AUTO"  # decodes ahead, as the encoder works behind, while the network computes
    out, sound, early, count = None, {}, [], 0

    def copy(packet):
        packet.stream = sound[packet.stream.index]
        written.mux(packet)

    with tqdm(total=video.frames or None, unit="frame", disable=None, leave=False) as bar:
        for packet in read.demux(video, *read.streams.audio):
            if packet.stream is not video:
                if packet.dts is None:  # the empty packet that ends a stream
                    continue
                if out:
                    copy(packet)
                else:
                    early.append(packet)
                continue
            for frame in packet.decode():
                picture = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                picture = change(np.ascontiguousarray(picture))
                picture = np.pad(
                    picture, [(0, side % 2) for side in picture.shape[:2]] + [(0, 0)], mode="edge"
                )
                if not out:  # nothing can be written before all streams are known, and here the size is
                    out = _add_video(written, video, frame, picture)
                    sound = {x.index: written.add_stream_from_template(x) for x in read.streams.audio}
                    for held in early:
                        copy(held)
                written.mux(out.encode(_like(av, frame, picture)))
                count += 1
                bar.update()
    if not out:
        raise RunFailed(f"no frame of {read.name} can be read")
    written.mux(out.encode())
    return count


def _add_video(written, video, frame, picture):
    """Add a stream to `written` that holds frames like `picture`, timed and tagged as those of `video`."""
    out = written.add_stream(written.default_video_codec, rate=video.average_rate, options={"crf": "18"})
    out.height, out.width = picture.shape[:2]
    out.pix_fmt = "yuv420p"
    out.codec_context.time_base = video.time_base
    aspect = video.sample_aspect_ratio
    if aspect:
        out.codec_context.sample_aspect_ratio = 1 / aspect if round(frame.rotation / 90) % 2 else aspect
    for tag in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(out.codec_context, tag, getattr(video.codec_context, tag))
    return out


def _like(av, frame, picture):
    """An RGB picture as a frame to encode, with the colour space, time and duration of another frame."""
    made = av.VideoFrame.from_ndarray(picture, format="rgb24")
    made = made.reformat(
        format="yuv420p", dst_colorspace=frame.colorspace, dst_color_range=frame.color_range or None
    )
    made.pts, made.time_base, made.duration = frame.pts, frame.time_base, frame.duration
    return made
