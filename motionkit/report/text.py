"""Small texts and embedded files of the page."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from motionkit.media import write_video

NOTEBOOK_BYTES = 8 * 2**20  # of a video inside a notebook's page


def backbone(manifest: Mapping[str, Any]) -> str:
    """The backbone's name in a manifest, or nothing."""
    return str((manifest.get("backbone") or {}).get("name") or "")


def seconds(value: float | None) -> str:
    """A readable duration, or nothing."""
    if value is None:
        return ""
    return f"{value:.1f} s" if value < 99.95 else f"{int(value) // 60} min {int(value) % 60} s"


def memory(manifest: Mapping[str, Any]) -> str:
    """Peak memory in a manifest, or nothing."""
    peak = manifest.get("peak_memory") or {}
    parts = {"rss_mb": "", "cuda_mb": "GPU "}
    return ", ".join(f"{label}{peak[name]:.0f} MB" for name, label in parts.items() if name in peak)


def number(value: float | None) -> str:
    """A figure with three or four digits; a dash when there is none."""
    return "–" if value is None else f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def mp4(frames: np.ndarray, fps: float) -> str:
    """A video as a data: address."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_video(path, frames, fps)
        return data("video/mp4", path.read_bytes())


def png(frame: np.ndarray) -> str:
    """A picture as a data: address."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", optimize=True)
    return data("image/png", buffer.getvalue())


def data(kind: str, content: bytes) -> str:
    """A file as a data: address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def in_notebook(frames: np.ndarray, fps: float, caption: str, most: int = NOTEBOOK_BYTES) -> str:
    """A video (F, H, W, 3) uint8 as HTML that plays by itself, or its first frame where the page is over `most` bytes.

    Where that is too large too, the caption alone.
    """
    video = mp4(frames, fps)
    shown = _player(video)
    if len(shown) > most:
        shown = f'<img src="{png(frames[0])}" alt="the first frame">'
        caption += f": the video is over {most >> 20} MiB, which is too large to be shown here; save() writes it"
    return f"<figure>{shown if len(shown) <= most else ''}<figcaption>{escape(caption)}</figcaption></figure>"


def file_in_notebook(path: Path, caption: str, most: int = NOTEBOOK_BYTES) -> str:
    """A file of a video (.mp4) or of a picture (.png) as HTML; the caption alone where it is absent or too large."""
    shown = ""
    if path.is_file() and path.stat().st_size * 4 <= most * 3:  # as base64
        kind = "image/png" if path.suffix == ".png" else "video/mp4"
        address = data(kind, path.read_bytes())
        shown = f'<img src="{address}" alt="the table">' if kind == "image/png" else _player(address)
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _player(address: str) -> str:
    return f'<video src="{address}" controls autoplay loop muted playsinline></video>'
