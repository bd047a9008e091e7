"""The poses of the driving video and of the reference, aligned to each other, as pictures.

Animate-X (arXiv 2410.10306), section 3.2 and appendix A. Shape legend: F frames, T = F + 1 with the reference first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from motionkit.errors import UserError
from motionkit.media import Clip, box_of, unletterbox
from motionkit.perception.pose import PoseClip, PoseSettings, align, draw, read_poses
from motionkit.perception.pose import files as pose_files
from motionkit.perception.pose.clip import BODY
from motionkit.perception.pose.estimate import settle

from .config import AnimateXSettings

SHARED = 2  # joints that reference and driving must both show for an alignment
WORDS = ("auto", "strict", "driving")  # of `reference_pose`; anything else is a file


@dataclass(frozen=True)
class AlignedPoses:
    """Poses as the network gets them.

    Attributes:
        poses: T of them, the reference's first, as fractions of the working frame; aligned.
        reference_known: whether the first is the reference's own and not the driving's.
        facts: how they were obtained, for the manifest.
    """

    poses: PoseClip
    reference_known: bool
    facts: dict[str, Any] = field(default_factory=dict)


def arrange(driving: PoseClip, reference: PoseClip | None, mode: str) -> AlignedPoses:
    """The driving poses aligned to the reference's, and both in a row.

    Without the reference's own pose the first driving pose that shows a body is used, and nothing is aligned.

    Args:
        mode: auto | none | safe | compat; see `motionkit.perception.pose.align`. auto is safe where that can be.

    Raises:
        UserError: safe or compat, and the joints for it are not seen.
    """
    facts: dict[str, Any] = {"notes": [*driving.notes, *(reference.notes if reference else ())]}
    if reference is None:
        if mode in ("safe", "compat"):
            raise UserError(
                f"method.align={mode} needs the reference's own pose, but none was found: give one "
                "as method.reference_pose=FILE, or use method.align=auto"
            )
        first = int(np.argmin(driving.empty))  # 0 when all are empty
        facts |= {"reference_pose": f"the driving's, frame {first}", "align": "none"}
        return AlignedPoses(joined(driving.frames([first]), driving), False, facts)
    shared = int((driving.seen[:, BODY] & reference.seen[0, BODY]).sum(1).max())
    chosen = mode
    if mode == "auto":
        chosen = "safe" if shared >= SHARED else "none"
        if chosen == "none":
            facts["notes"].append(f"not aligned: reference and driving share {shared} joint(s)")
    moved, how = align(driving, reference, chosen)
    facts |= {"reference_pose": "its own", "align": chosen}
    if how is not None:
        facts["alignment"] = {
            "scale": [round(float(s), 4) for s in how.scale],
            "offset": [round(float(v), 4) for v in how.offset],
            "ratios": {name: round(ratio, 3) for name, ratio in how.ratios.items()},
            "anchor": how.anchor,
            "skipped": list(how.skipped),
        }
    return AlignedPoses(joined(reference, moved), True, facts)


def joined(reference: PoseClip, driving: PoseClip) -> PoseClip:
    """One pose and F of them as one clip of T, of the driving's size."""
    xy = np.concatenate([reference.xy[:1], driving.xy])
    return replace(driving, xy=xy, seen=np.concatenate([reference.seen[:1], driving.seen]))


def read_driving(
    clip: Clip, config: AnimateXSettings, file: Path | None, pocket: bool, device: str, fps: float
) -> PoseClip:
    """The driving poses, estimated in the F frames of a clip, or of a file for the clip before it was letterboxed.

    Raises:
        UserError: nobody was found (unless nobody=blank), or a file that cannot be read.
    """
    required, frames = config.nobody == "refuse", clip.frames
    if file is None:
        found = read_poses(without_bars(clip), config.pose, pocket=pocket, fps=fps, device=device, required=required)
        return placed(found, *frames.shape[1:3])
    poses = placed(pose_files.load(file, clip.source_size, config.pose.person), *frames.shape[1:3])
    if len(poses) != len(frames):  # the clip's frames were sampled evenly to this number, and so are its poses
        chosen = np.floor(np.arange(len(frames)) * len(poses) / len(frames) + 1e-6).astype(int)
        note = f"{len(poses)} poses of the file, sampled evenly for {len(frames)} frames"
        poses = replace(poses.frames(chosen), notes=(*poses.notes, note))
    return settle(poses, config.pose, "the driving clip", file.name, required)


def read_reference(clip: Clip, config: AnimateXSettings, pocket: bool, device: str) -> PoseClip | None:
    """The pose of the reference's first frame; None where the driving's has to do.

    Raises:
        UserError: none was found, with reference_pose=strict; a file that cannot be read.
    """
    word, size = config.reference_pose, (clip.height, clip.width)
    if word == "driving":
        return None
    if word not in WORDS:
        given = pose_files.load(Path(word).expanduser(), clip.source_size, config.pose.person)
        pose = placed(given, *size)
        return settle(pose.frames([0]), config.pose, "the reference", word)
    estimator, strict = estimator_of(config), word == "strict"
    picture = without_bars(clip)[:1]
    pose = read_poses(picture, estimator, pocket=pocket, device=device, what="the reference", required=strict)
    return None if pose.empty.all() else placed(pose, *size)


def estimator_of(config: AnimateXSettings) -> PoseSettings:
    """The settings to estimate the reference's pose; backend=files applies to the driving clip only."""
    return replace(config.pose, backend="auto") if config.pose.backend == "files" else config.pose


def without_bars(clip: Clip) -> np.ndarray:
    """The frames (F, h, w, 3) of a letterboxed clip as far as they show something: estimators look for a large body."""
    height, width = clip.frames.shape[1:3]
    return unletterbox(clip.frames, box_of(clip.source_size, height, width))


def placed(poses: PoseClip, height: int, width: int) -> PoseClip:
    """Poses as fractions of a frame into which their picture was letterboxed (see `motionkit.media.letterbox`)."""
    if poses.size == (height, width):
        return poses
    scale = min(height / poses.size[0], width / poses.size[1])
    inner = [round(poses.size[1] * scale), round(poses.size[0] * scale)]
    corner = [(width - inner[0]) // 2, (height - inner[1]) // 2]
    return poses.with_points((poses.xy * inner + corner) / [width, height], size=(height, width))


def skeletons(poses: PoseClip, height: int, width: int, side: int, faces: bool) -> np.ndarray:
    """The network's pictures (T, height, width, 3) uint8, drawn at a longer side of `side` pixels (0: at their own)."""
    scale = side / max(height, width) if side else 1.0
    at = (max(8, round(height * scale)), max(8, round(width * scale)))
    return draw(poses, height, width, faces=faces, at=at)


def overlaid(frames: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Skeletons on darkened frames, for the report: (F, H, W, 3) uint8, in OpenPose's usual colours."""
    return np.maximum(frames // 3, drawn[..., ::-1])


def stored(poses: PoseClip) -> dict[str, np.ndarray]:
    """Poses as plain arrays, for the cache."""
    return {"xy": poses.xy, "seen": poses.seen.astype(np.uint8), "size": np.array(poses.size)}


def restored(xy: np.ndarray, seen: np.ndarray, size: np.ndarray) -> PoseClip:
    """The poses that `stored` took apart."""
    return PoseClip(xy.astype(np.float64), seen.astype(bool), (int(size[0]), int(size[1])))
