"""VideoSwap's test clips (Gu et al. 2024, arXiv 2312.02087): a clip, what it shows, and what shall be there instead."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from motionkit.data.items import PICTURES, Item, Options, Sample, listed, text_of
from motionkit.errors import UserError
from motionkit.media import from_frames, read_clip
from motionkit.transfer import Inputs

GROUPS = ("animal", "human", "object")
_WINDOW = 64  # the authors' clips are edited within their first frames


class Edit(NamedTuple):
    """One wanted edit: clip "animal/NAME", the two prompts, and a name of its own."""

    clip: str
    source_prompt: str
    prompt: str
    name: str


def read_videoswap(root: Path, options: Options) -> list[Item]:
    """An item for each edit; with `frames`, spread over the first 64 frames as the authors spread them.

    Raises:
        UserError: another layout, no prompts, or an edit of a clip that is not there.
    """
    home = next((p for p in (root / "datasets" / "paper_evaluation", root / "paper_evaluation") if p.is_dir()), root)
    clips = {f"{g}/{d.name}": d / "frames" for g in GROUPS for d in sorted((home / g).glob("*")) if d.is_dir()}
    if not clips:
        raise UserError(f"VideoSwap-30: {home} has none of the folders {', '.join(GROUPS)} with clips")
    for folder in clips.values():
        listed(folder, PICTURES, "VideoSwap-30")
    edits = list(_edits(home, root))
    if options.ids:
        names = text_of(options.ids).split()
        edits = [edit for edit in edits if edit.name in names or edit.clip in names]
    if not edits:
        raise UserError("VideoSwap-30: no edit: no prompts.csv, no options/test_videoswap, or no id of the list fits")
    for edit in edits:
        if edit.clip not in clips:
            raise UserError(f"VideoSwap-30: an edit is of the clip {edit.clip!r}, which is not there")
    return [_item(edit, clips[edit.clip], options.frames) for edit in edits]


def _item(edit: Edit, folder: Path, frames: int | None) -> Item:
    def load() -> Sample:
        clip = read_clip(folder)
        if frames is not None:
            chosen = spread(min(len(clip), _WINDOW), frames)
            clip = from_frames(clip.frames[chosen], clip.fps, edit.clip.replace("/", "-"))
        return Sample(Inputs(None, clip, edit.prompt, edit.source_prompt))

    return Item(edit.name, {"driving": edit.clip, "prompt": edit.prompt}, load)


def spread(total: int, count: int) -> np.ndarray:
    """`count` frame numbers from 0 at the authors' even step, total // (count - 1), never beyond the last frame.

    >>> spread(64, 16)[:3], int(spread(64, 16)[-1])
    (array([0, 4, 8]), 60)
    """
    step = max(1, total // max(1, count - 1))
    return np.minimum(np.arange(count) * step, total - 1)


def _edits(home: Path, root: Path) -> Iterator[Edit]:
    """The user's prompts.csv when it is there, else the repository's option files."""
    table = home / "prompts.csv"
    if table.is_file():
        rows = list(csv.DictReader(text_of(table).splitlines()))
        if not rows or not {"clip", "source_prompt", "prompt"} <= set(rows[0]):
            raise UserError(f"{table}: needs the columns clip, source_prompt and prompt, and a row for each edit")
        for number, row in enumerate(rows, 1):
            name = f"{row['clip'].replace('/', '-')}-{number:02d}"
            yield Edit(row["clip"], row["source_prompt"].strip(), row["prompt"].strip(), name)
        return
    for file in sorted((root / "options" / "test_videoswap").glob("*/*/*.yml")):
        yield from _from_options(file)


def _from_options(file: Path) -> Iterator[Edit]:
    """The edits of one option file: `replace: kitten -> <dogA1> <dogA2>` in the clip's own prompt."""
    try:
        data = yaml.safe_load(text_of(file))
        path, prompt = Path(data["datasets"]["path"]), str(data["datasets"]["prompt"])
        wanted = data["val"]["editing_config"]["editing_prompts"]
        changes = {str(name): [part.strip() for part in edit["replace"].split("->")] for name, edit in wanted.items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is not an option file of VideoSwap: {type(error).__name__}") from error
    clip = "/".join(path.parts[-3:-1])
    for name, change in changes.items():
        if len(change) != 2 or change[0] not in prompt:
            raise UserError(f"{file}: the edit {name} does not say what of the prompt is replaced by what")
        target = prompt.replace(change[0], plain(change[1]))
        yield Edit(clip, prompt, target, f"{path.parts[-2]}-{name}")


def plain(words: str) -> str:
    """Words without the authors' learnt tokens: a pair such as "<catA1> <catA2>" stands for a cat.

    >>> plain("<catA1> <catA2>"), plain("a <thanos1> <thanos2> figure"), plain("jeep")
    ('cat', 'a thanos figure', 'jeep')
    """
    return re.sub(r"<([a-z]+)[A-Z]?\d+>(\s*<\1[A-Z]?\d+>)*", r"\1", words)
