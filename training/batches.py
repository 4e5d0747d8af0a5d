"""The endless, seeded stream of batches that training is fed with."""

import ctypes
import functools
import itertools
import multiprocessing
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

import utils
from pictures import images, listing
from support.files import let_go
from training import failures, processes
from training.config import load_size
from training.processes import STOPPING
from utils import RunFailed, report

IN_A_ROW = 10  # images; where so many are lost, it is no longer files that are lost but the disk

# Each stream of random numbers has a number of its own, so that no two ever share a seed.
PHOTOS, DRAWINGS, SMOOTHED, POOL, AUGMENT, POOL_BACK, NOISE = range(7)


def first_readable(paths, start, use):
    """use(path) of the first that works of paths[start] and those after it; after the last comes the first.

    Returns (what `use` made, {path: (reason, path that takes its place)} of those before). `use` may raise
    images.CannotRead. Raises RunFailed if ten in a row, or all, cannot be read.
    """
    lost = {}
    for index in range(start, start + min(IN_A_ROW, len(paths))):
        path = paths[index % len(paths)]
        try:
            made = use(path)
        except images.CannotRead as error:
            lost[path] = error.reason
        else:
            return made, {each: (reason, path) for each, reason in lost.items()}
    raise RunFailed(
        f"training images are lost, {len(lost)} in a row, the last is {path}: {lost[path]}; "
        "see to the disk, then go on with --resume"
    )


def lost_line(path, reason, instead):
    """What is said of an image that got lost during a run."""
    return f"lost {path} ({reason}): {instead} takes its place"


class TrainingImages(Dataset):
    """Training squares, uint8 C,size,size. An item is a photo, or a photo, a drawing and a smoothed drawing.

    They are cut out of pictures with a shorter side of `load_size` pixels, or of `size`.

    Where `pairs` are not `smoothed`, they are drawings, and an item is a photo and a drawing. It is asked for
    by draws (see `draws`), which settle all that is random about it. An image that can no longer be read is
    replaced by the next that can. `lost` holds {path: (reason, path instead)} of those; whoever reads it may
    empty it. Raises RunFailed as `first_readable` does.
    """

    def __init__(
        self, photos, pairs, size, resize, photo_channels, drawing_channels, smoothed=True, load_size=None
    ):
        self.photos, self.pairs, self.smoothed = photos, pairs, smoothed
        self.size, self.load_size, self.resize = size, load_size or size, resize
        self.photo_channels, self.drawing_channels = photo_channels, drawing_channels
        self.lost = {}

    def __getitem__(self, draws):
        photo, *drawings = draws
        image = self._first_readable(self.photos, photo[0], self._photo)
        pairs = {draw: self._first_readable(self.pairs, draw[0], self._pair) for draw in drawings}
        halves = [pairs[draw][side] for side, draw in enumerate(drawings)]
        return [self._square(*square) for square in zip([image, *halves], draws, strict=True)]

    def channels(self, draws):
        """How many channels an item of these draws has in all."""
        return self.photo_channels + (len(draws) - 1) * self.drawing_channels

    def batch(self, items):
        """(batch of items, what was lost on the way): in a worker process this is how the main one learns."""
        lost, self.lost = self.lost, {}
        return default_collate(items), lost

    def _first_readable(self, *where):
        image, lost = first_readable(*where)
        self.lost |= lost
        return image

    def _photo(self, path):
        return self._fitted(path, images.read(path, self.photo_channels, at_least=self.load_size))

    def _pair(self, path):
        if not self.smoothed:
            return [self._fitted(path, images.read(path, self.drawing_channels, at_least=self.load_size))]
        halves = np.array_split(images.read(path, self.drawing_channels), 2, axis=1)
        return [self._fitted(path, half) for half in halves]

    def _fitted(self, path, image):
        try:
            return images.fit_training(image, self.load_size, self.resize)
        except images.Unreadable as error:
            raise images.CannotRead(path, error) from None

    def _square(self, image, draw):
        rng = np.random.default_rng(draw[1])
        top, left = (int(rng.integers(side - self.size + 1)) for side in image.shape[:2])
        image = image[top : top + self.size, left : left + self.size]
        if rng.random() < 0.5:
            image = image[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def training_batches(run):
    """(TrainingImages, draws) of the phase that a run.Run is in, from its place on."""
    args, data = run.args, run.data
    pairs = data.pairs if run.phase == 2 else []
    form = args.input_size, args.resize, args.in_ngc, args.out_ngc
    dataset = TrainingImages(data.photos, pairs, *form, data.smoothed, load_size(args))
    counts = len(data.photos), len(pairs), args.batch_size
    streams = (DRAWINGS, SMOOTHED if args.independent_edges else DRAWINGS) if data.smoothed else (DRAWINGS,)
    return dataset, map(processes.share, draws(*counts, args.seed, *run.place, streams))


def draws(photos, drawings, batch, seed, phase, epoch, step, streams=(DRAWINGS, DRAWINGS)):
    """Yield, from (epoch, step) on and without end, what each batch of a phase is made of.

    A draw is (index of the image, key of its random generator). An epoch is one shuffled pass over the
    `photos`, whole batches only: the few left over differ from epoch to epoch. The `drawings` come from an
    endless reshuffle of their own, one for each of `streams`; the same stream gives the same draws, so
    that a smoothed drawing is that of the drawing.
    Nothing here has a state: everything is a function of the arguments.
    """
    steps = photos // batch
    for position in itertools.count((epoch - 1) * steps + step):
        epoch, step = divmod(position, steps)
        places = range(step * batch, (step + 1) * batch)
        drawn = [[_draw(photos, seed, PHOTOS, phase, epoch, place) for place in places]]
        if drawings:
            for stream in streams:
                shown = range(position * batch, (position + 1) * batch)
                drawn.append([_draw(drawings, seed, stream, phase, *divmod(n, drawings)) for n in shown])
        yield list(zip(*drawn, strict=True))


def _draw(count, seed, stream, phase, turn, place):
    index = int(_order(count, seed, stream, phase, turn)[place])
    return index, (seed, stream, phase, turn, index)


@functools.lru_cache(maxsize=8)
def _order(count, *key):
    return np.random.default_rng(key).permutation(count)


def default_workers(device):
    """Processes that load images: beside a GPU its share of the cores, up to 8; beside the CPU one."""
    return min(8, max(1, utils.cores() // processes.count_here())) if device.type == "cuda" else 1


SHARED = Path("/dev/shm")  # where the processes leave their batches  # noqa: S108
SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of prctl(2)
AHEAD = 2  # batches that each of them may have there


def with_room(workers, size):
    """How many of `workers` processes have room in shared memory for batches of `size` bytes.

    Says it where that is fewer: once it is full, the run would end.
    """
    if not workers or not SHARED.is_dir():
        return workers
    free = shutil.disk_usage(SHARED).free // processes.count_here()
    room = max(0, (free // size - 2) // AHEAD)  # the program itself holds one or two more
    if room < workers:
        needed = (AHEAD * workers + 2) * size
        report(
            f"{workers} processes that load images need {needed / 1e6:.0f} MB in {SHARED}, which has "
            f"{free / 1e6:.0f} MB: taking {room}; {failures.MORE_SHARED}"
        )
    return min(workers, room)


def load_batches(dataset, batches, workers, device):
    """Iterate over the batches of `draws`, loaded ahead by `workers` processes: uint8 N,C,H,W on `device`.

    None workers are default_workers. Says once of each image that it can no longer be read. However it ends,
    its processes end with it. Raises RunFailed if too many images are lost in a row, or a process fails.
    """
    workers = default_workers(device) if workers is None else workers
    first = next(batches)
    workers = with_room(workers, len(first) * dataset.size**2 * dataset.channels(first[0]))
    batches = itertools.chain([first], batches)
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=dataset.batch,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        pin_memory=device.type == "cuda",
        worker_init_fn=_start_worker,
        # A forked worker ends soon after a program that was killed. One of a fork server, which is Python
        # 3.14's default, would wait for the server, and the server for it, for ever.
        multiprocessing_context="fork" if workers else None,
    )
    told, before, loaded = set(), {*multiprocessing.active_children()}, None
    try:
        loaded = iter(loader)
        for batch, lost in loaded:
            for path in (path for path in lost if path not in told):
                listing.report_once(lost_line(path, *lost[path]), everywhere=True)
            told |= lost.keys()
            yield [image.to(device, non_blocking=True, memory_format=torch.channels_last) for image in batch]
    except Exception as error:
        if reason := failures.of_loading(error):
            raise RunFailed(reason) from error
        raise
    finally:
        # An error's traceback keeps PyTorch's iterator alive, and so the processes; they ignore SIGTERM, and
        # the program would wait for them for ever.
        if workers and loaded is not None:
            loaded._shutdown_workers()
        for process in {*multiprocessing.active_children()} - before:
            process.kill()
            process.join()


def _start_worker(_):
    # Ctrl-C, or a scheduler's SIGTERM, reaches the whole process group; the program ends its workers itself.
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    images.cv2.setNumThreads(1)
    if sys.platform == "linux":  # a worker that waits for a lock would outlive a killed program for ever
        ctypes.CDLL(None).prctl(SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
    let_go()  # elsewhere a worker outlives a killed program by seconds
