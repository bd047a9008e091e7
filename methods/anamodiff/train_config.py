"""Settings of `motionkit train method=anamodiff`, under `train.`; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from motionkit.settings.setting import check, setting

_ANY = float("inf")


@dataclass
class TrainOptions:
    """How the keypoint detector and LOFNet are trained (AnaMoDiff section 3.2; Siarohin et al. 2019).

    First both networks together, then the flow network alone on the frozen detector.
    """

    backbone: str = setting("The backbone whose latents the flow network is trained on.", "pocket-sd")
    backbone_path: str | None = setting("Local folder or hub id of its weights; null uses the default.", None)
    supervision: str = setting(
        "What supervises the training.",
        "none",
        choices={
            "none": "nothing",
            "truth": "the renderer's keypoints, bone frames and exact flow; needs data=sprites",
        },
    )
    keypoints: str | None = setting("A keypoints.safetensors to use unchanged; null trains a detector.", None)
    num_kp: int | None = setting(
        "Number of keypoints; null is 10, or with supervision=truth the sprites' 12.", None, low=3, high=256
    )
    batch: int = setting("Pairs of frames per step.", 16, low=2, high=4096)
    lr: float = setting("Learning rate.", 5e-4, low=0, high=1)
    joint: float = setting("Share of the steps that train both networks together.", 0.5, low=0, high=1)
    detector_width: int | None = setting(
        "Channels of the detector's first level; null is 16, or 32 for latents of 64x64 or more.", None, low=1
    )
    flow_width: int | None = setting(
        "Channels of the flow network's first level; null is 24, or 64 for latents of 64x64 or more.", None, low=1
    )
    max_width: int | None = setting(
        "Maximum channels of any level; null is 160, or 1024 for latents of 64x64 or more.", None, low=1
    )
    rgb: float = setting(
        "Weight of the pixel error, at three scales, while both networks are trained.", 1.0, low=0, high=_ANY
    )
    equivariance: float = setting(
        "Weight of the equivariance losses, which make keypoints follow the picture.", 0.1, low=0, high=_ANY
    )
    scales: float = setting("Weight of the latent error at half and quarter size.", 0.0, low=0, high=_ANY)
    smoothness: float = setting("Weight of the flow's total variation.", 0.0, low=0, high=_ANY)
    occlusion: bool = setting("Whether the occlusion (visibility) head is trained too.", False)
    save_every: float = setting("Time between checkpoints.", 120.0, low=0, high=_ANY, unit="s")

    def __post_init__(self) -> None:
        """Check every value; raises UserError with one line."""
        check(self, "train.")
