"""What every reader of a data set returns, and how clips become requests: driven by itself, or by another clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motionkit import media
from motionkit.data.job_rows import read_table
from motionkit.errors import UserError
from motionkit.media import Clip, from_frames, read_clip
from motionkit.transfer import Inputs

VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
TASKS = ("self", "cross", "edit")
Say = Callable[[str], None]


@dataclass(frozen=True)
class ReadOptions:
    """Which part of a data set is read. An option that the set or the task does not use is refused, not ignored.

    Attributes:
        task: "self": the first frame (or the set's own picture) driven by its own clip, which is the truth; "cross":
            driven by another clip of the set, no truth; "edit": a clip and two prompts, no truth; None: what the set is
            for.
        split: the sub-folder to read, in sets that have some; None: "test".
        ids: a text file with one name per line: only these are read, in that order. Define a test set by its list, not
            a count. Not together with `pairs`, which name the clips.
        pairs: a CSV file with the columns source and driving, for "cross"; None pairs clips at random by `seed`, so
            that every clip drives once and is driven once.
        seed: of that pairing; None: 0.
        frames: this many instants, evenly over each clip; None: all frames.
    """

    task: str | None = None
    split: str | None = None
    ids: str | None = None
    pairs: str | None = None
    seed: int | None = None
    frames: int | None = None


@dataclass(frozen=True)
class Sample:
    """One request with its truth, where there is one; the truth has the driving clip's number of frames."""

    inputs: Inputs
    truth: Clip | None = None


@dataclass(frozen=True)
class Item:
    """One request of a data set that has not been decoded yet.

    Attributes:
        name: unique in the set; fit for a file's name.
        facts: where it comes from and how it is read, for a table or a manifest.
        load: reads the files.
    """

    name: str
    facts: dict[str, str]
    load: Callable[[], Sample] = field(repr=False)


@dataclass(frozen=True)
class Source:
    """One clip of a data set.

    Attributes:
        video: a video, or a folder of pictures.
        picture: its own reference, where the set has them.
        fps: frames per second of a folder of pictures, as the set was made; None: as `read_clip` takes it.
    """

    name: str
    video: Path
    picture: Path | None = None
    prompt: str = ""
    fps: float | None = None

    def reference(self, clip: Clip | None = None) -> Clip:
        """The set's own picture, else the first frame of the clip, which may have been read already."""
        if self.picture is not None:
            return read_clip(self.picture)
        clip = clip or read_clip(self.video)
        return from_frames(clip.frames[0], name=self.name, is_image=True, notes=clip.notes)

    def driving(self, frames: int | None) -> Clip:
        """The clip, or `frames` instants of it."""
        clip = read_clip(self.video)
        if self.fps is not None:
            clip = from_frames(clip.frames, self.fps, clip.name, notes=clip.notes)
        return clip if frames is None else media.resample(clip, frames=frames)


def requests(sources: Sequence[Source], options: ReadOptions) -> list[Item]:
    """The items of a task "self" or "cross" over those clips.

    Raises:
        UserError: a name in the ids or pairs that the set does not have, or fewer than two clips to cross.
    """
    known = {source.name: source for source in sources}
    chosen = list(sources)
    if options.ids is not None:
        chosen = [_named(known, name, options.ids) for name in names_in(options.ids)]
    if options.task == "self":
        return [_self(source, options.frames) for source in chosen]
    if options.pairs is not None:
        drawn = [(_named(known, a, options.pairs), _named(known, b, options.pairs)) for a, b in _pairs(options.pairs)]
    else:
        if len(chosen) < 2:
            raise UserError("task=cross needs at least two clips: give more, or task=self")
        order = np.random.default_rng(options.seed or 0).permutation(len(chosen))
        ring = [chosen[i] for i in order]
        drawn = list(zip(ring, ring[1:] + ring[:1], strict=True))
    return [_cross(source, driver, options.frames) for source, driver in drawn]


def _self(source: Source, frames: int | None) -> Item:
    def load() -> Sample:
        driving = source.driving(frames)
        reference = source.reference(driving)
        return Sample(Inputs(reference, driving, source.prompt, source.prompt), driving)

    return Item(source.name, {"reference": source.name, "driving": source.name}, load)


def _cross(source: Source, driver: Source, frames: int | None) -> Item:
    def load() -> Sample:
        return Sample(Inputs(source.reference(), driver.driving(frames), source.prompt, driver.prompt))

    facts = {"reference": source.name, "driving": driver.name}
    return Item(f"{source.name}--{driver.name}", facts, load)


def listed(folder: Path, suffixes: Sequence[str], what: str) -> list[Path]:
    """The files of those kinds in a folder, sorted by name; names that begin with a dot are left alone.

    Raises:
        UserError: no such folder, or none of them in it.
    """
    if not folder.is_dir():
        raise UserError(f"{what}: no folder {folder}")
    found = sorted(f for f in folder.iterdir() if f.suffix.lower() in suffixes and not f.name.startswith("."))
    if not found:
        raise UserError(f"{what}: {folder} holds none of {', '.join('*' + suffix for suffix in suffixes)}")
    return found


def _named(known: dict[str, Source], name: str, where: str | None) -> Source:
    """By name, or by file name."""
    if name in known:
        return known[name]
    if (stem := Path(name).stem) in known:
        return known[stem]
    raise UserError(f"{where}: {name!r} is not in the data set, which has {len(known)} clips")


def names_in(ids: str) -> list[str]:
    """The names of a list, one per line.

    Raises:
        UserError: it cannot be read, or is empty.
    """
    names = [line.strip() for line in text_of(ids).splitlines() if line.strip()]
    if not names:
        raise UserError(f"ids={ids} is empty: give one name per line")
    return names


def _pairs(path: str) -> list[tuple[str, str]]:
    return [(row["source"], row["driving"]) for row in table(path, ("source", "driving"), "pair")]


def table(path: str | Path, needed: Sequence[str], what: str) -> list[dict[str, str]]:
    """The rows of a CSV file, each with something in every one of the needed columns.

    Args:
        needed: names of columns; there may be others, whose empty cells are left out.
        what: what a row is, for the message.

    Raises:
        UserError: not CSV, a column or a cell is missing, or a row is longer or shorter than the first.
    """
    path = Path(path).expanduser()
    wanted = f"give a CSV file with the columns {', '.join(needed[:-1])} and {needed[-1]}, and a row for each {what}"

    def check(columns: list[str]) -> None:
        if not set(needed) <= set(columns):
            raise UserError(f"{path}: {wanted}")

    rows = read_table(path, check)
    if not rows:
        raise UserError(f"{path}: {wanted}")
    for line, row in rows:
        if empty := next((column for column in needed if column not in row), None):
            raise UserError(f"{path} line {line}: {empty} is empty")
    return [row for _, row in rows]


def text_of(path: str | Path) -> str:
    """A small UTF-8 file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"cannot read {path}: {reason}") from error
