"""Tasks by name: each makes case `index` of a seed, a request on held-out sprites with its known answer.

>>> case = make_case("drawing", 0, frames=2, size=64)
>>> case.inputs.prompt, case.truth.shape
('a drawing of a horse walking', (2, 64, 64, 3))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from motionkit.errors import unknown
from motionkit.media import from_frames
from motionkit.sprites import SpriteClip
from motionkit.table.bench.generators import SIZE, caption, make_caption, make_edit, make_pair, make_sketch, make_triple
from motionkit.transfer import Inputs

FPS = 8.0


@dataclass(frozen=True, eq=False)
class Case:
    """One request with its answer.

    Attributes:
        index: its number in the task.
        inputs: for every method; those that a task does not have are None or "".
        truth: (F, H, W, 3) uint8, the true video.
        facts: JSON-able facts about it: character, kind, colour, motion, and more by task.
        known: the renderer's exact data, by the names of `motionkit.metrics.measure.KNOWN`, computed on demand.
    """

    index: int
    inputs: Inputs
    truth: np.ndarray
    facts: Mapping[str, Any]
    known: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """How a task makes its cases.

    Attributes:
        make: (index, seed, frames, size) -> Case.
        gives: the fields of `Inputs` that its cases have.
        version: raised whenever the same index and seed draw something else; part of every cell's key.
        frames: its default number of frames.
    """

    name: str
    what: str
    make: Callable[[int, int, int, int], Case]
    gives: tuple[str, ...]
    version: str = "1"
    frames: int = 10


def _transfer(index: int, seed: int, frames: int, size: int) -> Case:
    made = make_triple(index, seed, frames, size)
    inputs = Inputs(
        from_frames(made.source.frames, FPS, "source"),
        from_frames(made.driving.frames, FPS, "driving"),
        caption(made.truth),
        caption(made.driving),
    )
    facts = _facts(made.truth) | {"driven_by": made.driving.character.kind}
    return Case(index, inputs, made.truth.frames, facts, _known(made.truth, made.driving))


def _transfer_still(index: int, seed: int, frames: int, size: int) -> Case:
    case = _transfer(index, seed, frames, size)
    assert case.inputs.reference is not None
    still = from_frames(case.inputs.reference.frames[:1], FPS, "source", is_image=True)
    return replace(case, inputs=replace(case.inputs, reference=still))


def _drawing(index: int, seed: int, frames: int, size: int) -> Case:
    made = make_sketch(index, seed, frames, size)
    reference = from_frames(made.drawing[None], FPS, "drawing", is_image=True)
    return Case(index, Inputs(reference, prompt=made.prompt), made.truth, _facts(made.clip), _known(made.clip))


def _edit(index: int, seed: int, frames: int, size: int) -> Case:
    made = make_edit(index, seed, frames, size)
    driving = from_frames(made.source.frames, made.source.fps, "source")
    facts = _facts(made.target) | {"source_kind": made.source.character.kind, "unseen": made.unseen}
    inputs = Inputs(None, driving, made.prompt, made.source_prompt)
    return Case(index, inputs, made.target.frames, facts, _known(made.target, made.source))


def _pose(index: int, seed: int, frames: int, size: int, which: str | None = None) -> Case:
    chosen, number = (which, index) if which else (("self", "cross")[index % 2], index // 2)
    made = make_pair(chosen, number, seed, frames, size)
    reference = from_frames(made.reference[None], FPS, "reference", is_image=True)
    inputs = Inputs(reference, from_frames(made.driving, FPS, "driving"), caption(made.truth))
    facts = _facts(made.truth) | {"set": chosen, "pair": made.name}
    return Case(index, inputs, made.truth.frames, facts, _known(made.truth))


def _pose_self(index: int, seed: int, frames: int, size: int) -> Case:
    return _pose(index, seed, frames, size, "self")


def _pose_cross(index: int, seed: int, frames: int, size: int) -> Case:
    return _pose(index, seed, frames, size, "cross")


def _caption(index: int, seed: int, frames: int, size: int, drawing: bool = False) -> Case:
    made = make_caption(index, seed, frames, size, drawing)
    facts = _facts(made.clip) | {"colour": made.colour}  # as the words have it
    return Case(index, Inputs(prompt=made.prompt), made.truth, facts, _known(made.clip))


def _caption_drawing(index: int, seed: int, frames: int, size: int) -> Case:
    return _caption(index, seed, frames, size, True)


def _known(truth: SpriteClip, driving: SpriteClip | None = None) -> dict[str, Callable[[], np.ndarray]]:
    known = {"mask": lambda: truth.mask, "keypoints": lambda: truth.keypoints}
    return known | ({} if driving is None else {"driving_keypoints": lambda: driving.keypoints})


def _facts(truth: SpriteClip) -> dict[str, Any]:
    who = truth.character
    return {"character": who.key, "kind": who.kind, "colour": who.colour, "motion": truth.motion.name}


_POSE = ("reference", "driving", "prompt")
_TASKS = (
    Task(
        "transfer",
        "a clip of one character, a driving clip of another, and a sentence: the first with the motion of the second",
        _transfer,
        ("reference", "driving", "prompt", "source_prompt"),
    ),
    Task(
        "transfer-still",
        "the same with a picture of the character, its clip's first frame",
        _transfer_still,
        ("reference", "driving", "prompt", "source_prompt"),
    ),
    Task("drawing", "a line drawing and a sentence: the drawing does what it says", _drawing, ("reference", "prompt")),
    Task(
        "edit",
        "a clip and a sentence with another subject: that subject with the clip's motion",
        _edit,
        ("driving", "prompt", "source_prompt"),
        frames=16,
    ),
    Task(
        "pose",
        "a picture and poses to follow: of its own clip (even cases) or of another body (odd cases)",
        _pose,
        _POSE,
    ),
    Task("pose-self", "a picture and the poses of its own clip", _pose_self, _POSE),
    Task("pose-cross", "a picture and the poses of another body", _pose_cross, _POSE),
    Task("caption", "a sentence alone: kind, colour and motion", _caption, ("prompt",)),
    Task("caption-drawing", "a sentence that asks for a line drawing: kind and motion", _caption_drawing, ("prompt",)),
)
TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _TASKS})


def get(name: str) -> Task:
    """The task of that name. Raises: UserError with the nearest name and the whole list."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]


def make_case(name: str, index: int, seed: int = 0, frames: int | None = None, size: int = SIZE) -> Case:
    """Case `index` of a task; the same arguments give the same bytes.

    Args:
        seed: of the pairs, not of the method.
        frames: F; None for the task's own number.
        size: height and width, pixels.

    Raises:
        UserError: no such task.
    """
    task = get(name)
    return task.make(index, seed, frames or task.frames, size)
