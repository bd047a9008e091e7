"""The paper's proof of concept (VIDMP3 section 3.1, Fig. 2): solids on a known path, ray-cast into C, D, M with numpy.

A pinhole camera at the origin looks along z. A solid's surface points are named by their canonical coordinates, the
solid's own axes divided by its half extents, so that the same name means the same place on a cube, a box or a sphere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motionkit.diffusion.warp import identity_grid

from .maps import GuideMaps, compose, wheel_on

Array = NDArray[np.float64]

FOCAL = 1.2  # of the half width of the picture
FRAMES, SIDE = 24, 48
HALF = 0.8  # half the cube's edge
NEAR, FAR = 2.2, 6.0  # camera depths that map to 1 and 0
CENTRE = np.array([0.0, 0.0, 4.0, 0.0, 0.0, 0.0])
LIMITS = np.array([0.8, 0.8, 1.0, 0.6, 0.9, 0.5])  # of x, y, z and the angles about x, y, z (radians)
ROTATIONS, ACROSS, ALONG = (3, 4, 5), (0, 1), (2,)


@dataclass(frozen=True)
class Solid:
    """A box, ellipsoid or cylinder (about its y axis) with half extents along its own axes."""

    kind: str
    half: tuple[float, float, float]


CUBE = Solid("box", (HALF,) * 3)
OTHER_SHAPES = {
    "flat box": Solid("box", (1.1, 0.6, 0.8)),
    "tall box": Solid("box", (0.6, 1.1, 0.7)),
    "sphere": Solid("ellipsoid", (0.95,) * 3),
    "ellipsoid": Solid("ellipsoid", (1.15, 0.75, 0.9)),
    "cylinder": Solid("cylinder", (0.8, 0.9, 0.8)),
}
OTHER_SIZES = {"0.7 cube": Solid("box", (0.7 * HALF,) * 3), "1.4 cube": Solid("box", (1.4 * HALF,) * 3)}


def random_motion(seed: int, frames: int = FRAMES) -> Array:
    """A smooth random path (F, 6): x, y, z and Euler angles, each the sum of two slow sines, within `LIMITS`."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, frames)
    size = rng.uniform(0.4, 1, (2, 6))
    cycles = rng.uniform([[0.4], [1.0]], [[1.0], [2.0]], (2, 6))
    phase = rng.uniform(0, 2 * np.pi, (2, 6))
    waves = size[:, None] * np.sin(2 * np.pi * cycles[:, None] * time[None, :, None] + phase[:, None])  # (2,F,6)
    return CENTRE + LIMITS * waves.sum(0) / size.sum(0)


def rotation(angles: Array) -> Array:
    """Rotation matrices (F, 3, 3) of angles (F, 3) about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles).T, np.sin(angles).T  # (F,) each
    zero, one = np.zeros_like(cx), np.ones_like(cx)
    about_x = _stack([[one, zero, zero], [zero, cx, -sx], [zero, sx, cx]])
    about_y = _stack([[cy, zero, sy], [zero, one, zero], [-sy, zero, cy]])
    about_z = _stack([[cz, -sz, zero], [sz, cz, zero], [zero, zero, one]])
    return about_z @ about_y @ about_x


def _stack(rows: list[list[Array]]) -> Array:
    return np.stack([np.stack(row, -1) for row in rows], -2)  # (F,3,3)


@dataclass(frozen=True)
class Render:
    """What the camera sees: canonical points (F, h, w, 3), camera depth (F, h, w), mask (F, h, w) of bools."""

    points: Array
    depth: Array
    mask: NDArray[np.bool_]


def render(solid: Solid, motion: Array, side: int = SIDE) -> Render:
    """Cast one ray through each pixel centre of each frame."""
    turn = rotation(motion[:, 3:])  # (F,3,3), its own axes to the camera's
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(axis, axis)
    rays = np.stack([x / FOCAL, y / FOCAL, np.ones_like(x)], -1).reshape(-1, 3)  # (hw,3): depth is the ray's parameter
    half = np.array(solid.half)
    origin = np.einsum("fji,fj->fi", turn, -motion[:, :3])[:, None] / half  # (F,1,3)
    direction = np.einsum("fji,pj->fpi", turn, rays) / half  # (F,hw,3)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = _HITS[solid.kind](origin, direction)  # (F,hw), inf where the ray misses
    mask = np.isfinite(depth) & (depth > 0)
    depth = np.where(mask, depth, 0.0)
    points = (origin + depth[..., None] * direction) * mask[..., None]
    shape = (len(motion), side, side)
    return Render(points.reshape(*shape, 3), depth.reshape(shape), mask.reshape(shape))  # (F,h,w,3), (F,h,w) twice


def _hit_slabs(origin: Array, direction: Array) -> Array:
    """First hit with the box [-1, 1]^n."""
    crossings = np.stack([(-1 - origin) / direction, (1 - origin) / direction])
    enter, leave = crossings.min(0).max(-1), crossings.max(0).min(-1)
    return np.where(enter <= leave, enter, np.inf)


def _hit_round(origin: Array, direction: Array) -> tuple[Array, Array]:
    """Both crossings with the unit sphere (of as many dimensions as there are coordinates); nan for a miss."""
    a, b, c = (direction**2).sum(-1), (origin * direction).sum(-1), (origin**2).sum(-1) - 1
    root = np.sqrt(b * b - a * c)
    return (-b - root) / a, (-b + root) / a


def _hit_sphere(origin: Array, direction: Array) -> Array:
    return np.nan_to_num(_hit_round(origin, direction)[0], nan=np.inf)


def _hit_cylinder(origin: Array, direction: Array) -> Array:
    enter, leave = _hit_round(origin[..., [0, 2]], direction[..., [0, 2]])
    caps = np.stack([(-1 - origin[..., 1]) / direction[..., 1], (1 - origin[..., 1]) / direction[..., 1]])
    enter, leave = np.maximum(enter, caps.min(0)), np.minimum(leave, caps.max(0))
    return np.where(enter <= leave, enter, np.inf)  # a comparison with nan is false


_HITS = {"box": _hit_slabs, "ellipsoid": _hit_sphere, "cylinder": _hit_cylinder}


def face_colours(points: Array) -> Array:
    """The paper's cube: a hue for each face, with a gradient of hue along one axis and of saturation along the other.

    Args:
        points: canonical (..., 3); points off the cube take the colour of their projection on it from the centre.

    Returns:
        (..., 3) in [0, 1] with a largest channel of 1.
    """
    main = np.abs(points).argmax(-1)
    across = [np.take_along_axis(points, ((main + k) % 3)[..., None], -1)[..., 0] for k in (0, 1, 2)]
    reach = np.maximum(np.abs(across[0]), 1e-9)
    u, v = across[1] / reach, across[2] / reach  # both in [-1,1]
    face = 2 * main + (across[0] > 0)
    hue = (face + 0.35 * u) % 6
    steps = np.stack([5 + hue, 3 + hue, 1 + hue], -1) % 6
    return 1 - (0.65 + 0.3 * v)[..., None] * np.minimum(steps, 4 - steps).clip(0, 1)


def matched_colours(seen: Render, kind: str) -> Array:
    """Colours as a real matcher gives them: a wheel on frame 0, carried over by the nearest point seen there.

    Args:
        kind: polar or uv1 (`maps.wheel_on`).

    Returns:
        (F, h, w, 3).
    """
    first = torch.from_numpy(seen.mask[0])
    side = first.shape[0]
    wheel = wheel_on(first, kind)(identity_grid(side, side)[first]).numpy()  # (n,3)
    known = torch.from_numpy(seen.points[0][seen.mask[0]])  # (n,3)
    colours = np.zeros((*seen.mask.shape, 3))
    for frame, mask in enumerate(seen.mask):
        nearest = torch.cdist(torch.from_numpy(seen.points[frame][mask]), known).argmin(1).numpy()
        colours[frame][mask] = wheel[nearest]
    return colours


def depth_level(seen: Render) -> Array:
    """Inverse depth (F, h, w) on a fixed scale: 1 at `NEAR` and nearer, 0 at `FAR` and in the background."""
    inverse = np.where(seen.mask, 1 / np.maximum(seen.depth, 1e-6), 0.0)
    return ((inverse - 1 / FAR) / (1 / NEAR - 1 / FAR)).clip(0, 1)


def toy_maps(
    solid: Solid, motion: Array, colours: str = "faces", inputs: str = "product", side: int = SIDE
) -> GuideMaps:
    """The guide's input for one clip.

    Args:
        colours: faces (the paper's toy), polar or uv1 (as the real pipeline colours).
        inputs: as for `maps.compose`.
    """
    seen = render(solid, motion, side)
    paint = face_colours(seen.points) if colours == "faces" else matched_colours(seen, colours)
    mask = _tensor(seen.mask[..., None])
    return GuideMaps(compose(_tensor(paint), _tensor(depth_level(seen)[..., None]), mask, inputs), mask)


def _tensor(x: Array | NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2).contiguous()  # (F,C,h,w)


def mixed_motion(base: Array, other: Array, dimensions: tuple[int, ...]) -> Array:
    """`base` with some of its six dimensions taken from another motion."""
    mixed = base.copy()
    mixed[:, list(dimensions)] = other[:, list(dimensions)]
    return mixed


def toy_clips(
    seed: int, colours: str = "faces", inputs: str = "product", side: int = SIDE
) -> dict[str, dict[str, GuideMaps]]:
    """The training clip and everything it is tested on, by group and name.

    Groups: train (the cube); shape and size (other solids, the same motion: loss should fall too); motion (the cube on
    three other motions and backwards in time: loss should rise); factor (one part of the motion changed).
    """
    path = random_motion(100 * seed)
    others = [random_motion(100 * seed + k) for k in (1, 2, 3)]
    moved = {f"motion {k + 1}": other for k, other in enumerate(others)} | {"reversed": path[::-1]}
    parts = {"rotation": ROTATIONS, "across": ACROSS, "along": ALONG}
    groups: dict[str, dict[str, tuple[Solid, Array]]] = {
        "train": {"cube": (CUBE, path)},
        "shape": {name: (solid, path) for name, solid in OTHER_SHAPES.items()},
        "size": {name: (solid, path) for name, solid in OTHER_SIZES.items()},
        "motion": {name: (CUBE, motion) for name, motion in moved.items()},
        "factor": {name: (CUBE, mixed_motion(path, others[0], part)) for name, part in parts.items()},
    }
    return {
        group: {name: toy_maps(solid, motion, colours, inputs, side) for name, (solid, motion) in clips.items()}
        for group, clips in groups.items()
    }
