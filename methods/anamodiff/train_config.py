"""Settings of `motionkit train method=anamodiff`, under `train.`; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from motionkit.errors import UserError


@dataclass
class TrainOptions:
    """How the keypoint detector and LOFNet are trained (AnaMoDiff section 3.2; Siarohin et al. 2019).

    First both networks together, then the flow network alone on the frozen detector. `supervision=truth` adds the
    sprite world's own keypoints, bone frames and exact flow as targets.
    """

    backbone: str = "pocket-sd"  # whose latents the flow network learns
    backbone_path: str | None = None
    supervision: str = "none"  # none | truth (sprites only)
    keypoints: str | None = None  # a keypoints.safetensors to keep as it is, instead of training one
    num_kp: int | None = None  # 10; with truth the sprite world's 12
    batch: int = 16
    lr: float = 5e-4
    joint: float = 0.5  # share of the steps in which both networks learn
    detector_width: int | None = None  # first level of the hourglass; by the size of the latents when left out
    flow_width: int | None = None
    max_width: int | None = None
    rgb: float = 1.0  # weight of the error in pixels, at three scales, while both networks learn
    equivariance: float = 0.1  # weight of the losses that tie keypoints to the picture
    scales: float = 0.0  # weight of the latent error at half and quarter size
    smoothness: float = 0.0  # weight of the flow's total variation
    occlusion: bool = False  # train the visibility head too
    save_every: float = 120.0  # seconds

    def __post_init__(self) -> None:
        """Check every value; raises UserError with one line."""
        if self.supervision not in ("none", "truth"):
            raise UserError(f"train.supervision={self.supervision} is unknown: choose none or truth")
        for name, low, high in (("batch", 2, 4096), ("lr", 0, 1), ("joint", 0, 1), ("num_kp", 3, 256)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f"train.{name}={value} is outside {low} to {high}")
