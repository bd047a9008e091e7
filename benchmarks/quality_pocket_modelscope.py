"""What the shipped `pocket-modelscope` makes of a sentence: kind, motion, amount of motion and steady identity.

    python benchmarks/quality_pocket_modelscope.py --captions 60 --drawings 20 --seed 0 [--sheet samples.png]

Captions name kinds, colours and motions that training showed; `--drawings` more of them ask for a line drawing and are
counted apart. The judge is the sprite clip judge, whose own accuracy on true clips is printed beside. Finished clips
are kept in --folder under the hash of the weights and settings. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from common import interval

from motionkit.backbones import load
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.loop import denoise
from motionkit.media import write_image
from motionkit.metrics import clipscorer, motion_amount
from motionkit.running.execute import plan_for
from motionkit.sprites import COLOURS, TRAIN_KINDS, TRAIN_MOTIONS, Motion, render_clip
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character
from motionkit.sprites.world import DOING
from motionkit.weights.hashing import hash_json

FRAMES = 10


@dataclass(frozen=True)
class Asked:
    """One caption, and what must be right in its clip."""

    kind: str
    colour: str
    motion: str
    drawing: bool

    @property
    def caption(self) -> str:
        """The words that the backbone is given."""
        doing = DOING[self.motion]
        article = "an" if self.kind[0] in "aeiou" else "a"
        if self.drawing:
            return f"a drawing of {article} {self.kind} {doing}"
        return f"{'an' if self.colour[0] in 'aeiou' else 'a'} {self.colour} {self.kind} {doing}"


def captions(count: int, seed: int, drawing: bool) -> list[Asked]:
    """Kinds and motions equally often, in changing pairs; colours drawn."""
    rng = rng_of("pocket-modelscope captions", seed, drawing)
    out = []
    for i in range(count):
        kind, turn = TRAIN_KINDS[i % len(TRAIN_KINDS)], i // len(TRAIN_KINDS)
        motion = TRAIN_MOTIONS[(i + 2 * turn) % len(TRAIN_MOTIONS)]
        out.append(Asked(kind, str(rng.choice(list(COLOURS))), motion, drawing))
    return out


def truth_of(asked: Asked, seed: int, frames: int = FRAMES) -> np.ndarray:
    """A true clip of the same words (F, H, W, 3), of a character that training never showed."""
    rng = rng_of("pocket-modelscope truth", seed, asked.caption)
    character = random_character(rng, "test", kinds=[asked.kind])
    motion = Motion(asked.motion, float(rng.uniform()), float(rng.uniform(0.7, 1.2)), float(rng.uniform(0.75, 1.15)))
    clip = render_clip(character, motion, frames)
    return clip.lines(int(rng.integers(2, 4))) if asked.drawing else clip.frames


@torch.no_grad()
def draw(backbone, asked: list[Asked], seeds: list[int], args: argparse.Namespace) -> np.ndarray:
    """One clip for each caption (N, F, H, W, 3) uint8; `args.share` of the noise's variance is common to its frames."""
    side = backbone.spec.default_size // backbone.factor
    noise = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        common = torch.randn(4, 1, side, side, generator=generator)
        own = torch.randn(4, args.frames, side, side, generator=generator)
        noise.append(args.share**0.5 * common + (1 - args.share) ** 0.5 * own)  # (4, F, h, w)
    words, nothing = backbone.encode_text([a.caption for a in asked]), backbone.encode_text([""] * len(asked))
    model, sampler = text_model(backbone.denoise, words, nothing), DDIM(backbone.scheduler)
    guidance = Guidance(args.guidance, batched=True)
    latents = denoise(model, sampler, torch.stack(noise), sampler.grid(args.steps), guidance)  # (N, 4, F, h, w)
    frames = backbone.decode(latents.transpose(1, 2).flatten(0, 1))  # (N*F, 3, H, W)
    pixels = (frames.permute(0, 2, 3, 1) * 255).round().byte().numpy()  # (N*F, H, W, 3)
    return pixels.reshape(len(asked), args.frames, *pixels.shape[1:])


def finished(backbone, asked: list[Asked], args: argparse.Namespace) -> list[np.ndarray]:
    """The clips, taken from the folder where they are there."""
    args.folder.mkdir(parents=True, exist_ok=True)
    facts = [backbone.fingerprint(), args.dtype, args.steps, args.guidance, args.share]
    facts += [args.frames] if args.frames != FRAMES else []
    clips = []
    for i, one in enumerate(asked):
        path = args.folder / f"{hash_json([facts, one.caption, args.seed + i])[:16]}.npz"
        if not path.is_file():
            video = draw(backbone, [one], [args.seed * 1000 + i], args)[0]
            np.savez_compressed(path.with_suffix(".part.npz"), video=video)
            path.with_suffix(".part.npz").replace(path)
        clips.append(np.load(path, allow_pickle=False)["video"])
        print(f"\r{i + 1}/{len(asked)} drawn", end="", flush=True)
    print()
    return clips


def figures(asked: list[Asked], clips: list[np.ndarray], seed: int) -> dict:
    """Shares of right kinds and motions with intervals, motion over truth, and identity beside the truth's."""
    verdicts = [clipscorer.judge(clip) for clip in clips]
    kind = [float(v.best("kind") == a.kind) for v, a in zip(verdicts, asked, strict=True)]
    motion = [float(v.best("motion") == a.motion) for v, a in zip(verdicts, asked, strict=True)]
    truths = [truth_of(a, seed, len(clips[0])) for a in asked]
    known = [clipscorer.judge(truth) for truth in truths]
    out = {
        "n": len(asked),
        "kind_right": interval(kind),
        "motion_right": interval(motion),
        "both_right": interval([k * m for k, m in zip(kind, motion, strict=True)]),
        "frame_difference_over_truth": _over(motion_amount, clips, truths),
        "joint_path_over_truth": _over(clipscorer.joint_path, clips, truths),
        "identity": interval([clipscorer.reference_consistency(c, c[0]) for c in clips]),
        "identity_of_truth": interval([clipscorer.reference_consistency(t, t[0]) for t in truths]),
        "judge_kind_on_truth": interval([v.best("kind") == a.kind for v, a in zip(known, asked, strict=True)]),
        "judge_motion_on_truth": interval([v.best("motion") == a.motion for v, a in zip(known, asked, strict=True)]),
        "motion_right_by": _by([a.motion for a in asked], motion),
        "kind_right_by": _by([a.kind for a in asked], kind),
    }
    if not asked[0].drawing:
        out["colour_right"] = interval([v.best("colour") == a.colour for v, a in zip(verdicts, asked, strict=True)])
    return out


def _over(measure: Callable[[np.ndarray], float], clips: list[np.ndarray], truths: list[np.ndarray]) -> float:
    return round(float(np.mean([measure(c) for c in clips]) / np.mean([measure(t) for t in truths])), 3)


def _by(names: list[str], right: list[float]) -> dict[str, float]:
    return {n: round(float(np.mean([r for r, m in zip(right, names, strict=True) if m == n])), 2) for n in set(names)}


def sheet(path: Path, clips: list[np.ndarray], rows: int = 16) -> None:
    """A contact sheet: two clips in a row, every second frame of each."""
    shown = [np.concatenate(list(clip[::2]), 1) for clip in clips[: 2 * rows]]
    if len(shown) % 2:
        shown.append(np.full_like(shown[0], 255))
    gap = np.full((shown[0].shape[0], 12, 3), 255, np.uint8)
    lines = [np.concatenate([a, gap, b], 1) for a, b in zip(shown[::2], shown[1::2], strict=True)]
    write_image(path, np.concatenate(lines, 0))


def main(argv: list[str] | None = None) -> dict:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", "--pairs", type=int, default=60)
    parser.add_argument("--drawings", type=int, default=20, help="captions of line drawings, beside the others")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--share", type=float, default=0.7, help="share of the noise's variance common to the frames")
    parser.add_argument("--backbone", default="pocket-modelscope")
    parser.add_argument("--path", default=None, help="a folder with the backbone's weights (default: the shipped ones)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="the faster one: bfloat16")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench/pocket-modelscope"))
    parser.add_argument("--sheet", type=Path, default=None)
    args = parser.parse_args(argv)
    backbone = load(args.backbone, plan_for({"name": "cpu", "dtype": args.dtype}), path=args.path)
    out: dict = {name: getattr(args, name) for name in ("steps", "guidance", "share", "seed", "dtype")}
    sheets = []
    for name, count in (("colour", args.captions), ("drawings", args.drawings)):
        if count:
            asked = captions(count, args.seed, name == "drawings")
            clips = finished(backbone, asked, args)
            sheets += clips[:20] if name == "colour" else clips[:12]
            out[name] = figures(asked, clips, args.seed)
            for key, value in out[name].items():
                print(f"  {name:9s} {key:28s} {value}")
    if args.sheet:
        sheet(args.sheet, sheets)
    out["judge_accuracy"] = {name: round(value, 4) for name, value in clipscorer.stated_accuracy().items()}
    print(json.dumps(out))
    return out


if __name__ == "__main__":
    main()
