"""Trains the network that completes joints for the pocket poses: `python -m motionkit.training.recipes.pocket_joints`.

It sees sprites' true points, moved by as much as the pose estimator errs, and no pictures; takes a minute on one core.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from motionkit.perception import pocket_networks
from motionkit.perception.pose.pocket import GUESSED, JointNet, to_openpose
from motionkit.sprites import render_clip
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.training.loop import Loop, LoopSettings, arguments, write_record
from motionkit.weights import places
from motionkit.weights.small_nets import save_net

SIZE = 128


def draw(
    seed: int, count: int, split: str, frames: int, size: int = 16, settings: Sequence[str] = ("easy",)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 12, 2) and OpenPose joints (N, 18, 2) at 128 pixels, and the pictures (N, size, size, 3), N frames."""
    rng = rng_of("joints", seed, split)
    clips = []
    while len(clips) < count:
        character = random_character(rng, split, settings[len(clips) % len(settings)])
        if character.bends == "bones":
            clips.append(render_clip(character, random_motion(rng, split), frames, size))
    scale = SIZE / size
    points, joints = (np.concatenate([getattr(c, n) for c in clips]) * scale for n in ("keypoints", "openpose"))
    return points, joints, np.concatenate([c.frames for c in clips])


def evaluate(net: JointNet, count: int = 60, setting: str = "easy") -> dict[str, float]:
    """Error on held-out characters, pixels at 128: from true points, and from what is found in pictures."""
    points, joints, pictures = draw(7, count, "test", 4, SIZE, (setting,))
    found = pocket_networks.points(pictures)[..., :2]
    out: dict[str, float] = {"n": len(points)}
    for name, given in (("given points", points), ("pictures", found)):
        error = np.linalg.norm(to_openpose(given, net) - joints, axis=-1)
        out |= {f"{name}: mean px": float(error.mean()), f"{name}: median px": float(np.median(error))}
        out |= {f"{name}: neck px": float(error[:, 1].mean()), f"{name}: face px": float(error[:, [0, 14, 15]].mean())}
    return {key: round(value, 3) for key, value in out.items()}


def main() -> None:
    """Command line: trains the network, measures its error, exports it."""
    parser = arguments(__doc__.splitlines()[0], "runs/train/joints", 3000, 3e-3)
    parser.add_argument("--settings", nargs="+", default=["easy"], help="settings of the sprite world, in turn")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    net = JointNet()
    points, joints, _ = draw(args.seed, 2000, "judge", 6, settings=args.settings)
    given = torch.from_numpy(points).float()
    wanted = torch.from_numpy(joints[:, list(GUESSED)]).float()

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        rows = torch.randint(0, len(given), (args.batch or 256,), generator=generator)
        noise = torch.randn(given[rows].shape, generator=generator)
        share = torch.rand(len(rows), 1, 1, generator=generator)
        out = net(given[rows] + 1.5 * share * noise)
        return (out - wanted[rows]).abs().mean(), {"px": (out - wanted[rows]).norm(dim=-1).mean().item()}

    loop = Loop(net, loss, LoopSettings(args.folder, args.steps, args.lr, ema=0.998))
    trained = loop.run().cpu()
    figures = evaluate(trained)
    for style in ("wild", "foreign"):
        figures |= {
            f"{style}: {name}": value for name, value in evaluate(trained, setting=style).items() if name != "n"
        }
    save_net(args.out or places.PACKAGE / "perception" / "joints.safetensors", trained, {}, figures, half=False)
    write_record(args.folder / "record.json", {"steps": loop.step, "seconds": loop.seconds, "figures": figures})
    print(figures)


if __name__ == "__main__":
    main()
