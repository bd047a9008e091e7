"""Pictures of several videos at once: a labelled grid video, and a still contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from motionkit.media.framing import resize

SMALLEST, LARGEST = 192, 512  # longer side of a tile in pixels: room for a label, and a bound on memory
_BAR, _GAP, _FONT = 26, 6, 14
_PAPER, _INK, _FAINT = (250, 250, 250), (20, 20, 24), (110, 110, 118)


@dataclass(frozen=True)
class Panel:
    """A labelled video: frames (F, H, W, 3) uint8; one frame is a still picture."""

    label: str
    frames: np.ndarray


def grid(panels: Sequence[Panel], columns: int | None = None) -> np.ndarray:
    """One video of all panels, each under its label.

    Args:
        panels: at least one; each has the same number of frames, or one frame, which then stands still.
        columns: tiles per row; None for all in one row up to 4, then as square as possible.

    Returns:
        (F, H, W, 3) uint8.

    Raises:
        ValueError: no panels, or different numbers of frames.
    """
    count = _common_count(panels)
    columns = columns or (len(panels) if len(panels) <= 4 else int(np.ceil(np.sqrt(len(panels)))))
    rows = -(-len(panels) // columns)
    height, width = _tile_size(panels)
    step_y, step_x = height + _BAR + _GAP, width + _GAP
    sheet = _blank(rows * step_y + _GAP, columns * step_x + _GAP)
    places = [(_GAP + index // columns * step_y, _GAP + index % columns * step_x) for index in range(len(panels))]
    for panel, (top, left) in zip(panels, places, strict=True):
        sheet[top : top + _BAR, left : left + width] = label_bar(panel.label, width)
    video = np.repeat(sheet[None], count, axis=0)  # (F, H, W, 3)
    for panel, (top, left) in zip(panels, places, strict=True):
        for index in range(count):
            frame = panel.frames[min(index, len(panel.frames) - 1)]
            video[index, top + _BAR : top + _BAR + height, left : left + width] = _fit(frame, height, width)
    return video


def contact_sheet(panels: Sequence[Panel], picks: int = 8) -> np.ndarray:
    """One picture: a row per panel, `picks` frames evenly spread from the first to the last; (H, W, 3) uint8.

    Raises:
        ValueError: as `grid`.
    """
    count = _common_count(panels)
    chosen = np.unique(np.linspace(0, count - 1, min(picks, count)).round().astype(int))
    height, width = _tile_size(panels, 128, 256)
    margin = 20 + max(_text_width(panel.label) for panel in panels)
    margin = min(margin, 240)
    sheet = _blank(_BAR + len(panels) * (height + _GAP), margin + len(chosen) * (width + _GAP))
    for column, index in enumerate(chosen):
        left = margin + column * (width + _GAP)
        sheet[:_BAR, left : left + width] = label_bar(f"frame {index + 1}", width, _FAINT)
    for row, panel in enumerate(panels):
        top = _BAR + row * (height + _GAP)
        middle = top + (height - _BAR) // 2
        sheet[middle : middle + _BAR, : margin - 4] = label_bar(panel.label, margin - 4)
        for column, index in enumerate(chosen):
            left = margin + column * (width + _GAP)
            frame = panel.frames[min(index, len(panel.frames) - 1)]
            sheet[top : top + height, left : left + width] = _fit(frame, height, width)
    return sheet


def label_bar(text: str, width: int, colour: tuple[int, int, int] = _INK) -> np.ndarray:
    """(26, width, 3) uint8: one line of text, cut with an ellipsis when it is too long."""
    image = Image.new("RGB", (width, _BAR), _PAPER)
    text = "".join(c if c.isprintable() else " " for c in text)
    while text and _text_width(text) > width - 8:
        text = text.rstrip("…")[:-1].rstrip() + "…" if len(text) > 1 else ""
    ImageDraw.Draw(image).text((4, _BAR // 2), text, colour, _font(), anchor="lm")
    return np.asarray(image)


def _common_count(panels: Sequence[Panel]) -> int:
    counts = {len(panel.frames) for panel in panels} - {1}
    if not panels or len(counts) > 1:
        raise ValueError(f"needs panels of one number of frames (or single frames), got {sorted(counts)}")
    return counts.pop() if counts else 1


def _tile_size(panels: Sequence[Panel], smallest: int = SMALLEST, largest: int = LARGEST) -> tuple[int, int]:
    height, width = (max(panel.frames.shape[axis] for panel in panels) for axis in (1, 2))
    longer = max(height, width)
    scale = min(max(longer, smallest), largest) / longer
    return max(1, round(height * scale)), max(1, round(width * scale))


def _fit(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """The frame scaled into (height, width), centred on paper."""
    scale = min(height / frame.shape[0], width / frame.shape[1])
    inner = min(height, max(1, round(frame.shape[0] * scale))), min(width, max(1, round(frame.shape[1] * scale)))
    tile = _blank(height, width)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    tile[top : top + inner[0], left : left + inner[1]] = resize(frame, *inner)
    return tile


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT)


def _text_width(text: str) -> int:
    return int(np.ceil(_font().getlength(text)))
