"""Processes that train with a fault: killed, or denied a file while it is written.

Importing this makes no files: the fork server imports it, and would not remove them.
"""

import contextlib
import errno
import os
import signal
import types
from pathlib import Path

import CartoonGAN
import utils
from support import files


def attempt(argv, output, fault):
    """In a process: train with a fault, the arguments of `when_writing`; the output goes to a file."""
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    when_writing(*fault)
    os._exit(utils.exit_status(lambda: CartoonGAN.main(argv)))


def finish(server, argv, output, fault=((), None)):
    """An `attempt` in a process of `server`: (exit status, output). The status is -9 if it was killed."""
    process = server.Process(target=attempt, args=(argv, output, fault))
    process.start()
    process.join(300)
    assert process.exitcode is not None, output.read_text()
    return process.exitcode, output.read_text()


def when_writing(kinds, fault, again=False):
    """Call fault(part, path) in this process when the first file of these kinds is about to replace `path`.

    If `fault` returns, the file is written. Of an appended line, half is written before the call, and `part`
    is None. With `again` the fault also happens at each further file.
    """
    left = [True]

    def is_due(path):
        folders = {"pair", "Reconstruction", "Transfer"}.intersection(path.parts)
        found = left and (folders or {path.name}).intersection(kinds)
        return found and (again or left.pop())

    def replace(part, path):
        if is_due(path):
            fault(part, path)
        if os.path.exists(part):
            os.replace(part, path)

    def write(handle, data):
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if is_due(path):
            half = os.write(handle, data[: len(data) // 2])
            fault(None, path)
            return half
        return os.write(handle, data)

    files.os = types.SimpleNamespace(**{**vars(os), "replace": replace, "write": write})


def die_half_written(part, _):
    if part:
        os.truncate(part, os.stat(part).st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def die_just_written(part, path):
    if part:
        os.replace(part, path)
    os.kill(os.getpid(), signal.SIGKILL)


def raise_disk_full(part, _):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))


def fill_disk(_, path):
    """Leave no byte free; the file itself is written."""
    with contextlib.suppress(OSError), open(path.parents[2] / "filler", "wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            continue
