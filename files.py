"""Files that are written whole or not at all, and folders that one process at a time may use."""

import contextlib
import fcntl
import os

_held = set()  # handles of the folders that this process holds


@contextlib.contextmanager
def replacing(path, sync=True):
    """Yield a path beside `path` to write to; when the block ends without error it takes `path`'s place.

    A process killed at any moment leaves the old file or the new one, never a part of one. With `sync` the
    same holds when the machine loses power.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        if sync:
            _sync(part)
        os.replace(part, path)
        if sync:
            _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_text(path, text):
    """Write a UTF-8 text file whole. What is no UTF-8, as a file's name may be, is escaped."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def sweep(folder):
    """Remove what a killed process left of `replacing` below a folder that no other process writes to."""
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder, wait):
    """Hold `folder` against other processes; yields whether it was free. A killed process leaves no lock."""
    handle = os.open(folder, os.O_RDONLY)
    _held.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            free = True
        except BlockingIOError:
            free = False
        yield free
    finally:
        _held.discard(handle)
        os.close(handle)


def let_go():
    """Let go of the folders that the parent of a forked process holds: the parent alone then holds them."""
    while _held:
        os.close(_held.pop())


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
