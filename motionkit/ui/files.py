"""Which files a browser may see and use: its own uploads, what was made for it, the shipped example, and the runs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from motionkit.errors import UserError
from motionkit.settings.named_files import READ
from motionkit.weights.places import PACKAGE, assets

EXAMPLE = PACKAGE / "example"
SHORTEST = 16  # characters of a browser's secret
GONE = "there is no such run any more: look at the gallery again"


class Files:
    """The folders that the page reads and writes.

    Attributes:
        runs: of results; every browser that is let in sees what is there.
        own: a temporary folder of uploads and of files that were made for one browser.
        folders: that settings and tables of jobs may name beside those, to be read.
        alone: whether only who started the page uses it, so that its settings may name any file.
    """

    HOW = (
        "choose the file from your own machine, or name one below the runs or a folder that the page was started with "
        "(files=FOLDER); what is saved goes below the runs"
    )

    def __init__(self, runs: str | Path, folders: Sequence[str | Path] = (), alone: bool = True) -> None:
        self.runs = Path(runs).resolve()
        self.folders = [Path(folder).resolve() for folder in folders]
        self.alone = alone
        self.own = Path(tempfile.mkdtemp(prefix="motionkit-ui-")).resolve()
        self.uploads = self.own / "uploads"
        self.uploads.mkdir()
        self._owners: defaultdict[Path, set[str]] = defaultdict(set)

    def close(self) -> None:
        """Remove the temporary folder."""
        shutil.rmtree(self.own, ignore_errors=True)

    def belongs(self, path: str | Path, session: str) -> None:
        """Note that a browser has uploaded a file."""
        if len(session) >= SHORTEST:
            self._owners[Path(path).resolve()].add(session)

    def made(self, session: str) -> Path:
        """The folder of files that are made for a browser."""
        folder = self.own / "made" / hashlib.sha256(session.encode()).hexdigest()[:24]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def may_see(self, path: str | Path, session: str) -> bool:
        """Whether a file is this browser's, a shipped example, or of a run; links are followed first."""
        real = _real(path)
        if real is None:
            return False
        if session in self._owners.get(real, ()):
            return True
        hidden = real.is_relative_to(self.runs) and any(
            part.startswith(".") for part in real.relative_to(self.runs).parts
        )
        if hidden:
            return False
        mine = [self.made(session)] if len(session) >= SHORTEST else []
        return _below(real, (self.runs, EXAMPLE, *mine))

    def may_name(self, place: str | Path, session: str, kind: str = READ) -> bool:
        """Whether a setting may name a file or folder, to be read or to be written; links are followed first."""
        if self.alone:
            return True
        real = _real(place)
        if real is None or not (kind == READ or (real != self.runs and real.is_relative_to(self.runs))):
            return False
        return self.may_see(real, session) or (kind == READ and _below(real, (*self.folders, assets())))

    def found(self, path: Path, session: str) -> Path | None:
        """A clip that a table of jobs names: below the working folder of who uses the page alone, or as `may_name`."""
        bases = [Path.cwd(), *self.folders] if self.alone else self.folders
        for place in [path] if path.is_absolute() else [base / path for base in bases]:
            real = _real(place)
            if real and real.exists() and (_below(real, bases) or (not self.alone and self.may_name(real, session))):
                return place
        return None

    def given(self, value: Any, session: str, name: str = "the file") -> str | None:
        """The path of a file that the page names, {"path": ...} or a path; None for nothing.

        Raises:
            UserError: it is not this browser's to use.
        """
        path = value.get("path") if isinstance(value, dict) else value
        if not path:
            return None
        if not isinstance(path, str) or not self.may_see(path, session):
            raise UserError(f"{name} was not uploaded from this browser: choose it again")
        return path

    def below(self, name: Any) -> Path | None:
        """What lies under a name below `runs`, there or not; None for a name that leads elsewhere or is none."""
        try:
            path = (self.runs / str(name or "")).resolve()
        except (OSError, ValueError, RuntimeError):
            return None
        return path if path.is_relative_to(self.runs) else None

    def run(self, name: Any) -> Path:
        """The folder of a run by its name below `runs`.

        Raises:
            UserError: there is no such run.
        """
        folder = self.below(name) or self.runs
        if folder == self.runs or not (folder / "manifest.json").is_file():
            raise UserError(GONE)
        return folder


def _real(place: str | Path) -> Path | None:
    """A place with links followed, there or not; None for text that can be none."""
    try:
        return Path(place).expanduser().resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def _below(real: Path, folders: Iterable[Path]) -> bool:
    return any(real.is_relative_to(folder) for folder in folders)


def url(path: str | Path) -> str:
    """The address of a file on this page."""
    return f"gradio_api/file={quote(str(path))}"
