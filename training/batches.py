"""The seeded stream of training batches, and the processes that load them."""

import ctypes
import functools
import itertools
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

import utils
from pictures import images
from support.files import close_inherited_locks
from training import failures, processes
from training.config import load_size
from training.processes import STOPPING
from utils import RunFailed, report, report_once

IN_A_ROW = 10  # after so many unreadable images in a row, the disk has failed rather than single files
SOCKET_FOLDER = 70  # bytes: a socket's path may have 107, of which multiprocessing uses 32
SHARED = Path("/dev/shm")  # where the loading processes leave their batches  # noqa: S108
AHEAD = 2  # batches that each of them may have there
SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of prctl(2)

# Each stream of random numbers has its own number, so that no two share a seed. Other methods: 100 and more.
PHOTOS, DRAWINGS, SMOOTHED, POOL, AUGMENT, POOL_BACK, NOISE = range(7)


# What a batch is made of


def training_batches(run):
    """(TrainingImages, iterator of draws) of the current phase of a run.Run, starting at its place."""
    args, data = run.args, run.data
    pairs = data.pairs if run.phase == 2 else []
    streams = [DRAWINGS]
    if data.smoothed:
        streams.append(SMOOTHED if args.independent_edges else DRAWINGS)
    drawn = draws(len(data.photos), len(pairs), args.batch_size, args.seed, *run.place, streams)
    return TrainingImages(data.photos, pairs, args, data.smoothed), map(processes.share, drawn)


def draws(photos, drawings, batch, seed, phase, epoch, step, streams=(DRAWINGS, DRAWINGS)):
    """Yield the draws of each batch of a phase, endlessly, starting at (epoch, step).

    A draw is (index of the image, key of its random generator). An epoch is one shuffled pass over the
    `photos`, in whole batches only; the few left out differ between epochs. The `drawings` are reshuffled
    endlessly and independently for each of `streams`; equal streams give equal draws, so that drawing and
    smoothed drawing belong together. Everything is a function of the arguments; there is no state.
    """
    steps = photos // batch
    for position in itertools.count((epoch - 1) * steps + step):
        turn, place = divmod(position, steps)
        drawn = [[_draw(photos, seed, PHOTOS, phase, turn, place * batch + n) for n in range(batch)]]
        for stream in streams if drawings else ():
            places = (divmod(position * batch + n, drawings) for n in range(batch))
            drawn.append([_draw(drawings, seed, stream, phase, *place) for place in places])
        yield list(zip(*drawn, strict=True))


def _draw(count, seed, stream, phase, turn, place):
    index = int(_order(count, seed, stream, phase, turn)[place])
    return index, (seed, stream, phase, turn, index)


@functools.lru_cache(maxsize=8)
def _order(count, *key):
    return np.random.default_rng(key).permutation(count)


class TrainingImages(Dataset):
    """Training squares, uint8 C,size,size: a photo, or a photo, a drawing and a smoothed drawing.

    If `pairs` are not `smoothed`, they are drawings, and an item is a photo and a drawing. The index of an
    item is its draws (see `draws`), which determine crop and flip. An image that can no longer be read is
    replaced by the next that can. Raises RunFailed if IN_A_ROW of them, or all, cannot be read.
    """

    def __init__(self, photos, pairs, args, smoothed=True):
        self.photos, self.pairs, self.args, self.smoothed = photos, pairs, args, smoothed
        self.lost = {}  # {path: (reason, path that replaces it)} since the last batch

    def __getitem__(self, draws):
        photo, *drawings = draws
        image = self._first_readable(self.photos, photo[0], self._photo)
        pairs = {draw: self._first_readable(self.pairs, draw[0], self._pair) for draw in drawings}
        halves = [pairs[draw][side] for side, draw in enumerate(drawings)]
        return [self._square(*square) for square in zip([image, *halves], draws, strict=True)]

    def collate(self, items):
        """(batch of items, `lost`): how the main process learns of lost images."""
        lost, self.lost = self.lost, {}
        return default_collate(items), lost

    def _first_readable(self, paths, start, read):
        """read(path) of paths[start] or, if it cannot be read, of the next that can, wrapping around."""
        lost = {}
        for index in range(start, start + min(IN_A_ROW, len(paths))):
            path = paths[index % len(paths)]
            try:
                image = read(path)
            except images.CannotRead as error:
                lost[path] = error.reason
            else:
                self.lost |= {each: (reason, path) for each, reason in lost.items()}
                return image
        raise RunFailed(
            f"{len(lost)} training images in a row cannot be read, the last is {path}: {lost[path]}; "
            "check the disk, then resume with --resume"
        )

    def _photo(self, path):
        return self._fit(images.read(path, self.args.in_ngc, at_least=load_size(self.args)))

    def _pair(self, path):
        if not self.smoothed:
            return [self._fit(images.read(path, self.args.out_ngc, at_least=load_size(self.args)))]
        halves = np.array_split(images.read(path, self.args.out_ngc), 2, axis=1)
        return [self._fit(half) for half in halves]

    def _fit(self, image):
        return images.fit_training(image, load_size(self.args), self.args.resize)

    def _square(self, image, draw):
        rng, size = np.random.default_rng(draw[1]), self.args.input_size
        top, left = (int(rng.integers(side - size + 1)) for side in image.shape[:2])
        image = image[top : top + size, left : left + size]
        if rng.random() < 0.5:
            image = image[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


# Loading


def default_workers(device):
    """The number of loading processes: with a GPU, its process's share of the cores, up to 8; else 1."""
    return min(8, max(1, utils.cores() // processes.count_here())) if device.type == "cuda" else 1


def with_room(workers, size):
    """The number of loading processes: `workers`, or fewer if batches of `size` bytes would not fit.

    Fewer are reported. A run fails when shared memory is full, and waits forever for processes whose sockets
    have too long a path, so with a long TMPDIR there are none.
    """
    folder = tempfile.gettempdir()
    if workers and len(os.fsencode(folder)) > SOCKET_FOLDER:
        report(f"TMPDIR is too long for processes that load images, so none are used: {folder}")
        return 0
    if not workers or not SHARED.is_dir():
        return workers
    free = shutil.disk_usage(SHARED).free // processes.count_here()
    room = max(0, (free // size - 2) // AHEAD)  # the program itself holds one or two more
    if room < workers:
        needed = (AHEAD * workers + 2) * size
        report(
            f"{workers} processes that load images need {needed / 1e6:.0f} MB in {SHARED}, which has "
            f"{free / 1e6:.0f} MB: using {room}; {failures.MORE_SHARED}"
        )
    return min(workers, room)


def load_batches(dataset, batches, workers, device):
    """Iterate over the batches of `draws`, loaded ahead by `workers` processes: uint8 N,C,H,W on `device`.

    None means default_workers. Each lost image is reported once. The processes end with the iterator, however
    it ends. Raises RunFailed if too many images are lost in a row, or a process fails.
    """
    workers = default_workers(device) if workers is None else workers
    first = next(batches)
    workers = with_room(workers, len(first) * len(first[0]) * 3 * dataset.args.input_size**2)
    loader = DataLoader(
        dataset,
        batch_sampler=itertools.chain([first], batches),
        collate_fn=dataset.collate,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        pin_memory=device.type == "cuda",
        worker_init_fn=_start_worker,
        # A forked worker ends soon after a program that was killed. With a fork server, the default from
        # Python 3.14 on, the worker and the server would wait for each other forever.
        multiprocessing_context="fork" if workers else None,
    )
    before, loaded = {*multiprocessing.active_children()}, None
    try:
        loaded = iter(loader)
        for batch, lost in loaded:
            for path, (reason, instead) in lost.items():
                report_once(f"cannot read {path} ({reason}): {instead} replaces it", everywhere=True)
            yield [image.to(device, non_blocking=True, memory_format=torch.channels_last) for image in batch]
    except Exception as error:
        if reason := failures.loading_fault(error):
            raise RunFailed(reason) from error
        raise
    finally:
        # An error's traceback keeps PyTorch's iterator alive, and with it the processes: they ignore SIGTERM,
        # and the program would wait for them forever.
        if workers and loaded is not None:
            loaded._shutdown_workers()
        for process in {*multiprocessing.active_children()} - before:
            process.kill()
            process.join()


def _start_worker(_):
    # Ctrl-C or a scheduler's SIGTERM reaches the whole process group; the program ends its workers itself.
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    images.cv2.setNumThreads(1)
    if sys.platform == "linux":  # else a worker that waits for a lock would outlive a killed program
        ctypes.CDLL(None).prctl(SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
    close_inherited_locks()  # elsewhere a worker outlives a killed program by seconds, with its lock
