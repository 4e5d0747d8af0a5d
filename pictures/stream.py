"""Many pictures through a network: decoded ahead of it, encoded behind it, each failure told in a line."""

import collections
import concurrent.futures
import errno
import functools
import itertools

import numpy as np
from PIL import Image
from tqdm import tqdm

from pictures import decoding, images, inference
from utils import cores, first_line, report

SAVING = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90, "subsampling": "4:4:4"},
    "HEIF": {"quality": 90, "chroma": 444},
    "GIF": {"disposal": 2},
}
NO_ALPHA = {"JPEG"}


def run_pictures(pictures, apply, args, most, about=None):
    """Read, change and write pictures; returns how many failed, each with a line that says why.

    `apply` makes a list of as many results out of a list of photos of one size, `most(height, width)` photos
    at a time. `about` (images.describe_origin) is written into the results. Threads decode what comes next
    and encode what is done while the network works.
    """
    failed = 0
    workers = cores()
    prepare = functools.partial(read, longest=args.size)
    finish = functools.partial(write, about=about, side_by_side=args.side_by_side)
    with (
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(pictures), unit="picture", disable=None, leave=False) as bar,
    ):

        def done(picture):
            nonlocal failed
            bar.update()
            picture.frames, picture.results = [], []  # the list of all pictures outlives them
            if picture.failure:
                report(f"{picture.source}: {picture.failure}")
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
        frames, picture.info = decoding.decode_frames(picture.source.read_bytes(), longest)
        picture.frames = [images.fit_within(frame, longest) if longest else frame for frame in frames]
    except MemoryError as error:
        picture.failure = inference.reason(error)
    except Exception as error:
        picture.failure = f"cannot be read: {first_line(error)}"
    if not picture.failure and kind not in Image.SAVE:
        picture.failure = f"cannot be written as {suffix or 'a name without extension'}: give a --format"
    if len(picture.frames) > 1 and kind not in decoding.ANIMATED:
        picture.failure = f"{len(picture.frames)} frames do not fit a {suffix}: use --format gif, png or webp"
    return picture


def change(group, apply, at_once):
    """Fill in the results of Pictures whose frames have one size, or their failure."""
    photos = [frame[..., :3] for picture in group for frame in picture.frames]
    try:
        results = []
        for start in range(0, len(photos), at_once):
            results += apply(photos[start : start + at_once])
    except Exception as error:  # whatever it is, the next picture may have another size
        results, reason = None, inference.reason(error)
    if results:
        for picture in group:
            picture.results, results = results[: len(picture.frames)], results[len(picture.frames) :]
    elif at_once > 1:
        for picture in group:
            change([picture], apply, 1)
    else:
        height, width = photos[0].shape[:2]
        group[0].failure = f"{reason} (it has {width}x{height} pixels)"


def write(picture, side_by_side, about=None):
    """Write a Picture's results beneath its own transparency, or fill in its failure; returns it."""
    if picture.failure:
        return picture
    try:
        _write(picture, side_by_side, about)
    except MemoryError as error:
        picture.failure = inference.reason(error)
    except Exception as error:
        # A full disk, no permission: the same for every picture.
        if getattr(error, "errno", None) not in (None, errno.ENAMETOOLONG):
            raise
        picture.failure = f"cannot be written to {picture.target}: {first_line(error)}"
    return picture


def _write(picture, side_by_side, about):
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
    how = SAVING.get(kind, {}) | (more if made[1:] else {}) | picture.info
    if about:
        how |= images.origin_options(kind, about, picture.info.get("exif", b""))
    images.write(picture.target, made[0], **how)
