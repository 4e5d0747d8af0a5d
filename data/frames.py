"""Extract drawings to train on from a film: sharp frames, no two alike, no black ones, no credits, no bars.

    python data/frames.py FILM OUT_DIR

Needs PyAV (`pip install av`). Seconds count from the beginning of the film.
"""

import itertools
import os
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from data import screening
from pictures import film, images
from pictures.images import cv2
from support.arguments import Parser, number
from utils import RunFailed, WrongUse, exit_status

SURVEYED = 64  # evenly spaced frames from which the bars and the film's own sharpness are found
CUT = 20  # of 255: a larger mean difference to the last frame chosen means a new shot (or a dissolve, a pan)
DELAY = 0.3  # seconds from a cut to the frame that is chosen: it skips flashes and the strongest compression
DROPPED = ("black", "credits", "blurred", "near-duplicates")


def extract(args, sheet):
    """Write the good frames of args.film to args.out_dir; returns (size, size without bars, counts).

    `counts` is {"kept" or the reason for dropping: number of frames}. All frames are added to `sheet`.
    """
    counts, kept, sizes = Counter(), screening.Kept(args.similar), ((0, 0), (0, 0))
    area, usual = screening.survey(frames_to_survey(args.film, args.start, args.end))
    with film.open_film(args.film) as file:
        film.video_stream(file).thread_type = "AUTO"  # decodes on all cores
        if args.start:
            seek(file, args.start)
        seconds = min(args.end, (file.duration or 0) / 1e6) - args.start
        found = frames(file, args.start, args.end)
        with tqdm(total=max(0, round(seconds)) or None, unit="s", disable=None, leave=False) as bar:
            for time, frame in at_cuts(found) if args.cuts else at_intervals(found, args.every or 1):
                bar.update(time - args.start - bar.n)
                whole = to_rgb(file, frame)
                cut = whole[area]
                sizes = whole.shape[1::-1], cut.shape[1::-1]
                grey = screening.small(cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY))
                result, repeated = screening.fault(grey, usual) or "kept", None
                if result == "kept" and (repeated := kept.add(time, grey)) is not None:
                    result = "near-duplicates"
                counts[result] += 1
                text = result if repeated is None else f"like {repeated:.1f} s"
                sheet.add(cut, f"{time:.1f} s {text}", result == "kept")
                if result == "kept":
                    name = f"{args.film.stem}_{time:010.3f}".replace(".", "_")
                    images.write(args.out_dir / f"{name}.{args.format}", cut, quality=95, subsampling=0)
    sheet.write_page()
    return *sizes, counts


# The film


def frames(file, start, end=np.inf):
    """Yield (seconds, frame of PyAV) from `start` to `end` of an open film, which is at or before `start`."""
    for _, frame in film.play(film.video_stream(file)):
        if frame.time > end:
            return
        if frame.time >= start:
            yield frame.time, frame


def seek(file, seconds):
    """Move an open film to a key frame at or before `seconds`; returns whether it was moved.

    Where the clock may jump, or frames have no times, a seek may land anywhere, so such films are not moved.
    """
    reliable = not film.clock_may_jump(file) and bool(file.duration) and file.start_time is not None
    if reliable:
        file.seek(int(seconds * 1e6) + file.start_time)
    return reliable


def to_rgb(file, frame):
    """A frame as a uint8 RGB array, with square pixels and upright."""
    video = film.video_stream(file)
    rgb = film.to_rgb(video, frame)
    height, width = rgb.shape[:2]
    aspect = video.sample_aspect_ratio or 1
    if film.orientation(frame)[0]:
        return images.resize(rgb, width, round(height * aspect))
    return images.resize(rgb, round(width * aspect), height)


def frames_to_survey(path, start, end):
    """About SURVEYED grey frames from `start` to `end`, evenly spaced; key frames if the film cannot seek."""
    with film.open_film(path) as file:
        film.video_stream(file).thread_type = "AUTO"
        if seek(file, start):
            end = min(end, max(start, file.duration / 1e6))
            moments = np.linspace(start, end, 2 * SURVEYED + 1)[1::2]
            found = (
                pair for at in moments if seek(file, at) for pair in itertools.islice(frames(file, at), 1)
            )
        else:
            film.video_stream(file).codec_context.skip_frame = "NONINTRA"
            found = frames(file, start, end)
        greys, apart = [], 1
        for place, (_, frame) in enumerate(found):
            if place % apart == 0:
                greys.append(cv2.cvtColor(to_rgb(file, frame), cv2.COLOR_RGB2GRAY))
            if len(greys) == 2 * SURVEYED:
                greys, apart = greys[::2], 2 * apart
    return [grey for grey in greys if grey.shape == greys[0].shape]


def at_intervals(found, seconds):
    """The first (seconds, frame) of `found` in every interval of `seconds`."""
    for _, interval in itertools.groupby(found, lambda pair: pair[0] // seconds):
        yield next(interval)


def at_cuts(found):
    """The first (seconds, frame) of `found`, and the one DELAY seconds after each cut."""
    before, due = None, 0
    for time, frame in found:
        tiny = frame.reformat(width=32, height=18, format="rgb24").to_ndarray().astype(np.int16)
        if before is None or abs(tiny - before).mean() > CUT:
            before, due = tiny, time + DELAY
        if time >= due:
            yield time, frame
            before, due = tiny, np.inf


class Sheet:
    """A contact sheet of all frames, the dropped ones darkened: pages PREFIX_1.jpg, PREFIX_2.jpg, …"""

    COLUMNS, ROWS = 12, 40  # of a page
    WIDTH, LABEL = 160, 14  # pixels: of a frame, and the height of the line below it

    def __init__(self, prefix):
        self.prefix, self.files, self.cells = prefix, [], []

    def add(self, frame, text, is_kept):
        """Add a frame (uint8 RGB) above a text of at most 26 letters; a full page is written."""
        height, width = frame.shape[:2]
        small = images.resize(frame, self.WIDTH, round(self.WIDTH * height / width))
        self.cells.append((small, "lightgreen", text) if is_kept else (small // 2, "lightsalmon", text))
        if len(self.cells) == self.COLUMNS * self.ROWS:
            self.write_page()

    def write_page(self):
        """Write the frames that are not on a page yet."""
        if not self.cells:
            return
        row = max(len(small) for small, *_ in self.cells) + self.LABEL  # a film may change its size
        page = Image.new("RGB", (self.COLUMNS * self.WIDTH, -(-len(self.cells) // self.COLUMNS) * row))
        draw = ImageDraw.Draw(page)
        for place, (small, colour, text) in enumerate(self.cells):
            left, top = place % self.COLUMNS * self.WIDTH, place // self.COLUMNS * row
            page.paste(Image.fromarray(small), (left, top))
            draw.text((left + 2, top + len(small)), text, colour)
        self.files.append(self.prefix.with_name(f"{self.prefix.name}_{len(self.files) + 1}.jpg"))
        images.write(self.files[-1], np.asarray(page), quality=85)
        self.cells = []


# The command


def parse(argv=None):
    parser = Parser("Extract drawings to train on from a film; credits over pictures are not recognised.")
    parser.add_argument("film", type=Path, help="a film of any format that FFmpeg reads")
    text = "folder for the frames, as TGT_DATA/train; may hold those of other films"
    parser.add_argument("out_dir", type=Path, help=text)
    add, seconds = parser.group(), number(float, 0)
    add("every", None, number(float, 0, above=True), "seconds from one frame to the next", "1")
    add("cuts", False, bool, "take one frame after each cut, instead of --every")
    text = "share of a frame that one kept shortly before may show, as in a pan; 1: compare whole frames only"
    add("similar", screening.SIMILAR, number(float, 0, 1, above=True), text)
    add("start", 0, seconds, "seconds at which to begin, after the titles")
    add("end", None, seconds, "seconds at which to end, before the credits", "the end of the film")
    text = "png keeps lines sharp; jpg is smaller, and blurs and speckles around lines"
    add("format", "png", ("png", "jpg"), text)
    args = parser.parse_args(argv)
    args.end = np.inf if args.end is None else args.end
    if args.every and args.cuts:
        parser.error("--every and --cuts: give one of them")
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
        raise WrongUse(f"{args.out_dir} already holds frames of {args.film.stem}: name another folder")
    folder = args.out_dir.resolve()
    if not os.access(folder.parent, os.W_OK):  # all pictures inside are trained on, so the sheet lies beside
        raise WrongUse(f"cannot write the contact sheet to {folder.parent}: name {args.out_dir / 'train'}")
    sheet = Sheet(folder.with_name(f"{folder.name}_{args.film.stem}_sheet"))
    try:
        before, after, counts = extract(args, sheet)
    except film.av.FFmpegError as error:
        raise RunFailed(f"cannot read {args.film} as a film: {error.strerror}") from None
    dropped = ", ".join(f"{counts[why]} {why}" for why in DROPPED)
    if not counts:
        raise RunFailed(f"{args.film} has no frame that can be read after {args.start:g} seconds")
    if not counts["kept"]:
        raise RunFailed(f"no frame of {args.film} is left: {dropped}; see {sheet.files[0]}")
    print(f"{counts['kept']} of {counts.total()} frames in {args.out_dir}; dropped {dropped}")
    more = f" to _{len(sheet.files)}" if len(sheet.files) > 1 else ""
    print(f"all frames, with the reasons: {sheet.files[0]}{more}")
    if before != after:
        print("black bars cut off: {}x{} became {}x{}".format(*before, *after))


if __name__ == "__main__":
    sys.exit(exit_status(main))
