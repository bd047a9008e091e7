"""Similarity by large public models when their weights are on this machine: CLIP between pictures, X-CLIP with a text.

CLIP: Radford et al., arXiv 2103.00020 (weights MIT). X-CLIP: Ni et al., arXiv 2208.02816 (weights MIT). Nothing is
downloaded unless MOTIONKIT_ONLINE=1. FlipSketch (arXiv 2411.10818, section 4.1) reports both kinds of figure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.media import from_frames, letterbox
from motionkit.metrics.hub_models import check_pictures, consistency, load, locate, resized

_BATCH = 16  # pictures at once, to bound memory


def _pictures(model: Any, folder: Path, frames: np.ndarray, kind: str = "clip") -> Tensor:
    """(F, H, W, 3) uint8 to (F, 3, s, s) as the model expects; padded to a square with their border colour first."""
    check_pictures(frames)
    side, longest = model.config.vision_config.image_size, max(frames.shape[1:3])
    square = letterbox(from_frames(frames), longest, longest)[0].frames
    x = torch.from_numpy(square).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, H)
    return resized(x, kind, folder, (side, side), "bicubic", antialias=True)


@torch.no_grad()
def clip_embedding(frames: np.ndarray, path: str | Path | None = None) -> np.ndarray:
    """Unit vectors (F, E) of pictures (F, H, W, 3) uint8 by CLIP's image encoder; errors as `locate`."""
    folder = locate("clip", path)
    model = load("clip", folder)
    parts = [model.get_image_features(pixel_values=x) for x in _pictures(model, folder, frames).split(_BATCH)]
    features = torch.cat([getattr(part, "pooler_output", part) for part in parts])  # (F, E)
    return F.normalize(features, dim=-1).numpy()


def clip_consistency(video: np.ndarray, reference: np.ndarray, path: str | Path | None = None, first: int = 1) -> float:
    """Mean CLIP cosine between a reference picture and the frames from `first` on; higher is better, [-1, 1].

    The authors' filter means this and averages one frame's value; this is the mean over the frames.

    Args:
        video: (F, H, W, 3) uint8, F > first; reference: (h, w, 3) uint8.

    Raises:
        ValueError: no frame is left; else as `locate`.
    """
    return consistency(lambda frames: clip_embedding(frames, path), video, reference, first)


@torch.no_grad()
def clip_score(video: np.ndarray, text: str, path: str | Path | None = None) -> float:
    """CLIPScore (Hessel et al., arXiv 2104.08718, as torchmetrics scales it): 100 max(cosine, 0), mean over the frames.

    Whole frames are seen, letterboxed; published scores are of their middle square and differ a little.

    Higher is better, [0, 100]; good matches have about 30 with ViT-B/32.

    Args:
        video: (F, H, W, 3) uint8.

    Raises: as `locate`; ValueError for what is not a video or an empty text.
    """
    if not text.strip():
        raise ValueError("CLIPScore needs a text")
    pictures = torch.from_numpy(clip_embedding(video, path))  # (F, E)
    folder = locate("clip", path)
    model = load("clip", folder)
    features = model.get_text_features(**_words(folder, text, model.config.text_config.max_position_embeddings))
    said = F.normalize(getattr(features, "pooler_output", features), dim=-1)[0]  # (E,)
    return float(100 * (pictures @ said).clamp(min=0).mean())


def clip_steadiness(video: np.ndarray, path: str | Path | None = None) -> float:
    """Mean CLIP cosine of the first frame with every later one (AnaMoDiff, sec. 4.2); higher is better, [-1, 1].

    A frozen video has 1. The paper's table prints it about ten times as large.

    Args:
        video: (F, H, W, 3) uint8, F >= 2.

    Raises: as `locate`; ValueError for fewer than two frames.
    """
    if len(video) < 2:
        raise ValueError("needs at least two frames")
    frames = clip_embedding(video, path)
    return float((frames[1:] @ frames[0]).mean())


def _words(folder: Path, text: str, longest: int) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer([text], return_tensors="pt", truncation=True, max_length=longest)


@torch.no_grad()
def xclip_agreement(video: np.ndarray, text: str, path: str | Path | None = None) -> float:
    """X-CLIP cosine between a clip and a text (arXiv 2208.02816); higher is better, [-1, 1].

    As many frames as the model takes (8 of the default) are chosen evenly.

    Args:
        video: (F, H, W, 3) uint8.

    Raises: as `locate`; ValueError for what is not a video or an empty text.
    """
    if not text.strip():
        raise ValueError("text-video agreement needs a text")
    folder = locate("xclip", path)
    model = load("xclip", folder)
    count = model.config.vision_config.num_frames
    chosen = np.linspace(0, len(video) - 1, count).round().astype(int)
    pixels = _pictures(model, folder, video[chosen], "xclip")[None]  # (1, n, 3, s, s)
    words = _words(folder, text, model.config.text_config.max_position_embeddings)
    out = model(pixel_values=pixels, input_ids=words.input_ids, attention_mask=words.attention_mask)
    return float(out.logits_per_video[0, 0] / model.logit_scale.exp())
