"""What was recorded, and how an outcome is held against it: to the last bit, or nearly, on another machine."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tests.identity.places import EXPECTED, REFERENCE
from tests.identity.runs import Outcome

LEVELS = 1.0  # of 255: how far frames may lie from the reference on average on another machine
FIGURES = 1e-2  # how far a figure may, as a share of it, or of 1 where it is smaller


def key(facts: dict[str, str]) -> str:
    """An environment as one line."""
    return f"torch {facts['torch']}, {facts['capability']}, {facts['cpu']}, {facts['threads']} thread"


def recorded() -> dict[str, dict[str, Any]]:
    """Environment -> case -> {"hashes": ..., "figures": ...}; empty before anything was recorded."""
    return json.loads(EXPECTED.read_text()) if EXPECTED.is_file() else {}


def references() -> dict[str, np.ndarray]:
    """Case -> small frames (F, h, w, 3) uint8."""
    if not REFERENCE.is_file():
        return {}
    with np.load(REFERENCE) as file:
        return {name: file[name] for name in file.files}


def write(environment: str, outcomes: dict[str, Outcome], whole: bool) -> None:
    """Keep outcomes under an environment: in place of all that was there, or of the same cases alone."""
    known, small = recorded(), {} if whole else references()
    cases = {} if whole else known.get(environment, {})
    cases |= {name: {"hashes": made.hashes, "figures": made.figures} for name, made in outcomes.items()}
    EXPECTED.write_text(json.dumps(known | {environment: cases}, indent=1, sort_keys=True) + "\n")
    small |= {name: np.rint(made.small).astype(np.uint8) for name, made in outcomes.items() if len(made.small)}
    np.savez_compressed(REFERENCE, **dict(sorted(small.items())))  # type: ignore[arg-type]


def differences(made: Outcome, wanted: dict[str, Any]) -> list[str]:
    """Every hash or figure that is not equal, in words; a figure that is new is none."""
    was, now = wanted["hashes"] | wanted["figures"], made.hashes | made.figures
    names = sorted(was.keys() | made.hashes.keys())
    return [f"{n}: {was.get(n)} was recorded, {now.get(n)} came out" for n in names if was.get(n) != now.get(n)]


def distances(made: Outcome, figures: dict[str, float], reference: np.ndarray | None) -> list[str]:
    """Everything that is farther from what another machine made than LEVELS and FIGURES allow, in words."""
    found = []
    for name, was in figures.items():
        now = made.figures.get(name, np.nan)
        if not abs(now - was) <= FIGURES * max(1.0, abs(was)):
            found.append(f"{name}: {was} was recorded, {now} came out")
    if reference is None:
        return found + ["frames came out where none were recorded"] * (len(made.small) > 0)
    if reference.shape != made.small.shape:
        return [*found, f"frames: {reference.shape} were recorded, {made.small.shape} came out"]
    off = float(np.abs(made.small - reference).mean())
    return found + [f"frames lie {off:.2f} levels from the recorded ones"] * (off >= LEVELS)
