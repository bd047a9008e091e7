"""Twelve line drawings in the foreign style, fixed for good: they show what a method makes of an unfamiliar drawing.

Each has its sentence and, since the character is known, the clip that performs it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from motionkit.media import write_gif, write_image
from motionkit.sprites.kinds import article, character
from motionkit.sprites.motions import Motion
from motionkit.sprites.pen import Pen
from motionkit.sprites.world import DOING, SpriteClip, render_clip

_PENS = (
    Pen(2.0),
    Pen(2.4, shake=0.7, seed=1),
    Pen(3.0, shake=0.4, pressure=0.3, seed=2),
    Pen(2.0, shake=0.4, again=True, seed=3),
    Pen(2.6, shake=0.5, gaps=0.1, seed=4),
    Pen(2.0, shake=0.4, filled=0.35, seed=5),
)
_CAST = (
    ("horse", "run"),
    ("cat", "walk"),
    ("giraffe", "nod"),
    ("elephant", "walk"),
    ("turtle", "sit"),
    ("rhino", "bow"),
    ("person", "wave"),
    ("robot", "dance"),
    ("bear", "walk"),
    ("bird", "flutter"),
    ("rabbit", "jump"),
    ("fox", "run"),
)


@dataclass(frozen=True)
class Drawing:
    """One drawing: `picture` (H, W, 3) uint8 is the first of the true clip's `frames` (F, H, W, 3), all by one pen."""

    name: str
    prompt: str
    picture: np.ndarray
    frames: np.ndarray
    clip: SpriteClip


def foreign_drawings(size: int = 128, frames: int = 10) -> list[Drawing]:
    """The twelve; the same bits every time."""
    out = []
    for i, (kind, motion) in enumerate(_CAST):
        who = character(7000 + i, kind, "foreign")
        assert who.look is not None
        camera = replace(who.look.camera, mirror=False, extent=0.72, place=(0.5, 0.85))
        who = replace(who, look=replace(who.look, camera=camera))
        clip = render_clip(who, Motion(motion, 0.05), frames, size)
        lines = clip.lines(pen=_PENS[i % len(_PENS)])
        prompt = f"a drawing of {article(kind)} {kind} {DOING[motion]}"
        out.append(Drawing(f"{i:02d}-{kind}-{motion}", prompt, lines[0], lines, clip))
    return out


def write_foreign_drawings(folder: Path, size: int = 128, frames: int = 10) -> int:
    """Writes each as NAME.png with its true clip NAME.gif, and prompts.json; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings = foreign_drawings(size, frames)
    for drawing in drawings:
        write_image(folder / f"{drawing.name}.png", drawing.picture)
        write_gif(folder / f"{drawing.name}.gif", drawing.frames, drawing.clip.fps)
    said = {drawing.name: drawing.prompt for drawing in drawings}
    (folder / "prompts.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return len(drawings)
