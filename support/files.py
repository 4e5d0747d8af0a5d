"""Atomic writes, and locks of folders against other processes."""

import contextlib
import errno
import hashlib
import os

from utils import report_once

try:
    import fcntl
except ImportError:  # Windows, where test.py runs, but training does not
    fcntl = None

LONG = 128  # bytes of a file's name: file systems allow 255, eCryptfs 143, and `replacing` adds some


@contextlib.contextmanager
def replacing(path, sync=True):
    """Yield a temporary path to write to, which replaces `path` if the block ends without an error.

    A process killed at any moment leaves the old or the new file; with `sync`, so does a power loss.
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
    """Write a UTF-8 text file atomically. Bytes that are not UTF-8 are escaped."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def append(path, text):
    """Append lines to a UTF-8 text file and sync it. If that fails (disk full), nothing is added."""
    data = text.encode("utf-8", "replace")
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":  # the last line was cut off
            data = b"\n" + data
        try:
            while data:
                data = data[os.write(handle, data) :]
            _sync(path)
            if not size:  # the file is new
                _sync(path.parent)
        except OSError as error:
            os.ftruncate(handle, size)
            error.filename = path
            raise
    finally:
        os.close(handle)


def sweep(folder):
    """Remove the temporary files of killed processes below a folder that no other process writes to."""
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)


_locks = set()  # handles of the folders that this process has locked
# With these errors, network drives and FUSE report that they lack a call. A failing disk reports others.
UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.ENOLCK}
UNSUPPORTED |= {errno.EPERM, errno.EACCES}


def _warn_if_unsupported(error, problem):
    """Report `problem` once if the file system lacks a call. Raises any other `error`."""
    if error.errno not in UNSUPPORTED:
        raise error
    report_once(f"warning: {problem} ({error.strerror})")


@contextlib.contextmanager
def locked(folder, wait):
    """Lock `folder` against other processes. A killed process leaves no lock.

    Yields True if it was free, False if another process has locked it, None if locks are not supported.
    """
    if not fcntl:
        yield None
        return
    handle = os.open(folder, os.O_RDONLY)
    _locks.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            free = True
        except BlockingIOError:
            free = False
        except OSError as error:
            problem = f"{folder} cannot be locked: make sure that no other process writes there"
            _warn_if_unsupported(error, problem)
            free = None
        yield free
    finally:
        _locks.discard(handle)
        os.close(handle)


def close_inherited_locks():
    """Close the lock files that a forked process inherited, so that only its parent holds the locks."""
    while _locks:
        os.close(_locks.pop())


def _sync(path):
    if not fcntl:  # Windows cannot open a folder, nor sync a file that is open for reading
        return
    try:
        handle = os.open(path, os.O_RDONLY)  # EACCES: a folder may be writable and not readable
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        problem = "files cannot be synced to the disk: a power loss may damage what was written last"
        _warn_if_unsupported(error, problem)
