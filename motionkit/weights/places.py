"""Where weights may be: the package, motionkit's own cache, the hub's cache. No torch.

Environment variables, read at each call: MOTIONKIT_ASSETS, a folder to be used in place of the package's own weights (a
frozen copy of them, or weights that were just trained); MOTIONKIT_CACHE, motionkit's cache, else ~/.cache/motionkit;
MOTIONKIT_ONLINE=1, which allows downloads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from motionkit.errors import MissingWeights

PACKAGE = Path(__file__).parents[1] / "assets"  # what is installed with motionkit: weights, examples, templates


def assets() -> Path:
    """The folder of the shipped weights: MOTIONKIT_ASSETS where it is set, else the package's; nothing is mixed."""
    given = os.environ.get("MOTIONKIT_ASSETS")
    return Path(given).expanduser() if given else PACKAGE


def install_again() -> str:
    """What to do about a missing shipped file."""
    return "install motionkit again" if assets() == PACKAGE else "MOTIONKIT_ASSETS names a folder that lacks it"


def user_cache() -> Path:
    """Motionkit's own cache folder, which need not exist; without a home folder, a path that cannot be written."""
    try:
        return Path(os.environ.get("MOTIONKIT_CACHE") or Path.home() / ".cache" / "motionkit").expanduser()
    except RuntimeError:  # neither HOME nor an entry for this user, or ~name of an unknown user
        return Path(os.devnull) / "motionkit"


def may_download() -> bool:
    """Whether missing files may be downloaded by default: MOTIONKIT_ONLINE=1."""
    return os.environ.get("MOTIONKIT_ONLINE") == "1"


def is_hub_id(text: str) -> bool:
    """Whether a word can be a repository of the hub, owner/name, and is not a path."""
    return text.count("/") == 1 and not text.startswith((".", "~", "/")) and not text.endswith("/")


def hub_cache() -> Path:
    """The cache folder of the Hugging Face hub's client."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def in_hub_cache(hub_id: str) -> Path:
    """The cached snapshot of a repository, complete or not; a folder that does not exist where there is none.

    The layout is documented (refs/main holds the commit, snapshots/ the files of each); the hub's client reads it the
    same way, but takes half a second to import.
    """
    home = hub_cache() / f"models--{hub_id.replace('/', '--')}"
    try:
        return home / "snapshots" / (home / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return home / "nothing"


def download(hub_id: str, patterns: Sequence[str], title: str) -> Path:
    """Fetch files of a repository into the hub's cache; returns the snapshot. Raises: MissingWeights in one line."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, cache_dir=str(hub_cache()), allow_patterns=list(patterns)))
    except Exception as error:  # no network, no such repository, a closed one: its errors share no class
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MissingWeights(f"{title}: the download of {hub_id} failed: {reason}") from error
