"""One coarse motion for each keypoint (affine or thin-plate spline), its heatmap, and the frame moved by each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.diffusion.warp import exact, identity_grid

from .keypoints import Keypoints


def gaussians(points: Tensor, height: int, width: int, variance: float = 0.01) -> Tensor:
    """exp(-|G - p|^2 / 2 var), not normalised: (N, K, 2) to (N, K, h, w)."""
    offset = identity_grid(height, width).to(points) - points[:, :, None, None]  # (N,K,h,w,2)
    return torch.exp(-offset.square().sum(-1) / (2 * variance))


def inverse(matrix: Tensor, guard: bool = True) -> Tensor:
    """Inverse of 2x2 matrices (..., 2, 2) in float32.

    With `guard`, a matrix with |det| < 1e-3 or a condition number above 1e3 is replaced by the pseudo-inverse of
    itself + 1e-4 I, without gradient: one degenerate keypoint must not spoil a training step.
    """
    m = matrix.float()
    a, b, c, d = m[..., 0, 0], m[..., 0, 1], m[..., 1, 0], m[..., 1, 1]
    det = a * d - b * c
    if not guard:
        return _adjugate(m) / det[..., None, None]
    size = m.square().sum((-1, -2))
    # |m|_F^2 = s1^2 + s2^2 and |det| = s1 s2, hence the condition number s1/s2 in closed form.
    root = torch.sqrt((size**2 - 4 * det**2).clamp_min(0))
    bad = ((det.abs() < 1e-3) | (size + root > 2e3 * det.abs())).detach()
    exact = _adjugate(m) / torch.where(bad, torch.ones_like(det), det)[..., None, None]
    if not bad.any():
        return exact
    eye = torch.eye(2, device=m.device)
    with torch.no_grad():
        safe = torch.linalg.pinv(m[bad] + 1e-4 * eye, rtol=1e-3)
    full = torch.zeros_like(m)
    full[bad] = safe
    return torch.where(bad[..., None, None], full, exact)


def _adjugate(m: Tensor) -> Tensor:
    top = torch.stack([m[..., 1, 1], -m[..., 0, 1]], -1)
    bottom = torch.stack([-m[..., 1, 0], m[..., 0, 0]], -1)
    return torch.stack([top, bottom], -2)


def affine_motions(driving: Keypoints, source: Keypoints, height: int, width: int, guard: bool = True) -> Tensor:
    """Background motion (the identity) and T_k(z) = p_s + J_s J_d^-1 (z - p_d) (Siarohin et al. 2019, eq. 4).

    Args:
        driving, source: keypoints of the same N frames; the jacobians are used when both have them.
        height, width: size of the grids.
        guard: see `inverse`.

    Returns:
        (N, K + 1, h, w, 2) absolute backward grids.
    """
    grid = identity_grid(height, width).to(driving.value)
    offset = grid - driving.value[:, :, None, None]  # (N,K,h,w,2)
    if driving.jacobian is not None and source.jacobian is not None:
        with exact(offset):
            change = (source.jacobian.float() @ inverse(driving.jacobian, guard)).to(offset)
            offset = torch.einsum("nkij,nkhwj->nkhwi", change, offset)  # (N,K,h,w,2)
    moved = offset + source.value[:, :, None, None]
    still = grid.expand(len(moved), 1, -1, -1, -1)
    return torch.cat([still, moved], 1)  # (N,K+1,h,w,2)


def tps_parameters(driving: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Fit splines that carry driving points to source points (Zhao and Zhang 2022, TPS motion model).

    Args:
        driving, source: (N, S, P, 2), P control points of each of S splines.

    Returns:
        Affine part (N, S, 2, 3) and point weights (N, S, P, 2).
    """
    count = driving.shape[2]
    points = torch.cat([driving, torch.ones_like(driving[..., :1])], -1).float()  # (N,S,P,3)
    top = torch.cat([_radial(driving.float(), driving.float()), points], -1)
    bottom = torch.cat([points.transpose(-1, -2), points.new_zeros(*points.shape[:2], 3, 3)], -1)  # (N,S,3,P+3)
    # 0.01 on the whole diagonal, the affine block included, as the reference has it.
    system = torch.cat([top, bottom], -2) + 0.01 * torch.eye(count + 3, device=points.device)  # (N,S,P+3,P+3)
    target = F.pad(source.float(), (0, 0, 0, 3))
    solution = torch.linalg.solve(system, target)  # (N,S,P+3,2)
    return solution[..., count:, :].transpose(-1, -2), solution[..., :count, :]  # (N,S,2,3), (N,S,P,2)


def _radial(z: Tensor, points: Tensor) -> Tensor:
    """r^2 log(r^2 + 1e-9) between (..., M, 2) and (..., P, 2)."""
    square = (z[..., :, None, :] - points[..., None, :, :]).square().sum(-1)  # (...,M,P)
    return square * torch.log(square + 1e-9)


def tps_motions(driving: Keypoints, source: Keypoints, splines: int, height: int, width: int) -> Tensor:
    """Background motion and one spline for each group of points; (N, S + 1, h, w, 2)."""
    ours, theirs = (x.value.unflatten(1, (splines, -1)) for x in (driving, source))  # (N,S,P,2)
    affine, weights = tps_parameters(ours, theirs)
    grid = identity_grid(height, width).to(affine)
    flat = grid.flatten(0, 1)  # (hw,2)
    moved = flat @ affine[..., :2].transpose(-1, -2) + affine[..., None, :, 2]  # (N,S,hw,2)
    moved = moved + _radial(flat.expand(*ours.shape[:2], -1, -1), ours.float()) @ weights
    moved = moved.unflatten(2, (height, width))  # (N,S,h,w,2)
    still = grid.expand(len(moved), 1, -1, -1, -1)
    return torch.cat([still, moved], 1).to(driving.value)


def heatmaps(driving: Keypoints, source: Keypoints, height: int, width: int, variance: float = 0.01) -> Tensor:
    """gauss(p_d) - gauss(p_s) for each point after a zero map for the background: (N, K + 1, 1, h, w)."""
    change = gaussians(driving.value, height, width, variance) - gaussians(source.value, height, width, variance)
    return F.pad(change, (0, 0, 0, 0, 1, 0))[:, :, None]


def deform_each(frame: Tensor, motions: Tensor) -> Tensor:
    """Move a frame by every motion in one sampling call.

    Args:
        frame: (N, C, h, w).
        motions: (N, M, h, w, 2).

    Returns:
        (N, M, C, h, w), zeros outside.
    """
    _, count, height, width, _ = motions.shape
    tall = motions.flatten(1, 2).to(frame)  # (N,M*h,w,2)
    moved = F.grid_sample(frame, tall, padding_mode="zeros", align_corners=True)  # (N,C,M*h,w)
    return moved.unflatten(2, (count, height)).transpose(1, 2)  # (N,M,C,h,w)
