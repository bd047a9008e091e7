"""What ComfyUI offers the nodes: its folders, its progress bar with previews, its cancel button, its memory.

Its modules are looked up when a node runs. Without ComfyUI there are no folders of its own, no bar, and no cancelling.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from motionkit.context import NullProgress
from motionkit.errors import Cancelled, UserError
from motionkit.settings.named_files import READ
from motionkit.weights.places import assets

NONE = "(none)"  # no file of a list
FOLDERS = "MOTIONKIT_FILES"  # folders that settings may name too where others reach ComfyUI, as PATH lists its own
HOW = (
    f"put it below ComfyUI's input or models folder, or list its folder in {FOLDERS} where ComfyUI starts; what is "
    "saved goes below its output folder"
)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PREVIEW_SIDE = 512  # pixels, as ComfyUI's own previews


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in (name, name.partition(".")[0]):
            return None
        raise  # it is there and lacks something: the message says what


def listed(kind: str) -> list[str]:
    """The files of one of ComfyUI's model folders ("checkpoints", "loras"), after the word for none."""
    folders = _module("folder_paths")
    return [NONE, *(folders.get_filename_list(kind) if folders else [])]


def chosen(kind: str, name: str | None) -> str | None:
    """The path of a file of `listed`; None for none. Raises: UserError when it is no longer there."""
    folders = _module("folder_paths")
    if not name or name == NONE:
        return None
    found = folders.get_full_path(kind, name) if folders else None
    if found is None:
        raise UserError(f"{name} is not in ComfyUI's folder {kind}: choose another file")
    return str(found)


def place(kind: str) -> Path:
    """ComfyUI's "input", "output" or "temp" folder; without ComfyUI one of the system."""
    folders = _module("folder_paths")
    if folders is None:
        return Path(tempfile.gettempdir()) / "motionkit" / kind
    return Path(getattr(folders, f"get_{kind}_directory")())


def in_input(name: str, text: str) -> str | None:
    """The path of a ready-made map that lies below ComfyUI's input folder; None for no text.

    Raises:
        UserError: it lies elsewhere, or is not there.
    """
    if not text.strip():
        return None
    root = place("input").resolve()
    found = (root / text.strip()).resolve()
    if not found.is_relative_to(root) or not found.exists():
        raise UserError(f"{name}={text}: give a file or folder below ComfyUI's input folder, {root}")
    return str(found)


def may_name(place_named: str, kind: str) -> bool:
    """Whether a setting of a graph may name a place, to be read or written; any, where ComfyUI listens here alone."""
    arguments, folders = _module("comfy.cli_args"), _module("folder_paths")
    listens = str(getattr(getattr(arguments, "args", None), "listen", "127.0.0.1"))
    if all(name.strip() in _LOOPBACK for name in listens.split(",")):
        return True
    try:
        real = Path(place_named).expanduser().resolve()
    except (OSError, ValueError, RuntimeError):
        return False
    given = [Path(name) for name in os.environ.get(FOLDERS, "").split(os.pathsep) if name]
    readable = [*map(place, ("input", "temp")), Path(getattr(folders, "models_dir", assets())), assets(), *given]
    allowed = [place("output"), *(readable if kind == READ else ())]
    return any(real.is_relative_to(folder.resolve()) for folder in allowed)


class Watcher(NullProgress):
    """motionkit's progress as ComfyUI's bar under a node, with pictures of the clip while it is made."""

    previews = 0.5  # seconds between two pictures

    def __init__(self, node: str | None = None) -> None:
        self._utils, self._memory = _module("comfy.utils"), _module("comfy.model_management")
        self._node = node
        self._bar: Any = None
        self._total = 0

    def start(self, stage: str, total: int) -> None:
        """A new bar for each stage."""
        self._total = max(1, total)
        if self._utils is not None:
            given = {} if self._node is None else {"node_id": self._node}
            self._bar = self._utils.ProgressBar(self._total, **given)

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Move it, with a picture where there is one."""
        if self._bar is not None:
            self._bar.update_absolute(done, self._total, _picture(preview))

    def cancelled(self) -> bool:
        """Whether the cancel button was pressed."""
        return self._memory is not None and bool(self._memory.processing_interrupted())


def _picture(preview: np.ndarray | None) -> tuple[str, Any, int] | None:
    from PIL import Image

    return None if preview is None else ("JPEG", Image.fromarray(preview), _PREVIEW_SIDE)


@contextmanager
def running(gpu: str = "auto") -> Iterator[None]:
    """Where a method runs: with gradients, which ComfyUI turns off for nodes, and with the card to itself.

    Raises:
        InterruptProcessingException of ComfyUI, when the run was cancelled by its button.
    """
    import torch

    memory = _module("comfy.model_management")
    if memory is not None and gpu != "cpu":
        memory.unload_all_models()
        memory.soft_empty_cache()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    except Cancelled:
        if memory is not None:
            memory.throw_exception_if_processing_interrupted()
        raise
