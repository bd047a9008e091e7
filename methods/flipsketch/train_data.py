"""The training data of a sketch LoRA: a folder of clips with captions, encoded once."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from motionkit.errors import UserError
from motionkit.media import Clip, letterbox, read_clip, replacing, resample, steady
from motionkit.weights.hashing import hash_path

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.context import Reporter

VIDEOS = (".mp4", ".gif", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".webp", ".apng")
PICTURES = (".png", ".jpg", ".jpeg")
HELD_OUT = 0.1  # share of held-out clips, chosen by a hash of their names
_CAPTION_BYTES = 1 << 16
_TABLE_BYTES = 1 << 26
_SMALL_FILE = 1 << 22
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedClip:
    """One encoded clip: its name in the folder, its caption, the file of its latents (N, 4, h, w), and N."""

    name: str
    caption: str
    file: Path
    length: int
    drawn: bool


def captioned(folder: Path) -> list[tuple[Path, str]]:
    """The clips of a folder (videos, gifs, folders of pictures) with their captions, sorted by name.

    The caption of `dance.gif` or of the folder `dance` is the text of `dance.txt` beside it, or its row in
    `captions.csv` (columns file and caption; paths from the folder).
    Raises: UserError when there is no clip, when one lacks a caption, or when the table cannot be read.
    """
    clips = sorted(
        {p for p in folder.rglob("*") if p.suffix.lower() in VIDEOS and p.is_file()}
        | {p.parent for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.parent != folder}
    )
    clips = [p for p in clips if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    if not clips:
        raise UserError(
            f"data: no clips in {folder}: it needs mp4 or gif files, or one folder of pictures per clip, "
            f"each with a caption in a .txt of the same name"
        )
    table = _table(folder / "captions.csv")
    names = {p.relative_to(folder).as_posix() for p in clips}
    if strange := sorted(set(table) - names):
        raise UserError(f"{folder / 'captions.csv'} names {strange[0]}, but {folder} has no such clip")
    found = [(p, _text(p) or table.get(p.relative_to(folder).as_posix(), "")) for p in clips]
    if bare := [p for p, caption in found if not caption]:
        first = bare[0].relative_to(folder)
        raise UserError(
            f"data: {len(bare)} of {len(clips)} clips have no caption, e.g. {first}: write {_beside(first)}"
            f" next to it, or a row in captions.csv (file,caption)"
        )
    return found


def _beside(clip: Path) -> Path:
    is_file = clip.suffix.lower() in VIDEOS  # a folder's name may hold dots of its own
    return clip.with_suffix(".txt") if is_file else clip.with_name(f"{clip.name}.txt")


def _text(clip: Path) -> str:
    file = clip.with_suffix(".txt") if clip.is_file() else clip.with_name(f"{clip.name}.txt")
    return " ".join(_read(file, _CAPTION_BYTES).split()) if file.is_file() else ""


def _read(file: Path, limit: int) -> str:
    try:
        if file.stat().st_size > limit:
            raise UserError(f"{file}: a caption file may have at most {limit} bytes")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as UTF-8 text ({type(error).__name__})") from error


def _table(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    reader = csv.DictReader(_read(file, _TABLE_BYTES).splitlines())
    if not {"file", "caption"} <= set(reader.fieldnames or ()):
        raise UserError(f"{file}: its first line must name the columns file and caption")
    return {row["file"].strip().rstrip("/"): " ".join((row["caption"] or "").split()) for row in reader if row["file"]}


class DrawingClips:
    """Captioned clips as latents on disk, in a cache that is known by backbone, size and rate.

    Attributes:
        train, held_out: entries; `held_out` is empty for a small folder.
        notes: what is unusual about the data, a line each.
    """

    def __init__(
        self,
        folder: Path,
        backbone: VideoBackbone,
        size: int,
        frames: int,
        cache: Path,
        fps: float | None = None,
        progress: Reporter | None = None,
    ) -> None:
        self.frames = frames
        key = json.dumps([backbone.fingerprint(), size, fps, backbone.plan.dtype, backbone.plan.autocast])
        cache = cache / hashlib.sha256(key.encode()).hexdigest()[:12]
        clips, entries = captioned(folder), []
        for i, (path, caption) in enumerate(clips):
            if progress:
                progress.tick("encode clips", i, len(clips))
            entries.append(self._entry(path, path.relative_to(folder).as_posix(), caption, backbone, size, fps, cache))
        if progress:
            progress.tick("encode clips", len(clips), len(clips))
        self.train = [e for e in entries if not _is_held_out(e.name)]
        self.held_out = [e for e in entries if _is_held_out(e.name)]
        if not self.train or len(entries) < 10:
            self.train, self.held_out = entries, []
        self.notes = []
        if other := [e.name for e in entries if not e.drawn]:
            self.notes.append(f"{len(other)} of {len(entries)} clips are not black lines on white, e.g. {other[0]}")
            _log.warning("%s", self.notes[-1])

    def _entry(
        self, path: Path, name: str, caption: str, backbone: VideoBackbone, size: int, fps: float | None, cache: Path
    ) -> EncodedClip:
        file = cache / f"{hashlib.sha256(_state(path, name).encode()).hexdigest()[:24]}.safetensors"
        known = _known(file)
        if known is None:
            clip = read_clip(path)
            known = _encode(resample(clip, fps=fps) if fps else steady(clip), backbone, size, file)
        length, drawn = known
        if length < self.frames:
            raise UserError(
                f"data: {name} has {length} frames, fewer than train.frames={self.frames}: "
                f"remove it, or set train.frames={length}"
            )
        return EncodedClip(name, caption, file, length, drawn)

    def batch(self, number: int, count: int, seed: int, dropped: float = 0.0) -> tuple[Tensor, list[str]]:
        """The `number`-th batch: latents (B, 4, F, h, w) float32 and captions, some of them empty.

        Every clip comes once before any comes again; a longer clip is cut at a random place.
        """
        latents, captions = [], []
        for place in range(number * count, (number + 1) * count):
            turn, index = divmod(place, len(self.train))
            entry = self.train[np.random.default_rng([seed, 1, turn]).permutation(len(self.train))[index]]
            rng = np.random.default_rng([seed, 2, place])
            latents.append(self.cut(entry, int(rng.integers(entry.length - self.frames + 1))))
            captions.append("" if rng.uniform() < dropped else entry.caption)
        return torch.stack(latents), captions

    def cut(self, entry: EncodedClip, start: int = 0) -> Tensor:
        """`frames` frames of a clip from `start` on, (4, F, h, w) float32."""
        with safe_open(entry.file, "pt") as file:
            part = file.get_slice("latents")[start : start + self.frames]  # (F, 4, h, w)
        return part.float().transpose(0, 1)  # (4, F, h, w)

    def identity(self) -> str:
        """A hash of the training data: the clips and their captions."""
        rows = [[e.file.name, e.caption] for e in self.train]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _is_held_out(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") < HELD_OUT * 2**32


def _state(path: Path, name: str) -> str:
    """The state of a clip for its cache key: its name and bytes, or times for large files."""
    files = sorted(f for f in path.iterdir() if f.is_file()) if path.is_dir() else [path]
    return "\0".join([name, *(f"{f.name} {_mark(f)}" for f in files)])


def _mark(file: Path) -> str:
    facts = file.stat()
    # By content, so that rewritten or copied clips are still the same.
    return hash_path(file) if facts.st_size < _SMALL_FILE else f"{facts.st_size} {facts.st_mtime_ns}"


def _known(file: Path) -> tuple[int, bool] | None:
    try:
        with safe_open(file, "pt") as source:
            return int(source.get_slice("latents").get_shape()[0]), (source.metadata() or {}).get("drawn") == "yes"
    except (OSError, SafetensorError):
        return None


def _encode(clip: Clip, backbone: VideoBackbone, size: int, file: Path) -> tuple[int, bool]:
    frames = letterbox(clip, size, size)[0].frames
    drawn = is_line_drawing(frames)
    pixels = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float() / 255  # (N, 3, H, W)
    latents = backbone.encode(pixels).half().cpu().contiguous()
    with replacing(file) as part:
        save_file({"latents": latents}, part, {"drawn": "yes" if drawn else "no"})
    return len(latents), drawn


def is_line_drawing(frames: np.ndarray) -> bool:
    """Whether (F, H, W, 3) uint8 frames are mostly white paper, and hardly coloured."""
    low, high = frames.min(-1), frames.max(-1)
    return bool((high - low).mean() < 8 and (low > 200).mean() > 0.6)
