"""What this machine has: its GPU, the memory of it, and what its processors can compute in."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motionkit.errors import UserError


@dataclass(frozen=True)
class DeviceFacts:
    """What this machine has. `vram_gb` is in GiB; bf16 and cpu_bf16: whether the hardware computes in bfloat16.

    mps: whether torch can use Apple's GPU.
    """

    cuda: bool = False
    name: str = "cpu"
    vram_gb: float = 0.0
    bf16: bool = False
    cpu_bf16: bool = False
    xformers: str | None = None
    xformers_kernel: bool = False
    compiler: bool = False
    os: str = "Linux"
    mps: bool = False


def detect(device: str | None = None) -> DeviceFacts:
    """Detect this machine's hardware (imports torch). Nothing is allocated but a few KB to try xformers.

    Args:
        device: "cuda:1" looks at that card; otherwise the first.

    Raises:
        UserError: there is no such card.
    """
    import torch

    common: dict[str, Any] = {
        "compiler": any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++", "cl")))
    }
    common |= {"os": platform.system(), "cpu_bf16": _cpu_bf16()}
    common["mps"] = torch.backends.mps.is_available()
    if not torch.cuda.is_available():
        return DeviceFacts(**common)
    index = card_of(device)
    if index >= torch.cuda.device_count():
        raise UserError(f"gpu.device={device}: this machine has {torch.cuda.device_count()} GPU(s), from cuda:0")
    properties = torch.cuda.get_device_properties(index)
    version, works = _xformers()  # 160 channels: the widest head of SD 1.x
    return DeviceFacts(
        cuda=True,
        name=properties.name,
        vram_gb=properties.total_memory / 2**30,
        bf16=properties.major >= 8,  # older ones emulate it
        xformers=version,
        xformers_kernel=works,
        **common,
    )


def card_of(device: str | None) -> int:
    """The number of a CUDA device: 1 of "cuda:1", 0 of "cuda" and of anything else."""
    number = (device or "").partition(":")[2]
    return int(number) if number.isdecimal() else 0


def _cpu_bf16() -> bool:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def _xformers() -> tuple[str | None, bool]:
    import torch

    try:
        import xformers
        import xformers.ops
    except Exception:  # a build for another torch fails in many ways
        return None, False
    try:
        q = torch.ones(1, 16, 1, 160, device="cuda", dtype=torch.float16)
        xformers.ops.memory_efficient_attention(q, q, q)
    except Exception:
        return xformers.__version__, False
    return xformers.__version__, True
