"""Compares pictures with the truth: PSNR of the whole and of the subject, the judge's keypoints, sharpness."""

from __future__ import annotations

import torch
from torch import Tensor

from motionkit.metrics.judges import load_judge, weights_path
from motionkit.training.recipes.text_figures import subject_gradient


def psnr(made: Tensor, true: Tensor, mask: Tensor | None = None) -> float:
    """Mean of the pictures' PSNR in dB, (B, 3, H, W) in [-1, 1], over all pixels or those of masks (B, H, W)."""
    error = (made - true).square().mean(1)  # (B, H, W)
    weight = torch.ones_like(error) if mask is None else mask.float()
    each = (error * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)
    return (10 * torch.log10(4 / each.clamp(min=1e-8))).mean().item()


@torch.no_grad()
def against_truth(made: Tensor, true: Tensor, mask: Tensor, keypoints: Tensor) -> dict[str, float]:
    """Results for pictures (B, 3, 128, 128) in [-1, 1].

    Args:
        true: the same shape.  mask: (B, H, W), the subject.  keypoints: (B, 12, 2), true ones, pixels.
    """
    judge = load_judge("pose", weights_path("pose"))[0].eval()
    points = torch.cat([judge((part + 1) / 2)[0] for part in made.split(32)]).float()  # (B, 12, 2) in [-1, 1]
    away = ((points + 1) * 63.5 - keypoints).norm(dim=-1)
    return {
        "psnr": psnr(made, true),
        "subject": psnr(made, true, mask),
        "keypoints": away.mean().item(),
        "gradient": (subject_gradient(made).mean() / subject_gradient(true).mean()).item(),
    }
