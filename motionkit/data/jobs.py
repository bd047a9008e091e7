"""A data set as a folder of jobs, which `motionkit compare jobs=FOLDER` runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from motionkit.data.items import Item
from motionkit.errors import UserError
from motionkit.media import write_frames, write_image


def write_jobs(items: Sequence[Item], folder: str | Path, say: Callable[[str], None] = lambda line: None) -> Path:
    """A sub-folder for each item: reference.png, driving/ and truth/ as numbered pictures (no loss), prompt.txt.

    Each sub-folder gets its name when it is whole; one that is there already is left as it is, so a second start goes
    on. Pictures have no rate of their own: give `fps=` to the comparison.

    Raises:
        UserError: two items of one name, or the place cannot be written.
    """
    folder = Path(folder).expanduser()
    names = [re.sub(r"[^\w.-]+", "-", item.name).lstrip("._") for item in items]
    if twice := next((name for name in names if names.count(name) > 1 or not name), None):
        raise UserError(f"two items would both be the job {twice!r}")
    for name, item in zip(names, items, strict=True):
        final, part = folder / name, folder / f".{name}.part"
        if final.is_dir():
            continue
        say(name)
        sample = item.load()
        try:
            part.mkdir(parents=True, exist_ok=True)
            for key in ("prompt", "source_prompt"):
                if text := getattr(sample.inputs, key):
                    (part / f"{key}.txt").write_text(text, encoding="utf-8")
            if sample.inputs.reference is not None:
                write_image(part / "reference.png", sample.inputs.reference.frames[0])
            for key, clip in (("driving", sample.inputs.driving), ("truth", sample.truth)):
                if clip is not None:
                    write_frames(part / key, clip.frames)
            part.rename(final)
        except OSError as error:
            raise UserError(f"cannot write {final}: {error.strerror or error}") from error
    return folder
