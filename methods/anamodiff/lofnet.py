"""LOFNet: the dense latent flow between two poses, from keypoints and one frame (AnaMoDiff section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from motionkit.diffusion.warp import exact

from .hourglass import AntiAlias, Hourglass
from .keypoints import Keypoints
from .sparse import affine_motions, deform_each, heatmaps, tps_motions


@dataclass(frozen=True)
class Motion:
    """What the flow network returns for N frames.

    Attributes:
        flow: (N, h, w, 2) absolute backward grid in [-1, 1], x first: where in the source each output pixel reads.
        mask: (N, M, h, w) share of each coarse motion, sums to 1.
        occlusion: (N, 1, h, w) in [0, 1], 1 where the source shows the pixel; None without that head.
    """

    flow: Tensor
    mask: Tensor
    occlusion: Tensor | None = None


class LOFNet(nn.Module):
    """Dense motion network on latents (4 channels) or images (3), after Siarohin et al. 2019.

    Args:
        num_kp: K points.
        num_channels: channels of the frame.
        block_expansion, max_features, num_blocks: the hourglass.
        estimate_occlusion_map: add the occlusion head.
        scale_factor: the frame is reduced by this first (1 for latents).
        kp_variance: of the heatmaps.
        motion: "affine" (one local affine map a point) or "tps" (one spline for each 5 points).
        guard: protect the jacobian inverse, see `sparse.inverse`.
    """

    def __init__(
        self,
        num_kp: int = 10,
        num_channels: int = 4,
        block_expansion: int = 64,
        max_features: int = 1024,
        num_blocks: int = 5,
        estimate_occlusion_map: bool = False,
        scale_factor: float = 1,
        kp_variance: float = 0.01,
        motion: str = "affine",
        guard: bool = True,
    ) -> None:
        super().__init__()
        if motion not in ("affine", "tps"):
            raise ValueError(f"motion must be affine or tps (got {motion!r})")
        if motion == "tps" and num_kp % 5:
            raise ValueError(f"tps motion needs a multiple of 5 keypoints (got {num_kp})")
        self.motions = (num_kp if motion == "affine" else num_kp // 5) + 1
        self.hourglass = Hourglass(block_expansion, num_kp + 1 + self.motions * num_channels, num_blocks, max_features)
        self.mask = nn.Conv2d(self.hourglass.out_channels, self.motions, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.out_channels, 1, 7, padding=3) if estimate_occlusion_map else None
        self.down = AntiAlias(num_channels, scale_factor) if scale_factor != 1 else None
        self.num_kp, self.num_channels = num_kp, num_channels
        self.kind, self.variance, self.guard = motion, kp_variance, guard

    def sparse(self, driving: Keypoints, source: Keypoints, height: int, width: int) -> Tensor:
        """The coarse motions (N, M, h, w, 2), the background's identity first."""
        if self.kind == "tps":
            return tps_motions(driving, source, self.motions - 1, height, width)
        return affine_motions(driving, source, height, width, self.guard)

    def stack(self, frame: Tensor, motions: Tensor, driving: Keypoints, source: Keypoints) -> Tensor:
        """The hourglass's input: for each motion its heatmap and the moved frame, (N, channels, h, w)."""
        height, width = frame.shape[-2:]
        heat = heatmaps(driving, source, height, width, self.variance).to(frame)  # (N,K+1,1,h,w)
        moved = deform_each(frame, motions)  # (N,M,C,h,w)
        if self.kind == "tps":  # several heatmaps belong to one motion there, so they go first
            return torch.cat([heat.flatten(1, 2), moved.flatten(1, 2)], 1)  # (N,K+1+M*C,h,w)
        return torch.cat([heat, moved], 2).flatten(1, 2)  # (N,M*(1+C),h,w)

    def combine(self, features: Tensor, motions: Tensor) -> Motion:
        """Hourglass features to soft shares of the motions and their mix."""
        mask = self.mask(features).float().softmax(1)
        with exact(mask):
            flow = torch.einsum("nmhw,nmhwc->nhwc", mask, motions.float())  # (N,h,w,2)
        occlusion = None if self.occlusion is None else self.occlusion(features).float().sigmoid()
        return Motion(flow, mask, occlusion)

    def forward(self, frame: Tensor, driving: Keypoints, source: Keypoints) -> Motion:
        """Flow that moves `frame` from the source pose to the driving pose.

        Args:
            frame: (N, C, h, w) the source latent (or image).
            driving, source: keypoints of N frames each.
        """
        if self.down is not None:
            frame = self.down(frame)
        motions = self.sparse(driving, source, *frame.shape[-2:])
        features = self.hourglass(self.stack(frame, motions, driving, source))
        return self.combine(features, motions)
