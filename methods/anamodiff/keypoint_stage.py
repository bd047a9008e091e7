"""Trains the keypoint network of the next set on the settings wild and easy; it reads pixels, not latents."""

from __future__ import annotations

import torch

from motionkit.errors import in_one_line
from motionkit.training.loop import Loop, LoopSettings, arguments
from motionkit.training.recipes.stage import run_stage, stage_arguments

from .keypoints import KPDetector
from .supervised import KEYPOINT_CONFIG, by_style, evaluate_keypoints, in_hourglass, keypoint_loss
from .weights import save_network

SETTINGS = ("wild", "easy", "wild")  # of the sprite world, in turn


def main() -> None:
    """Command line: trains; hands over an unfinished training, or measures and exports a finished one."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/anamodiff-keypoints", 5000, 2e-3)
    stage_arguments(parser)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    detector, batch = KPDetector(**KEYPOINT_CONFIG).to(args.device), args.batch or 16
    loss = keypoint_loss(detector, batch, args.seed, args.device, SETTINGS)
    settings = LoopSettings(
        args.folder, args.steps, args.lr, ema=0.998, clip=float("inf"), muon=in_hourglass, decay=0.4, second=args.second
    )

    def finished(trained: KPDetector) -> dict[str, float]:
        trained = trained.cpu()
        figures = by_style(lambda style: evaluate_keypoints(trained, setting=style))
        state = {k: v.half() if v.is_floating_point() else v for k, v in trained.state_dict().items()}
        out = args.out or args.set / "anamodiff"
        save_network(out / "keypoints.safetensors", "keypoints", dict(KEYPOINT_CONFIG), state, figures=figures)
        return figures

    run_stage(Loop(detector, loss, settings), args, finished, {"batch": batch, "settings": SETTINGS})


if __name__ == "__main__":
    in_one_line(main)
