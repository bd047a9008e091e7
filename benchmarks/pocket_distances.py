"""What the pocket distances see: true sprite clips of held-out characters, spoilt in known ways, against themselves.

    .venv/bin/python benchmarks/pocket_distances.py

Writes pocket_distances.md beside itself. 32 clips of 8 frames at 128 pixels; `alone` is the distance of sides that were
exchanged by chance, that is, what so few clips cost when nothing differs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from motionkit.errors import in_one_line
from motionkit.metrics import protocols
from motionkit.sprites import render_clip
from motionkit.sprites.sampling import stream

CLIPS, FRAMES, SIZE = 32, 8, 128
NAMES = ("pocket_fvd", "pocket_energy", "pocket_fid")


def true_clips(seed: int) -> list[np.ndarray]:
    """Clips (F, H, W, 3) uint8 of the test split."""
    pairs = itertools.islice(stream(seed, "test"), CLIPS)
    return [render_clip(character, motion, FRAMES, SIZE).frames for character, motion in pairs]


def spoilers() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Name -> what it does to a clip."""
    rng = np.random.default_rng(0)

    def clipped(video: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(video), 0, 255).astype(np.uint8)

    return {
        "the same clips": lambda v: v,
        "frozen at the first frame": lambda v: np.repeat(v[:1], len(v), axis=0),
        "frames shuffled": lambda v: v[rng.permutation(len(v))],
        "played backwards": lambda v: v[::-1].copy(),
        "half the speed": lambda v: np.repeat(v[: len(v) // 2], 2, axis=0),
        "a blue tint": lambda v: clipped(v * np.array([0.7, 0.85, 1.0])),
        "flicker of 15 %": lambda v: clipped(v * (1 + 0.15 * rng.normal(size=(len(v), 1, 1, 1)))),
        "noise, sigma 8 of 255": lambda v: clipped(v + rng.normal(0, 8, v.shape)),
        "noise, sigma 20 of 255": lambda v: clipped(v + rng.normal(0, 20, v.shape)),
        "noise, sigma 60 of 255": lambda v: clipped(v + rng.normal(0, 60, v.shape)),
    }


def main() -> None:
    protocol, truths = protocols.get("sprites-v1"), true_clips(1)
    sides = {name: [spoil(v) for v in truths] for name, spoil in spoilers().items()}
    sides["other true clips"] = true_clips(2)
    lines = [
        "# What the pocket distances see",
        "",
        f"{CLIPS} clips of {FRAMES} frames, {SIZE} x {SIZE}, held-out characters; value [95 % interval], and what "
        f"so few clips cost alone. Protocol {protocol.name}, version {protocol.version}, hash {protocol.hash[:12]}.",
        "",
        "| | " + " | ".join(f"{protocol.facts[name].title} | alone" for name in NAMES) + " |",
        "|---" * (1 + 2 * len(NAMES)) + "|",
    ]
    figures = {}
    for label, videos in sides.items():
        cells = []
        found = protocol.sets(videos, truths)
        figures[label] = {name: asdict(found[name]) for name in NAMES}
        for figure in (found[name] for name in NAMES):
            cells += [f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]", figure.note.split()[0]]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    in_one_line(main)
