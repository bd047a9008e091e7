"""Matching of the subject's pixels with those of frame 0, by features on a grid, and the resulting maps.

Points are (x, y) in frame 0 from -1 to 1 on the centres of its outer pixels, as in `motionkit.diffusion.warp`. Legend:
F frames of H x W pixels, a grid of h x w cells, n matched cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.errors import UserError

_CHUNK = 2048  # cells matched at once, to bound memory
_BACK = 2.0  # cells: a match passes the forward-backward check when it returns within this distance


def reduce(features: Tensor, masks: np.ndarray, components: int) -> Tensor:
    """Principal components of the subject's features in all frames together (F, K, h, w).

    One basis for the clip, where SD-DINO makes one for each pair of pictures; exact, so that no randomness enters.

    Args:
        features: (F, C, h, w) float32.
        masks: (F, H, W) bool.
        components: K, at most; fewer where there are fewer channels or places.
    """
    inside = F.adaptive_max_pool2d(torch.from_numpy(masks)[:, None].float(), features.shape[2:])[:, 0] > 0  # (F, h, w)
    rows = features.movedim(1, -1)  # (F, h, w, C)
    seen = rows[inside].double()  # (n, C)
    centre = seen.mean(0)
    _, basis = torch.linalg.eigh((seen - centre).T @ (seen - centre))  # (C, C), least first
    count = min(components, *seen.shape)
    return ((rows - centre.float()) @ basis[:, -count:].flip(1).float()).movedim(-1, 1)  # (F, K, h, w)


def match_features(
    groups: Sequence[Sequence[Tensor]],
    masks: np.ndarray,
    side: int = 96,
    *,
    smooth: int = 0,
    mutual: bool = False,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """For each subject pixel the point of frame 0 whose features are nearest, among the subject's.

    Layers of a group are put together and normalised to length 1, so that all groups have the same weight (arXiv
    2305.15347, section 3.3).

    Args:
        groups: each a list of (F, C, h, w) of any sizes.
        masks: (F, H, W) bool; frame 0 is not empty.
        side: longer side of the grid.
        smooth: rounds of the median over 3 x 3 cells.
        mutual: replace matches that fail the forward-backward check.

    Returns:
        (F, H, W, 2) float32, NaN off the subject.
    """
    height, width = masks.shape[1:]
    scale = side / max(height, width)
    grid = max(1, round(height * scale)), max(1, round(width * scale))
    cells = coarse_masks(masks, *grid)
    here = centres(grid, height, width)  # (h, w, 2)
    points = np.full((*cells.shape, 2), np.nan, np.float32)
    reference = _describe(groups, 0, cells[0], device)
    places = here[cells[0]]  # (n, 2)
    points[0][cells[0]] = places
    for f in range(1, len(masks)):
        if not cells[f].any():
            continue
        index, good = _nearest(_describe(groups, f, cells[f], device), reference, here[cells[f]], grid, mutual)
        points[f][cells[f]] = places[index]
        if mutual and good.any():
            known = np.zeros(grid, bool)
            known[cells[f]] = good
            points[f] = fill(points[f][None], known[None], cells[f][None], "correspondence")[0]
        for _ in range(smooth):
            points[f] = median(points[f])
    return lift(points, masks)


def _describe(groups: Sequence[Sequence[Tensor]], frame: int, cells: np.ndarray, device: torch.device | str) -> Tensor:
    """Descriptors (n, D) of one frame's cells on the subject."""
    chosen = torch.from_numpy(cells).to(device)
    parts = []
    for group in groups:
        maps = [F.interpolate(layer[frame : frame + 1].to(device), cells.shape, mode="bilinear") for layer in group]
        parts.append(F.normalize(torch.cat(maps, 1)[0][:, chosen].T, dim=1))  # (n, D of the group)
    return torch.cat(parts, 1)


def _nearest(
    rows: Tensor, reference: Tensor, places: np.ndarray, grid: tuple[int, ...], mutual: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The most similar reference row of each row (n,), and whether its own most similar row is near again (n,) bool."""
    forward, best = [], torch.full((len(reference),), -torch.inf, device=rows.device)
    back = torch.zeros(len(reference), dtype=torch.long, device=rows.device)
    for start in range(0, len(rows), _CHUNK):
        # Among unit vectors the nearest is the most similar.
        likeness = rows[start : start + _CHUNK] @ reference.T  # (chunk, m)
        forward.append(likeness.argmax(1))
        if mutual:
            value, at = likeness.max(0)
            back = torch.where(value > best, at + start, back)
            best = torch.maximum(best, value)
    index = torch.cat(forward)
    if not mutual:
        return index.cpu().numpy(), np.ones(len(rows), bool)
    step = np.array([2 / max(grid[1], 1), 2 / max(grid[0], 1)])  # a cell's size
    off = (places - places[back[index].cpu().numpy()]) / step
    return index.cpu().numpy(), np.hypot(off[:, 0], off[:, 1]) <= _BACK


def coarse_masks(masks: np.ndarray, height: int, width: int) -> np.ndarray:
    """Masks (F, h, w) bool on the grid: cells half on the subject; where a frame has none, all that touch it."""
    x = torch.from_numpy(masks)[:, None].float()
    most = F.interpolate(x, (height, width), mode="area")[:, 0]  # (F, h, w)
    half = most >= 0.5
    lost = ~half.flatten(1).any(1)  # (F,)
    half[lost] = most[lost] > 0
    return half.numpy()


def centres(grid: tuple[int, int], height: int, width: int) -> np.ndarray:
    """Points (rows, columns, 2) of the centres of a grid's cells over a frame of height x width pixels."""
    rows, columns = grid
    x, y = (
        (((np.arange(n) + 0.5) * size / n - 0.5) / max(size - 1, 1) * 2 - 1).astype(np.float32)
        for n, size in ((columns, width), (rows, height))
    )
    return np.stack(np.meshgrid(x, y), -1)  # (rows, columns, 2)


def lift(points: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Points (F, h, w, 2) of a grid to the subject's pixels (F, H, W, 2): each takes its cell's, or the nearest."""
    height, width = masks.shape[1:]
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * cells / n).astype(int), cells - 1)
        for n, cells in ((height, points.shape[1]), (width, points.shape[2]))
    )
    large = points[:, rows][:, :, columns]  # (F, H, W, 2)
    return fill(large, np.isfinite(large).all(-1), masks, "correspondence")


def fill(values: np.ndarray, known: np.ndarray, masks: np.ndarray, what: str) -> np.ndarray:
    """Values (F, H, W, C) on exactly the masks, NaN elsewhere; unknown pixels take the nearest known one's.

    Args:
        known: (F, H, W) bool.
        what: begins the error's text.

    Raises:
        UserError: a frame shows the subject and has no known value.
    """
    out = np.full(values.shape, np.nan, np.float32)
    for f, mask in enumerate(masks):
        here = known[f] & mask if (known[f] & mask).any() else known[f]
        if not mask.any():
            continue
        if not here.any():
            raise UserError(f"{what}: frame {f} shows the subject and has no correspondence there")
        _, labels = cv2.distanceTransformWithLabels(
            (~here).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        owner = np.zeros(labels.max() + 1, np.int64)
        owner[labels[here]] = np.flatnonzero(here)
        out[f][mask] = values[f].reshape(-1, values.shape[-1])[owner[labels[mask]]]  # (n, C)
    return out


def median(points: np.ndarray) -> np.ndarray:
    """Points (h, w, 2), each replaced by that of the 3 x 3 around it whose distances to the others add up to least.

    A vector median: it keeps edges and never makes a point that was not matched. NaN cells count for nothing and stay.
    """
    padded = np.pad(points, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    rows, columns = points.shape[:2]
    around = np.stack([padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)])  # (9, h, w, 2)
    apart = np.linalg.norm(around[:, None] - around[None], axis=-1)  # (9, 9, h, w)
    there = np.isfinite(around[..., 0])
    total = np.where(there, np.nansum(apart, 1), np.inf)  # (9, h, w)
    # The cell itself wins a tie: what is smooth already stays.
    order = np.array([4, 0, 1, 2, 3, 5, 6, 7, 8])
    best = order[total[order].argmin(0)]
    chosen = np.take_along_axis(around, best[None, ..., None], 0)[0]  # (h, w, 2)
    return np.where(np.isfinite(points), chosen, np.nan).astype(np.float32)


def pixels_to_points(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixel coordinates (..., 2), x before y, as points from -1 to 1."""
    return (pixels / np.maximum([width - 1, height - 1], 1) * 2 - 1).astype(np.float32)
