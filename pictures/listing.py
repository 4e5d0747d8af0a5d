"""The image files in folders. Nothing here opens one, or loads what can: a missing folder is told at once."""

import functools
import os
from pathlib import Path

from utils import first_line, say

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def find_images(folder, extensions=EXTENSIONS):
    """The image files below `folder`, as sorted paths relative to it. Hidden files are left out.

    Links to folders are not followed (they may lead in a circle). Those, and folders that cannot be read,
    are told in a line each, once.
    """
    found = []
    for base, folders, names in os.walk(folder, onerror=_unread_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for link in filter(os.path.islink, (os.path.join(base, name) for name in folders)):
            say_once(f"left out {link}: a link to a folder")
        paths = (Path(base, name) for name in names if not name.startswith("."))
        found += [path.relative_to(folder) for path in paths if path.suffix.lower() in extensions]
    return sorted(found)


def _unread_folder(error):
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        say_once(f"left out {error.filename}: {first_line(error)}")


@functools.cache
def say_once(line, everywhere=False):
    """Say a line, but not again what this process has said: files are met several times."""
    say(line, everywhere)
