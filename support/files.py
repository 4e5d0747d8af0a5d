"""Files written whole or not at all, and folders locked against other processes."""

import contextlib
import errno
import hashlib
import os

from utils import report

try:
    import fcntl
except ImportError:  # Windows, where training does not run, but test.py does
    fcntl = None

LONG = 128  # bytes of a file's name: file systems take 255, eCryptfs 143, and `replacing` adds some


@contextlib.contextmanager
def replacing(path, sync=True):
    """Yield a path beside `path` to write to; when the block ends without error it takes `path`'s place.

    A process killed at any moment leaves the old file or the new one, never a part of one. With `sync` the
    same holds when the machine loses power.
    """
    name = path.name
    if len(os.fsencode(name)) > LONG:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    part = path.with_name(f".{name}.part")
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


def append(path, text):
    """Append lines to a UTF-8 text file and sync it. Where that fails (a full disk), nothing is added."""
    data = text.encode("utf-8", "replace")
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":  # the last line was cut off
            data = b"\n" + data
        try:
            while data:
                data = data[os.write(handle, data) :]
            _flush(handle, path)
            if not size:  # its name is new too
                _sync(path.parent)
        except OSError as error:
            os.ftruncate(handle, size)
            error.filename = path
            raise
    finally:
        os.close(handle)


def sweep(folder):
    """Remove what a killed process left of `replacing` below a folder that no other process writes to."""
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)


_held = set()  # handles of the folders that this process holds
# How network drives and FUSE say that they lack a call; what a failing disk says is not among it.
LACKING = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.ENOLCK}
LACKING |= {errno.EPERM, errno.EACCES}
_lacks = set()  # what was warned of
_CONSEQUENCE = {
    "locked": "take care that no other process writes there",
    "synced": "a power loss may damage what was written last",
}


def _warn_lacking(what, path, error):
    if what not in _lacks:
        _lacks.add(what)
        report(f"warning: {path} cannot be {what} ({error.strerror}): {_CONSEQUENCE[what]}")


@contextlib.contextmanager
def locked(folder, wait):
    """Lock `folder` against other processes. A killed process leaves no lock.

    Yields True if it was free, False if another process holds it, and None where the system, or the file
    system, has no locks; the latter gives a warning, once.
    """
    if not fcntl:
        yield None
        return
    handle = os.open(folder, os.O_RDONLY)
    _held.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            free = True
        except BlockingIOError:
            free = False
        except OSError as error:
            if error.errno not in LACKING:
                raise
            _warn_lacking("locked", folder, error)
            free = None
        yield free
    finally:
        _held.discard(handle)
        os.close(handle)


def let_go():
    """Let go of the folders that the parent of a forked process holds: the parent alone then holds them."""
    while _held:
        os.close(_held.pop())


def _sync(path):
    if not fcntl:  # Windows opens no folder, and syncs no file that was opened to be read
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError as error:  # a folder may be written to and not be read
        _warn_lacking("synced", path, error)
        return
    try:
        _flush(handle, path)
    finally:
        os.close(handle)


def _flush(handle, path):
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in LACKING:
            raise
        _warn_lacking("synced", path, error)
