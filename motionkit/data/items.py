"""What every reader of a data set gives, and how clips become requests: driven by itself, or by another clip."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motionkit import media
from motionkit.errors import UserError
from motionkit.media import Clip, from_frames, read_clip
from motionkit.transfer import Inputs

VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
TASKS = ("self", "cross", "edit")


@dataclass(frozen=True)
class Options:
    """What of a data set is read.

    Attributes:
        task: "self": the first frame (or the set's own picture) driven by its own clip, which is the truth; "cross":
            driven by another clip of the set, no truth; "edit": a clip and two prompts, no truth; None: what the set is
            for.
        split: the sub-folder to read, in sets that have some.
        ids: a text file with one name a line: only these are read, in that order. Say a test set by its list, not by a
            count.
        pairs: a CSV file with the columns source and driving, for "cross"; None draws a ring by `seed`, so that every
            clip drives once and is driven once.
        frames: this many instants, evenly over each clip; None: all frames.
    """

    task: str | None = None
    split: str = "test"
    ids: str | None = None
    pairs: str | None = None
    seed: int = 0
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
        facts: where it comes from, for a table or a manifest.
        load: reads the files.
    """

    name: str
    facts: dict[str, str]
    load: Callable[[], Sample] = field(repr=False)


@dataclass(frozen=True)
class Source:
    """One clip of a data set: its video, and its own reference picture and prompt where the set has them."""

    name: str
    video: Path
    picture: Path | None = None
    prompt: str = ""

    def reference(self, clip: Clip | None = None) -> Clip:
        """The set's own picture, else the first frame of the clip, which may have been read already."""
        if self.picture is not None:
            return read_clip(self.picture)
        return from_frames((clip or read_clip(self.video)).frames[0], name=self.name, is_image=True)

    def driving(self, frames: int | None) -> Clip:
        """The clip, or `frames` instants of it."""
        clip = read_clip(self.video)
        return clip if frames is None else media.resample(clip, frames=frames)


def requests(sources: Sequence[Source], options: Options) -> list[Item]:
    """The items of a task "self" or "cross" over those clips.

    Raises:
        UserError: a name in the ids or pairs that the set does not have, or fewer than two clips to cross.
    """
    known = {source.name: source for source in sources}
    chosen = [_named(known, name, options.ids) for name in _ids(options.ids)] if options.ids else list(sources)
    if options.task == "self":
        return [_self(source, options.frames) for source in chosen]
    if options.pairs:
        drawn = [(_named(known, a, options.pairs), _named(known, b, options.pairs)) for a, b in _pairs(options.pairs)]
    else:
        if len(chosen) < 2:
            raise UserError("task=cross needs at least two clips: give more, or task=self")
        order = np.random.default_rng(options.seed).permutation(len(chosen))
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


def _ids(path: str) -> list[str]:
    names = [line.strip() for line in text_of(path).splitlines() if line.strip()]
    if not names:
        raise UserError(f"ids={path} is empty: one name a line")
    return names


def _pairs(path: str) -> list[tuple[str, str]]:
    rows = list(csv.DictReader(text_of(path).splitlines()))
    if not rows or not {"source", "driving"} <= set(rows[0]):
        raise UserError(f"pairs={path}: give a CSV file with the columns source and driving, and a row for each pair")
    return [(str(row["source"]).strip(), str(row["driving"]).strip()) for row in rows]


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
