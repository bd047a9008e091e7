"""The rows that a protocol itself defines, as entries: methods, their ablations and yardsticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from motionkit.errors import UserError, unknown
from motionkit.running.choices import BackboneChoice
from motionkit.running.keywords import merged
from motionkit.table.bench.entry import Entry, expand
from motionkit.table.bench.protocol import NamedRow, Protocol


def entries_of_rows(
    protocol: Protocol,
    backbones: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    weights: BackboneChoice | None = None,
) -> list[Entry]:
    """The entries of a protocol's rows.

    Args:
        backbones: in place of the rows' own, for each row that has one: names, or patterns such as "pocket-*".
        settings: method -> settings that override those of each of its rows.
        weights: path, motion modules and LoRA of every row with a backbone; its name is ignored.

    Raises:
        UserError: settings of a method that has no row, or a row's trained model is missing.
    """
    methods = [row.method or row.yardstick for row in protocol.rows]
    for name in settings or {}:
        if name not in methods:
            raise unknown("method in settings", name, methods)
    chosen = expand(backbones)
    made: list[Entry] = []
    for row in protocol.rows:
        own = merged(row.settings, (settings or {}).get(row.method or row.yardstick) or {})
        entry = Entry(row.label, row.method or row.yardstick, row.backbone, own, yardstick=bool(row.yardstick))
        entry = replace(entry, sees=row.sees, pairs=row.pairs)
        if not entry.spec.backbones:
            made.append(entry)
            continue
        entry = replace(entry, **_weights(protocol, row, weights))
        named = [
            replace(entry, label=f"{row.label} on {b}" if len(chosen) > 1 else row.label, backbone=b) for b in chosen
        ]
        made += named or [entry]
    return made


def _weights(protocol: Protocol, row: NamedRow, weights: BackboneChoice | None) -> dict[str, Any]:
    if not row.model:
        if weights is None:
            return {}
        more = {"motion": weights.motion, "lora": weights.lora, "parts": weights.parts}
        return {"backbone_path": weights.path, **more}
    folder = Path(protocol.variants or "VARIANTS") / row.model / "model"
    if protocol.variants is None or not folder.is_dir():
        raise UserError(
            f"bench={protocol.name} measures trained models: give bench.variants=FOLDER with {row.model}/model in it "
            "(`make train-animatex-ablations` trains them into runs/train/animatex-ablations)"
        )
    return {"backbone_path": str(folder)}


def published_entries(protocol: Protocol) -> list[Entry]:
    """The entries of a protocol's unchanged rows; none where it has no rows, or some use the user's own models."""
    return [] if any(row.model for row in protocol.rows) else entries_of_rows(protocol)
