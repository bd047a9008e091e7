"""`viewer=rerun`: what a run is given, sees and makes, step by step, as a recording for the rerun viewer.

One watcher (`motionkit.context.Progress`) for every method: what is shown follows from the shapes of what steps make.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from motionkit.context import NullProgress
from motionkit.errors import UserError
from motionkit.running.progress import VIEWERS
from motionkit.settings.setting import check_choice

FILE = "viewer.rrd"
_QUALITY = 90  # of JPEG pictures in a recording
_DEEPEST = 64  # channels of a latent


def check(name: str) -> None:
    """Raises: UserError where the viewer is none of `VIEWERS`, or its package is not installed."""
    check_choice("viewer", name, VIEWERS)
    if name != "none" and importlib.util.find_spec("rerun") is None:
        raise UserError(f"viewer={name} needs rerun-sdk: pip install 'motionkit[viewer]', or give viewer=none")


class RerunViewer(NullProgress):
    """Writes a recording: clips, points, masks, maps, flow and latents of each step, by frame; latents by step, too.

    The file is begun with the first thing to show, when all has been checked. Nothing of the run is changed.

    Args:
        folder: of the run; the recording is `viewer.rrd` in it.
        live: whether rerun's own window is opened as well.
    """

    def __init__(self, folder: Path, live: bool = False) -> None:
        self.path, self.live = folder / FILE, live
        self._held: Any = None
        self._frames = 1

    def on_output(self, stage: str, tensors: Mapping[str, Any], shown: Mapping[str, np.ndarray]) -> None:
        """Show what a step made: tensors whose shape says what they are, and the pictures that it shows."""
        if stage == "inputs":
            self._frames = max((len(clip) for clip in shown.values()), default=1)
        for name, clip in shown.items():
            self._by_frame(f"{stage}/{name}", clip, self._picture)
        for name, tensor in tensors.items():
            values = _array(tensor)
            kind = kind_of(values, self._frames)
            if kind and name not in shown:
                self._by_frame(f"{stage}/{name}", *self._ways(kind, values))

    def on_latents(self, stage: str, done: int, latents: Any, timestep: float) -> Any:
        """Show the latents (B, C, F, h, w) after a step, frames side by side; returns them as they are."""
        clip = latent_pictures(_array(latents[0]).transpose(1, 0, 2, 3))  # (F, h, w, 3)
        self._at("step", done, f"{stage}/latents", self._picture(np.concatenate(list(clip), 1)))
        return latents

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Show a picture of the clip as it is denoised, where one is made."""
        if preview is not None:
            self._at("step", done, f"{stage}/preview", self._picture(np.asarray(preview)))

    def close(self) -> None:
        """Finish the file."""
        if self._held is not None:
            self._held.flush()
            self._held.disconnect()
            self._held = None

    def _ways(self, kind: str, values: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
        import rerun as rr

        if kind == "points":
            return values, lambda points: rr.Points2D(points)
        if kind == "masks":
            masks = values.reshape(len(values), *values.shape[-2:]).astype(np.uint8)  # (F, H, W)
            return masks, lambda mask: rr.SegmentationImage(mask)
        made: dict[str, Callable[[np.ndarray], np.ndarray]]
        made = {"maps": map_pictures, "flow": flow_pictures, "latents": latent_pictures, "pictures": np.asarray}
        return made[kind](values), self._picture

    def _picture(self, pixels: np.ndarray) -> Any:
        import rerun as rr

        return rr.Image(np.ascontiguousarray(pixels)).compress(jpeg_quality=_QUALITY)

    def _by_frame(self, entity: str, clip: np.ndarray, made: Callable[[np.ndarray], Any]) -> None:
        for index, frame in enumerate(clip):
            self._at("frame", index, entity, made(frame))

    def _at(self, timeline: str, number: int, entity: str, what: Any) -> None:
        if self._held is None:
            self._held = self._open()
        self._held.reset_time()
        self._held.set_time(timeline, sequence=number)
        self._held.log(entity, what)

    def _open(self) -> Any:
        import rerun as rr

        recording = rr.RecordingStream("motionkit")
        if self.live:
            rr.spawn(connect=False)
            recording.set_sinks(rr.sinks.GrpcSink(), rr.sinks.FileSink(str(self.path)))
        else:
            recording.save(self.path)
        return recording


def kind_of(values: np.ndarray, frames: int) -> str:
    """What a step's output is, by its shape: "" for what is no clip of that many frames (or of one).

    (F, H, W, 3) uint8 is pictures, (F, K, 2) points, (F, h, w, 2) flow, (F, C, h, w) or (1, C, F, h, w) latents, and
    (F, H, W) or (F, 1, H, W) masks where all values are 0 or 1, else maps.

    >>> kind_of(np.zeros((4, 5, 2)), 4), kind_of(np.zeros((4, 4, 8, 8)), 4), kind_of(np.zeros((320, 4, 3, 3)), 4)
    ('points', 'latents', '')
    """
    shape = values.shape
    if values.ndim == 5:
        return "latents" if shape[0] == 1 and 1 < shape[1] <= _DEEPEST and shape[2] in (1, frames) else ""
    if values.ndim not in (3, 4) or shape[0] not in (1, frames) or values.size == 0:
        return ""
    if values.dtype == np.uint8 and values.ndim == 4 and shape[-1] == 3:
        return "pictures"
    if shape[-1] == 2:
        return "flow" if values.ndim == 4 else "points"
    if min(shape[-2:]) < 4:
        return ""
    if values.ndim == 3 or shape[1] == 1:
        return "masks" if bool(((values == 0) | (values == 1)).all()) else "maps"
    return "latents" if shape[1] <= _DEEPEST else ""


def latent_pictures(latents: np.ndarray) -> np.ndarray:
    """The first three channels of latents (F, C, h, w) or (1, C, F, h, w) as (F, h, w, 3) uint8, over all their values.

    They are no colours: they show where something is and how it moves.
    """
    clip = latents[0].transpose(1, 0, 2, 3) if latents.ndim == 5 else latents  # (F, C, h, w)
    seen = np.repeat(clip[:, :1], 3, 1) if clip.shape[1] < 3 else clip[:, :3]
    return _spread(seen.transpose(0, 2, 3, 1))


def map_pictures(maps: np.ndarray) -> np.ndarray:
    """Maps (F, H, W) or (F, 1, H, W), such as depth, as grey pictures (F, H, W, 3) uint8, spread over all values."""
    clip = maps.reshape(len(maps), *maps.shape[-2:])
    return np.repeat(_spread(clip)[..., None], 3, -1)


def flow_pictures(flow: np.ndarray) -> np.ndarray:
    """A field (F, h, w, 2) as (F, h, w, 3) uint8: hue is its direction, brightness its length, black is rest.

    A field of places to look at, in [-1, 1] as torch's `grid_sample` takes them, counts from where each place is.
    """
    import cv2

    height, width = flow.shape[1:3]
    here = np.stack(np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height)), -1)  # (h, w, 2)
    mean = flow.mean(0)
    moved = flow - here if np.abs(mean - here).mean() < np.abs(mean).mean() else flow
    length = np.linalg.norm(moved, axis=-1)  # (F, h, w)
    hue = (np.arctan2(moved[..., 1], moved[..., 0]) + np.pi) * 90 / np.pi
    value = 255 * length / max(float(length.max()), 1e-12)
    colours = np.stack([hue, np.full_like(hue, 255), value], -1).round().astype(np.uint8)  # (F, h, w, 3)
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_HSV2RGB) for frame in colours])


def _spread(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values.astype(np.float64), (1, 99))
    return (255 * np.clip((values - low) / max(high - low, 1e-12), 0, 1)).round().astype(np.uint8)


def _array(value: Any) -> np.ndarray:
    """A tensor, wherever it is, or an array, as an array in float32 or of whole numbers."""
    if hasattr(value, "detach"):
        value = value.detach()
        value = (value.float() if value.is_floating_point() else value).cpu().numpy()
    return np.asarray(value)
