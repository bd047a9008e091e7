"""Requests of the sprite world with known answers; what they draw depends on index and seed alone.

Every character is of the test split, which no training used. Tasks (`motionkit.table.bench.tasks`) and the scripts in
benchmarks/ take their clips from here. Whoever changes what is drawn raises `VERSIONS` in tasks.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motionkit.sprites import BIPEDS, COLOURS, QUADRUPEDS, TRAIN_KINDS, SpriteClip, character, render_clip
from motionkit.sprites.kinds import article, rng_of
from motionkit.sprites.motions import HELD_OUT_MOTIONS, TRAIN_MOTIONS, Motion
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.sprites.world import DOING

SIZE = 128  # pixels: what the shipped pocket backbones draw


def caption(clip: SpriteClip) -> str:
    """What a clip shows, such as "a red horse walking"."""
    words = f"{clip.character.colour} {clip.character.kind} {DOING[clip.motion.name]}"
    return f"{article(words)} {words}"


@dataclass(frozen=True)
class Triple:
    """A transfer: `source` is a clip of B, `driving` one of A, and `truth` is B under A's very motion."""

    index: int
    source: SpriteClip
    driving: SpriteClip
    truth: SpriteClip


def make_triple(index: int, seed: int, frames: int = 10, size: int = SIZE) -> Triple:
    """Transfer `index`: four- and two-legged in turn, between two kinds; held-out kinds and motions included.

    B's own clip shows the same kind of motion at another phase, speed and amplitude, so the start poses differ.
    """
    rng = rng_of("quality-anamodiff", seed, index)
    kinds = rng.permutation(QUADRUPEDS if index % 2 == 0 else BIPEDS)
    a, b = (random_character(rng, "test", kinds=[str(k)]) for k in kinds[:2])
    motion = random_motion(rng, "test")
    own = Motion(
        motion.name,
        float(motion.phase + rng.uniform(0.2, 0.8)) % 1,
        float(rng.uniform(0.8, 1.1)),
        float(motion.amplitude * rng.uniform(0.7, 1.0)),
    )
    source, driving, truth = (render_clip(who, how, frames, size) for who, how in ((b, own), (a, motion), (b, motion)))
    return Triple(index, source, driving, truth)


@dataclass(frozen=True)
class Sketch:
    """A drawing to animate.

    Attributes:
        drawing: (H, W, 3) uint8, black on white.
        truth: (F, H, W, 3) uint8, the clip that the drawing is the first frame of.
        clip: the same in colour.
    """

    index: int
    prompt: str
    drawing: np.ndarray
    truth: np.ndarray
    clip: SpriteClip


def make_sketch(index: int, seed: int, frames: int = 10, size: int = SIZE) -> Sketch:
    """Sketch `index`: kinds and motions of the training split in turn; the character is held out."""
    rng = rng_of("quality-flipsketch", seed, index)
    kind = TRAIN_KINDS[index % len(TRAIN_KINDS)]
    name = TRAIN_MOTIONS[(index + 2 * (index // len(TRAIN_KINDS))) % len(TRAIN_MOTIONS)]
    motion = Motion(name, float(rng.uniform()), float(rng.uniform(0.7, 1.2)), float(rng.uniform(0.8, 1.15)))
    clip = render_clip(random_character(rng, "test", kinds=[kind]), motion, frames, size)
    lines = clip.lines(int(rng.integers(2, 4)))
    return Sketch(index, f"a drawing of {article(kind)} {kind} {DOING[name]}", lines[0], lines, clip)


@dataclass(frozen=True)
class Edit:
    """A clip whose subject is to be replaced.

    Attributes:
        source: the clip whose motion is wanted.  target: the other subject under that very motion.
        unseen: whether the motion was held out from the backbones' training.
    """

    index: int
    source: SpriteClip
    target: SpriteClip
    unseen: bool

    @property
    def source_prompt(self) -> str:
        """What the source shows."""
        return caption(self.source)

    @property
    def prompt(self) -> str:
        """The same words with the other subject."""
        return caption(self.target)


def make_edit(index: int, seed: int, frames: int = 16, size: int = SIZE) -> Edit:
    """Edit `index`: four- and two-legged in turn, to another kind of as many legs and to another colour.

    One in four of either family has a motion that no training clip has.
    """
    rng = rng_of("quality-vidmp3", seed, index)
    family = [k for k in (QUADRUPEDS if index % 2 == 0 else BIPEDS) if k in TRAIN_KINDS]
    kinds = [str(k) for k in rng.permutation(family)[:2]]
    colours = [str(c) for c in rng.permutation(list(COLOURS))[:2]]
    unseen = index % 8 in (3, 6)
    names = HELD_OUT_MOTIONS if unseen else TRAIN_MOTIONS
    motion = Motion(
        names[int(rng.integers(len(names)))],
        float(rng.uniform()),
        float(rng.uniform(0.7, 1.2)),
        float(rng.uniform(0.8, 1.15)),
    )
    clips = []
    for kind, colour in zip(kinds, colours, strict=True):
        drawn = random_character(rng, "test", kinds=[kind])  # its key, which decides the split, leaves the colour out
        clips.append(render_clip(character(drawn.seed, kind, "easy", colour), motion, frames, size))
    return Edit(index, clips[0], clips[1], unseen)


@dataclass(frozen=True)
class Pair:
    """A character and poses to follow: reference (H, W, 3), driving (F, H, W, 3), and the true clip."""

    name: str
    reference: np.ndarray
    driving: np.ndarray
    truth: SpriteClip


def make_pair(which: str, index: int, seed: int, frames: int = 10, size: int = SIZE) -> Pair:
    """Pair `index` of a set: "self" (its own clip drives it) or "cross" (another body does).

    cross: the driving clip shows another kind of the same family, with a body of other proportions; the reference is
    the character at another moment of its own motion, the truth the character under the driving one.
    """
    rng = rng_of("quality-animatex", seed, which, index)
    kinds = rng.permutation(QUADRUPEDS if index % 2 == 0 else BIPEDS)
    one, other = (random_character(rng, "test", kinds=[str(k)]) for k in kinds[:2])
    motion = random_motion(rng, "test")
    truth = render_clip(one, motion, frames, size)
    if which == "self":
        return Pair(f"self-{index}", truth.frames[0], truth.frames, truth)
    own = Motion(motion.name, float(motion.phase + rng.uniform(0.2, 0.8)) % 1, motion.speed, 0.8 * motion.amplitude)
    reference = render_clip(one, own, 1, size).frames[0]
    return Pair(f"cross-{index}", reference, render_clip(other, motion, frames, size).frames, truth)


@dataclass(frozen=True)
class Caption:
    """A sentence to draw.

    Attributes:
        kind, motion, colour: what the sentence names; a drawing has no colour.
        truth: (F, H, W, 3) uint8, a true clip of that kind and motion, of a character in a colour of its own.
        clip: the same in colour.
    """

    index: int
    kind: str
    motion: str
    colour: str
    prompt: str
    truth: np.ndarray
    clip: SpriteClip


def make_caption(index: int, seed: int, frames: int = 10, size: int = SIZE, drawing: bool = False) -> Caption:
    """Caption `index`: kinds and motions that training showed, equally often and in changing pairs; colours drawn."""
    kind, turn = TRAIN_KINDS[index % len(TRAIN_KINDS)], index // len(TRAIN_KINDS)
    name = TRAIN_MOTIONS[(index + 2 * turn) % len(TRAIN_MOTIONS)]
    rng = rng_of("pocket-modelscope captions", seed, drawing)
    colour = [str(rng.choice(list(COLOURS))) for _ in range(index + 1)][-1]
    words = f"{kind} {DOING[name]}" if drawing else f"{colour} {kind} {DOING[name]}"
    prompt = f"a drawing of {article(words)} {words}" if drawing else f"{article(words)} {words}"
    rng = rng_of("pocket-modelscope truth", seed, prompt)
    who = random_character(rng, "test", kinds=[kind])
    motion = Motion(name, float(rng.uniform()), float(rng.uniform(0.7, 1.2)), float(rng.uniform(0.75, 1.15)))
    clip = render_clip(who, motion, frames, size)
    truth = clip.lines(int(rng.integers(2, 4))) if drawing else clip.frames
    return Caption(index, kind, name, "" if drawing else colour, prompt, truth, clip)
