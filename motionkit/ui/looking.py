"""A look at an uploaded clip: what it is, how long it lasts, and a strip of its frames for the time line."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit import media
from motionkit.errors import UserError
from motionkit.media.framing import resize
from motionkit.media.limits import Limits
from motionkit.media.sniff import CONTAINERS, sniff

if TYPE_CHECKING:
    from motionkit.media import Clip

PICKS, HEIGHT, LARGEST = 10, 54, 384  # frames of a strip; pixels of its height; longer side of a still preview


def look(path: Path) -> dict[str, Any]:
    """What the page shows of a clip: its kind ("image" or "video"), seconds, fps, frames, size, strip, still, notes.

    Raises:
        UserError: it is none that is read here, with the reason.
    """
    Limits().check_file(path)
    kind = sniff(path)
    whole = _scan(path, kind) if kind in CONTAINERS else None
    if whole is None:
        clip = media.read_clip(path)
        seconds, fps, count = clip.duration, clip.fps, len(clip)
    else:
        seconds, fps, count = whole
        clip = media.read_clip(path, wanted=media.Wanted(end=f"{seconds:.3f}", frames=min(PICKS, count)))
    still = clip.is_image or count == 1
    facts: dict[str, Any] = {"kind": "image", "seconds": None, "fps": None, "frames": 1, "strip": None}
    if not still:
        facts = {"kind": "video", "seconds": seconds, "fps": fps, "frames": count, "strip": jpeg(strip(clip))}
    return facts | {"size": [clip.width, clip.height], "still": jpeg(small(clip.frames[0])), "notes": list(clip.notes)}


def _scan(path: Path, kind: str) -> tuple[float, float, int]:
    """Seconds, frames per second and frames of a video, from its packets alone."""
    from motionkit.media.container import checked, opened
    from motionkit.media.scan import scan

    with opened(path, kind) as container:
        if not container.streams.video:
            raise UserError(f"{path.name}: has no picture in it; give a video")
        stream = container.streams.video[0]
        checked(path, stream, Limits())
        found = scan(path, container, stream)
    if not found.count:
        raise UserError(f"{path.name}: holds no frame that can be read; export it again")
    return found.seconds, found.rate, found.count


def strip(clip: Clip, picks: int = PICKS, height: int = HEIGHT) -> np.ndarray:
    """Frames evenly spread, side by side: (height, W, 3) uint8."""
    chosen = np.unique(np.linspace(0, len(clip) - 1, min(picks, len(clip))).round().astype(int))
    width = max(1, round(clip.width * height / clip.height))
    return np.concatenate([resize(clip.frames[i], height, width) for i in chosen], axis=1)  # (height, W, 3)


def small(frame: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) uint8 with a longer side of at most `LARGEST`."""
    scale = min(1.0, LARGEST / max(frame.shape[:2]))
    return resize(frame, max(1, round(frame.shape[0] * scale)), max(1, round(frame.shape[1] * scale)))


def jpeg(frame: np.ndarray) -> str:
    """A frame (H, W, 3) uint8 as a data: address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
