"""The request and the list of cells of a table, kept beside them in `tables/`; folders are merged from these.

No path of weights is needed to read it: a table is put together again from its cells alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from motionkit.backbones.lora_files import from_facts
from motionkit.backbones.motion_files import MotionOptions
from motionkit.backbones.part_files import parts_of
from motionkit.errors import UserError
from motionkit.media.output_files import write_json
from motionkit.settings.config import typed
from motionkit.table.bench.entry import Entry, Options
from motionkit.table.bench.planned import Cell
from motionkit.table.bench.protocol import Protocol
from motionkit.table.store import read_json
from motionkit.weights.hashing import hash_json

TABLES = "tables"
Planned = tuple[list[Cell], str]  # an entry's cells, or why it has none


def write(
    folder: Path, protocol: Protocol, entries: Sequence[Entry], options: Options, planned: Sequence[Planned]
) -> None:
    """Write a table's listing under a name that is the same on every machine.

    Raises:
        UserError: the folder cannot be written.
    """
    rows = [
        {"entry": asdict(entry), "refused": refused, "cells": [[c.index, c.seed, c.key] for c in cells]}
        for entry, (cells, refused) in zip(entries, planned, strict=True)
    ]
    asked = {"weights": dict(options.weights), "least": dict(options.least)}
    named = [[e.label, e.method, e.backbone, e.typed, Path(e.backbone_path or "").name] for e in entries]
    name = hash_json([protocol.hash, named, asked["least"]])[:16]
    write_json(folder / TABLES / f"{name}.json", {"protocol": asdict(protocol), **asked, "rows": rows})


def names(folders: Iterable[Path]) -> list[str]:
    """The listings of some folders, each once."""
    return sorted({path.name for folder in folders for path in (folder / TABLES).glob("*.json")})


def read(paths: Iterable[Path], root: Path) -> tuple[Protocol, list[Entry], Options, list[Planned]]:
    """One table from its listings in several folders; a row has the cells of the machines that could plan it.

    Args:
        root: the folder of the cells.

    Raises:
        UserError: a listing that cannot be used.
    """
    paths = list(paths)
    found = [facts for path in paths if (facts := read_json(path))]
    if not found:
        raise UserError(f"{paths[0]}: this listing cannot be read: run `motionkit bench` in that folder again")
    first = found[0]
    try:
        protocol = typed(Protocol, first["protocol"], "bench.").check()
        options = Options(weights=first["weights"], least=first["least"])
        rows = [_one(same) for same in zip(*(facts["rows"] for facts in found), strict=True)]
        entries = [_entry(row["entry"]) for row in rows]
        planned = [
            (
                [Cell(entry, protocol, index, seed, key, root, options) for index, seed, key in row["cells"]],
                "" if row["cells"] else row["refused"],
            )
            for entry, row in zip(entries, rows, strict=True)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{paths[0]}: this version cannot read the listing ({type(error).__name__}: {error})"
        ) from error
    return protocol, entries, options, planned


def _one(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """A row as listed by the machines that could plan it."""
    there = [row for row in rows if row["cells"]] or rows[:1]
    if any(row["cells"] != there[0]["cells"] for row in there):
        raise UserError(
            f"the folders have other cells for {there[0]['entry']['label']}: another version, other weights, another "
            "kind of machine or gpu= setting; only shards of one table go together"
        )
    return there[0]


def _entry(facts: Mapping[str, Any]) -> Entry:
    entry = Entry(**{**facts, "motion": None, "lora": None, "parts": None})
    motion, parts = facts.get("motion"), facts.get("parts")
    return replace(
        entry,
        motion=MotionOptions(**motion) if motion else None,
        lora=from_facts(facts.get("lora")),
        parts=parts_of(**parts) if parts else None,
    )
