"""Sprite clips on disk: an example transfer with its truth, or a data set with labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from motionkit.media import replacing, write_gif, write_image, write_video
from motionkit.sprites.kinds import Character, article, character, rng_of
from motionkit.sprites.motions import Motion
from motionkit.sprites.pen import hand_pen
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.sprites.world import DOING, SpriteClip, render_clip


def labels(clip: SpriteClip) -> dict:
    """What is true of a clip, JSON-able: caption, motion, 12 keypoints and 18 OpenPose joints in pixels."""
    m = clip.motion
    joints = None if np.isnan(clip.openpose).any() else np.round(clip.openpose, 2).tolist()
    return {
        "caption": clip.caption,
        "kind": clip.character.kind,
        "colour": clip.character.colour,
        "character": clip.character.key,
        "background": clip.character.background,
        "fps": clip.fps,
        "motion": {
            "name": m.name,
            "phase": m.phase,
            "speed": m.speed,
            "amplitude": m.amplitude,
            "start_pose": dict(m.start_pose),
        },
        "keypoints": np.round(clip.keypoints, 2).tolist(),
        "openpose": joints,
    }


def write_example(
    folder: Path, source: Character, driving: Character, motion: Motion, frames: int = 10, size: int = 128
) -> dict[str, Path]:
    """Writes a whole transfer problem: source clip and image, driving clip, and the true answer.

    The source character performs the same kind of motion half a cycle later and smaller.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = Motion(motion.name, (motion.phase + 0.5) % 1, motion.speed, 0.8 * motion.amplitude)
    clips = {"source": render_clip(source, own, frames, size), "driving": render_clip(driving, motion, frames, size)}
    clips["truth"] = render_clip(source, motion, frames, size)
    paths = {}
    for name, clip in clips.items():
        paths[name] = folder / f"{name}.mp4"
        write_video(paths[name], clip.frames, clip.fps)
    write_image(folder / "source.png", clips["source"].frames[0])
    (folder / "labels.json").write_text(json.dumps({n: labels(c) for n, c in clips.items()}) + "\n")
    return paths


def write_dataset(
    folder: Path,
    count: int,
    split: str,
    seed: int = 0,
    frames: int = 10,
    size: int = 128,
    setting: str = "easy",
    tick: Callable[[int], None] = lambda done: None,
) -> int:
    """Writes `count` random clips of a split, each an mp4, a mask image strip and a JSON of labels; returns `count`.

    `tick` gets the number of clips that are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = rng_of("dataset", seed, split, setting)
    for i in range(count):
        clip = render_clip(random_character(rng, split, setting), random_motion(rng, split), frames, size)
        stem = folder / f"{i:05d}-{clip.character.kind.replace(' ', '-')}-{clip.motion.name}"
        write_video(stem.with_suffix(".mp4"), clip.frames, clip.fps)
        strip = np.concatenate(list(clip.mask), 1).astype(np.uint8) * 255  # (H, F*W)
        write_image(Path(f"{stem}-mask.png"), np.repeat(strip[..., None], 3, -1))
        stem.with_suffix(".json").write_text(json.dumps(labels(clip)) + "\n")
        tick(i + 1)
    return count


def drawing_caption(clip: SpriteClip, rng: np.random.Generator) -> str:
    """Words for a clip as a line drawing, which has no colour; four in five begin with "a drawing of"."""
    kind, doing = clip.character.kind, DOING[clip.motion.name]
    if rng.uniform() < 0.8:
        forms = (f"{article(kind)} {kind} {doing}", f"the {kind} {doing}", f"a {doing} {kind}")
        return f"a drawing of {forms[rng.choice(3, p=(0.7, 0.1, 0.2))]}"
    return str(
        rng.choice([f"{article(kind)} {kind} {doing}", f"{article(kind)} {kind} is {doing}", f"the {kind} is {doing}"])
    )


def write_drawings(
    folder: Path,
    count: int,
    split: str = "train",
    seed: int = 0,
    frames: int = 10,
    size: int = 128,
    setting: str = "easy",
    thickness: tuple[int, int] = (2, 3),
    by_hand: bool = False,
    tick: Callable[[int], None] = lambda done: None,
) -> int:
    """Writes `count` random clips as black line drawings on white, each a gif with its caption in a .txt beside it.

    That is the folder which `motionkit train method=flipsketch data=FOLDER` takes. In the train and val splits held-out
    kinds and motions are not shown.

    Args:
        thickness: lines are this wide, least and most, in half pixels.
        by_hand: every clip has a pen of its own that shakes, presses, leaves gaps and fills parts in.
        tick: gets the number of clips that are written.

    Returns:
        `count`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = rng_of("drawings", seed, split, setting)
    for i in range(count):
        clip = render_clip(random_character(rng, split, setting), random_motion(rng, split), frames, size)
        stem = folder / f"{i:05d}-{clip.character.kind.replace(' ', '-')}-{clip.motion.name}"
        with replacing(stem.with_suffix(".txt")) as part:  # first, so that no clip is ever without it
            part.write_text(drawing_caption(clip, rng) + "\n", encoding="utf-8")
        if by_hand:
            lines = clip.lines(pen=hand_pen(rng, (thickness[0] / 2, thickness[1] / 2)))
        else:
            lines = clip.lines(int(rng.integers(thickness[0], thickness[1] + 1)))
        write_gif(stem.with_suffix(".gif"), lines, clip.fps)
        tick(i + 1)
    return count


def styles_sheet(size: int = 96, columns: int = 10, seed: int = 0) -> np.ndarray:
    """What varies: four rows of `wild` characters, two of `foreign` ones, one of drawings by hand; the same each time.

    Returns:
        (7 * size, columns * size, 3) uint8.
    """
    rng, rows = rng_of("styles sheet", seed), []
    for setting, by_hand in (*[("wild", False)] * 4, *[("foreign", False)] * 2, ("easy", True)):
        tiles = []
        for _ in range(columns):
            clip = render_clip(random_character(rng, "test", setting), random_motion(rng, "test"), 1, size)
            tiles.append(clip.lines(pen=hand_pen(rng))[0] if by_hand else clip.frames[0])
        rows.append(np.concatenate(tiles, 1))
    return np.concatenate(rows, 0)


def contact_sheet(
    kinds: tuple[str, ...], motions: tuple[str, ...], size: int = 128, setting: str = "easy", seed: int = 0
) -> np.ndarray:
    """Kinds down, motions across, one frame each (len(kinds) * size, len(motions) * size, 3) uint8."""
    rows = []
    for k, kind in enumerate(kinds):
        who = character(seed + 31 * k, kind, setting)
        rows.append(np.concatenate([render_clip(who, Motion(m, phase=0.3), 1, size).frames[0] for m in motions], 1))
    return np.concatenate(rows, 0)
