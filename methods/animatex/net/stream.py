"""Large safetensors files written one tensor at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from motionkit.errors import UserError

_NAMES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}


def write_stream(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype, source: str) -> None:
    """Write tensors, cast to `dtype`, in the safetensors format; mapped ones pass through memory one at a time.

    The library's own `save_file` holds every cast copy at once. The file gets its name when it is complete.
    Raises: UserError naming the tensor that holds NaN or infinity, also when only the cast makes it so.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end, width = 0, torch.empty(0, dtype=dtype).element_size()
    for name, value in tensors.items():
        start, end = end, end + value.numel() * width
        header[name] = {"dtype": _NAMES[dtype], "shape": list(value.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name, value in tensors.items():
                cast = value.detach().to("cpu", dtype).contiguous()
                if not torch.isfinite(cast).all():
                    short = str(dtype).removeprefix("torch.")
                    raise UserError(
                        f"{source}: {name} holds values beyond {short}: give dtype=float32 (or the file is damaged)"
                    )
                file.write(memoryview(cast.reshape(-1).view(torch.uint8).numpy()))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
