"""Random clips for training and tests, with splits that never share a character and hold out kinds and motions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from motionkit.sprites.kinds import (
    BIPEDS,
    HELD_OUT_KINDS,
    HELD_OUT_SETTINGS,
    QUADRUPEDS,
    TRAIN_KINDS,
    Character,
    character,
    rng_of,
)
from motionkit.sprites.motions import MOTIONS, TRAIN_MOTIONS, Motion

# "judge" shows training characters of every kind in every motion: networks that measure must know the held-out ones.
SPLITS = ("train", "val", "test", "judge")


def split_of(key: str) -> str:
    """The split of a character instance by a hash of its key: 80 % train, 10 % val, 10 % test."""
    draw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little") % 100
    return "train" if draw < 80 else "val" if draw < 90 else "test"


def kinds_of(split: str) -> tuple[str, ...]:
    """Kinds that a split may show: held-out kinds never appear in train or val."""
    return TRAIN_KINDS if split in ("train", "val") else QUADRUPEDS + BIPEDS


def motions_of(split: str) -> tuple[str, ...]:
    """Motions that a split may show: held-out motions never appear in train or val."""
    return TRAIN_MOTIONS if split in ("train", "val") else tuple(MOTIONS)


def random_character(
    rng: np.random.Generator, split: str, setting: str = "easy", kinds: Sequence[str] | None = None
) -> Character:
    """A character of the split, its kind drawn uniformly from `kinds` (default: all that the split may show).

    Raises:
        ValueError: unknown split, a held-out kind in train or val, or a held-out setting in any split but test.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    pool, wanted = tuple(kinds or kinds_of(split)), "train" if split == "judge" else split
    if split in ("train", "val") and set(pool) & set(HELD_OUT_KINDS):
        raise ValueError(f"held-out kinds {sorted(set(pool) & set(HELD_OUT_KINDS))} are not shown in training")
    kind = str(rng.choice(pool))
    if setting in HELD_OUT_SETTINGS and split != "test":
        raise ValueError(f"setting {setting} is only for measuring: it is shown in the test split alone")
    while True:  # one draw in ten falls into a small split
        seed = int(rng.integers(0, 2**31))
        if split_of(f"{setting}/{kind}/{seed}") == wanted:
            return character(seed, kind, setting)


def random_motion(rng: np.random.Generator, split: str, motions: Sequence[str] | None = None) -> Motion:
    """A motion of the split with random phase, speed, amplitude and a small start pose."""
    name = str(rng.choice(tuple(motions or motions_of(split))))
    start = {
        b: float(rng.normal(0, 0.08))
        for b in ("head", "arm_near", "arm_far", "leg_near", "leg_far", "tail", "forearm_near", "shin_near")
    }
    return Motion(name, float(rng.uniform()), float(rng.uniform(0.7, 1.2)), float(rng.uniform(0.75, 1.15)), start)


def stream(seed: int, split: str, setting: str = "easy") -> Iterator[tuple[Character, Motion]]:
    """Endless, reproducible pairs of character and motion."""
    rng = rng_of("stream", seed, split, setting)
    while True:
        yield random_character(rng, split, setting), random_motion(rng, split)
