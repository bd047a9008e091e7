"""`motionkit sprites`: write an example transfer, a data set, or a contact sheet of the sprite world to disk."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from motionkit.errors import UserError, unknown
from motionkit.media.output_files import local_path, write_json

HELP = """usage: motionkit sprites [what=example|dataset|drawings|foreign-drawings|sheet|styles] [output=FOLDER] ...

The procedural world of articulated characters: the same motion on another character is the truth of a transfer.

  what=example   source.mp4, source.png, driving.mp4, truth.mp4 and labels.json  (default)
                 source=KIND driving=KIND motion=NAME colour=NAME seed=N
  what=dataset   count=N clips of split=train|val|test with masks and labels  seed=N
  what=drawings  count=N clips as line drawings with captions, a folder to train on  lines=2-3 seed=N split=...
                 lines=WIDTH or LEAST-MOST, in half pixels; lines=... alone means what=drawings
                 pen=ruler|hand: even lines, or hand-drawn ones with gaps, varying pressure and filled parts
                 a folder of clips holds one set: only the command that made it can write there again
  what=foreign-drawings  twelve fixed drawings of the foreign style with their prompts and true clips
  what=sheet     one picture: every kind in every motion
  what=styles    one picture of all that varies: wild characters, the foreign style, drawings by hand
  all:           setting=easy|full|wild|foreign  size=128  frames=10
                 wild varies the renderer itself; foreign is another style, in the test split alone

examples: motionkit sprites output=example source=giraffe driving=horse motion=walk
          motionkit sprites lines=2-3 count=400 output=clips && motionkit train method=flipsketch data=clips/
"""
DEFAULTS = {
    "what": "example",
    "output": "",
    "source": "giraffe",
    "driving": "horse",
    "motion": "walk",
    "colour": "orange",
    "seed": "0",
    "count": "10",
    "split": "train",
    "setting": "easy",
    "size": "128",
    "frames": "10",
    "lines": "",
    "pen": "ruler",
}
ONLY = {  # keys that some of the kinds take, and which
    "source": ("example",),
    "driving": ("example",),
    "motion": ("example",),
    "colour": ("example",),
    "count": ("dataset", "drawings"),
    "split": ("dataset", "drawings"),
    "lines": ("drawings",),
    "pen": ("drawings",),
}
RECORD = ".sprites"  # in a folder of clips: the options that made them
_CLIPS = (".mp4", ".gif", ".webm", ".mov", ".webp", ".avi", ".mkv")


def main(argv: list[str]) -> int:
    """Parse key=value words and write the files; returns the exit code."""
    options = dict(DEFAULTS)
    for word in argv:
        key, found, value = word.partition("=")
        if key not in DEFAULTS:
            raise unknown("option", key, DEFAULTS)
        if not found or not value.strip():
            raise UserError(f"{word}: give {key}=VALUE, or leave it out")
        options[key] = value
    if options["lines"] and not any(word.startswith("what=") for word in argv):
        options["what"] = "drawings"
    _refuse_unused(argv, options["what"])
    numbers = {}
    for key, low, high in (("seed", 0, 2**31), ("count", 1, 100_000), ("size", 32, 1024), ("frames", 1, 1000)):
        if not re.fullmatch("[0-9]{1,12}", options[key]) or not low <= int(options[key]) <= high:
            raise UserError(f"{key}={options[key]} is not a whole number from {low} to {high}")
        numbers[key] = int(options[key])
    try:
        written = _write(options, numbers)
    except ValueError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"cannot write to {options['output'] or 'sprites'}: {error.strerror}") from error
    print(written)
    return 0


def _refuse_unused(words: list[str], what: str) -> None:
    """Refuse a key that this kind of output does not use: another kind was probably meant. Raises: UserError."""
    for word in words:
        kinds = ONLY.get(word.partition("=")[0], (what,))
        if what not in kinds:
            raise UserError(f"{word}: what={what} does not take this key: give what={' or what='.join(kinds)}")


def _thickness(lines: str) -> tuple[int, int]:
    """Least and most width of "2" or "2-3". Raises: UserError."""
    found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", lines)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= least <= most <= 32:
        raise UserError(
            f"lines={lines} is not a width: give one such as lines=2, or a range such as lines=2-3, up to 32"
        )
    return least, most


def _claim(folder: Path, options: dict[str, str]) -> None:
    """Keep two sets apart: a folder with clips accepts only the same set again.

    Raises:
        UserError: other clips are there.
        ValueError: no such split or setting.
    """
    from motionkit.sprites.kinds import rng_of
    from motionkit.sprites.sampling import random_character

    random_character(rng_of("checked before anything is written"), options["split"], options["setting"])
    asked = {key: value for key, value in options.items() if key != "output"}
    record = folder / RECORD
    holds = folder.is_dir() and any(path.suffix.lower() in _CLIPS for path in folder.iterdir())
    if holds and _read(record) != asked:
        raise UserError(f"{folder} holds clips of another set: choose another output=, or remove it first")
    write_json(record, asked)


def _read(record: Path) -> Any:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(options: dict[str, str], numbers: dict[str, int]) -> str:
    """Write what was asked for; returns the line that says what is where."""
    if options["what"] not in WRITERS:
        raise unknown("what", options["what"], WRITERS)
    folder = local_path(options["output"] or f"sprites-{options['what']}")
    return f"{folder}{WRITERS[options['what']](folder, options, numbers)}"


def _example(folder: Path, options: dict[str, str], numbers: dict[str, int]) -> str:
    from motionkit.sprites import Motion, character
    from motionkit.sprites.export import write_example

    setting = options["setting"]
    source = character(numbers["seed"], options["source"], setting, options["colour"])
    driving = character(numbers["seed"] + 1, options["driving"], setting)
    write_example(folder, source, driving, Motion(options["motion"]), numbers["frames"], numbers["size"])
    return ": source.mp4 source.png driving.mp4 truth.mp4 labels.json"


def _dataset(folder: Path, options: dict[str, str], numbers: dict[str, int]) -> str:
    from motionkit.sprites.export import write_dataset

    _claim(folder, options)
    shape = (numbers["seed"], numbers["frames"], numbers["size"], options["setting"])
    count = write_dataset(folder, numbers["count"], options["split"], *shape)
    return f": {count} clips of the {options['split']} split"


def _drawings(folder: Path, options: dict[str, str], numbers: dict[str, int]) -> str:
    from motionkit.sprites.export import write_drawings

    thickness = _thickness(options["lines"] or "2-3")
    if options["pen"] not in ("ruler", "hand"):
        raise unknown("pen", options["pen"], ("ruler", "hand"))
    _claim(folder, options)
    shape = (numbers["seed"], numbers["frames"], numbers["size"], options["setting"])
    count = write_drawings(folder, numbers["count"], options["split"], *shape, thickness, options["pen"] == "hand")
    return f": {count} drawings of the {options['split']} split, with captions"


def _foreign_drawings(folder: Path, options: dict[str, str], numbers: dict[str, int]) -> str:
    from motionkit.sprites.foreign_drawings import write_foreign_drawings

    return f": {write_foreign_drawings(folder, numbers['size'], numbers['frames'])} drawings, prompts.json"


def _sheet(folder: Path, options: dict[str, str], numbers: dict[str, int]) -> str:
    from motionkit.media import write_image
    from motionkit.sprites import KINDS, MOTIONS
    from motionkit.sprites.export import contact_sheet

    folder.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(KINDS, tuple(MOTIONS), numbers["size"], options["setting"], numbers["seed"])
    write_image(folder / "sheet.png", sheet)
    return f"/sheet.png: {len(KINDS)} kinds, {len(MOTIONS)} motions"


def _styles(folder: Path, options: dict[str, str], numbers: dict[str, int]) -> str:
    from motionkit.media import write_image
    from motionkit.sprites.export import styles_sheet

    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / "styles.png", styles_sheet(numbers["size"], seed=numbers["seed"]))
    return "/styles.png: wild, foreign, drawings"


WRITERS = {
    "example": _example,
    "dataset": _dataset,
    "drawings": _drawings,
    "foreign-drawings": _foreign_drawings,
    "sheet": _sheet,
    "styles": _styles,
}  # of what=: each writes into a folder and returns what comes after its name in the line
