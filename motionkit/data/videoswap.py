"""VideoSwap's test clips (Gu et al. 2024, arXiv 2312.02087): a clip, what it shows, and what it should show instead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from motionkit.data.items import PICTURES, Item, ReadOptions, Sample, Say, listed, names_in, table, text_of
from motionkit.errors import UserError
from motionkit.media import from_frames, read_clip
from motionkit.transfer import Inputs

GROUPS = ("animal", "human", "object")
TOTAL_FRAMES = 64  # of most of the authors' clips


class Edit(NamedTuple):
    """One wanted edit: clip "animal/NAME", the two prompts, a name of its own, and how far into the clip it reaches.

    `total_frames` is the authors' fact of each clip (64, some 48 or 96): the frames of an edit are spread over that
    many from the first on. It comes from the option file, or from a prompts.csv that has such a column.
    """

    clip: str
    source_prompt: str
    prompt: str
    name: str
    total_frames: int = TOTAL_FRAMES


def read_videoswap(root: Path, options: ReadOptions, say: Say) -> list[Item]:
    """An item for each edit; with `frames`, spread over the clip's `total_frames` as the authors spread them.

    The authors' learned concepts are not available: a plain word replaces each. An edit that then asks for what the
    clip shows already, or for what another edit of it asks, is left out with a line to `say`.

    Raises:
        UserError: another layout, no prompts, an edit of a clip that is not there, or an unknown id.
    """
    home = next((p for p in (root / "datasets" / "paper_evaluation", root / "paper_evaluation") if p.is_dir()), root)
    clips = {f"{g}/{d.name}": d / "frames" for g in GROUPS for d in sorted((home / g).glob("*")) if d.is_dir()}
    if not clips:
        raise UserError(f"VideoSwap-30: {home} has none of the folders {', '.join(GROUPS)} with clips")
    for folder in clips.values():
        listed(folder, PICTURES, "VideoSwap-30")
    edits = list(_edits(home, root))
    if not edits:
        raise UserError("VideoSwap-30: no edits: neither prompts.csv nor options/test_videoswap was found")
    if options.ids is not None:
        edits = _chosen(edits, options.ids)
    for edit in edits:
        if edit.clip not in clips:
            raise UserError(f"VideoSwap-30: an edit names the clip {edit.clip!r}, which is not there")
    edits = list(_telling(edits, say))
    if not edits:
        raise UserError("VideoSwap-30: no edits are left: each one asks for what its clip already shows")
    return [_item(edit, clips[edit.clip], options.frames) for edit in edits]


def _chosen(edits: Sequence[Edit], ids: str) -> list[Edit]:
    """The edits of a list of names, of edits or of clips, in its order."""
    chosen: dict[Edit, None] = {}
    for name in names_in(ids):
        fitting = [edit for edit in edits if name in (edit.name, edit.clip)]
        if not fitting:
            some = f"such as {edits[0].name} of {edits[0].clip}"
            raise UserError(
                f"{ids}: {name!r} is neither an edit nor a clip with edits; there are {len(edits)} edits, {some}"
            )
        chosen.update(dict.fromkeys(fitting))
    return list(chosen)


def _telling(edits: Sequence[Edit], say: Say) -> Iterator[Edit]:
    """Those that change something, and not the same twice."""
    first: dict[Edit, str] = {}
    for edit in edits:
        asked = edit._replace(name="")
        if edit.prompt == edit.source_prompt:
            say(f"{edit.name} is left out: both prompts are {edit.prompt!r}")
        elif asked in first:
            say(f"{edit.name} is left out: it asks for the same as {first[asked]}, {edit.prompt!r}")
        else:
            first[asked] = edit.name
            yield edit


def _item(edit: Edit, folder: Path, frames: int | None) -> Item:
    def load() -> Sample:
        clip = read_clip(folder)
        if frames is not None:
            chosen = spread(min(len(clip), edit.total_frames), frames)
            clip = from_frames(clip.frames[chosen], clip.fps, edit.clip.replace("/", "-"), notes=clip.notes)
        return Sample(Inputs(None, clip, edit.prompt, edit.source_prompt))

    facts = {"driving": edit.clip, "source_prompt": edit.source_prompt, "prompt": edit.prompt}
    return Item(edit.name, {**facts, "total_frames": str(edit.total_frames)}, load)


def spread(total: int, count: int) -> np.ndarray:
    """`count` frame numbers from 0 at the authors' even step, total // (count - 1), never beyond the last frame.

    >>> [(int(spread(total, 16)[1]), int(spread(total, 16)[-1])) for total in (64, 96, 48)]
    [(4, 60), (6, 90), (3, 45)]
    """
    step = max(1, total // max(1, count - 1))
    return np.minimum(np.arange(count) * step, total - 1)


def _edits(home: Path, root: Path) -> Iterator[Edit]:
    """The user's prompts.csv when it is there, else the repository's option files."""
    own = home / "prompts.csv"
    if own.is_file():
        for number, row in enumerate(table(own, ("clip", "source_prompt", "prompt"), "edit"), 1):
            total = row.get("total_frames", str(TOTAL_FRAMES))
            if not total.isdecimal() or int(total) < 1:
                raise UserError(f"{own}: total_frames={total}: give a whole number, 1 or more")
            name = f"{row['clip'].replace('/', '-')}-{number:02d}"
            yield Edit(row["clip"], row["source_prompt"], row["prompt"], name, int(total))
        return
    for file in sorted((root / "options" / "test_videoswap").glob("*/*/*.yml")):
        yield from _from_options(file)


def _from_options(file: Path) -> Iterator[Edit]:
    """The edits of one option file: `replace: kitten -> <dogA1> <dogA2>` in the clip's own prompt."""
    try:
        data = yaml.safe_load(text_of(file))
        path, prompt = Path(data["datasets"]["path"]), str(data["datasets"]["prompt"])
        total = max(1, int(data["datasets"].get("total_frames", TOTAL_FRAMES)))
        wanted = data["val"]["editing_config"]["editing_prompts"]
        changes = {str(name): [part.strip() for part in edit["replace"].split("->")] for name, edit in wanted.items()}
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{file} is not an option file of VideoSwap: {type(error).__name__}") from error
    clip = "/".join(path.parts[-3:-1])
    for name, change in changes.items():
        if len(change) != 2 or change[0] not in prompt:
            raise UserError(f"{file}: the edit {name} does not say which word of the prompt to replace, and by what")
        target = prompt.replace(change[0], without_tokens(change[1]))
        if "<" in target:
            raise UserError(f"{file}: the edit {name} has a learned token of an unknown form: {change[1]}")
        yield Edit(clip, prompt, target, f"{path.parts[-2]}-{name}", total)


def without_tokens(words: str) -> str:
    """Words without the authors' learned tokens: a pair such as "<catA1> <catA2>" stands for a cat.

    >>> [without_tokens(words) for words in ("<catA1> <catA2>", "black <porsche1> <porsche2>", "<f35_1>", "jeep")]
    ['cat', 'black porsche', 'f35', 'jeep']
    """
    # A name ends before its variant (a capital letter) or an underscore; what follows numbers the tokens of a pair.
    return re.sub(r"<([a-z][a-z0-9]*?)[A-Z_]?\d+>(\s*<\1[A-Z_]?\d+>)*", r"\1", words)
