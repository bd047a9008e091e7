"""Bring a request to the size that a method works at, and its result back to the shape of the reference."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from motionkit import media
from motionkit.errors import UserError
from motionkit.media.limits import shown
from motionkit.transfer import MAPS, Inputs, MethodSpec

if TYPE_CHECKING:
    from motionkit.backbones.catalog import BackboneSpec

DEFAULT_FRAMES, DEFAULT_FPS = media.part.MOST, media.part.USABLE
MAX_FRAMES, MAX_SIDE = 2000, 4096
SLOWEST, FASTEST = 0.01, 240.0  # frames per second that every container can say
SHAPING = ("reference", "driving")  # what gives a result its shape, the first that is there
_OWN_SIZE, _OWN_MULTIPLE = 512, 8  # for a method without a backbone


@dataclass(frozen=True)
class CanvasInputs:
    """Inputs at the working size; `box` is where the result is in the frame, None for the whole of it.

    `shaping` is the clip whose shape it has, as it is on the canvas.
    `lines` say what a user should know of it: which part of a clip is used, frames that come twice, another shape.
    """

    inputs: Inputs
    box: media.Box | None
    frames: int
    height: int
    width: int
    fps: float
    lines: tuple[str, ...] = ()
    shaping: media.Clip | None = None


def place_inputs(
    inputs: Inputs,
    backbone: BackboneSpec | None,
    frames: int | None = None,
    size: int | str | tuple[int, int] | None = None,
    fps: float | None = None,
    reads: Collection[str] = SHAPING,
    stride: int | None = None,
    most: int | None = None,
    edits: bool = False,
) -> CanvasInputs:
    """Take a part of each clip and letterbox it; a result has the reference's shape, or else the driving clip's.

    The driving clip gives `frames` frames from its start (default: its own number, at most 10; with `fps` alone: as
    many as its duration holds) at a usable rate, see `motionkit.media.part.choose`; a reference video at most as many.
    On a backbone with a stride in time it is one more than a multiple of that stride.

    Args:
        most: frames of the driving clip where no number is given, in place of 10.
        edits: without a size the edited clip's own shape decides the working size, on full-size weights.
        stride: the method's own step through a fast clip, in frames; None lowers it to 8 frames per second.
        reads: the inputs that may shape the result: a clip that is edited keeps its own shape, whatever picture was
            given beside it.

    Raises:
        UserError: a size or number of frames that cannot be, or a ready-made map that is not there.
    """
    _check_maps(inputs)
    shaping = replace(
        inputs,
        reference=inputs.reference if "reference" in reads else None,
        driving=inputs.driving if "driving" in reads else None,
    )
    own = edits and size is None and backbone is not None and backbone.hub_id is not None
    height, width = own_shape(shaping, backbone) if own and backbone else working_size(shaping, backbone, size)
    check_numbers(frames, fps)
    wanted = media.Wanted(frames=frames, fps=fps, stride=stride, most=most or DEFAULT_FRAMES)
    driving, reference, frames, rounded = _in_time(inputs, wanted, backbone)
    moving = [clip.fps for clip in (driving, reference) if clip is not None and not clip.is_image]
    rate = fps or (min(max(moving[0], SLOWEST), FASTEST) if moving else DEFAULT_FPS)
    boxes: dict[str, media.Box] = {}
    if driving is not None:
        driving, boxes["driving"] = media.letterbox(driving, height, width)
    if reference is not None:
        reference, boxes["reference"] = media.letterbox(reference, height, width)
    box = next((boxes[name] for name in SHAPING if name in boxes and name in reads), None)
    placed = replace(inputs, reference=reference, driving=driving)
    lines = (*_new_notes(inputs, placed), *rounded, *_shape_line(size, box))
    shape = next((getattr(placed, name) for name in SHAPING if name in boxes and name in reads), None)
    return CanvasInputs(placed, box, frames, height, width, float(rate), lines, shape)


def _in_time(
    inputs: Inputs, wanted: media.Wanted, backbone: BackboneSpec | None
) -> tuple[media.Clip | None, media.Clip | None, int, list[str]]:
    """Driving, reference, how many frames the result has, and a line where the backbone cannot hold as many as wanted.

    Raises:
        UserError: a driving clip without a motion, or a number of frames that cannot be.
    """
    driving, reference, asked = inputs.driving, inputs.reference, wanted.frames
    if driving is not None:
        if len(driving) < 2:
            raise UserError("driving is a single picture: a motion needs at least two frames")
        driving = media.take(driving, wanted)
        asked = len(driving)
    asked = _count(DEFAULT_FRAMES if asked is None else asked)
    frames, lines = backbone.held_frames(asked) if backbone else asked, list[str]()
    if backbone and frames != asked:
        lines = [
            f"frames={frames}, not {asked}: {backbone.name} makes one more than a multiple of {backbone.time_stride}"
        ]
        if inputs.driving and driving:
            again = replace(wanted, frames=frames, fps=wanted.fps or driving.fps)  # the same moments, fewer or more
            driving = media.take(inputs.driving, again)
    return driving, _reference_in_time(reference, frames, wanted.stride, backbone), frames, lines


def _reference_in_time(
    clip: media.Clip | None, frames: int, stride: int | None, backbone: BackboneSpec | None
) -> media.Clip | None:
    """A reference video with at most so many frames, and as many as the backbone's latents hold."""
    if clip is not None and len(clip) > frames:
        return media.take(clip, media.Wanted(most=frames, stride=stride))
    if clip is not None and backbone and (held := backbone.held_frames(len(clip))) != len(clip):
        return media.take(clip, media.Wanted(frames=held, fps=clip.fps))
    return clip


def check_matte(spec: MethodSpec, on_canvas: CanvasInputs, alpha: bool | None) -> None:
    """Refuse to cut out a subject that cannot be told from its background. Raises: UserError."""
    clip = on_canvas.shaping
    if not alpha or spec.mattes or (clip is not None and clip.transparent):
        return
    if clip is None or media.subject_mask(clip.frames[:1]) is None:
        raise UserError(
            f"alpha=true: {spec.name} makes no mask of its subject, so the background has to be plain "
            "or transparent: give such a picture"
        )


def check_numbers(frames: int | None, fps: float | None) -> None:
    """Refuse an impossible number of frames or frame rate. Raises: UserError."""
    if fps is not None and not SLOWEST <= fps <= FASTEST:
        raise UserError(f"fps={fps:g} is outside {SLOWEST:g} to {FASTEST:g}")
    if frames is not None:
        _count(frames)


def _new_notes(given: Inputs, placed: Inputs) -> list[str]:
    """The notes of each clip that are new on the canvas."""
    lines = []
    for name in ("driving", "reference"):
        before, after = getattr(given, name), getattr(placed, name)
        if after is not None:
            lines += [f"{name}: {note}" for note in after.notes if note not in before.notes]
    return lines


def _shape_line(size: int | str | tuple[int, int] | None, box: media.Box | None) -> list[str]:
    """One line when a size of two sides has another shape than the result."""
    if box is None or size is None or (isinstance(size, int | str) and "x" not in str(size).lower()):
        return []
    height, width = box.canvas
    if abs(box.width - width) <= 1 and abs(box.height - height) <= 1:
        return []
    return [
        f"size={width}x{height} has another shape than the picture ({box.source[1]}x{box.source[0]}): "
        f"the result is {box.width}x{box.height}"
    ]


def working_size(
    inputs: Inputs, backbone: BackboneSpec | None, size: int | str | tuple[int, int] | None
) -> tuple[int, int]:
    """(height, width) in pixels: as asked for, or the backbone's default, or the reference's longer side.

    `size` is a side, "WIDTHxHEIGHT", or (height, width).

    Raises:
        UserError: not a size, too large, or not a multiple of what the backbone needs.
    """
    multiple = backbone.size_multiple if backbone else _OWN_MULTIPLE
    if size is None:
        clip = inputs.reference or inputs.driving
        own = min(_OWN_SIZE, max(clip.frames.shape[1:3])) if clip is not None else _OWN_SIZE
        side = -(-own // multiple) * multiple
        return backbone.default_frame if backbone else (side, side)
    height, width = parse_size(size)
    for side in (height, width):
        if not 0 < side <= MAX_SIDE:
            raise UserError(f"size={size}: a side is between {multiple} and {MAX_SIDE} pixels")
        if side % multiple:
            below = side // multiple * multiple
            near = " or ".join(str(n) for n in (below, below + multiple) if n)
            raise UserError(
                f"size={size}: {backbone.name if backbone else 'this method'} needs multiples of "
                f"{multiple}, such as {near}"
            )
    return height, width


def own_shape(shaping: Inputs, backbone: BackboneSpec) -> tuple[int, int]:
    """(height, width) in which the most of a clip is seen, of no more pixels than the backbone's own frame.

    Both are multiples of what the backbone needs, so a narrow bar may be left.
    """
    clip = shaping.reference or shaping.driving
    own_height, own_width = backbone.default_frame
    if clip is None:
        return own_height, own_width
    step, budget = backbone.size_multiple, own_height * own_width
    height, width = clip.source_size
    sizes = [(h, w) for h in range(step, budget // step + 1, step) for w in range(step, budget // h + 1, step)]
    return max(sizes, key=lambda size: (min(size[0] / height, size[1] / width), -size[0] * size[1]))


def parse_size(size: int | str | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a side, of "WIDTHxHEIGHT", or of (height, width). Raises: UserError for what is no size."""
    if isinstance(size, tuple | list):
        if len(size) != 2 or not all(isinstance(side, int) for side in size):
            raise UserError(f"size={size}: give (height, width), two whole numbers")
        return int(size[0]), int(size[1])
    match = re.fullmatch(r"(\d{1,6})(?:[xX](\d{1,6}))?", str(size).strip())
    if not match:
        raise UserError(f"size={size}: give a side in pixels, such as 128, or WIDTHxHEIGHT, such as 192x128")
    width = int(match[1])
    return int(match[2] or width), width


def _count(frames: int) -> int:
    if not 0 < frames <= MAX_FRAMES:
        raise UserError(f"frames={frames} is outside 1 to {MAX_FRAMES}")
    return frames


def _check_maps(inputs: Inputs) -> None:
    for name in MAPS:
        value = getattr(inputs, name)
        if value and not os.path.exists(value):
            raise UserError(f"{name}: no such file or folder: {shown(value)}")
        if value and not (os.path.isfile(value) or os.path.isdir(value)):
            raise UserError(f"{name}: {value} is a device, not a file or folder")
