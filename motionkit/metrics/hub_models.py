"""The large public models that metrics look with, from a folder or the hub's cache: CLIP, X-CLIP and DINO.

CLIP: Radford et al., arXiv 2103.00020 (weights MIT). X-CLIP: Ni et al., arXiv 2208.02816 (weights MIT). DINO: Caron et
al. 2021, arXiv 2104.14294 (weights Apache-2.0). Nothing is downloaded unless MOTIONKIT_ONLINE=1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.errors import MissingWeights, UserError
from motionkit.weights.building import LOCK
from motionkit.weights.finding import Wanted, find
from motionkit.weights.finding import available as weights_here
from motionkit.weights.model_files import first_line

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
_WANTED = ("*.json", "*.txt", *_WEIGHTS[:1])


@dataclass(frozen=True)
class HubModel:
    """One model: its title, repository and size, and the class of transformers that reads it.

    Attributes:
        model_type: what its config.json calls it.
        given: keywords for its loading.
        mean, std: of its training pictures, where its folder has no preprocessor_config.json.
    """

    title: str
    hub_id: str
    size: str
    model_type: str
    architecture: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    given: Mapping[str, Any] = field(default_factory=dict)


_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MODELS: Mapping[str, HubModel] = MappingProxyType(
    {
        "clip": HubModel("CLIP", "openai/clip-vit-base-patch32", "0.6 GB", "clip", "CLIPModel", *_CLIP),
        "xclip": HubModel("X-CLIP", "microsoft/xclip-base-patch32", "0.8 GB", "xclip", "XCLIPModel", *_CLIP),
        "dino": HubModel(
            "DINO", "facebook/dino-vitb16", "0.35 GB", "vit", "ViTModel", *_IMAGENET, given={"add_pooling_layer": False}
        ),
    }
)


def wanted(kind: str) -> Wanted:
    """The files of a model of MODELS as weights to be found."""
    model = MODELS[kind]
    return Wanted(
        f"the {model.title} weights",
        missing_in=lambda folder: [] if any((folder / name).is_file() for name in _WEIGHTS) else [_WEIGHTS[0]],
        checked=lambda folder: _checked(kind, folder),
        hub_id=model.hub_id,
        patterns=_WANTED,
        size=f"about {model.size}",
        setting=f"weights.{kind}",
    )


def locate(kind: str, path: str | Path | None = None) -> Path:
    """The folder with the weights of a model of MODELS: `path` (a folder or a hub id), else the hub cache.

    Raises: as `weights.finding.find`; UserError where the folder holds another kind of model.
    """
    return find(wanted(kind), path)


def available(kind: str, path: str | Path | None = None) -> bool:
    """Whether a model's weights are on this machine; with MOTIONKIT_ONLINE=1 they may be fetched now."""
    return weights_here(wanted(kind), path)


def _checked(kind: str, folder: Path) -> Path:
    title, expected = MODELS[kind].title, MODELS[kind].model_type
    try:
        model = json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise MissingWeights(f"{folder} is not a {title} folder: it has no readable config.json") from error
    if model != expected:
        raise UserError(f"{folder} holds a model of type {model!r}, not {title} ({expected!r})")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        raise MissingWeights(f"{folder} lacks its weights: {_WEIGHTS[0]}")
    return folder


@lru_cache(maxsize=3)
def load(kind: str, folder: Path) -> Any:
    """The model from a folder that `locate` found, for looking only. Raises: UserError for damaged files."""
    import transformers

    known = MODELS[kind]
    try:
        with LOCK:
            model = getattr(transformers, known.architecture).from_pretrained(
                folder, local_files_only=True, **known.given
            )
    except Exception as error:  # damaged files end in many kinds of error
        raise UserError(f"{folder} is not a usable {known.title} folder: {first_line(error)}") from error
    return model.float().eval().requires_grad_(False)


def check_pictures(frames: np.ndarray) -> None:
    """Raises: ValueError for what is not pictures (F, H, W, 3) uint8."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"pictures are (F, H, W, 3) uint8, got {frames.dtype} {frames.shape}")


def consistency(
    embedding: Callable[[np.ndarray], np.ndarray], video: np.ndarray, reference: np.ndarray, first: int
) -> float:
    """Mean cosine between a reference picture (h, w, 3) and the frames (F, H, W, 3) from `first` on, uint8 both.

    Args:
        embedding: unit vectors (F, E) of pictures (F, H, W, 3).

    Raises:
        ValueError: no frame is left; else as `embedding`.
    """
    if len(video) <= first:
        raise ValueError(f"no frame from {first} on in a clip of {len(video)}")
    return float((embedding(video[first:]) @ embedding(reference[None])[0]).mean())


def resized(pictures: Tensor, kind: str, folder: Path, size: tuple[int, int], mode: str, antialias: bool) -> Tensor:
    """(F, 3, h, w) as a model expects them, of (F, 3, H, W) in [0, 1]: at `size` and normalised as its files say."""
    facts = folder / "preprocessor_config.json"
    given = json.loads(facts.read_text()) if facts.is_file() else {}
    x = F.interpolate(pictures, size, mode=mode, antialias=antialias, align_corners=False).clamp(0, 1)
    usual = (("image_mean", MODELS[kind].mean), ("image_std", MODELS[kind].std))
    mean, std = (torch.tensor(given.get(key) or value).view(3, 1, 1) for key, value in usual)  # (3, 1, 1) each
    return (x - mean) / std
