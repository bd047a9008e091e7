"""Poses of a clip by a chosen estimator, or from a file; one clear error where nothing was found.

Each estimator is a declared part that is imported when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from motionkit.errors import UserError, unknown
from motionkit.perception.estimators import Asked, View, Words
from motionkit.perception.pose import files
from motionkit.perception.pose.clip import PoseClip
from motionkit.perception.pose.people import CHOICES
from motionkit.registry import ESTIMATORS
from motionkit.settings.setting import setting

BACKENDS = Words(
    "pose", {"auto": "a file where one is given, pocket for the pocket models, else dwpose", "files": "a file of poses"}
)
GAPS = ("keep", "fill")


@dataclass
class PoseSettings:
    """How poses are found."""

    backend: str = setting("Estimator of poses.", "auto", choices=BACKENDS)
    weights: str = setting(
        "The estimator's weights: a folder or hub id; empty is the authors' hub id.", "", file="folder"
    )
    person: str = setting(
        "Which person's poses are used where there are several people.",
        "tracked",
        choices={
            "tracked": "the largest at first, then followed",
            "largest": "the largest of each frame",
            "first": "the most certain detection of each frame, as Animate-X uses it",
        },
    )
    gaps: str = setting(
        "What happens to frames in which nobody was found.",
        "keep",
        choices={"keep": "they stay empty", "fill": "their joints are interpolated from the frames around them"},
    )


def choose_backend(settings: PoseSettings, file: Path | None = None, pocket: bool = False) -> str:
    """The estimator that will be used.

    Raises:
        UserError: unknown words, or `files` without a file.
    """
    BACKENDS.check(settings.backend)
    for what, word, known in (("person", settings.person, CHOICES), ("treatment of gaps", settings.gaps, GAPS)):
        if word not in known:
            raise unknown(what, word, known)
    if settings.backend == "files" and file is None:
        raise UserError("pose backend files needs a file: poses=FILE (.npz, .json, or a folder of OpenPose json files)")
    if file is not None:
        return "files"
    return settings.backend if settings.backend != "auto" else "pocket" if pocket else "dwpose"


def check(settings: PoseSettings, file: Path | None = None, pocket: bool = False) -> None:
    """Refuse everything that can be refused before any work: words, missing libraries, weights and files.

    Raises:
        UserError, MissingWeights: one line that says what to do.
    """
    name = choose_backend(settings, file, pocket)
    if name == "files":
        assert file is not None
        files.check(file)
    else:
        Asked("pose", name).check(settings)


def weight_files(settings: PoseSettings, file: Path | None = None, pocket: bool = False) -> dict[str, Path]:
    """The weights that decide the poses, by name; none where they come from a file. Raises: MissingWeights."""
    name = choose_backend(settings, file, pocket)
    return {} if name == "files" else Asked("pose", name).weights(settings)


def read_poses(
    frames: np.ndarray,
    settings: PoseSettings,
    *,
    file: Path | None = None,
    pocket: bool = False,
    fps: float = 0.0,
    device: str = "cpu",
    what: str = "the driving clip",
    required: bool = True,
) -> PoseClip:
    """The poses of one person in a clip or picture.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        settings: see `PoseSettings`.
        file: ready-made poses that replace the estimator.
        pocket: whether it is for the pocket models.
        fps: frames a second, to be noted.
        device: where an estimator runs, "cpu" or "cuda".
        what: how messages call the clip.
        required: whether it is an error when nobody is found at all.

    Raises:
        UserError: nobody was found in any frame; a file that does not fit.
        MissingWeights: the estimator's library or weights are not here.
    """
    name = choose_backend(settings, file, pocket)
    if name == "files":
        assert file is not None
        clip = files.read(frames, file, settings.person)
    else:
        clip = _checked(Asked("pose", name).read(View(frames, device=device), settings), frames, name)
    return settle(replace(clip, fps=fps or clip.fps), settings, what, name, required)


def settle(clip: PoseClip, settings: PoseSettings, what: str, how: str, required: bool = True) -> PoseClip:
    """Fill frames without a person or leave them, as the settings say, and note it.

    Args:
        what, how: what messages call the clip, and where its poses come from.

    Raises:
        UserError: nobody in any frame, if that is required.
    """
    empty = clip.empty
    if empty.all() and required:
        raise UserError(f"nobody was found in {what} ({len(clip)} frames, {how}{_instead_of(how)}")
    notes = list(clip.notes)
    if empty.any():
        done = "filled from their neighbours" if settings.gaps == "fill" else "left without a pose"
        notes.append(f"nobody was found in {empty.sum()} of {len(clip)} frames of {what} ({_listed(empty)}): {done}")
        clip = clip.filled() if settings.gaps == "fill" else clip
    return replace(clip, notes=tuple(notes))


def _instead_of(how: str) -> str:
    """What the estimator `how` knows, and which others to take for what it does not."""
    known = {spec.word: spec.knows for spec in ESTIMATORS.every() if spec.kind == "pose"}
    people = [word for word, knows in known.items() if word != how and "people" in knows]
    other = f"method.pose.backend={' or '.join(people)} for people, " if how in known and people else ""
    knows = f", which knows {known[how]}" if how in known else ""
    return f"{knows}): use a clip that shows one whole body, {other}or give the poses as a file (poses=FILE)"


def _checked(clip: PoseClip, frames: np.ndarray, name: str) -> PoseClip:
    if not isinstance(clip, PoseClip) or len(clip) != len(frames):
        raise UserError(f"pose estimator {name} did not give one pose for each of {len(frames)} frames: it is broken")
    return clip


def _listed(flags: np.ndarray) -> str:
    """The first few numbers of the frames."""
    numbers = np.flatnonzero(flags)
    return ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")
