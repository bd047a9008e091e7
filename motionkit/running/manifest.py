"""The manifest: everything that is needed to know, repeat and cite a run."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys
import time
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import __version__
from motionkit.weights import places

if TYPE_CHECKING:
    from motionkit.transfer import Inputs, MethodSpec

PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "numpy", "av", "safetensors", "hydra-core")


def versions() -> dict[str, str]:
    """The versions that a result depends on: of packages, without importing them, and of the shipped small weights."""
    return _versions() | {"pocket-weights": places.weights_version()}


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "motionkit": __version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def method_facts(spec: MethodSpec, dist: str = "") -> dict[str, Any]:
    """Which method ran, and what to cite for it."""
    return {
        "name": spec.name,
        "version": spec.version,
        "distribution": dist,
        "title": spec.title,
        "paper_url": spec.paper_url,
        "licence": spec.licence,
        "citation": spec.citation,
    }


def input_facts(spec: MethodSpec, inputs: Inputs) -> dict[str, Any]:
    """Each given input: its name and hash (never a full path), and whether the method reads it."""
    used = spec.used(inputs)
    facts: dict[str, Any] = {}
    for name in inputs.present():
        value = getattr(inputs, name)
        fact: dict[str, Any] = {"used": name in used, "sha256": inputs.hash_of(name)}
        if hasattr(value, "frames"):
            fact |= {"name": value.name, "shape": list(value.frames.shape), "fps": value.fps}
            if value.notes:
                fact["notes"] = list(value.notes)
        elif name.endswith("prompt"):
            fact["text"] = value
        else:
            fact["name"] = Path(value).name
        facts[name] = fact
    return facts


def as_dict(value: Any) -> Any:
    """A dataclass as a dictionary; anything else as it is."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


class PeakMemory:
    """Peak memory from here on: resident memory of this process, and of the CUDA device when one is used."""

    def __init__(self, device: str = "cpu") -> None:
        self.cuda, self.device = device.startswith("cuda"), device
        self.began = time.monotonic()
        if self.cuda:
            import torch

            torch.cuda.init()
            torch.cuda.reset_peak_memory_stats(device)
        try:  # Linux resets the peak of earlier runs in this process on request
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass

    def facts(self) -> dict[str, float]:
        """Megabytes (10^6 bytes) at the peak."""
        facts = {"rss_mb": peak_rss() / 1e6}
        if self.cuda:
            import torch

            facts["cuda_mb"] = torch.cuda.max_memory_allocated(self.device) / 1e6
        return {name: round(value, 1) for name, value in facts.items()}


def peak_rss() -> float:
    """Bytes of resident memory at this process's peak; on Linux without a parent's."""
    try:
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere
