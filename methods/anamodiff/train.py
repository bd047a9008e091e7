"""`motionkit train method=anamodiff`: keypoint detector and LOFNet, on sprites or on a folder of clips such as MGIF."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.diffusion.warp import identity_grid, warp
from motionkit.errors import UserError
from motionkit.training.loop import Loop, LoopSettings, LossFn, write_record
from motionkit.training.schedule import cosine_tail
from motionkit.training.tracker import PhaseTracker, Shown
from motionkit.training.workers import Workers
from motionkit.weights.building import drawing

from .data import FolderPairs, Pairs, PairSource, SpritePairs
from .equivariance import Deformation, jacobian_loss, value_loss
from .keypoints import Keypoints, KPDetector
from .lofnet import LOFNet, Motion
from .train_config import TrainOptions
from .weights import load_network, save_network, vae_signature

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.training.job import TrainJob

STEPS = 10_000  # the paper's "epochs", read as optimiser steps (a pass over MGIF would take seconds, not 0.15 s)
PHASES = ("joint", "flow")  # folders of their checkpoints
STEADY = cosine_tail(0.2)  # the paper's constant rate, but in the last fifth, where batch norm would jitter
TRUTH_WEIGHTS = {"points": 10.0, "frames": 1.0, "flow": 5.0}


def train(job: TrainJob) -> str:
    """Train both networks, and write `keypoints.safetensors` and `lofnet.safetensors` into the job's folder.

    Returns:
        What was reached on held-out clips, and how to use the weights, in one line.

    Raises:
        UserError: anything that the user can fix.
        Cancelled: stopped by the user; the same call resumes.
    """
    from motionkit import backbones

    options: TrainOptions = job.options or TrainOptions()
    truth = options.supervision == "truth"
    if truth and job.data.name != "sprites":
        raise UserError("train.supervision=truth needs data=sprites: clips of a folder have no known truth")
    workers = Workers(job.plan.device)
    job = job.seen_by(workers)
    backbone = backbones.load(options.backbone, job.plan, path=options.backbone_path)
    size = job.side(backbone.spec.default_size, backbone.spec.size_multiple, options.backbone)
    side, frame_size = size // backbone.factor, min(size, 256)
    detector = _detector(options, side, frame_size, job.seed)
    flow = _flow(options, detector.num_kp, backbone, side, job.seed)
    source: PairSource
    if job.data.name == "sprites":
        source = SpritePairs(backbone, size, side, truth, job.seed, frame_size=frame_size, setting=job.data.setting)
    else:
        assert job.data.path is not None
        cache = job.folder / "cache"
        with workers.first_alone():
            source = FolderPairs(Path(job.data.path), backbone, size, frame_size, cache, job.seed, job.progress)
    learns = {k: v for k, v in asdict(options).items() if k not in ("save_every", "backbone_path")}
    facts = {"base": backbone.fingerprint(), "clips": source.identity(), "size": size, "seed": job.seed}
    job.claim(learns | facts, PHASES)
    try:
        detector, flow = run_phases(job, options, detector, flow, source, workers)
    finally:
        job.tracker.on_end()
    if workers.rank:
        return f"process {workers.rank} ended"
    return _finish(job, options, detector, flow, backbone, source, frame_size)


def run_phases(
    job: TrainJob,
    options: TrainOptions,
    detector: KPDetector,
    flow: LOFNet,
    source: PairSource,
    workers: Workers | None = None,
) -> tuple[KPDetector, LOFNet]:
    """Both networks together, then the flow network on the frozen detector; returns the averaged weights.

    Raises:
        Cancelled: stopped by the user, with its state saved.
    """
    workers = workers or Workers()
    total = job.steps or STEPS
    together = 0 if options.keypoints else round(total * options.joint)
    plan = zip(PHASES, (together, total - together), (True, False), strict=True)
    for name, steps, both in plan:
        if not steps:
            continue
        model = nn.ModuleDict({"detector": detector, "flow": flow} if both else {"flow": flow}).to(job.plan.device)
        detector.to(job.plan.device).requires_grad_(both).train(both)
        settings = LoopSettings(
            job.folder / name,
            steps,
            options.lr,
            (0.5, 0.999),
            0.0,
            save_every=options.save_every,
            log_every=20,
            warmup=0,
            schedule=STEADY,
        )
        first = 0 if both else together
        loss = make_loss(detector, flow, source, options, both, first * workers.world)

        def before(step: int, name: str = name, steps: int = steps) -> None:
            job.progress.tick(f"train {name}", step, steps)

        torch.manual_seed(job.seed)

        def validate(average: Any, both: bool = both, detector: KPDetector = detector) -> Shown:
            found = evaluate(average["detector"] if both else detector, average["flow"], source, 1)
            return Shown({key: found[key] for key in ("warp", "still")}, held_out=bool(found["held_out"]))

        more = {"tracker": PhaseTracker(job.tracker, name, first), "validate": validate}
        trained: Any = Loop(model, loss, settings, workers=workers, before=before, **more).to_the_end()
        job.progress.end(f"train {name}")
        flow = trained["flow"]
        detector = trained["detector"] if both else detector
        flow.requires_grad_(True)
    return detector.eval().cpu(), flow.eval().cpu()


def make_loss(
    detector: KPDetector, flow: LOFNet, source: PairSource, options: TrainOptions, both: bool, first: int = 0
) -> LossFn:
    """The loss of a batch of pairs, by its number.

    Args:
        both: the detector learns too; otherwise it only looks.
        first: the number of the first batch, so that a later phase sees other data.
    """
    device = next(flow.parameters()).device

    def loss(number: int) -> tuple[Tensor, dict[str, float]]:
        pairs = _to(source.batch(first + number, options.batch), device)
        count = len(pairs.source)
        with torch.set_grad_enabled(both):
            found = detector(torch.cat([pairs.source, pairs.driving]))
        kp_source, kp_driving = found[slice(0, count)], found[slice(count, None)]
        motion = flow(pairs.z_source, kp_driving, kp_source)
        terms = warp_terms(pairs, motion, options, pixels=both) | truth_terms(pairs, found, motion)
        if both and options.equivariance:
            generator = torch.Generator().manual_seed(7919 * (first + number) + 1)
            terms["equivariance"] = options.equivariance * equivariance(detector, pairs.driving, kp_driving, generator)
        return torch.stack(list(terms.values())).sum(), {name: float(v.detach()) for name, v in terms.items()}

    return loss


def warp_terms(pairs: Pairs, motion: Motion, options: TrainOptions, pixels: bool) -> dict[str, Tensor]:
    """L_warp of the paper, and what may be added to it; in `pixels` too, from which the detector learns more."""
    moved = warp(pairs.z_source, motion.flow)
    error = (moved - pairs.z_driving).square()
    if options.occlusion and motion.occlusion is not None:
        seen = motion.occlusion
        terms = {"warp": (seen * error).mean() + 0.1 * (1 - seen).mean()}
    else:
        terms = {"warp": error.mean()}
    size = moved.shape[-2:]
    if options.rgb and pixels:
        small, target = (F.interpolate(x, size, mode="area") for x in (pairs.source, pairs.driving))
        terms["rgb"] = options.rgb * _at_scales(warp(small, motion.flow), target, (1, 2, 4))
    if options.scales:
        terms["scales"] = options.scales * _at_scales(moved, pairs.z_driving, (2, 4))
    if options.smoothness:
        offset = motion.flow - identity_grid(*size).to(motion.flow)
        change = offset.diff(dim=1).abs().mean() + offset.diff(dim=2).abs().mean()
        terms["smoothness"] = options.smoothness * change
    return terms


def _at_scales(moved: Tensor, target: Tensor, factors: tuple[int, ...]) -> Tensor:
    errors = [F.mse_loss(F.avg_pool2d(moved, f), F.avg_pool2d(target, f)) for f in factors]
    return torch.stack(errors).mean()


def truth_terms(pairs: Pairs, found: Keypoints, motion: Motion) -> dict[str, Tensor]:
    """Distance from the truth, as far as it is known; `found` holds the sources, then the drivings."""
    terms: dict[str, Tensor] = {}
    if pairs.kp_source is not None and pairs.kp_driving is not None and found.value.requires_grad:
        value = torch.cat([pairs.kp_source.value, pairs.kp_driving.value])
        inside = (value.abs() <= 1).all(-1, keepdim=True)  # a point may have left the picture
        terms["points"] = TRUTH_WEIGHTS["points"] * ((found.value - value).abs() * inside).mean()
        frames = pairs.kp_source.jacobian, pairs.kp_driving.jacobian
        if found.jacobian is not None and frames[0] is not None and frames[1] is not None:
            terms["frames"] = TRUTH_WEIGHTS["frames"] * (found.jacobian - torch.cat(frames)).abs().mean()  # type: ignore[arg-type]
    if pairs.flow is not None and pairs.weight is not None:
        off = (motion.flow - pairs.flow).abs().sum(-1) * pairs.weight
        terms["flow"] = TRUTH_WEIGHTS["flow"] * off.sum() / pairs.weight.sum().clamp_min(1)
    return terms


def equivariance(detector: KPDetector, frames: Tensor, found: Keypoints, generator: torch.Generator) -> Tensor:
    """Keypoints and jacobians must follow a random deformation of the picture (Siarohin et al. 2019, section 3.1)."""
    drawn = Deformation.random(len(frames), generator)
    bend = Deformation(*(x.to(frames) for x in (drawn.theta, drawn.control_points, drawn.control_params)))
    deformed = detector(bend.apply(frames))
    loss = value_loss(found, deformed, bend)
    return loss if found.jacobian is None else loss + jacobian_loss(found, deformed, bend)


@torch.no_grad()
def evaluate(
    detector: KPDetector, flow: LOFNet, source: PairSource, batches: int = 4, count: int = 16
) -> dict[str, Any]:
    """Latent error after the warp, and without it, on held-out pairs if there are any."""
    warped, still = [], []
    device = next(flow.parameters()).device
    for step in range(batches):
        pairs = _to(source.batch(step, count, held_out=True), device)
        motion = flow(pairs.z_source, detector(pairs.driving), detector(pairs.source))
        warped.append(F.mse_loss(warp(pairs.z_source, motion.flow), pairs.z_driving).item())
        still.append(F.mse_loss(pairs.z_source, pairs.z_driving).item())
    found = {"warp": sum(warped) / batches, "still": sum(still) / batches, "pairs": batches * count}
    return found | {"held_out": source.held_out}


def _detector(options: TrainOptions, side: int, frame_size: int, seed: int) -> KPDetector:
    if options.keypoints:
        network, _ = load_network(Path(options.keypoints).expanduser(), "keypoints")
        assert isinstance(network, KPDetector)
        return network
    large = side >= 64
    config = {
        "num_kp": options.num_kp or (12 if options.supervision == "truth" else 10),
        "block_expansion": options.detector_width or (32 if large else 16),
        "max_features": options.max_width or (1024 if large else 160),
        "num_blocks": min(5, int(math.log2(frame_size)) - 3),
        "scale_factor": 0.25 if frame_size >= 256 else 0.5,
        "pad": 3,
    }
    return _seeded(KPDetector, config, seed)


def _flow(options: TrainOptions, num_kp: int, backbone: VideoBackbone, side: int, seed: int) -> LOFNet:
    large = side >= 64
    config = {
        "num_kp": num_kp,
        "num_channels": backbone.latent_channels,
        "block_expansion": options.flow_width or (64 if large else 24),
        "max_features": options.max_width or (1024 if large else 160),
        "num_blocks": min(5, int(math.log2(side)) - 1),
        "estimate_occlusion_map": options.occlusion,
    }
    return _seeded(LOFNet, config, seed + 1)


def _seeded(kind: type, config: dict[str, Any], seed: int) -> Any:
    with drawing(seed):
        network = kind(**config)
    network.arguments = config
    return network


def _to(pairs: Pairs, device: torch.device) -> Pairs:
    def move(x: Any) -> Any:
        return x.map(lambda t: t.to(device)) if isinstance(x, Keypoints) else None if x is None else x.to(device)

    return Pairs(*(move(getattr(pairs, name)) for name in Pairs.__dataclass_fields__))


def _finish(
    job: TrainJob,
    options: TrainOptions,
    detector: KPDetector,
    flow: LOFNet,
    backbone: VideoBackbone,
    source: PairSource,
    frame_size: int,
) -> str:
    figures = evaluate(detector, flow, source)
    facts = {"figures": figures, "data": job.data.name, "supervision": options.supervision, "seed": job.seed}
    target = job.folder / "keypoints.safetensors"
    if options.keypoints:
        if target.resolve() != Path(options.keypoints).expanduser().resolve():
            shutil.copyfile(Path(options.keypoints).expanduser(), target)
    else:
        save_network(target, "keypoints", detector.arguments, detector.state_dict(), **facts, size=frame_size)
    facts |= {"vae": vae_signature(backbone.vae), "backbone": backbone.spec.name}
    save_network(job.folder / "lofnet.safetensors", "lofnet", flow.arguments, flow.state_dict(), **facts)
    skipped = getattr(source, "skipped", [])
    made = job.made("anamodiff", backbone.spec.name, "method.weights", ["keypoints.safetensors", "lofnet.safetensors"])
    record = {"steps": job.steps or STEPS, "skipped": skipped, "options": asdict(options), **facts, **made}
    write_record(job.folder / "record.json", record)
    left_out = f"; {len(skipped)} clips left out, listed in record.json" if skipped else ""
    where = "held-out" if figures["held_out"] else "training"
    return (
        f"warp error on {where} clips {figures['warp']:.4f} (without warping: {figures['still']:.4f}){left_out}; "
        f"use the weights with method.weights={job.folder}"
    )
