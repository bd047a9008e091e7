"""A data set as a folder of jobs, which `motionkit compare jobs=FOLDER` runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from motionkit.data.items import Item, Sample, Say
from motionkit.data.job_rows import LONGEST_NAME
from motionkit.data.lossless import SUFFIX, write_lossless
from motionkit.errors import UserError
from motionkit.media import replacing, write_image

RECORD, NOTES = "_set.json", "_notes.txt"  # the reader of jobs leaves such names alone
_Facts = Mapping[str, Mapping[str, str]]


def write_jobs(items: Sequence[Item], folder: str | Path, say: Say = lambda line: None) -> Path:
    """A sub-folder for each item: reference.png, driving.mov and truth.mov, prompt.txt.

    The clips are kept without loss and with their own timing, so that `fps=` of a comparison resamples them only when
    it asks for another rate than theirs. What had to be repaired on reading is reported, and saved in the job's
    _notes.txt.

    Each sub-folder gets its name when it is complete; an existing one is left as it is, so a second start resumes.
    _set.json keeps the facts of each item; only a call with the same facts can resume in a folder.

    Args:
        say: gets a line for each job that is made, and for each note of its clips.

    Raises:
        UserError: two items of one name, a folder that holds jobs of another call, or the place cannot be written.
    """
    folder = Path(folder).expanduser()
    names = [re.sub(r"[^\w.-]+", "-", item.name).lstrip("._")[:LONGEST_NAME] for item in items]
    if twice := next((name for name in names if names.count(name) > 1 or not name), None):
        raise UserError(f"two items would have the same job name {twice!r}")
    facts = {name: item.facts for name, item in zip(names, items, strict=True)}
    _check_place(folder, facts)
    with replacing(folder / RECORD) as temporary:
        temporary.write_text(json.dumps({"jobs": facts}, indent=2, ensure_ascii=False), encoding="utf-8")
    for name, item in zip(names, items, strict=True):
        if (folder / name).is_dir():
            continue
        say(name)
        try:
            _write(folder / name, item.load(), say)
        except OSError as error:
            raise UserError(f"cannot write {folder / name}: {error.strerror or error}") from error
    return folder


def _write(final: Path, sample: Sample, say: Say) -> None:
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a call that was stopped, perhaps one with other options
    part.mkdir(parents=True)
    for key in ("prompt", "source_prompt"):
        if text := getattr(sample.inputs, key):
            (part / f"{key}.txt").write_text(text, encoding="utf-8")
    if sample.inputs.reference is not None:
        write_image(part / "reference.png", sample.inputs.reference.frames[0])
    for key, clip in (("driving", sample.inputs.driving), ("truth", sample.truth)):
        if clip is not None:
            write_lossless(part / f"{key}{SUFFIX}", clip)
    if notes := _notes(sample):
        (part / NOTES).write_text("".join(f"{note}\n" for note in notes), encoding="utf-8")
        for note in notes:
            say(f"  {note}")
    part.rename(final)


def _notes(sample: Sample) -> list[str]:
    """What reading had to repair, each once, after the clips that it is about."""
    clips = {"reference": sample.inputs.reference, "driving": sample.inputs.driving, "truth": sample.truth}
    about: dict[str, list[str]] = {}
    for key, clip in clips.items():
        for note in clip.notes if clip is not None else ():
            about.setdefault(note, []).append(key)
    return [f"{', '.join(keys)}: {note}" for note, keys in about.items()]


def _check_place(folder: Path, facts: _Facts) -> None:
    """Every job in the folder is one of this call, made of the same facts: two calls must not mix in one mean."""
    try:
        there = sorted(f.name for f in folder.iterdir() if f.is_dir()) if folder.exists() else []
    except OSError as error:
        raise UserError(f"jobs cannot be written to {folder}: {error.strerror or error}") from error
    made = _recorded(folder / RECORD)
    for name in there:
        if name.startswith((".", "_")):
            continue
        if name not in facts:
            raise UserError(
                f"{folder} holds {name!r}, which is not a job of this call: give another folder or remove it"
            )
        if name not in made:
            raise UserError(f"{folder / name}: {RECORD} does not say how it was made: give another folder or remove it")
        old, new = made[name], facts[name]
        if key := next((key for key in {**new, **old} if old.get(key) != new.get(key)), None):
            was, now = (f"{key}={f.get(key, '')}" for f in (old, new))
            raise UserError(f"{folder / name} was made with {was}, this call has {now}: give another folder")


def _recorded(path: Path) -> _Facts:
    if not path.exists():
        return {}
    try:
        jobs = json.loads(path.read_text(encoding="utf-8"))["jobs"]
        return {str(name): dict(facts) for name, facts in jobs.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}): give another folder") from error
