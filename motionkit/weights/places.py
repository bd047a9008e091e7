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
VERSION = "VERSION"  # file of the shipped weights: which set they are


def assets() -> Path:
    """The folder of the shipped weights: MOTIONKIT_ASSETS where it is set, else the package's; nothing is mixed."""
    given = os.environ.get("MOTIONKIT_ASSETS")
    return Path(given).expanduser() if given else PACKAGE


def weights_version() -> str:
    """Which set of small weights is used; the first one has no file that says so."""
    try:
        return (assets() / VERSION).read_text(encoding="utf-8").strip()
    except OSError:
        return "1"


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


MOVED = (  # repositories that the hub serves under each of these names: caches of either time are used
    ("stable-diffusion-v1-5/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"),
    ("damo-vilab/text-to-video-ms-1.7b", "ali-vilab/text-to-video-ms-1.7b"),
)


def other_names(hub_id: str) -> list[str]:
    """The names that a repository also has, or had before it moved."""
    return [name for names in MOVED if hub_id in names for name in names if name != hub_id]


def published_names(hub_id: str, names: Sequence[str]) -> list[str]:
    """The names under which a repository has these files: weights may be halves alone, in shards, or an old pickle.

    Where it cannot be asked, and for what it lacks, the names as they are.
    """
    from huggingface_hub import list_repo_files

    try:
        held = set(list_repo_files(hub_id))
    except Exception:  # no network, no such repository: the download will say so
        return list(names)
    return [there for name in names for there in _published(name, held)]


def _published(name: str, held: set[str]) -> list[str]:
    stem = name.removesuffix(".safetensors").removesuffix(".fp16")
    if name in held or not name.endswith(".safetensors"):
        return [name]
    for variant in ("", ".fp16"):
        if f"{stem}{variant}.safetensors" in held:
            return [f"{stem}{variant}.safetensors"]
        if (index := f"{stem}.safetensors.index{variant}.json") in held:
            shards = (file for file in held if file.startswith(f"{stem}{variant}-") or file.startswith(f"{stem}-"))
            return [index, *sorted(file for file in shards if file.endswith(".safetensors"))]
    pickled = stem if not stem.endswith("/model") else f"{stem.removesuffix('model')}pytorch_model"
    return next(([file] for file in (f"{pickled}.bin", f"{pickled}.fp16.bin") if file in held), [name])


def hub_cache() -> Path:
    """The cache folder of the Hugging Face hub's client."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def from_home(path: Path) -> str:
    """A path for a message that may be passed on, as in a table's notes: the home folder is "~"."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):  # elsewhere, or there is no home
        return str(path)


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
