"""Take drawings to train on from a film: sharp frames, no two alike, no black ones, no credits, no bars.

    python data/frames.py FILM OUT_DIR

Needs PyAV (`pip install av`).
"""

import itertools
import os
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from data import sheet, twins
from pictures import film, images
from pictures.images import cv2
from support.arguments import Parser, number
from utils import RunFailed, WrongUse, exit_status

SIDE = 256  # pixels: frames are judged with this shorter side, the default size of training
SURVEY = 64  # evenly spaced frames, from which the crop and the film's own sharpness are taken
DARK = 24  # of 255, the lightest grey of a black bar: compression leaves noise in black
CUT = 20  # of 255, the mean difference to the last frame taken that means a new shot (or a dissolve, a pan)
SETTLED = 0.3  # seconds from there to the frame that is taken: past flashes and the worst of the compression
# The sharpness of 654 drawings of one comic, 256 pixels a side, is 0.65 (median; 5th percentile 0.50), and
# 0.28 after a Gaussian blur of 1.5 pixels.
BLURRED = 0.5  # of the film's own sharpness: a soft old film is not dropped whole


def small(grey):
    """Shrink a grey picture, uint8 H,W, to a shorter side of SIDE pixels. Enlarging would blur it."""
    return images.fit_training(grey[..., None], min(SIDE, *grey.shape), "crop")[..., 0]


def sharpness(grey):
    """How much of an edge's contrast lies between two neighbouring pixels: 1 is a step, 0 means no edge.

    It is the median over all 7x7 neighbourhoods with a contrast of at least 48. So it depends little on the
    number and strength of edges, and flat drawings do not count as blurred.
    """
    grey, square = grey.astype(np.int16), np.ones((7, 7), np.uint8)
    contrast = cv2.dilate(grey, square) - cv2.erode(grey, square)
    steps = [np.abs(np.diff(grey, axis=axis, prepend=grey.take([0], axis))) for axis in (0, 1)]
    step = cv2.dilate(np.maximum(*steps), square)
    edges = contrast >= 48
    return float(np.median(step[edges] / contrast[edges])) if edges.mean() > 0.005 else 0.0


def is_black(grey):
    """Whether a frame is black, nearly black (a fade), or of one colour."""
    return np.percentile(grey, 99) < 48 or grey.std() < 5


def is_credits(grey):
    """Whether a frame looks like credits: at least ten light marks of a letter's size on one dark ground."""
    ground = np.median(grey)
    if ground > 60 or (abs(grey - ground) < 16).mean() < 0.75:
        return False
    light = (grey > ground + 80).astype(np.uint8)
    sizes = cv2.connectedComponentsWithStats(light)[2][1:, cv2.CC_STAT_AREA]
    return ((sizes >= 4) & (sizes < 0.02 * grey.size)).sum() >= 10


def picture_area(greys):
    """The part of the frames that is not black bars, as slices of rows and columns: one for all `greys`.

    A row or column belongs to the picture if it is lit in more than 5% of the frames, so that neither dark
    scenes nor a stray subtitle matter. Two more are cut off beside each bar: compression blurs its edge.
    """
    area = []
    for axis in (0, 1):
        lit = [(grey > DARK).mean(1 - axis) > 0.02 for grey in greys]
        inside = np.flatnonzero(np.mean(lit, axis=0) > 0.05) if lit else []
        first, end, size = (inside[0], inside[-1] + 1, len(lit[0])) if len(inside) else (0, None, None)
        area.append(slice(first + 2 * (first > 0), end if end == size else end - 2))
    return tuple(area)


def fault(grey, usual):
    """Why a frame is no good by itself, or None; `usual` is the film's own sharpness."""
    if is_black(grey):
        return "black"
    if is_credits(grey):
        return "credits"
    if sharpness(grey) < BLURRED * usual:
        return "blurred"
    return None


# The film. Seconds count from its beginning.


def frames(file, start=0):
    """Yield (seconds, frame of PyAV) of an open film that stands at or before `start`, from there on."""
    for _, frame in film.play(file, film.video_stream(file)):
        if frame.time >= start:
            yield frame.time, frame


def seek(file, seconds):
    """Move an open film to a key frame at or before `seconds`; returns whether that can be relied on.

    Not where clocks may jump, nor in a film without times: such are read from the beginning, as a seek there
    lands anywhere, and mostly behind.
    """
    sure = not film.clock_may_jump(file) and bool(file.duration) and file.start_time is not None
    if sure:
        file.seek(int(seconds * 1e6) + file.start_time)
    return sure


def picture(file, frame):
    """A frame as a uint8 RGB array, stretched and turned as the film asks its player to."""
    video = film.video_stream(file)
    rgb = film.to_rgb(video, frame)
    height, width = rgb.shape[:2]
    aspect = video.sample_aspect_ratio or 1
    if film.orientation(frame)[0]:
        return images.resize(rgb, width, round(height * aspect))
    return images.resize(rgb, round(width * aspect), height)


def spread(path, start, end):
    """At most SURVEY frames between two moments, in grey: evenly spaced, or of those that need no other."""
    kept, apart = [], 1
    with film.open_film(path) as file:
        video = film.video_stream(file)
        video.thread_type = "AUTO"
        grey = lambda frame: cv2.cvtColor(picture(file, frame), cv2.COLOR_RGB2GRAY)
        if seek(file, start):
            end = min(end, max(start, file.duration / 1e6))
            for moment in np.linspace(start, end, 2 * SURVEY + 1)[1::2]:
                seek(file, moment)
                kept += [grey(frame) for _, frame in itertools.islice(frames(file, moment), 1)]
            return [each for each in kept if each.shape == kept[0].shape]
        video.codec_context.skip_frame = "NONINTRA"
        for place, (time, frame) in enumerate(frames(file, start)):
            if time > end:
                break
            if place % apart == 0:
                kept.append(grey(frame))
            if len(kept) == SURVEY:
                kept, apart = kept[::2], 2 * apart
    return kept


def survey(greys):
    """(the part of the frames that is not bars, the film's own sharpness), from frames in grey."""
    greys = [grey for grey in greys if not is_black(small(grey))]
    area = picture_area(greys)
    sharp = [sharpness(grey) for grey in (small(grey[area]) for grey in greys) if not is_credits(grey)]
    return area, np.median([value for value in sharp if value] or [0])


def every(found, seconds):
    """Of (seconds, frame), the first one in every interval of so many seconds."""
    due = 0
    for time, frame in found:
        if time >= due:
            yield time, frame
            due = seconds * (time // seconds + 1)


def changes(found):
    """Of (seconds, frame), the first one, and the one SETTLED seconds after each change."""
    before, due = None, 0
    for time, frame in found:
        look = frame.reformat(width=32, height=18, format="rgb24").to_ndarray().astype(np.int16)
        if before is None or abs(look - before).mean() > CUT:
            before, due = look, time + SETTLED
        if time >= due:
            yield time, frame
            before, due = look, np.inf


def take(args, shown):
    """Write the good frames of args.film to args.out_dir; returns (size, size without bars, counts).

    `counts` is {why frames were dropped, or None: how many}; None stands for the frames that were written.
    All frames are added to `shown`, a sheet.Sheet.
    """
    counts, kept, sizes = Counter(), twins.Kept(args.similar), ((0, 0), (0, 0))
    with film.open_film(args.film) as file:
        video = film.video_stream(file)
        video.thread_type = "AUTO"  # decodes on all cores
        film.report_hdr(args.film, video)
        area, usual = survey(spread(args.film, args.start, args.end))
        if args.start:
            seek(file, args.start)
        found = frames(file, args.start)
        seconds = min(args.end, (file.duration or 0) / 1e6) - args.start
        with tqdm(total=max(0, round(seconds)) or None, unit="s", disable=None, leave=False) as bar:
            for time, frame in changes(found) if args.cuts else every(found, args.every):
                if time > args.end:
                    break
                bar.update(time - args.start - bar.n)
                whole = picture(file, frame)
                cut = whole[area]
                sizes = whole.shape[1::-1], cut.shape[1::-1]
                grey = small(cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY))
                why, twin = fault(grey, usual), None
                if not why and (twin := kept.add(time, grey)) is not None:
                    why = "near-duplicates"
                counts[why] += 1
                text = f"like {clock(twin)}" if twin is not None else why or "kept"
                shown.add(cut, f"{clock(time)} {text}", kept=not why)
                if not why:
                    name = f"{args.film.stem}_{time:010.3f}".replace(".", "_")
                    images.write(args.out_dir / f"{name}.{args.format}", cut, quality=95, subsampling=0)
    shown.finish()
    return *sizes, counts


def clock(seconds):
    """Seconds as H:MM:SS.s, or M:SS.s in the first hour."""
    minutes, seconds = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def parse(argv=None):
    parser = Parser("Take the drawings to train on from a film; credits over pictures stay.")
    seconds = number(float, 0)
    add = parser.add_argument
    add("film", type=Path, help="a film of any format that FFmpeg reads")
    add("out_dir", type=Path, help="folder for the frames, as TGT_DATA/train; may hold those of other films")
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--every",
        type=number(float, 0, above=True),
        default=1,
        metavar="SECONDS",
        help="look at a frame every so many seconds (%(default)s)",
    )
    when.add_argument("--cuts", action="store_true", help="look at one frame after each cut")
    add(
        "--similar",
        type=number(float, 0, 1, above=True),
        default=twins.SIMILAR,
        metavar="SHARE",
        help="drop a frame if one that was kept shortly before shows this share of it, as in a slow pan; "
        "1 compares whole frames alone (%(default)s)",
    )
    add("--start", type=seconds, default=0, metavar="SECONDS", help="begin here, after the titles")
    add("--end", type=seconds, default=np.inf, metavar="SECONDS", help="end here, before the credits")
    add(
        "--format",
        choices=("png", "jpg"),
        default="png",
        help="png keeps lines sharp; jpg takes less room, and blurs and speckles around lines (%(default)s)",
    )
    args = parser.parse_args(argv)
    if args.start >= args.end:
        parser.error(f"--start {args.start:g} is not before --end {args.end:g}")
    return args


def main(argv=None):
    args = parse(argv)
    film.require_av()
    if not args.film.is_file():
        raise WrongUse(f"no file {args.film}")
    args.out_dir.mkdir(parents=True, exist_ok=True)
    own = re.compile(re.escape(args.film.stem) + r"_\d{6}_\d{3}\.(png|jpg)")
    if any(own.fullmatch(path.name) for path in args.out_dir.iterdir()):
        raise WrongUse(f"{args.out_dir} holds frames of a {args.film.stem} already: name another folder")
    folder = args.out_dir.resolve()
    if not os.access(folder.parent, os.W_OK):  # the sheet lies beside: all pictures inside are learned from
        raise WrongUse(
            f"{folder.parent} cannot be written, for the contact sheet: name {args.out_dir / 'train'}"
        )
    shown = sheet.Sheet(folder.with_name(f"{folder.name}_{args.film.stem}_sheet"))
    try:
        before, after, counts = take(args, shown)
    except film.av.FFmpegError as error:
        raise RunFailed(f"cannot read {args.film} as a film: {error.strerror}") from None
    dropped = ", ".join(f"{counts[why]} {why}" for why in ("black", "credits", "blurred", "near-duplicates"))
    if not counts:
        raise RunFailed(f"{args.film} has no frame that can be read after {args.start:g} seconds")
    if not counts[None]:
        raise RunFailed(f"no frame of {args.film} is left: {dropped}; see {shown.files[0]}")
    print(f"{counts[None]} of {counts.total()} frames in {args.out_dir}; dropped {dropped}")
    print(
        f"all of them, with the reason: {shown.files[0]}"
        + f" to _{len(shown.files)}" * (len(shown.files) > 1)
    )
    if before != after:
        print("black bars cut off: {}x{} became {}x{}".format(*before, *after))


if __name__ == "__main__":
    sys.exit(exit_status(main))
