"""A folder of clips, encoded once: latents, poses, pictures and image features of every frame.

The folder holds videos (mp4, gif, ...), or one folder of pictures per clip; no captions. Poses of `dance.mp4` or of the
folder `dance` may lie beside it: `dance.npz` (see `motionkit.perception.pose.files`) or `dance.json` (the same, or the
labels that `motionkit sprites what=dataset` writes); others are estimated. Clips in which nobody is found are left out.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from motionkit.context import Reporter
from motionkit.errors import UserError
from motionkit.media import Clip, letterbox, read_clip, replacing, resample, steady
from motionkit.perception.pose import PoseClip, PoseSettings, read_poses
from motionkit.perception.pose import files as pose_files
from motionkit.perception.pose.clip import POINTS
from motionkit.weights.hashing import hash_path

from .poses import placed, without_bars

VIDEOS = (".mp4", ".gif", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".webp", ".apng")
PICTURES = (".png", ".jpg", ".jpeg")
HELD_OUT = 0.1  # share of held-out clips, chosen by a hash of their names
_SMALL_FILE = 1 << 22
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoders:
    """The encoders of a clip's frames.

    Attributes:
        latents: frames (N, 3, H, W) in [0, 1] to latents (N, 4, h, w).
        features: frames to pooled features (N, C), or None when the image encoder is still learning.
        size: (height, width) of the frames, pixels.  fps: rate at which clips are read, or None.
        poses: given | estimated | both.  pose: of the estimator.  pocket: whether it is the sprites' own.
        identity: changes with the weights and settings of all this.
    """

    latents: Callable[[Tensor], Tensor]
    features: Callable[[Tensor], Tensor] | None
    size: tuple[int, int]
    fps: float | None
    poses: str
    pose: PoseSettings
    pocket: bool
    device: str
    identity: str


@dataclass(frozen=True)
class EncodedClip:
    """One encoded clip: its name in the folder, its file, its frames, how many readings of its poses there are."""

    name: str
    file: Path
    length: int
    readings: int


class PoseClips:
    """Clips with poses on disk, in a cache keyed by the encoders.

    Attributes:
        train, held_out: entries; `held_out` is empty for a small folder.
        notes: what is unusual about the data, a line each.

    Raises:
        UserError: no clips, poses that cannot be read, or no body in any clip.
    """

    def __init__(self, folder: Path, encoders: Encoders, cache: Path, progress: Reporter | None = None) -> None:
        self.size = encoders.size
        cache = cache / hashlib.sha256(encoders.identity.encode()).hexdigest()[:12]
        found = clips_in(folder)
        entries: list[EncodedClip] = []
        lost: list[EncodedClip] = []
        for i, path in enumerate(found):
            if progress:
                progress.tick("encode clips", i, len(found))
            name = path.relative_to(folder).as_posix()
            entry = self._entry(path, name, encoders, cache)
            (entries if entry.readings else lost).append(entry)
        if progress:
            progress.tick("encode clips", len(found), len(found))
        if not entries:
            raise UserError(
                f"data: no body was found in any of the {len(found)} clips of {folder}: use clips that "
                "show a body, another train.pose.backend, or put pose files beside them"
            )
        self.train = [e for e in entries if not _is_held_out(e.name)]
        self.held_out = [e for e in entries if _is_held_out(e.name)]
        if not self.train or len(entries) < 10:
            self.train, self.held_out = entries, []
        self.notes = []
        if lost:
            self.notes.append(
                f"{len(lost)} of {len(found)} clips left out because no body was found in them, e.g. {lost[0].name}"
            )
            _log.warning("%s", self.notes[-1])

    def _entry(self, path: Path, name: str, encoders: Encoders, cache: Path) -> EncodedClip:
        beside = [p for p in (_beside(path, ".npz"), _beside(path, ".json")) if p.is_file()]
        state = "\0".join([name, _mark(path), *(_mark(p) for p in beside)])
        file = cache / f"{hashlib.sha256(state.encode()).hexdigest()[:24]}.safetensors"
        known = _known(file)
        if known is None:
            clip = read_clip(path)
            given = read_given(beside[0], clip) if beside and encoders.poses != "estimated" else None
            if encoders.fps:
                clip, given = _at_rate(clip, given, encoders.fps)
            elif given is None:  # else each frame of the file has its own poses
                clip = steady(clip)
            known = _encode(clip, given, encoders, file)
        return EncodedClip(name, file, *known)

    def poses(self, entry: EncodedClip, reading: int = 0) -> PoseClip:
        """One reading of the poses of a whole clip."""
        with safe_open(entry.file, "pt") as file:
            xy = file.get_slice("xy")[reading].numpy().astype(np.float64)
            return PoseClip(xy, file.get_slice("seen")[reading].numpy().astype(bool), self.size)

    def identity(self) -> str:
        """A hash of the training data."""
        return hashlib.sha256(json.dumps([e.file.name for e in self.train]).encode()).hexdigest()[:16]


def clips_in(folder: Path) -> list[Path]:
    """The clips of a folder, sorted by name. Raises: UserError when there is none."""
    found = sorted(
        {p for p in folder.rglob("*") if p.suffix.lower() in VIDEOS and p.is_file()}
        | {p.parent for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.parent != folder}
    )
    found = [p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    if not found:
        raise UserError(f"data: no clips in {folder}: it needs mp4 or gif files, or one folder of pictures per clip")
    return found


def read_given(file: Path, clip: Clip) -> PoseClip | None:
    """The poses in a file beside a clip, one for each of its frames; None where labels say that there are none.

    Raises: UserError for a file that holds no poses, or another number of them.
    """
    labels = _labels(file)
    if labels is None:
        poses = pose_files.load(file, (clip.height, clip.width))
    elif labels["openpose"] is None:
        return None
    else:
        points = np.asarray(labels["openpose"], np.float64)
        if points.ndim != 3 or points.shape[1:] != (18, 2):
            raise UserError(f"{file}: its openpose has shape {points.shape}, not (frames, 18, 2)")
        poses = PoseClip.of(points / [clip.width, clip.height], (clip.height, clip.width))
    if len(poses) != len(clip):
        raise UserError(
            f"{file} holds {len(poses)} poses, the clip beside it has {len(clip)} frames: give one for each"
        )
    return poses


def _labels(file: Path) -> dict | None:
    """The labels of a sprite clip, or None when the file is a pose file."""
    if file.suffix != ".json":
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read as JSON ({type(error).__name__})") from error
    return content if isinstance(content, dict) and "openpose" in content else None


def _beside(clip: Path, suffix: str) -> Path:
    is_file = clip.suffix.lower() in VIDEOS  # a folder's name may hold dots of its own
    return clip.with_suffix(suffix) if is_file else clip.with_name(clip.name + suffix)


def _at_rate(clip: Clip, given: PoseClip | None, fps: float) -> tuple[Clip, PoseClip | None]:
    """Both at another rate: each chosen frame keeps its own poses."""
    out = resample(clip, fps=fps)
    if given is not None:
        at = np.floor(np.arange(len(out)) * (len(clip) / len(out)) + 1e-6).astype(int)
        given = given.frames(at.clip(0, len(clip) - 1))
    return out, given


def _is_held_out(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") < HELD_OUT * 2**32


def _mark(path: Path) -> str:
    """The state of a file or folder of pictures for its cache key: its bytes, or its times for large ones."""
    if path.is_dir():
        return "\0".join(f"{f.name} {_mark(f)}" for f in sorted(path.iterdir()) if f.is_file())
    facts = path.stat()
    return hash_path(path) if facts.st_size < _SMALL_FILE else f"{facts.st_size} {facts.st_mtime_ns}"


def _known(file: Path) -> tuple[int, int] | None:
    try:
        with safe_open(file, "pt") as source:
            readings, length = source.get_slice("xy").get_shape()[:2]
            return int(length), int(readings)
    except (OSError, SafetensorError):
        return None


def _encode(clip: Clip, given: PoseClip | None, encoders: Encoders, file: Path) -> tuple[int, int]:
    """Encode a clip to its file; returns its frames and the number of readings of its poses."""
    fitted = letterbox(clip, *encoders.size)[0]
    frames = fitted.frames
    readings = [placed(given, *encoders.size)] if given is not None and not given.empty.all() else []
    if encoders.poses != "given":
        shown, where = without_bars(fitted), encoders.device
        poses = read_poses(shown, encoders.pose, pocket=encoders.pocket, device=where, required=False)
        poses = placed(poses, *encoders.size)
        readings += [poses] if not poses.empty.all() else []
    pixels = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float() / 255  # (N, 3, H, W)
    packed = [cv2.imencode(".png", np.ascontiguousarray(f[..., ::-1]))[1].reshape(-1) for f in frames]
    out = {
        "latents": encoders.latents(pixels).half().cpu().contiguous(),
        "pictures": torch.from_numpy(np.concatenate(packed)),
        "ends": torch.tensor(np.cumsum([len(p) for p in packed])),
        "xy": torch.zeros(len(readings), len(frames), POINTS, 2),
        "seen": torch.zeros(len(readings), len(frames), POINTS, dtype=torch.uint8),
    }
    for i, poses in enumerate(readings):
        out["xy"][i], out["seen"][i] = torch.from_numpy(poses.xy), torch.from_numpy(poses.seen)
    if encoders.features is not None:
        out["features"] = encoders.features(pixels).half().cpu().contiguous()
    with replacing(file) as part:
        save_file(out, part)
    return len(frames), len(readings)


def pictures_of(entry: EncodedClip, which: list[int]) -> np.ndarray:
    """Some frames of an encoded clip, (len(which), H, W, 3) uint8 RGB."""
    with safe_open(entry.file, "pt") as file:
        ends, packed = [0, *file.get_tensor("ends").tolist()], file.get_slice("pictures")
        found = {i: packed[ends[i] : ends[i + 1]].numpy() for i in set(which)}
    decoded = {i: np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)) for i, data in found.items()}
    return np.stack([decoded[i][..., ::-1] for i in which])


def tensor_of(entry: EncodedClip, name: str, which: list[int]) -> Tensor:
    """Some frames of "latents" or "features" of an encoded clip, float32."""
    with safe_open(entry.file, "pt") as file:
        return file.get_tensor(name)[which].float()
