"""The stage cache: the output of a step on disk, under a key of everything that it depends on.

One safetensors file per stage holds its tensors, the pictures that it showed, and, as JSON in the header, its notes and
content hash. Files appear by rename, so a killed run leaves either a whole stage or none; a long step's checkpoint lies
beside it as `*.partial.safetensors` until the stage is whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.media.output_files import temporary_beside
from motionkit.running import cache_files
from motionkit.weights import places
from motionkit.weights.hashing import hash_json, hash_tensors

if TYPE_CHECKING:
    import numpy as np

    from motionkit.transfer import Inputs, MethodSpec, Stage, Tensors

_log = logging.getLogger(__name__)
_LEFT_SECONDS = 3600.0  # no file takes that long to write
LAYOUT = 1  # raise when the file layout or the meaning of a key changes
_OUT, _SHOWN = "out.", "shown."
_noted: set[Path] = set()  # folders for which a warning was given that they cannot be written


def cache_root() -> Path:
    """The folder of the stage cache, in MOTIONKIT_CACHE or ~/.cache/motionkit."""
    return places.user_cache() / "stages"


@dataclass
class StageOutput:
    """The output of one stage: tensors on the CPU, pictures for the report, notes for the manifest."""

    tensors: Tensors
    shown: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    content: str = ""


def stage_key(spec: MethodSpec, stage: Stage, inputs: Inputs, settings: Any, run: Mapping[str, Any]) -> str:
    """The key of a stage: a hash over exactly what it declares to depend on.

    Args:
        settings: the method's configuration dataclass.
        run: size, type, backbone fingerprint, seed and the parent stage's content.

    Raises:
        ValueError: the stage declares a setting that the configuration does not have.
    """
    facts = {
        "layout": LAYOUT,
        "method": (spec.name, spec.version),
        "stage": stage.name,
        "inputs": {name: inputs.hash_of(name) for name in sorted(stage.inputs)},
        "settings": pick_settings(settings, stage.settings),
        **{name: value for name, value in run.items() if stage.seeded or name != "seed"},
    }
    return hash_json(facts)[:32]


def pick_settings(settings: Any, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a dataclass under the given dotted prefixes, flattened; ("*",) is all of them."""
    flat = dict(_flatten(asdict(settings)))
    if "*" in prefixes:
        return flat
    chosen = {}
    for prefix in prefixes:
        below = {name: value for name, value in flat.items() if f"{name}.".startswith(f"{prefix}.")}
        if not below:
            raise ValueError(f"a stage declares the setting {prefix!r}, which {type(settings).__name__} does not have")
        chosen.update(below)
    return chosen


def _flatten(tree: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            pairs += _flatten(value, f"{above}{name}.")
        else:
            pairs.append((f"{above}{name}", value))
    return pairs


def normalise(tensors: Tensors) -> Tensors:
    """The same tensors as a cache hit would give: detached, on the CPU, contiguous, sharing no memory."""
    seen: set[int] = set()
    plain: Tensors = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        pointer = tensor.untyped_storage().data_ptr()
        if pointer in seen or tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size():
            tensor = tensor.clone()
        seen.add(pointer)
        plain[name] = tensor
    return plain


class StageCache:
    """The cached stages of one method."""

    def __init__(self, method: str, root: Path | None = None) -> None:
        self.folder = (root or cache_root()) / method

    def path(self, stage: str, key: str) -> Path:
        """The file of a stage with this key."""
        return self.folder / f"{stage}-{key}.safetensors"

    def load(self, stage: str, key: str) -> StageOutput | None:
        """A cached stage, or None; a damaged file counts as missing."""
        path = self.path(stage, key)
        loaded = _read(path)
        if loaded is None:
            return None
        tensors, facts = loaded
        out = {name.removeprefix(_OUT): tensor for name, tensor in tensors.items() if name.startswith(_OUT)}
        if not isinstance(facts.get("notes"), dict) or facts.get("content") != content_hash(out):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # marks it as used just now: the least recently used files are removed first
        shown = {name.removeprefix(_SHOWN): t.numpy() for name, t in tensors.items() if name.startswith(_SHOWN)}
        return StageOutput(out, shown, facts["notes"], facts["content"])

    def save(self, stage: str, key: str, output: StageOutput) -> None:
        """Save a finished stage, remove its checkpoints and, over the cache's limit, the least recently used files.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        import torch

        tensors = {f"{_OUT}{name}": tensor for name, tensor in output.tensors.items()}
        tensors |= {f"{_SHOWN}{name}": torch.from_numpy(frames.copy()) for name, frames in output.shown.items()}
        _write(self.path(stage, key), tensors, {"notes": output.notes, "content": output.content})
        with contextlib.suppress(OSError):
            for partial in self.folder.glob(f"{stage}-{key}*.partial.safetensors"):
                partial.unlink(missing_ok=True)
            for left in self.folder.glob(f".{stage}-{key}*"):  # left by killed runs; a younger one may still be in use
                if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                    left.unlink(missing_ok=True)
        cache_files.trim(self.folder.parent, keep=self.path(stage, key))

    def checkpoint(self, stage: str, key: str, part: str = "") -> StageCheckpoint:
        """The file in which a stage with this key, or a named part of it, saves its state while it runs."""
        return StageCheckpoint(self.folder / f"{stage}-{key}{part and '-' + part}.partial.safetensors")


@dataclass(frozen=True)
class StageCheckpoint:
    """A checkpoint file; see `motionkit.context.Checkpoint`."""

    path: Path

    def load(self) -> Tensors | None:
        """The last saved state, or None."""
        loaded = _read(self.path)
        return loaded[0] if loaded else None

    def save(self, tensors: Tensors) -> None:
        """Replace the state, atomically; where it cannot be written, the run goes on and cannot be resumed."""
        try:
            _write(self.path, normalise(tensors), {})
        except OSError as error:
            note_once(self.path.parent, error, "this step's state", "a killed run would start this step again")


def note_once(folder: Path, error: OSError, what: str, effect: str) -> None:
    """Warn, once for each folder of the cache, that it cannot be written."""
    if folder not in _noted:
        _noted.add(folder)
        _log.warning("%s cannot be saved in %s (%s): %s", what, folder, error.strerror or error, effect)


def content_hash(tensors: Tensors) -> str:
    """This stage's output as it enters the key of a later stage."""
    return hash_tensors(tensors)[:32]


def _read(path: Path) -> tuple[Tensors, dict[str, Any]] | None:
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            return None
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["motionkit"])
            if not isinstance(facts, dict):
                return None
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _write(path: Path, tensors: Tensors, facts: dict[str, Any]) -> None:
    """Raises: OSError, whatever the place refuses."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={"motionkit": json.dumps(facts)})
        except SafetensorError as error:  # safetensors wraps the system's error
            code = re.search(r"os error (\d+)", str(error))
            raise OSError(int(code[1]) if code else errno.EIO, str(error)) from error
