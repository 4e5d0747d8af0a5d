"""Several processes that train as one, started by torchrun. Alone, each function here passes through.

What waits for the others (`mean`, `highest`, `gather`, `gather_in_first`, `on_first_process_first`,
`from_first`) must be called by each.
"""

import contextlib
import datetime
import os

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from utils import is_first, rank, restarts

PATIENCE = datetime.timedelta(hours=6)  # the others wait while the first makes pairs, or draws samples


def count():
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def count_here():
    """How many of them run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


@contextlib.contextmanager
def init_distributed(device):
    """Join the other processes; each has come this far when the block begins."""
    if count() == 1:
        yield
        return
    store, rank, world_size = next(rendezvous("env://", timeout=PATIENCE))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        # Without --standalone torchrun keeps one store, with the addresses of those that are gone, and gloo
        # waits for them. Several machines count restarts apart (pytorch/pytorch issue 108158).
        store = distributed.PrefixStore(str(restarts()), store)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=PATIENCE)
    yield
    distributed.destroy_process_group()  # not after a failure: it would wait for those that are gone


def lost(error):
    """Whether an exception says that another process did not answer."""
    return count() > 1 and (isinstance(error, distributed.DistError) or "gloo" in str(error))


def parallel(network, device):
    """The network, its gradients averaged over the processes by each backward pass."""
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


def gather_in_first(part):
    """The batch whose `share` each process holds, in the first process and on the CPU; None in the others."""
    if count() == 1:
        return part.cpu()
    part = part.contiguous()
    parts = [torch.empty_like(part) for _ in range(count())] if is_first() else None
    distributed.gather(part, parts)
    return torch.cat(parts).cpu() if parts else None


def mean(values):
    """The mean of a tensor over the processes."""
    if count() > 1:
        distributed.all_reduce(values)
        values /= count()
    return values


def highest(value):
    """The highest of a whole number over the processes, so that all decide alike."""
    if count() == 1:
        return int(value)
    values = torch.tensor(int(value))  # on the CPU: a GPU goes on working
    distributed.all_reduce(values, distributed.ReduceOp.MAX)
    return int(values)


def on_first_process_first(make):
    """What `make()` returns. It may download: the first process of a machine calls it before the others."""
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    made = make() if first else None
    highest(0)  # waits for all
    return made if first else make()


def from_first(make):
    """What `make()` returns in the first process, in all of them; the others do not call it."""
    made = [make() if is_first() else None]
    if count() > 1:
        distributed.broadcast_object_list(made)
    return made[0]
