"""The one way in which weights are found: the user's folder or file, the package, motionkit's cache, the hub's cache.

A part that needs weights declares them as `Wanted`; `find` looks, and says in one line how to get what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from motionkit.errors import MissingWeights
from motionkit.weights import places


@dataclass(frozen=True)
class Wanted:
    """One declared set of weights.

    Attributes:
        title: what messages call it, such as "sd15" or "the SAM 2 weights".
        files: the names that a folder has to have; left out where `missing_in` tells.
        missing_in: folder -> the names of what it lacks.  checked: a place that exists -> the folder or file to use, or
            an error: MissingWeights where something is lacking, UserError for another kind of model.
        shipped: the folder (or file) in the package, where it comes with it; a relative path is below the assets.
        beside: folders that are looked into, in order, before the hub's cache.
        hub_id: the repository that holds it; None where there is none.
        patterns: what is fetched of it, where that is not just what is missing.  also: names fetched beside those.
        size: size, and licence where that matters, as the line says it.
        setting: the key by which a user names another folder or repository.  accepts: what the key takes.
        instead: what works without.  made: how to make weights that no repository holds in this form.
    """

    title: str
    files: tuple[str, ...] = ()
    missing_in: Callable[[Path], list[str]] | None = None
    checked: Callable[[Path], Path] | None = None
    shipped: Path | None = None
    beside: tuple[Path, ...] = ()
    hub_id: str | None = None
    patterns: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    size: str = ""
    setting: str = ""
    accepts: str = "a folder or a hub id owner/name"
    instead: str = ""
    made: str = ""

    def lacks(self, folder: Path) -> list[str]:
        """The names of the missing files of a folder; none when it is complete."""
        if self.missing_in:
            return self.missing_in(folder)
        return [name for name in self.files if not (folder / name).is_file()]

    def check(self, place: Path) -> Path:
        """A folder or file that exists, as what is to be used. Raises: MissingWeights, UserError."""
        if self.checked:
            return self.checked(place)
        if missing := self.lacks(place):
            raise MissingWeights(f"{self.title}: {place} lacks {', '.join(missing)}: {self.how_to_get(missing)}")
        return place

    def how_to_get(self, missing: Sequence[str], hub_id: str | None = None) -> str:
        """The ways to get what is missing, for an error message."""
        hub_id = hub_id or self.hub_id
        if hub_id is None:
            return "; or ".join(filter(None, (self.made, self.instead)))
        names = [] if any("*" in pattern for pattern in self.patterns) else [*missing, *self.also]
        other = f"give {self.setting}={self.accepts.split()[1].strip(',').upper()}" if self.setting else ""
        halves = "its .fp16.safetensors where it has only those" if missing and hub_id != self.hub_id else ""
        size = self.size if hub_id == self.hub_id else halves
        ways = [f"or {way}" for way in ("let motionkit download them: MOTIONKIT_ONLINE=1", other, self.instead) if way]
        return f"Get them with: hf download {' '.join([hub_id, *names])}  ({'; '.join(filter(None, (size, *ways)))})"


def find(wanted: Wanted, given: str | Path | None = None, online: bool | None = None) -> Path:
    """The folder or file with declared weights.

    Args:
        given: what the user named in place of the default: a folder, a file, or a repository of the hub.
        online: whether missing files are downloaded; None: only with MOTIONKIT_ONLINE=1.

    Raises:
        MissingWeights: not on this machine; the line names what is missing and how to get it.
        UserError: a place that holds another kind of model, or pickled weights.
    """
    if given and (place := Path(given).expanduser()).exists():
        return wanted.check(place)
    if given and not places.is_hub_id(str(given)):
        raise MissingWeights(f"{wanted.title}: no {_kinds(wanted)} {given} ({wanted.setting} is {wanted.accepts})")
    if not given:
        if wanted.shipped is not None:
            return wanted.check(places.assets() / wanted.shipped)
        for folder in wanted.beside:
            if not wanted.lacks(folder):
                return wanted.check(folder)
        if wanted.hub_id is None:
            raise MissingWeights(f"{wanted.title}: not on this machine; {wanted.how_to_get(wanted.files)}")
    allowed = places.may_download() if online is None else online
    return _in_hub(wanted, str(given or wanted.hub_id), allowed, bool(given))


def available(wanted: Wanted, given: str | Path | None = None) -> bool:
    """Whether `find` finds it; with MOTIONKIT_ONLINE=1 it may be fetched now. Raises: UserError, as `find`."""
    try:
        find(wanted, given)
    except MissingWeights:
        return False
    return True


def _in_hub(wanted: Wanted, hub_id: str, online: bool, given: bool) -> Path:
    folder = places.in_hub_cache(hub_id)
    missing = wanted.lacks(folder)
    for other in places.other_names(hub_id) if missing else ():
        if (cached := places.in_hub_cache(other)).is_dir() and not wanted.lacks(cached):
            return wanted.check(cached)
    if missing and online:
        names = places.published_names(hub_id, missing) if given else missing
        folder = places.download(hub_id, wanted.patterns or [*names, *wanted.also], wanted.title)
        return wanted.check(folder)
    if missing:
        neither = f"{hub_id} is not a {_kinds(wanted)} here, and " if given else ""
        cache = places.from_home(places.hub_cache())
        raise MissingWeights(
            f"{wanted.title}: {neither}not in the hub cache {cache}: {', '.join(missing)}. "
            f"{wanted.how_to_get(missing, hub_id)}"
        )
    return wanted.check(folder)


def _kinds(wanted: Wanted) -> str:
    """ "folder", "file" or "file or folder": what the setting takes beside hub ids."""
    return " or ".join(kind for kind in ("file", "folder") if kind in wanted.accepts)


def shipped(*parts: str, get: str = "") -> Path:
    """A file that comes with motionkit, by its path below the assets.

    Args:
        get: another way to get it, such as the command that trains it.

    Raises:
        MissingWeights: it is not there.
    """
    path = places.assets().joinpath(*parts)
    if not path.is_file():
        raise MissingWeights(f"no weights at {path}: {get or places.install_again()}")
    return path
