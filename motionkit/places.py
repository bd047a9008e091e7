"""Where motionkit keeps what it may need again: one folder for each user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_home() -> Path:
    """MOTIONKIT_CACHE, or ~/.cache/motionkit; where there is no home folder, a place in which nothing can be kept."""
    try:
        root = os.environ.get("MOTIONKIT_CACHE")
        return Path(root).expanduser() if root else Path.home() / ".cache" / "motionkit"
    except RuntimeError:  # neither HOME nor an entry of this user, or ~name of nobody
        return Path(os.devnull) / "motionkit"
