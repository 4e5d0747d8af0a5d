"""Apply a checkpoint to pictures, or to a video.

python test.py --pre_trained_model generator_latest.pth --image_dir photos --output_image_dir cartoons
"""

import collections
import concurrent.futures
import dataclasses
import errno
import functools
import glob
import itertools
import os
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

import utils
from pictures import checkpoints, images, inference, video
from training import options
from utils import RunFailed, WrongUse, exit_status, first_line, say

EXTENSIONS = images.EXTENSIONS | {".gif"}
GPU_BATCH = 8
BATCH_PIXELS = 8 * 512 * 512  # larger pictures make smaller batches
SAVING = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}, "GIF": {"disposal": 2}}
NO_ALPHA = {"JPEG"}


@dataclasses.dataclass
class Picture:
    """A picture file on its way: its frames, what Pillow must know of them, or why it failed."""

    source: Path
    target: Path
    frames: list = dataclasses.field(default_factory=list)
    info: dict = dataclasses.field(default_factory=dict)
    results: list = dataclasses.field(default_factory=list)
    failure: str = ""


# Which pictures


def find_pictures(sources, out):
    """[(file, its path below `out`)] of files, folders and globs. Raises WrongUse where there is nothing."""
    found = []
    for source in sources:
        base = Path(source)
        if base.is_file():
            found.append((base, Path(base.name)))
            continue
        if base.is_dir():
            paths = [base / name for name in images.find(base, EXTENSIONS)]
        else:
            matches = (Path(match) for match in sorted(glob.glob(source, recursive=True)))
            paths = [path for path in matches if path.suffix.lower() in EXTENSIONS and not path.is_dir()]
            base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), base.parts[:-1]))
        if _real(base) in _real(out).parents:  # the results of an earlier run are no pictures
            paths = [path for path in paths if _real(out) not in _real(path).parents]
        if not paths:
            raise WrongUse(f"no pictures at {source}: looked for {' '.join(sorted(EXTENSIONS))}")
        found += [(path, path.relative_to(base)) for path in paths]
    return found


def plan(found, out, extension):
    """A Picture for each that find_pictures found, to be written as it is named or with `extension`.

    Raises WrongUse where a result would take the place of a picture, or of another result.
    """
    sources, planned = {_identity(source) for source, _ in found}, {}
    for source, name in found:
        target = out / (name.with_suffix(f".{extension}") if extension else name)
        if target.exists() and _identity(target) in sources:
            raise WrongUse(f"{target} would overwrite a picture: name another --output_image_dir")
        other = planned.setdefault(target, Picture(source, target))
        if other.source != source:
            raise WrongUse(f"{other.source} and {source} would both become {target}: leave one of them out")
    return list(planned.values())


def _real(path):
    return Path(os.path.realpath(path))  # Path.resolve fails where a link leads in a circle


def _identity(path):
    try:
        stat = path.stat()
    except OSError:  # a link to nowhere; it is told when its turn comes
        return path
    return stat.st_dev, stat.st_ino


# What is done to them


def run_pictures(pictures, apply, args, most):
    """Read, change and write pictures; returns how many failed, each told in a line.

    `apply` makes a list of as many results out of a list of photos of one size, `most(height, width)` photos
    at a time. Threads decode what comes next and encode what is done while the network works.
    """
    failed = 0
    workers = len(os.sched_getaffinity(0))
    prepare = functools.partial(read, longest=args.size)
    finish = functools.partial(write, side_by_side=args.side_by_side)
    with (
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(pictures), unit="picture", disable=None, leave=False) as bar,
    ):

        def done(picture):
            nonlocal failed
            bar.update()
            picture.frames, picture.results = [], []  # the list of all pictures outlives them
            if picture.failure:
                say(f"{picture.source}: {picture.failure}")
                failed += 1

        def readable():
            for picture in ahead(pool, prepare, pictures, 2 * workers):
                if picture.failure:
                    done(picture)
                else:
                    yield picture

        writing = collections.deque()
        for (height, width, _), same in itertools.groupby(
            readable(), lambda picture: picture.frames[0].shape
        ):
            at_once = most(height, width)
            while group := list(itertools.islice(same, at_once)):
                change(group, apply, at_once)
                writing += [pool.submit(finish, picture) for picture in group]
                while len(writing) > 2 * workers:
                    done(writing.popleft().result())
        for future in writing:
            done(future.result())
    return failed


def ahead(pool, work, items, count):
    """work(item) of each item in turn, made by the pool up to `count` items before it is asked for."""
    items = iter(items)
    waiting = collections.deque(pool.submit(work, item) for item in itertools.islice(items, count))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(work, item) for item in itertools.islice(items, 1))


def read(picture, longest):
    """Fill in a Picture's frames, at most `longest` pixels long, or its failure; returns it."""
    kind, suffix = Image.registered_extensions().get(picture.target.suffix.lower()), picture.target.suffix
    try:
        frames, picture.info = images.decode_frames(picture.source.read_bytes())
        picture.frames = [images.fit_within(frame, longest) if longest else frame for frame in frames]
    except images.Unreadable as error:
        picture.failure = f"cannot be read: {error}"
    except OSError as error:
        picture.failure = f"cannot be read: {error.strerror}"
    except MemoryError:
        picture.failure = inference.ADVICE
    if not picture.failure and kind not in Image.SAVE:
        picture.failure = f"cannot be written as {suffix or 'a name without extension'}: give a --format"
    if len(picture.frames) > 1 and kind not in images.ANIMATED:
        picture.failure = f"{len(picture.frames)} frames do not fit a {suffix}: use --format gif, png or webp"
    return picture


def change(group, apply, at_once):
    """Fill in the results of Pictures whose frames have one size, or their failure."""
    photos = [frame[..., :3] for picture in group for frame in picture.frames]
    try:
        results = []
        for start in range(0, len(photos), at_once):
            results += apply(photos[start : start + at_once])
    except (RuntimeError, MemoryError) as error:
        if not inference.is_out_of_memory(error):
            raise
        results = None
    if results:
        for picture in group:
            picture.results, results = results[: len(picture.frames)], results[len(picture.frames) :]
    elif at_once > 1:
        for picture in group:
            change([picture], apply, 1)
    else:
        height, width = photos[0].shape[:2]
        group[0].failure = f"{inference.ADVICE} (it has {width}x{height} pixels)"


def write(picture, side_by_side):
    """Write a Picture's results beneath its own transparency, or fill in its failure; returns it."""
    if picture.failure:
        return picture
    kind = Image.registered_extensions()[picture.target.suffix.lower()]
    made = []
    for frame, result in zip(picture.frames, picture.results, strict=True):
        alpha = frame[..., 3:]
        if side_by_side:
            result = images.side_by_side(frame[..., :3], result)
            alpha = np.concatenate([alpha, alpha], axis=1)
        if kind in NO_ALPHA and alpha.size:
            result = np.rint(result + (255.0 - result) * (1 - alpha / 255)).astype(np.uint8)
        else:
            result = np.concatenate([result, alpha], axis=2)
        made.append(result)
    more = {"save_all": True, "append_images": [images.as_pillow(frame) for frame in made[1:]]}
    picture.target.parent.mkdir(parents=True, exist_ok=True)
    try:
        images.write(
            picture.target, made[0], **SAVING.get(kind, {}), **(more if made[1:] else {}), **picture.info
        )
    except (OSError, ValueError) as error:
        # A full disk, no permission: the same for every picture.
        if getattr(error, "errno", None) not in (None, errno.ENAMETOOLONG):
            raise
        picture.failure = f"cannot be written to {picture.target}: {first_line(error)}"
    return picture


# The command


def check_shape(generator, args):
    """Compare the options of the old script with the checkpoint. Raises WrongUse where they disagree."""
    for name in options.GENERATOR_SHAPE:
        given, held = getattr(args, name), generator.architecture[name]
        if given not in (None, held):
            raise WrongUse(f"--{name} is {given}, but {args.pre_trained_model} has {name} {held}")
    if args.input_size:
        say("--input_size has no effect: pictures keep their size (--size N limits the longer side)")


def main(argv=None):
    args = options.parse_testing(argv)
    device = utils.choose_device(args.device)
    if not args.video:
        out = Path(args.output_image_dir)
        pictures = plan(find_pictures(args.image_dir, out), out, args.format)
    generator = checkpoints.load_generator(args.pre_trained_model)
    check_shape(generator, args)
    inference.prepare(generator, device, utils.choose_precision(args.precision, device))
    apply = functools.partial(inference.convert, generator, tile=args.tile)

    if args.video:
        frames = video.convert(args.video, args.output, functools.partial(change_frame, apply, args))
        print(f"{frames} frames in {args.output}")
        return

    def most(height, width):
        usual = GPU_BATCH if device.type == "cuda" else 1
        return args.batch_size or max(1, min(usual, BATCH_PIXELS // (height * width)))

    wanted = [picture for picture in pictures if not (args.skip_existing and picture.target.exists())]
    began = time.monotonic()
    failed = run_pictures(wanted, apply, args, most)
    written = len(wanted) - failed
    speed = f", {written / (time.monotonic() - began):.2f} pictures/s" if written else ""
    there = f", {len(pictures) - len(wanted)} were there already" if args.skip_existing else ""
    print(f"{written} pictures written to {out}{speed}{there}")
    if failed:
        raise RunFailed(f"{failed} of {len(wanted)} pictures failed, each named above")


def change_frame(apply, args, frame):
    """Apply the network to a frame of a video (RGB, uint8); returns RGB."""
    if args.size:
        frame = images.fit_within(frame, args.size)
    try:
        (result,) = apply([frame])
    except (RuntimeError, MemoryError) as error:
        if not inference.is_out_of_memory(error):
            raise
        raise RunFailed(inference.ADVICE) from None
    return images.side_by_side(frame, result) if args.side_by_side else result


if __name__ == "__main__":
    sys.exit(exit_status(main))
