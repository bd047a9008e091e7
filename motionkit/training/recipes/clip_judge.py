"""Trains the clip judge of the sprite world, on colour clips and on line drawings.

Frames get the flaws of generated ones: soft, noisy, blotched, flickering, wobbling, with ghosts of the frame before.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.errors import in_one_line
from motionkit.metrics.judges import STILL, ClipNet, load_judge, weights_path
from motionkit.sprites import BIPEDS, COLOURS, MOTIONS, QUADRUPEDS, SpriteClip, character, render_clip
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments, write_record
from motionkit.weights.small_nets import save_net

GROUPS = {"motion": [*MOTIONS, STILL], "kind": [*QUADRUPEDS, *BIPEDS], "colour": list(COLOURS)}
FRAMES = (8, 10, 10, 10, 12, 16)
TEMPERATURE = 0.1
LAST = 0.15  # of the steps: on 10 frames only
FROZEN = 0.12  # share of clips that do not move, so that a posture alone is not taken for a motion


def pairs(name: str, seed: int, step: int, count: int, frames: int, split: str) -> list[SpriteClip]:
    """`count` clips, two and two of one kind, half of these of one colour too: who is who is seen in the shape."""
    rng = rng_of(name, seed, step, split)
    out = []
    for _ in range(count // 2):
        one = random_character(rng, split)
        other = random_character(rng, split, kinds=[one.kind])
        if rng.uniform() < 0.5:
            other = character(other.seed, one.kind, "easy", one.colour)
        out += [render_clip(c, random_motion(rng, split), frames) for c in (one, other)]
    return out


def frames_of(clip: SpriteClip, drawing: bool, rng: np.random.Generator) -> Tensor:
    """(F, 3, H, W) in [0, 1]: the clip in colour, or as lines two or three pixels thick."""
    frames = clip.lines(int(rng.integers(2, 4))) if drawing else clip.frames
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, W)


def wobble(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Clips (B, F, 3, H, W) a little shifted and scaled as a whole and slightly bent frame by frame.

    Returns:
        the clips; scale (B, 1, 1, 1) and shift (B, 1, 1, 2): a point p is found at (p - shift) / scale afterwards.
    """
    b, f = x.shape[:2]
    scale = 1 + 0.06 * (2 * torch.rand(b, 1, 1, 1, generator=generator) - 1)
    shift = 0.06 * (2 * torch.rand(b, 1, 1, 2, generator=generator) - 1)
    amount = torch.rand(b, 1, 1, 1, 1, generator=generator) * (torch.rand(b, 1, 1, 1, 1, generator=generator) < 0.5)
    bends = 0.02 * amount * torch.randn(b, f, 2, 6, 6, generator=generator)
    side = x.shape[-1]
    bent = F.interpolate(bends.flatten(0, 1), (side, side), mode="bicubic", align_corners=True)  # (B*F, 2, H, W)
    line = torch.linspace(-1, 1, side)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)  # (H, W, 2)
    grid = (grid * scale + shift).repeat_interleave(f, 0) + bent.permute(0, 2, 3, 1)  # (B*F, H, W, 2)
    out = F.grid_sample(x.flatten(0, 1), grid, padding_mode="border", align_corners=True)  # (B*F, 3, H, W)
    return out.unflatten(0, (b, f)), scale, shift  # clips: (B, F, 3, H, W)


def spoil(x: Tensor, generator: torch.Generator) -> Tensor:
    """Clips (B, F, 3, H, W) in [0, 1] as a small generator would have made them; about one in ten stays clean."""
    b, f, _, side, _ = x.shape

    def some(share: float, most: float) -> Tensor:
        on = torch.rand(b, 1, 1, 1, 1, generator=generator) < share
        return most * torch.rand(b, 1, 1, 1, 1, generator=generator) * on

    x = x + some(0.3, 0.4) * (torch.cat([x[:, :1], x[:, :-1]], 1) - x)
    factor = float(torch.empty(()).uniform_(0.28, 0.6, generator=generator))
    small = F.interpolate(x.flatten(0, 1), scale_factor=factor, mode="bilinear", antialias=True)  # (B*F, 3, h, w)
    soft = F.interpolate(small, (side, side), mode="bilinear").unflatten(0, (b, f))  # (B, F, 3, H, W)
    x = x + some(0.6, 1.0) * (soft - x)
    blotch = torch.randn(b * f, 3, 20, 20, generator=generator)
    x = x + some(0.4, 0.12) * F.interpolate(blotch, (side, side), mode="bilinear").unflatten(0, (b, f))
    x = x + some(0.3, 0.08) * torch.randn(x.shape, generator=generator)
    x = x * (1 + some(0.3, 0.12) * torch.randn(b, f, 1, 1, 1, generator=generator))
    return x.clamp(0, 1)


def otsu(x: Tensor) -> Tensor:
    """Frames (N, 3, H, W) in [0, 1] as black on white, Otsu's threshold for each frame."""
    grey = (x.mean(1) * 255).round().byte().numpy()
    cut = np.stack([cv2.threshold(g, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1] for g in grey])
    return torch.from_numpy(cut).float()[:, None].expand(-1, 3, -1, -1) / 255  # (N, 3, H, W)


def joints_of(data: list[SpriteClip]) -> Tensor:
    """(B, F, 12, 2) in [-1, 1]."""
    return torch.from_numpy(np.stack([c.keypoints for c in data])).float() * 2 / (data[0].size - 1) - 1


def freeze(x: Tensor, frozen: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Clips (B, F, ...) of which those marked stand still, half of them jumping to and fro between two neighbours."""
    out = x.clone()
    for i in np.flatnonzero(frozen):
        at = int(rng.integers(0, x.shape[1] - 1))
        out[i] = x[i, at + rng.integers(0, 2, x.shape[1]) * int(rng.integers(0, 2))]
    return out


def labels_of(data: list[SpriteClip], frozen: np.ndarray | None = None) -> dict[str, Tensor]:
    """Label indices (B,) of each group."""
    still = np.zeros(len(data), bool) if frozen is None else frozen
    said = [
        {"motion": STILL if s else c.motion.name, "kind": c.character.kind, "colour": c.character.colour}
        for c, s in zip(data, still, strict=True)
    ]
    return {g: torch.tensor([GROUPS[g].index(s[g]) for s in said]) for g in GROUPS}


def same_or_other(one: Tensor, two: Tensor) -> Tensor:
    """InfoNCE (arXiv 1807.03748) both ways: row i of (B, E) belongs to row i and to no other."""
    logits = one @ two.T / TEMPERATURE  # (B, B)
    own = torch.arange(len(one), device=one.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def batch_of(data: list[SpriteClip], drawn: list[bool], frozen: np.ndarray, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Spoilt clips (B, F, 3, 64, 64), their joints (B, F, 12, 2), and two frames of each, (2, B, 3, 128, 128).

    Clips marked `frozen` (B,) do not move. The two frames are spoilt each in its own way; half of the second ones, the
    references, are clean.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    clean = torch.stack([frames_of(c, d, rng) for c, d in zip(data, drawn, strict=True)])  # (B, F, 3, H, W)
    b, f = clean.shape[:2]
    still = np.random.default_rng(seed + 1).integers(0, 2**31)  # the same choice of frames for pixels and joints
    joints = freeze(joints_of(data), frozen, np.random.default_rng(still))
    small = F.avg_pool2d(clean.flatten(0, 1), 2).unflatten(0, (b, f))  # (B, F, 3, 64, 64)
    bent, scale, shift = wobble(freeze(small, frozen, np.random.default_rng(still)), generator)
    small = spoil(bent, generator)
    rows, at = torch.arange(b).repeat(2), torch.from_numpy(rng.integers(0, f, 2 * b))
    two = clean[rows, at][:, None]  # (2B, 1, 3, H, W)
    spoilt = spoil(wobble(two, generator)[0], generator)
    clean_ones = torch.from_numpy(rng.uniform(size=2 * b) < 0.5) & (torch.arange(2 * b) >= b)
    two = torch.where(clean_ones[:, None, None, None, None], two, spoilt)
    for i, drawing in enumerate(drawn):
        if drawing and rng.uniform() < 0.5:
            small[i] = F.avg_pool2d(otsu(F.interpolate(small[i], scale_factor=2, mode="bilinear")), 2)
            two[i], two[b + i] = otsu(two[i]), otsu(two[b + i])
    return small, (joints - shift) / scale, two[:, 0].unflatten(0, (2, b))  # two: (2, B, 3, H, W)


def make_loss(net: ClipNet, batch: int, steps: int, seed: int, device: str) -> LossFn:
    """Cross-entropy of motion, kind and colour, InfoNCE of the identity, L1 of joints; every second pair is drawn."""

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        frames = FRAMES[step % len(FRAMES)] if step < (1 - LAST) * steps else 10
        data = pairs("clip judge", seed, step, batch, frames, "judge")
        drawn = [i // 2 % 2 == 1 for i in range(len(data))]
        frozen = rng_of("clip judge frozen", seed, step).uniform(size=len(data)) < FROZEN
        whole, joints, two = (v.to(device) for v in batch_of(data, drawn, frozen, seed * 1_000_003 + step))
        true = {g: v.to(device) for g, v in labels_of(data, frozen).items()}
        in_colour = ~torch.tensor(drawn, device=device)
        with torch.autocast(device, torch.bfloat16):
            motion, found = net.moves(whole)
            said, identity = net.looks(two.flatten(0, 1))  # of (2B, 3, H, W)
        kind, colour = true["kind"].repeat(2), true["colour"].repeat(2)
        painted = in_colour.repeat(2)
        parts = {
            "motion": F.cross_entropy(motion.float(), true["motion"], label_smoothing=0.03),
            "kind": 0.5 * F.cross_entropy(said["kind"].float(), kind),
            "colour": 0.3 * F.cross_entropy(said["colour"].float()[painted], colour[painted]),
            "identity": 0.5 * same_or_other(*identity.chunk(2)),
            "joints": 4 * (found - joints).abs().mean(),
        }
        right = (motion.argmax(-1) == true["motion"]).float()
        logs = {k: v.item() for k, v in parts.items()} | {
            "right_motion": right[in_colour].mean().item(),
            "right_motion_lines": right[~in_colour].mean().item(),
            "right_kind": (said["kind"].argmax(-1) == kind).float().mean().item(),
        }
        return torch.stack(list(parts.values())).sum(), logs

    return loss


@torch.no_grad()
def evaluate(net: ClipNet, count: int = 220) -> dict[str, float]:
    """Accuracy on held-out characters, in colour, as lines and as flawed binarised lines."""
    out: dict[str, float] = {"n": count}
    for form in ("colour", "lines", "spoilt_colour", "spoilt_lines"):
        hits: dict[str, list[float]] = {}
        for part in range(0, count, 20):
            data = pairs("clip judge", 4242, part, 20, 10, "test")
            for key, values in _judged(net, data, form, part).items():
                hits.setdefault(key, []).extend(values)
        out |= {f"{key}_{form}": float(np.mean(values)) for key, values in hits.items()}
    return out


def _judged(net: ClipNet, data: list[SpriteClip], form: str, seed: int) -> dict[str, list[float]]:
    """The judge's values for 10-frame clips against the truth, one for each clip."""
    rng, drawing = np.random.default_rng(seed), form.endswith("lines")
    clean = torch.stack([frames_of(c, drawing, rng) for c in data])  # (B, F, 3, H, W)
    x = clean
    if form.startswith("spoilt"):
        x = spoil(wobble(clean, torch.Generator().manual_seed(seed))[0], torch.Generator().manual_seed(seed))
        x = torch.stack([otsu(clip) for clip in x]) if drawing else x
    true = labels_of(data)
    small = F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])  # (B, F, 3, 64, 64)
    motion, joints = net.moves(small)
    frozen = net.moves(freeze(small, np.ones(len(data), bool), rng))[0]
    said, identity = net.looks(x.flatten(0, 1))  # of (B*F, 3, H, W)
    said = {g: v.unflatten(0, x.shape[:2]).softmax(-1).mean(1) for g, v in said.items()}  # (B, labels) each
    near = net.looks(clean[:, 0])[1] @ identity.unflatten(0, x.shape[:2])[:, 1:].mean(1).T  # (B, B)
    partner = torch.arange(len(data)) ^ 1
    values = {
        "motion": motion.argmax(-1) == true["motion"],
        "still": frozen.argmax(-1) == GROUPS["motion"].index(STILL),
        "kind": said["kind"].argmax(-1) == true["kind"],
        "same": near.diagonal(),
        "same_kind_other": near[torch.arange(len(data)), partner],
        "told_apart": near.diagonal() > near[torch.arange(len(data)), partner],
    }
    if not drawing:
        values["colour"] = said["colour"].argmax(-1) == true["colour"]
    if not form.startswith("spoilt"):
        values["joints_px"] = (joints - joints_of(data)).norm(dim=-1).mean((1, 2)) * 63.5
    return {k: v.float().tolist() for k, v in values.items()}


def begin_with(net: ClipNet, path: Path) -> None:
    """Copy the weights of an earlier judge; rows of labels that it does not know stay new.

    Raises:
        UserError: not a file of a clip judge.
    """
    given, _ = load_judge("clipscorer", path)
    own = net.state_dict()
    for key, value in given.state_dict().items():
        if value.ndim:
            own[key][: len(value)] = value
    net.load_state_dict(own)


def main() -> None:
    """Command line: trains the judge, measures its error, exports it."""
    parser = arguments(__doc__.splitlines()[0], "runs/train/clipscorer", 1300, 2e-3)
    parser.add_argument("--start", type=Path, default=None, help="the weights of an earlier judge to begin with")
    args = parser.parse_args()
    torch.manual_seed(args.seed + 20)
    net = ClipNet(GROUPS).to(args.device)
    if args.start:
        begin_with(net, args.start)
    loss = make_loss(net, args.batch or 24, args.steps, args.seed + 7, args.device)
    loop = Loop(net, loss, LoopSettings(args.folder, args.steps, args.lr, ema=0.997, weight_decay=0.02))
    trained = loop.run().cpu()
    figures = evaluate(trained)
    save_net(args.out or weights_path("clipscorer"), trained, {"groups": GROUPS}, figures)
    write_record(args.folder / "record.json", {"steps": loop.step, "seconds": loop.seconds, "figures": figures})
    print(figures)


if __name__ == "__main__":
    in_one_line(main)
