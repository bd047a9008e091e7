"""AnimateDiff's motion modules in one file, as their authors publish them, made into diffusers' MotionAdapter.

Read: v1 and v2 (mm_sd_v14, v15, v15_v2), v3 (v3_sd15_mm), SD XL beta, AnimateDiff-Lightning in both of its layouts, and
AnimateLCM, which leaves its position tables out. Names: github.com/guoyww/AnimateDiff, models/motion_module.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter

from motionkit.errors import UserError
from motionkit.weights.one_file import OneFile, Source, fill
from motionkit.weights.published_names import motion_name

_TABLE = "pos_embed.pe"
_IN_FILE = ("pos_encoder.pe", _TABLE)  # the table's name with the authors, and with diffusers
_FRAMES = 32  # of a file without tables


def config_of(held: OneFile) -> dict[str, Any]:
    """The MotionAdapter configuration that a file's names and shapes stand for. Raises: UserError for another file."""
    norms = (re.fullmatch(r"down_blocks\.(\d+)\.motion_modules\.0\.(?:temporal_transformer\.)?norm\.weight", key)
             for key in held.shapes)  # fmt: skip
    widths = {int(found[1]): held.shapes[found[0]][0] for found in norms if found}
    layers = [int(m[1]) for key in held.shapes if (m := re.match(r"down_blocks\.0\.motion_modules\.(\d+)\.", key))]
    if not widths or sorted(widths) != list(range(len(widths))):
        raise UserError(
            f"{held.file} holds no motion modules of AnimateDiff: none of its weights has one of their names"
        )
    tables = {held.shapes[key][1] for key in held.shapes if key.endswith(_IN_FILE)}
    return {
        "block_out_channels": [widths[i] for i in sorted(widths)],
        "motion_layers_per_block": max(layers) + 1,
        "motion_max_seq_length": max(tables, default=_FRAMES),
        "use_motion_mid_block": any(key.startswith("mid_block.") for key in held.shapes),
        **({"conv_in_channels": held.shapes["conv_in.weight"][1]} if "conv_in.weight" in held.shapes else {}),
    }


def read(held: OneFile, config: dict[str, Any], dtype: torch.dtype) -> MotionAdapter:
    """The modules themselves. Raises: UserError for weights that are missing, left over, or of another shape."""

    def find(names: Collection[str]) -> dict[str, Source]:
        theirs = {name: motion_name(name) for name in names}
        return {
            name: Source(key if key in held.shapes or name not in held.shapes else name) for name, key in theirs.items()
        }

    whole = any(key.endswith(_IN_FILE) for key in held.shapes)
    model, used = fill(
        lambda: MotionAdapter.from_config(config), held, find, dtype, "motion modules", () if whole else (_TABLE,)
    )
    left = [key for key in held.shapes if key not in used and not _same_table(held, key)]
    if left:
        raise UserError(f"{held.file} holds {len(left)} weights that do not belong to motion modules, e.g. {left[0]}")
    assert isinstance(model, MotionAdapter)
    return model


def _same_table(held: OneFile, key: str) -> bool:
    """Whether it is the table of a second attention layer, which diffusers keeps once for both: they are equal."""
    first = re.sub(r"attention_blocks\.\d+\.pos_encoder", "attention_blocks.0.pos_encoder", key)
    return key.endswith(_IN_FILE[0]) and first in held.shapes and torch.equal(held[key], held[first])


def frames_of(file: Path) -> int:
    """How many frames the modules in a file have positions for."""
    return int(config_of(OneFile(file))["motion_max_seq_length"])
