"""Which version of the code runs."""

import subprocess
from pathlib import Path


def commit():
    """The commit of the code, "+changes" if files differ from it; None outside a git checkout."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        found, changed = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found + ("+changes" if changed else "")
