"""Several processes that train as one, started by torchrun, and the signals that stop them.

With a single process these functions change nothing. All processes must call `mean`, `highest`, `gather`,
`on_first_process_first` and `from_first`, which wait for the others.
"""

import atexit
import contextlib
import datetime
import gc
import os
import signal

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from utils import is_first, rank, report, restarts

TIMEOUT = datetime.timedelta(hours=6)  # the others wait while the first makes pairs, or draws samples
STOPPING = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1  # a run saves and stops
KILLING = signal.SIGINT, signal.SIGTERM  # end it at once if they come again


def count():
    """The number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def count_here():
    """The number of them on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


@contextlib.contextmanager
def init_distributed(device):
    """Join the other processes; all have joined when the block begins."""
    if count() == 1:
        yield
        return
    store, rank, world_size = next(rendezvous("env://", timeout=TIMEOUT))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        # Without --standalone torchrun keeps one store, with the addresses of processes that are gone, and
        # gloo waits for them. Several machines count restarts separately (pytorch/pytorch issue 108158).
        store = distributed.PrefixStore(str(restarts()), store)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=TIMEOUT)
    # Free the group at exit, after what DistributedDataParallel holds of it. Freed by that or later, it joins
    # gloo's threads while they wait for the GIL, and PyTorch 2.10 hangs or aborts (pytorch issue 56297).
    atexit.register(lambda _: gc.collect(), distributed.group.WORLD)
    yield
    distributed.destroy_process_group()  # not after a failure: it would wait for processes that are gone


def lost(error):
    """Whether an exception means that another process did not answer."""
    return count() > 1 and (isinstance(error, distributed.DistError) or "gloo" in str(error))


def parallel(network, device):
    """The network, wrapped so that each backward pass averages its gradients over the processes."""
    if count() == 1:
        return network
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(network, devices, gradient_as_bucket_view=True)


def share(batch):
    """This process's part of a batch (a list, or a tensor along its first dimension)."""
    each = len(batch) // count()
    return batch[rank() * each : (rank() + 1) * each]


def gather(part):
    """The batch whose `share` each process holds, in all of them."""
    if count() == 1:
        return part
    part = part.contiguous()  # in any other layout NCCL would mix up the pixels
    parts = [torch.empty_like(part) for _ in range(count())]
    distributed.all_gather(parts, part)
    return torch.cat(parts)


def mean(values):
    """The mean of a tensor over the processes."""
    if count() > 1:
        distributed.all_reduce(values)
        values /= count()
    return values


def highest(*numbers):
    """The highest of each whole number over the processes, so that all take the same decision."""
    if count() == 1:
        return numbers
    values = torch.tensor(numbers, dtype=torch.int64)  # on the CPU, so that a GPU keeps working
    distributed.all_reduce(values, distributed.ReduceOp.MAX)
    return values.tolist()


def on_first_process_first(make):
    """make(), which may download: the first process of a machine calls it before the others do."""
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    made = make() if first else None
    highest(0)  # waits for all
    return made if first else make()


def from_first(make):
    """The result of make() in the first process, in all of them; the others do not call it."""
    made = [make() if is_first() else None]
    if count() > 1:
        distributed.broadcast_object_list(made)
    return made[0]


class Signals:
    """A context that records a signal to stop in `received`, so that the step can be finished.

    The signals: Ctrl-C and SIGTERM, a second of which ends the process at once; SIGHUP of a closed terminal
    (unless nohup ignores it), which the shell may repeat; SIGUSR1, which SLURM can send before a time limit.
    """

    received = None

    def __enter__(self):
        by_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        numbers = [number for number in STOPPING if number != signal.SIGHUP or not by_nohup]
        self.before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, kind, *_):
        if kind and count() > 1:
            return  # if one process fails, torchrun sends SIGTERM: it must not cut off the others' errors
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.received = number
        signal.signal(number, signal.SIG_DFL if number in KILLING else signal.SIG_IGN)
        report("stopping after this step …")
