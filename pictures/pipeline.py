"""Convert many picture files: threads decode and encode while the network works."""

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


def run(pictures, apply, largest_batch, size=None, side_by_side=False, origin=None):
    """Convert a list of listing.Picture; returns how many failed, each reported in one line.

    `apply` converts a list of photos of one size, at most `largest_batch(height, width)` of them. `size`
    limits the longer side. `origin`, of images.describe_origin, is written into the results.
    """
    failed, workers = 0, cores()
    read_one = functools.partial(read, longest=size)
    write_one = functools.partial(write, origin=origin, side_by_side=side_by_side)
    with (
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(pictures), unit="picture", disable=None, leave=False) as bar,
    ):
        decoded = map_ahead(pool, read_one, pictures, 2 * workers)
        converted = convert_batches(decoded, apply, largest_batch)
        for picture in map_ahead(pool, write_one, converted, 2 * workers):
            bar.update()
            picture.frames, picture.results = [], []  # the list of all pictures keeps them alive
            if picture.failure:
                report(f"{picture.source}: {picture.failure}")
                failed += 1
    return failed


def map_ahead(pool, work, items, count):
    """Yield work(item) of each item in order; the pool works at most `count` items ahead."""
    items = iter(items)
    waiting = collections.deque(pool.submit(work, item) for item in itertools.islice(items, count))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(work, item) for item in itertools.islice(items, 1))


def read(picture, longest):
    """Fill in a Picture's frames, at most `longest` pixels long, or its failure; returns it."""
    suffix = picture.target.suffix.lower()
    kind = Image.registered_extensions().get(suffix)
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


def convert_batches(pictures, apply, largest_batch):
    """Yield the pictures with their results or failures; consecutive ones of one size form a batch."""
    shape_of = lambda picture: None if picture.failure else picture.frames[0].shape
    for shape, alike in itertools.groupby(pictures, shape_of):
        batch_size = largest_batch(*shape[:2]) if shape else 1
        while group := list(itertools.islice(alike, batch_size)):
            if shape:
                convert(group, apply, batch_size)
            yield from group


def convert(group, apply, batch_size):
    """Fill in the results, or the failure, of Pictures whose frames have one size."""
    photos = [frame[..., :3] for picture in group for frame in picture.frames]
    try:
        batches = [apply(photos[start : start + batch_size]) for start in range(0, len(photos), batch_size)]
        results = itertools.chain.from_iterable(batches)
        for picture in group:
            picture.results = list(itertools.islice(results, len(picture.frames)))
        return
    except Exception as error:  # whatever it is, the next picture may work
        reason = inference.reason(error)
    # Outside the except block, so that the error no longer holds memory.
    if batch_size > 1:
        for picture in group:
            convert([picture], apply, 1)
    else:
        height, width = photos[0].shape[:2]
        group[0].failure = f"{reason} (it has {width}x{height} pixels)"


def write(picture, side_by_side, origin=None):
    """Write a Picture's results with its own transparency, or fill in its failure; returns it."""
    try:
        if not picture.failure:
            _write(picture, side_by_side, origin)
    except MemoryError as error:
        picture.failure = inference.reason(error)
    except Exception as error:
        # A full disk or a missing permission would fail for every picture.
        if getattr(error, "errno", None) not in (None, errno.ENAMETOOLONG):
            raise
        picture.failure = f"cannot be written to {picture.target}: {first_line(error)}"
    return picture


def _write(picture, side_by_side, origin):
    kind = Image.registered_extensions()[picture.target.suffix.lower()]
    frames = []
    for frame, result in zip(picture.frames, picture.results, strict=True):
        alpha = frame[..., 3:]
        if side_by_side:
            result = images.side_by_side(frame[..., :3], result)
            alpha = np.concatenate([alpha, alpha], axis=1)
        if kind == "JPEG" and alpha.size:  # it has no transparency
            result = np.rint(result + (255.0 - result) * (1 - alpha / 255)).astype(np.uint8)
        else:
            result = np.concatenate([result, alpha], axis=2)
        frames.append(result)
    options = SAVING.get(kind, {}) | picture.info
    if len(frames) > 1:
        options |= {"save_all": True, "append_images": [images.as_pillow(frame) for frame in frames[1:]]}
    if origin:
        options |= images.origin_options(kind, origin, picture.info.get("exif", b""))
    picture.target.parent.mkdir(parents=True, exist_ok=True)
    images.write(picture.target, frames[0], **options)
