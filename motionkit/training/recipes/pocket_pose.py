"""Trains the network that finds the driving body: `python -m motionkit.training.recipes.pocket_pose`.

Characters of the train split in the `wild` and the `easy` setting, pictures of empty stages, letters and flags among
them, which show no body. The judge of results (`motionkit.training.recipes.judges pose`) is a training of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.errors import in_one_line
from motionkit.perception.pose.body_net import FACE, POINTS, SIZE, BodyNet, Found, weights_path
from motionkit.sprites import BONES, LETTERS, SpriteClip, render_clip
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments
from motionkit.training.recipes.pocket_maps import spoil
from motionkit.training.recipes.pocket_pose_figures import evaluate
from motionkit.training.recipes.stage import run_stage, stage_arguments
from motionkit.weights.small_nets import save_net

SETTINGS = {"wild": 0.7, "easy": 0.3}  # shares of the pictures
NOBODY = 0.14  # share of pictures without a body
WEIGHT = {"place": 10.0, "heat": 0.2, "sure": 0.3, "seen": 0.2, "body": 1.0}
CLOSE = 2 * 6 / (SIZE - 1)  # what counts as right, in units of [-1, 1]
LIMBS = {"arm": "forearm", "leg": "shin"}  # a limb's first point is where its second bone begins


@dataclass
class Pictures:
    """Frames (B, 3, 128, 128) in [0, 1]; points (B, 19, 2) in [-1, 1]; seen (B, 19) and body (B,) are 0 or 1."""

    frames: Tensor
    points: Tensor
    seen: Tensor
    body: Tensor


def points_of(clip: SpriteClip) -> np.ndarray:
    """All points of the network (F, 19, 2) in pixels of the clip."""
    face = clip.openpose[:, list(FACE.values())]
    return np.concatenate([clip.keypoints, clip.openpose[:, [1, 8]], face], 1)


def seen_of(clip: SpriteClip, frame: int) -> np.ndarray:
    """Whether each point (19,) is seen: a pixel near it shows its own bone, or the next of its limb."""
    near = 2 * clip.size // 128 + 1
    out = np.zeros(len(POINTS), bool)
    for i, (x, y) in enumerate(np.rint(points_of(clip)[frame]).astype(int)):
        rows, columns = slice(max(0, y - near), max(0, y + near + 1)), slice(max(0, x - near), max(0, x + near + 1))
        shown = set(clip.parts[frame][rows, columns].ravel().tolist())
        name = POINTS[i]
        limb, _, side = name.partition("_")
        own = {"neck_base": ("torso", "neck"), "hip": ("torso",)}.get(name, (name,) if name in BONES else ("head",))
        own = (name, f"{LIMBS[limb]}_{side}") if limb in LIMBS else own
        out[i] = bool(shown & {BONES.index(bone) for bone in own})
    return out


def turned(frame: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A frame turned, scaled, shifted and perhaps mirrored with its points; two in five stay as they are."""
    if rng.uniform() < 0.4:
        return frame, points
    turn = float(rng.normal(0, 0.2)) if rng.uniform() < 0.85 else float(rng.uniform(-np.pi, np.pi))
    scale, mirror = float(np.exp(rng.normal(0, 0.13))), -1.0 if rng.uniform() < 0.3 else 1.0
    c, s, mid = scale * np.cos(turn), scale * np.sin(turn), (len(frame) - 1) / 2
    linear = np.array([[c, -s], [s, c]]) * [mirror, 1.0]
    shift = mid - linear @ [mid, mid] + rng.normal(0, 0.04, 2) * len(frame)
    m = np.concatenate([linear, shift[:, None]], 1)  # (2, 3)
    moved = cv2.warpAffine(frame, m, frame.shape[:2], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved, points @ linear.T + shift  # points: (19, 2)


def nobody(rng: np.random.Generator, split: str, setting: str) -> np.ndarray:
    """A frame without a body: a letter, the flag, or a stage on which nobody stands."""
    motion = random_motion(rng, split)
    if rng.uniform() < 0.5:
        return render_clip(random_character(rng, split, setting, [*LETTERS, "flag"]), motion, 1, SIZE).frames[0]
    who = random_character(rng, split, setting)
    clip = render_clip(who, motion, 1, SIZE)
    if who.look is None:
        return np.full_like(clip.frames[0], who.background_rgb)
    away = np.array([4.0, 0.0]) / max(who.look.camera.extent, 0.1)
    empty = replace(who, parts=tuple(replace(p, outline=0 * p.outline + 40 * away) for p in who.parts))
    return render_clip(empty, motion, 1, SIZE).frames[0]


def batch_of(seed: int, step: int, count: int, split: str = "train") -> Pictures:
    """A batch that depends on seed and step alone; a character is shown in two moments of its motion."""
    rng = rng_of("pocket pose", seed, step, split)
    frames, points, seen, body = [], [], [], []
    while len(frames) < count:
        setting = str(rng.choice(list(SETTINGS), p=list(SETTINGS.values())))
        if rng.uniform() < 2 * NOBODY / (1 + NOBODY):
            frames.append(turned(nobody(rng, split, setting), np.zeros((1, 2)), rng)[0])
            points.append(np.zeros((len(POINTS), 2)))
            seen.append(np.zeros(len(POINTS), bool))
            body.append(0.0)
            continue
        motion = random_motion(rng, split)
        motion = replace(motion, speed=motion.speed * float(rng.uniform(2, 5)))
        clip = render_clip(random_character(rng, split, setting), motion, 2, SIZE)
        for f, where in enumerate(points_of(clip)[: count - len(frames)]):
            frame, where = turned(clip.frames[f], where, rng)
            frames.append(frame)
            points.append(where * 2 / (SIZE - 1) - 1)
            seen.append(seen_of(clip, f))
            body.append(1.0)
    x = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, W)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    x = torch.where(torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5, spoil(x, generator), x)
    return Pictures(
        x, torch.from_numpy(np.stack(points)).float(), torch.from_numpy(np.stack(seen)).float(), torch.tensor(body)
    )


def loss_of(found: Found, truth: Pictures) -> tuple[Tensor, dict[str, float]]:
    """L1 of the places, cross-entropy of their heat, and of three questions: sure, seen, somebody there."""
    inside = ((truth.points.abs() <= 1).all(-1) & (truth.body[:, None] > 0)).float()  # (B, K)
    count = inside.sum().clamp_min(1)
    away = found.value - truth.points
    error = away.norm(dim=-1)
    side = round(found.heat.shape[-1] ** 0.5)
    line = torch.linspace(-1, 1, side, device=found.value.device)
    bell = torch.exp(-((line - truth.points[..., None]) ** 2) / (2 * (2.4 / side) ** 2))  # (B, K, 2, side)
    wanted = (bell[:, :, 1, :, None] * bell[:, :, 0, None, :]).flatten(2)  # (B, K, side*side)
    wanted = wanted / wanted.sum(-1, keepdim=True).clamp_min(1e-6)  # (B, K, side*side)
    right = (error.detach() < CLOSE).float() * inside
    losses = {
        "place": (away.abs().mean(-1) * inside).sum() / count,
        "heat": (-(wanted * found.heat.log_softmax(-1)).sum(-1) * inside).sum() / count,
        "sure": F.binary_cross_entropy_with_logits(found.sure, right),
        "seen": (F.binary_cross_entropy_with_logits(found.seen, truth.seen, reduction="none") * inside).sum() / count,
        "body": F.binary_cross_entropy_with_logits(found.body, truth.body),
    }
    total = sum((WEIGHT[k] * v for k, v in losses.items()), torch.zeros((), device=away.device))
    logs = {k: v.item() for k, v in losses.items()}
    return total, logs | {"px": ((error * inside).sum() / count).item() * (SIZE - 1) / 2}


def make_loss(net: BodyNet, batch: int, seed: int, device: str) -> LossFn:
    """The loss of one step, the network in bf16."""

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        truth = batch_of(seed, step, batch)
        truth = Pictures(*(v.to(device) for v in (truth.frames, truth.points, truth.seen, truth.body)))
        with torch.autocast(device, torch.bfloat16):
            found = net(truth.frames.contiguous(memory_format=torch.channels_last))
        return loss_of(found, truth)

    return loss


def is_matrix(name: str) -> bool:
    """Whether Muon trains that weight, if it has two or more dimensions: all but the first layer and the answers."""
    return not name.startswith(("at64", "heat", "offset", "local", "body")) and not name.endswith("place")


def export(trained: BodyNet, path: Path, facts: dict[str, Any]) -> None:
    """Measure the averaged network on three styles, write it, and add the results to the facts."""
    trained = trained.float().cpu().eval()
    facts["figures"] = evaluate(trained)
    save_net(path, trained, {}, facts["figures"])
    print(facts)


def main() -> None:
    """Command line: trains; hands over an unfinished training, or measures and exports a finished one."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/pocket-pose", 6000, 2e-3)
    stage_arguments(parser)
    args = parser.parse_args()
    torch.manual_seed(args.seed + 40)
    net, batch = BodyNet().to(args.device, memory_format=torch.channels_last), args.batch or 24
    settings = LoopSettings(
        args.folder, args.steps, args.lr, ema=0.998, clip=float("inf"), muon=is_matrix, decay=0.4, second=args.second
    )
    loop = Loop(net, make_loss(net, batch, args.seed + 11, args.device), settings)
    out = args.out or args.set / "perception" / weights_path().name
    facts: dict[str, Any] = {
        "batch": batch,
        "samples": batch * args.steps,
        "settings": SETTINGS,
        "parameters": sum(p.numel() for p in net.parameters()),
    }
    run_stage(loop, args, lambda trained: export(trained, out, facts), facts)


if __name__ == "__main__":
    in_one_line(main)
