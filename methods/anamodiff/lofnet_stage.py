"""Trains the flow network on the latents of the next set of weights, with a head that predicts visibility."""

from __future__ import annotations

import torch

from motionkit.backbones import get, load
from motionkit.errors import UserError, in_one_line
from motionkit.settings.gpu import Plan
from motionkit.training.loop import Loop, LoopSettings, arguments
from motionkit.training.recipes.stage import run_stage, stage_arguments

from .lofnet import LOFNet
from .supervised import LOFNET_CONFIG, evaluate_lofnet, lofnet_loss
from .weights import load_network, pocket_folder, save_network, vae_signature

CONFIG = LOFNET_CONFIG | dict(estimate_occlusion_map=True)


def main() -> None:
    """Command line: trains; hands over an unfinished training, or exports a finished one."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/anamodiff-lofnet", 3500, 1e-3)
    stage_arguments(parser)
    args = parser.parse_args()
    base, out = args.set / "pocket-sd", args.out or args.set / "anamodiff"
    if not (base / "unet").is_dir():
        raise UserError(f"no image UNet at {base / 'unet'}: run `make train-pocket`, which trains it first")
    torch.manual_seed(args.seed)
    backbone = load(get("pocket-sd"), Plan(), path=str(base))
    found = out if (out / "keypoints.safetensors").is_file() else pocket_folder()  # keypoints read pixels
    detector, _ = load_network(found / "keypoints.safetensors", "keypoints")
    net, batch = LOFNet(**CONFIG).to(args.device), args.batch or 16
    loss = lofnet_loss(net, detector.to(args.device), backbone, batch, args.seed, args.device)
    settings = LoopSettings(args.folder, args.steps, args.lr, ema=0.995, fused=True, second=args.second)

    def finished(trained: LOFNet) -> dict[str, float]:
        figures = evaluate_lofnet(trained.cpu(), detector.cpu(), backbone)
        state = {k: v.half() if v.is_floating_point() else v for k, v in trained.state_dict().items()}
        facts = {"vae": vae_signature(backbone.vae), "backbone": "pocket-sd", "figures": figures}
        save_network(out / "lofnet.safetensors", "lofnet", dict(CONFIG), state, **facts)
        return figures

    run_stage(Loop(net, loss, settings), args, finished, {"batch": batch})


if __name__ == "__main__":
    in_one_line(main)
