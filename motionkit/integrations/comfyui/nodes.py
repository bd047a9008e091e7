"""The nodes themselves: one that loads each method, one that runs a method, one that compares several."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from motionkit import registry
from motionkit.errors import UserError
from motionkit.integrations.comfyui import host, pictures
from motionkit.integrations.comfyui.loading import CATEGORY, TYPE, Loaded, make
from motionkit.integrations.comfyui.widgets import Declared
from motionkit.running import keywords
from motionkit.running.clips import CLIPS
from motionkit.running.request import TEXTS
from motionkit.table.calls import compare
from motionkit.transfer import MAPS
from motionkit.weights.hashing import hash_json, hash_path

MOST = 8  # methods side by side
_SEEDS = 2**63 - 1
_SIZES = "A side in pixels, or WIDTHxHEIGHT; nothing is the backbone's own."


def _readers(name: str) -> str:
    """Which methods read an input, for its tooltip."""
    needs, uses = [], []
    for spec in map(registry.spec, registry.names()):
        needs += [spec.name] if name in [need.name for need in spec.requires] else []
        uses += [spec.name] if name in [need.name for need in spec.uses] else []
    words = [f"needed by {', '.join(needs)}"] if needs else []
    words += [f"read by {', '.join(uses)}"] if uses else []
    return ("; ".join(words) or "read by no method here").capitalize() + "."


def _inputs() -> dict[str, Any]:
    """What every request has: clips, texts, ready-made maps, and the size of the result."""
    given: dict[str, Declared] = {name: ("IMAGE", {"tooltip": _readers(name)}) for name in CLIPS}
    given |= {name: ("STRING", {"default": "", "multiline": True, "tooltip": _readers(name)}) for name in TEXTS}
    rate = "Frames per second of the driving frames."
    given["fps"] = ("FLOAT", {"default": 8.0, "min": 0.1, "max": 240.0, "step": 0.01, "tooltip": rate})
    given["frames"] = ("INT", {"default": 0, "min": 0, "max": 4096, "tooltip": "Of the result; 0 is the method's own."})
    given["size"] = ("STRING", {"default": "", "tooltip": _SIZES})
    for name in MAPS:
        if name == "masks":
            given[name] = ("MASK", {"tooltip": f"The subject in each frame that is used. {_readers(name)}"})
        else:
            said = f"Ready-made, below ComfyUI's input folder. {_readers(name)}"
            given[name] = ("STRING", {"default": "", "tooltip": said, "advanced": True})
    seed = ("INT", {"default": 0, "min": 0, "max": _SEEDS, "control_after_generate": True})
    return {"required": {"seed": seed}, "optional": given, "hidden": {"unique_id": "UNIQUE_ID"}}


def _words(given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a node as keywords of a call. Raises: UserError for a map that is not there."""
    fps = float(given.get("fps") or 8.0)
    words: dict[str, Any] = {name: pictures.clip_of(given.get(name), fps, name) for name in CLIPS}
    words |= {name: str(given.get(name) or "") for name in TEXTS}
    words |= {"frames": int(given.get("frames") or 0) or None, "size": str(given.get("size") or "").strip() or None}
    words |= {name: host.in_input(name, str(given.get(name) or "")) for name in MAPS if name != "masks"}
    if given.get("masks") is not None:
        words["masks"] = str(pictures.write_masks(given["masks"], _folder("temp", "masks") / "masks.npy"))
    return {name: value for name, value in words.items() if value not in (None, "")}


def _folder(kind: str, verb: str) -> Path:
    """A new folder below one of ComfyUI's."""
    return host.place(kind) / "motionkit" / f"{verb}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


class _Runs:
    """What the nodes that run methods share."""

    CATEGORY = CATEGORY

    @classmethod
    def IS_CHANGED(cls, **given: Any) -> str:
        """A hash of the ready-made maps, which may change while their names stay."""
        names = [name for name in MAPS if isinstance(given.get(name), str)]
        paths = [path for name in names if (path := host.in_input(name, given[name]))]
        return hash_json([hash_path(Path(path)) for path in paths])


class Transfer(_Runs):
    """Runs one method on one request."""

    DESCRIPTION = "Moves a character as another clip moves. Connect what the method reads; see each input's tooltip."
    FUNCTION = "transfer"
    RETURN_TYPES = ("IMAGE", "FLOAT", "STRING")
    RETURN_NAMES = ("frames", "fps", "folder")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """A loaded method, and the request."""
        made = _inputs()
        samplers = ["auto", *registry.SAMPLERS.names()]
        sampler = {"sampler": (samplers, {"default": "auto", "tooltip": "auto is the backbone's own."})}
        required = {"method": (TYPE, {"tooltip": "From a node that loads one."})} | made["required"]
        return made | {"required": required, "optional": made["optional"] | sampler}

    def transfer(
        self, method: Loaded, seed: int = 0, sampler: str = "auto", unique_id: str | None = None, **given: Any
    ) -> tuple[Any, float, str]:
        """Frames (F, H, W, 3), their rate, and the folder with video and manifest, in ComfyUI's temporary one.

        Raises:
            UserError: the request cannot work; InterruptProcessingException of ComfyUI: it was cancelled.
        """
        words = _words(given)
        with host.running(method.gpu):
            watcher, folder = host.Watcher(unique_id), _folder("temp", "transfer")
            made = method.method()(seed=seed, sampler=sampler, folder=folder, progress=watcher, **words)
            return pictures.image_of(made.frames), float(made.fps), str(made.folder)


class Compare(_Runs):
    """Runs several methods on one request, and measures them."""

    DESCRIPTION = "The same request through several methods: a video side by side, a report, and figures."
    FUNCTION = "compare"
    RETURN_TYPES = ("IMAGE", "FLOAT", "STRING", "STRING")
    RETURN_NAMES = ("grid", "fps", "report", "metrics")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Two to eight loaded methods, and the request."""
        made = _inputs()
        handles: dict[str, Declared] = {f"method_{n}": (TYPE, {}) for n in range(1, MOST + 1)}
        first = {name: handles.pop(name) for name in ("method_1", "method_2")}
        truth = {"truth": ("IMAGE", {"tooltip": "The true video where it is known; figures are taken against it."})}
        return made | {"required": first | made["required"], "optional": handles | truth | made["optional"]}

    def compare(
        self, seed: int = 0, truth: Any = None, unique_id: str | None = None, **given: Any
    ) -> tuple[Any, float, str, str]:
        """The grid (F, H, W, 3), its rate, the report's path in ComfyUI's output folder, and metrics.json's text.

        Raises:
            UserError: nothing to compare, or no method made a result; InterruptProcessingException of ComfyUI.
        """
        methods = [given[name] for n in range(1, MOST + 1) if given.get(name := f"method_{n}") is not None]
        words = _words(given) | {"truth": pictures.clip_of(truth, float(given.get("fps") or 8.0), "truth")}
        shared, settings = _shared(methods), {m.name: _nested(m) for m in methods if m.settings}
        folder = _folder("output", "compare")
        with host.running(shared["gpu"]):
            names, watcher = [m.name for m in methods], host.Watcher(unique_id)
            done = compare(names, seed=seed, settings=settings, folder=folder, progress=watcher, **shared, **words)
            if len(done.failed) == len(methods):
                raise UserError("; ".join(f"{name}: {reason}" for name, reason in done.failed.items()))
            grid, fps = pictures.clip_from(folder / "grid.mp4")
        return grid, fps, str(done.report), (folder / "metrics.json").read_text(encoding="utf-8")


def _shared(methods: list[Loaded]) -> dict[str, Any]:
    """Backbone and memory of a comparison, which are the same for all of its methods.

    Raises:
        UserError: two methods differ in them, or one has a LoRA.
    """
    if tuned := [m.name for m in methods if m.lora]:
        raise UserError(f"compare takes no LoRA, and {tuned[0]} has one: run it by itself")
    found: dict[str, Any] = {}
    for name, key, usual in (("backbone", "backbone", "auto"), ("path", "backbone_path", None), ("gpu", "gpu", "auto")):
        values = {getattr(m, name) for m in methods} - {usual}
        if len(values) > 1:
            raise UserError(f"compare runs all methods with one {name}, not with {', '.join(map(str, sorted(values)))}")
        found[key] = values.pop() if values else usual
    return found | {"backbone": None if found["backbone"] == "auto" else found["backbone"]}


def _nested(method: Loaded) -> dict[str, Any]:
    config = registry.settings_class(registry.spec(method.name))
    return keywords.sort(config, method.settings, (), {}).settings


def _mappings() -> tuple[dict[str, type], dict[str, str]]:
    classes: dict[str, type] = {"motionkit_transfer": Transfer, "motionkit_compare": Compare}
    titles = {"motionkit_transfer": "motionkit: transfer", "motionkit_compare": "motionkit: compare"}
    for name in registry.names():
        spec = registry.spec(name)
        classes[f"motionkit_load_{name}"] = make(spec)
        titles[f"motionkit_load_{name}"] = f"motionkit: load {spec.title}"
    return classes, titles


NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS = _mappings()
