"""Random smooth deformations, and what keypoints must do under them (Siarohin et al. 2019, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.diffusion.warp import identity_grid

from .keypoints import Keypoints
from .sparse import inverse


@dataclass(frozen=True)
class Deformation:
    """W(z) = A [z, 1] + sum_i w_i phi(|z - c_i|), one for each of N frames.

    Attributes:
        theta: (N, 2, 3) affine part.
        control_points: (1, P, P, 2) or (P, P, 2) points c on a grid.
        control_params: (N, 1, P * P) weights, shared by x and y.
        kernel: "l1" is r^2 log(r + 1e-6) with r = |dx| + |dy| (first-order model); "l2" is r^2 log(r^2 + 1e-9) with the
            Euclidean r (TPS motion model).
    """

    theta: Tensor
    control_points: Tensor
    control_params: Tensor
    kernel: str = "l1"

    @classmethod
    def random(
        cls,
        frames: int,
        generator: torch.Generator,
        sigma_affine: float = 0.05,
        sigma_tps: float = 0.005,
        points: int = 5,
    ) -> Deformation:
        """Draw one deformation for each frame: identity plus normal noise on both parts."""
        eye = torch.eye(2, 3)
        theta = eye + sigma_affine * torch.randn(frames, 2, 3, generator=generator)
        params = sigma_tps * torch.randn(frames, 1, points**2, generator=generator)
        return cls(theta, identity_grid(points, points)[None], params)

    def __call__(self, coordinates: Tensor) -> Tensor:
        """(N, M, 2) coordinates to their images."""
        moved = coordinates @ self.theta[:, :, :2].transpose(1, 2) + self.theta[:, None, :, 2]  # (N,M,2)
        offset = coordinates[:, :, None] - self.control_points.reshape(1, 1, -1, 2)  # (N,M,P*P,2)
        if self.kernel == "l1":
            radius = offset.abs().sum(-1)
            phi = radius**2 * torch.log(radius + 1e-6)
        else:
            square = offset.square().sum(-1)
            phi = square * torch.log(square + 1e-9)
        return moved + (phi * self.control_params).sum(-1, keepdim=True)

    def jacobian(self, coordinates: Tensor) -> Tensor:
        """dW/dz at (N, M, 2) coordinates: (N, M, 2, 2)."""
        with torch.enable_grad():
            points = coordinates if coordinates.requires_grad else coordinates.detach().requires_grad_()
            moved = self(points)
            rows = [torch.autograd.grad(moved[..., i].sum(), points, create_graph=True)[0] for i in (0, 1)]
        result = torch.stack(rows, -2)  # rows are outputs
        return result if coordinates.requires_grad else result.detach()

    def grid(self, height: int, width: int) -> Tensor:
        """Where each pixel of the deformed frame reads, (N, h, w, 2)."""
        flat = identity_grid(height, width).to(self.theta).flatten(0, 1)  # (hw,2)
        return self(flat.expand(len(self.theta), -1, -1)).unflatten(1, (height, width))  # (N,h,w,2)

    def apply(self, frames: Tensor) -> Tensor:
        """Deform (N, C, H, W); what lies outside is reflected."""
        grid = self.grid(*frames.shape[-2:]).to(frames)
        return F.grid_sample(frames, grid, padding_mode="reflection", align_corners=True)


def value_loss(original: Keypoints, deformed: Keypoints, deformation: Deformation) -> Tensor:
    """Mean |p - W(p_deformed)|: the points must move with the image."""
    return (original.value - deformation(deformed.value)).abs().mean()


def jacobian_loss(original: Keypoints, deformed: Keypoints, deformation: Deformation, guard: bool = True) -> Tensor:
    """Mean |I - J^-1 W' J_deformed|: the local frames must turn with it. Both need jacobians."""
    assert original.jacobian is not None and deformed.jacobian is not None
    carried = deformation.jacobian(deformed.value) @ deformed.jacobian
    product = inverse(original.jacobian, guard) @ carried
    return (torch.eye(2).to(product) - product).abs().mean()
