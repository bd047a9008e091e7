"""Clips with their truth: a character in motion with the masks, keypoints, parts, depth and flow of every frame.

Pixel coordinates are (x, y), y down, with pixel centres on integers. Shape legend: F frames, H = W = size, 12 bones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from motionkit.sprites.kinds import Character, article
from motionkit.sprites.looks import Camera
from motionkit.sprites.motions import TAU, Motion
from motionkit.sprites.paint import paint, paint_codes, paint_lines
from motionkit.sprites.pen import Pen
from motionkit.sprites.pen import draw as pen_draw
from motionkit.sprites.sheets import bend
from motionkit.sprites.skeleton import BONES, KEYPOINT_AT, bone_point, pose, turn_about

GROUND = 0.87  # the ground line, fraction of the frame height
FLIP = np.diag([1.0, -1.0])  # world y is up, image y is down
_OPENPOSE = (  # joint: (bone, fraction); None where it is computed from the head
    None,
    ("neck", 0.0),
    ("arm_near", 0.0),
    ("arm_near", 1.0),
    ("forearm_near", 1.0),
    ("arm_far", 0.0),
    ("arm_far", 1.0),
    ("forearm_far", 1.0),
    ("leg_near", 0.0),
    ("leg_near", 1.0),
    ("shin_near", 1.0),
    ("leg_far", 0.0),
    ("leg_far", 1.0),
    ("shin_far", 1.0),
    None,
    None,
    None,
    None,
)
_FACE = {0: (0.45, -0.5), 14: (0.6, -0.25), 15: (0.62, -0.2), 16: (0.6, 0.3), 17: (0.65, 0.35)}


@dataclass(frozen=True)
class SpriteClip:
    """A rendered clip and its truth.

    Attributes:
        character, motion: what was rendered.
        frames: (F, H, W, 3) uint8 RGB.
        matrices: (F, 12, 2, 3), bone frame to pixels; rigid but for the image flip (and shear in flags, and whatever
            the camera of a look does).
        keypoints: (F, 12, 2) pixels, one per bone in the order of `skeleton.BONES`.
        jacobians: (F, 12, 2, 2), bone direction and its perpendicular in image axes (what a keypoint net regresses).
        openpose: (F, 18, 2) pixels in OpenPose order, NaN where the character has no such joint.
        fps: frames a second.
    """

    character: Character
    motion: Motion
    frames: np.ndarray
    matrices: np.ndarray
    keypoints: np.ndarray
    jacobians: np.ndarray
    openpose: np.ndarray
    fps: float = 8.0

    @property
    def size(self) -> int:
        """Height and width of the frames, pixels."""
        return self.frames.shape[1]

    @property
    def caption(self) -> str:
        """Words for the clip: colour, kind and what the character is doing."""
        colour = self.character.colour
        return f"{article(colour)} {colour} {self.character.kind} {DOING[self.motion.name]}"

    @cached_property
    def parts(self) -> np.ndarray:
        """Visible bone at each pixel (F, H, W) int16; -1 is background."""
        return np.stack([paint_codes(self.character, m, self.size) for m in self.matrices])

    @cached_property
    def mask(self) -> np.ndarray:
        """Subject mask (F, H, W) bool."""
        return self.parts >= 0

    @cached_property
    def depth(self) -> np.ndarray:
        """Painter's depth (F, H, W) float32 in [0, 1], 1 nearest, 0 background."""
        order = np.zeros(len(BONES))
        for part in self.character.parts:
            order[part.bone] = max(order[part.bone], part.z)
        near = np.append(0.2 + 0.8 * order / max(order.max(), 1e-6), 0.0)  # index -1 is background
        return near[self.parts].astype(np.float32)

    @cached_property
    def correspondence(self) -> np.ndarray:
        """Part correspondence (F, H, W, 3) float32 in [0, 1]: bone code, place along the bone, place across it."""
        out = np.zeros((*self.parts.shape, 3), np.float32)
        grid = np.stack(np.meshgrid(np.arange(self.size), np.arange(self.size)), -1)  # (H, W, 2)
        for f, codes in enumerate(self.parts):
            for b in np.unique(codes[codes >= 0]):
                at = codes == b
                local = _into(self.matrices[f, b], grid[at])
                length = max(self.character.body.length[BONES[b]], 1e-3)
                out[f, at, 0] = (b + 1) / len(BONES)
                out[f, at, 1] = np.clip(local[:, 0] / length * 0.5 + 0.25, 0, 1)
                out[f, at, 2] = np.clip(local[:, 1] / 0.5 + 0.5, 0, 1)
        return out

    def lines(self, thickness: int = 2, pen: Pen | None = None) -> np.ndarray:
        """The clip as black line drawings on white (F, H, W, 3) uint8, by a pen, or by lines of so many half pixels."""
        if pen is not None:
            return np.stack([pen_draw(self.character.parts, pen, m, self.size) for m in self.matrices])
        return np.stack([paint_lines(self.character, m, self.size, thickness) for m in self.matrices])

    def flow(self, target: int, source: int) -> tuple[np.ndarray, np.ndarray]:
        """Exact backward flow between two frames.

        Returns:
            places (H, W, 2): where in `source` each pixel of `target` comes from, pixels; background stays in place.
            valid (H, W) bool: that place shows the same part there (not hidden).
        """
        return exact_flow(self.parts, self.matrices, target, source)


def exact_flow(parts: np.ndarray, matrices: np.ndarray, target: int, source: int) -> tuple[np.ndarray, np.ndarray]:
    """`SpriteClip.flow` on plain arrays: parts (F, H, W), matrices (F, 12, 2, 3)."""
    size = parts.shape[1]
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)  # (H, W, 2)
    places, codes = grid.copy(), parts[target]
    for b in np.unique(codes[codes >= 0]):
        at = codes == b
        local = _into(matrices[target, b], grid[at])
        places[at] = local @ matrices[source, b, :, :2].T + matrices[source, b, :, 2]
    x, y = (np.rint(places[..., i]).astype(int) for i in (0, 1))
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    found = parts[source][np.clip(y, 0, size - 1), np.clip(x, 0, size - 1)]
    return places, inside & (found == codes)


def _into(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


DOING = {
    "walk": "walking",
    "run": "running",
    "jump": "jumping",
    "dance": "dancing",
    "wave": "waving",
    "sit": "sitting",
    "kick": "kicking",
    "bow": "bowing",
    "flutter": "fluttering",
    "nod": "nodding",
    "spin": "spinning",
}


def render_clip(
    character: Character, motion: Motion, frames: int = 10, size: int = 128, fps: float = 8.0
) -> SpriteClip:
    """Renders a clip; the same `motion` on another character is the true transfer.

    Args:
        character: from `kinds.character`.
        motion: from `motions.Motion`.
        frames: F >= 1.
        size: height and width, pixels.
        fps: stated frame rate.

    Raises:
        ValueError: frames or size below 1.
    """
    if frames < 1 or size < 8:
        raise ValueError("a clip needs at least 1 frame of at least 8 pixels")
    made = _bones if character.bends == "bones" else _sheet
    matrices, keypoints, openpose = made(character, motion, frames, size)
    ground = None
    if character.look is not None:
        linear, shift = _camera(character, character.look.camera, size)
        matrices = np.concatenate([linear @ matrices[..., :2], (matrices[..., 2] @ linear.T + shift)[..., None]], -1)
        keypoints, openpose = keypoints @ linear.T + shift, openpose @ linear.T + shift
        ground = _ground(linear, shift, size)
    linear = matrices[..., :2]
    unit = linear / np.linalg.norm(linear, axis=-2, keepdims=True).clip(1e-9)
    jacobians = np.stack([unit[..., 0], -unit[..., 1]], -1)  # (F, 12, 2, 2)
    if character.look is not None:  # under a camera the two columns are not at right angles
        jacobians[..., 1] = np.stack([-unit[..., 1, 0], unit[..., 0, 0]], -1)
    pixels = np.stack([paint(character, m, size, ground) for m in matrices])
    return SpriteClip(character, motion, pixels, matrices, keypoints, jacobians, openpose, fps)


def _camera(character: Character, camera: Camera, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The affine map (2, 2), (2,) from upright pixels to those of a camera: the rest pose fits inside."""
    made = _bones if character.bends == "bones" else _sheet
    rest = made(character, Motion("nod", amplitude=0.0), 1, size)[0][0]  # (12, 2, 3)
    spots = [part.outline @ rest[part.bone, :, :2].T + rest[part.bone, :, 2] for part in character.parts]
    linear = camera.linear()
    points = np.concatenate(spots) @ linear.T  # (N, 2)
    low, high = points.min(0), points.max(0)
    scale = camera.extent * size / (high - low).max()
    room = size - scale * (high - low)
    margin = np.minimum(0.06 * size, room / 2)
    corner = margin + np.array(camera.place) * (room - 2 * margin)
    return scale * linear, corner - scale * low


def _ground(linear: np.ndarray, shift: np.ndarray, size: int) -> tuple[float, float, float]:
    """Where the ground line meets the left and right border, pixels, and the width of the frame."""
    along = linear[:, 0]
    slope = along[1] / along[0]
    x, y = linear @ [size / 2, GROUND * size] + shift
    return float(y - slope * x), float(y + slope * (size - x)), float(size)


def _bones(character: Character, motion: Motion, frames: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    body = character.body
    delta, hop, turn = motion.angles(body.template, frames)
    start, angle = pose(body, delta, frames)
    scale, (centre, middle), tall = _fit(character, size)
    if np.any(turn):
        start, angle = turn_about(start, angle, turn, (centre, middle))
    lowest = _lowest(character, start, angle)
    lift = -lowest + hop * tall  # the lowest point stands on the ground
    origin = np.stack([np.full(frames, size / 2 - scale * centre), GROUND * size - scale * lift], -1)  # (F, 2)
    to_image = scale * FLIP
    turned = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1)
    turned = turned.reshape(frames, len(BONES), 2, 2)  # (F, 12, 2, 2)
    place = start @ to_image.T + origin[:, None]  # (F, 12, 2)
    matrices = np.concatenate([to_image @ turned, place[..., None]], -1)  # (F, 12, 2, 3)
    at = np.array([KEYPOINT_AT.get(b, 1.0) * body.length[b] for b in BONES])
    keypoints = matrices[..., 0] * at[:, None] + place  # (F, 12, 2)
    openpose = np.zeros((frames, 18, 2))
    for j, spot in enumerate(_OPENPOSE):
        if spot is not None:
            openpose[:, j] = bone_point(body, start, angle, *spot) @ to_image.T + origin
    head, length = matrices[:, BONES.index("head")], body.length["head"]
    for j, (along, across) in _FACE.items():
        # A quadruped's muzzle is at the end of its head bone, a biped's face on its front side.
        local = (along + 0.4, across * 0.2) if body.template == "quadruped" else (along, across)
        openpose[:, j] = head[..., :2] @ (np.array(local) * length) + head[..., 2]
    return matrices, keypoints, openpose


def _lowest(character: Character, start: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Lowest painted point (F,) relative to the hip, world units."""
    low = np.full(len(start), np.inf)
    for part in character.parts:
        c, s = np.cos(angle[:, part.bone]), np.sin(angle[:, part.bone])
        y = part.outline[None, :, 0] * s[:, None] + part.outline[None, :, 1] * c[:, None] + start[:, part.bone, 1, None]
        low = np.minimum(low, y.min(1))
    return low


def _fit(character: Character, size: int) -> tuple[float, tuple[float, float], float]:
    """Scale (pixels per unit), centre relative to the hip and height of the rest pose."""
    start, angle = pose(character.body, {}, 1)
    outlines = []
    for part in character.parts:
        c, s = np.cos(angle[0, part.bone]), np.sin(angle[0, part.bone])
        outlines.append(part.outline @ np.array([[c, s], [-s, c]]) + start[0, part.bone])
    points = np.concatenate(outlines)  # (N, 2)
    low, high = points.min(0), points.max(0)
    wide, tall = high - low
    fill = (0.62, 0.8) if character.setting == "easy" else (0.5, 0.6)
    scale = size * min(fill[0] / tall, fill[1] / wide)
    return scale, tuple(((low + high) / 2).tolist()), float(tall)


def _sheet(character: Character, motion: Motion, frames: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    delta, hop, turn = motion.angles("biped", frames)
    phase = TAU * (motion.phase + motion.speed * np.arange(frames) / 10.0)
    wide, tall = character.body.root
    ends = bend(character.kind, (wide, tall), delta, frames, phase)  # (F, 12, 2, 2)
    low = ends[..., 1].min((1, 2))
    if character.kind == "flag":
        low = np.full(frames, -0.9 * tall)
    span = (1.9 if character.kind == "flag" else 1.2) * tall
    scale = (0.66 if character.setting == "easy" else 0.52) * size / span
    origin = np.array([size / 2 - scale * wide * (0.65 if character.kind == "flag" else 0.5), (GROUND - 0.05) * size])
    ends = ends - np.stack([np.zeros(frames), low - hop * tall], -1)[:, None, None]
    if np.any(turn) and character.kind != "flag":  # a flag stays planted
        middle = ends.mean((1, 2), keepdims=True)
        c, s = np.cos(turn), np.sin(turn)
        rot = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)  # (F, 2, 2)
        ends = np.einsum("fij,fbej->fbei", rot, ends - middle) + middle
    pix = ends * [scale, -scale] + origin  # (F, 12, 2, 2)
    along = pix[:, :, 1] - pix[:, :, 0]
    length = np.array([character.body.length[b] for b in BONES])[:, None].clip(1e-6)
    along = along / length  # (F, 12, 2)
    unit = along / np.linalg.norm(along, axis=-1, keepdims=True).clip(1e-9)
    across = scale * np.stack([unit[..., 1], -unit[..., 0]], -1)  # strokes keep their thickness
    if character.kind == "flag":  # strips shear: their upright stays upright (the pole is a stroke)
        across[:, 1:] = (0.0, -scale)
    matrices = np.stack([along, across, pix[:, :, 0]], -1)  # (F, 12, 2, 3)
    return matrices, pix.mean(2), np.full((frames, 18, 2), np.nan)
