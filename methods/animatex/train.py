"""`motionkit train method=animatex`: self-reconstruction of clips from one of their frames and their poses.

Animate-X (arXiv 2410.10306): reference and driving come from the same clip; the explicit pose indicator gives the
driving poses another body (pool.py). The command writes a model folder, to be used with backbone.path=FOLDER.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from motionkit.backbones.mixed_precision import loss_scale
from motionkit.errors import UserError
from motionkit.perception.pose.estimate import weight_files
from motionkit.settings.setting import plain
from motionkit.training.loop import Loop, LoopSettings, write_record
from motionkit.training.loss_scale import LossScale
from motionkit.training.schedule import SCHEDULES
from motionkit.training.workers import Workers
from motionkit.weights.hashing import hash_json, hash_path, hash_tensors, seed_from

from .train_batch import Examples
from .train_config import TrainOptions, VariantSettings
from .train_data import Encoders, PoseClips
from .train_loss import Denoiser, make_loss, measure
from .train_model import check_plan, denoiser, start, write_compact, write_folder
from .train_validation import validation

if TYPE_CHECKING:
    from motionkit.methods.animatex.net.backbone import AnimateXBackbone
    from motionkit.training.job import TrainJob


def train(job: TrainJob) -> str:
    """Train a network, and write it as the folder `model` (and, for the pocket, `compact`) below the job's folder.

    Returns:
        What was reached, and how to use the model, in one line.

    Raises:
        UserError: anything that the user can fix.
        Cancelled: stopped by the user; the same call resumes.
    """
    from motionkit import backbones

    options: TrainOptions = job.options or TrainOptions()
    spec = backbones.get(options.backbone)
    if spec.family != "animatex":
        known = [s.name for s in backbones.specs().values() if s.family == "animatex"]
        raise UserError(f"train.backbone={spec.name} is not an Animate-X network: give {', '.join(known)}")
    size = job.frame(spec.default_frame, spec.size_multiple, spec.name)
    check_plan(job.plan, options)
    workers = Workers(job.plan.device)
    job = job.seen_by(workers)
    backbone = start(spec, options, job.plan, job.seed)
    model = denoiser(backbone, options)
    with workers.first_alone():
        clips = _clips(job, options, backbone, _folder(job, options, size), size)
    examples = _examples(job, options, backbone, clips)
    _same_run(job, options, backbone, clips, size)
    loop = _loop(job, options, backbone, model, examples, workers)
    try:
        trained = loop.to_the_end()
    finally:
        job.progress.end("train")
    if workers.rank:
        return f"process {workers.rank} ended"
    return _finish(job, options, backbone, trained, examples, loop, size)


def _folder(job: TrainJob, options: TrainOptions, size: tuple[int, int]) -> Path:
    """The folder to train on; for data=sprites clips, which are square, are written first."""
    if job.data.name != "sprites":
        assert job.data.path is not None
        return Path(job.data.path)
    from motionkit.sprites.export import write_dataset

    side = min(size)
    facts = (options.sprite_clips, options.sprite_frames, side, job.data.setting, job.seed)
    folder = job.folder / "sprites" / "-".join(map(str, facts))
    if len(list(folder.glob("*.json"))) != options.sprite_clips:
        write_dataset(
            folder,
            options.sprite_clips,
            "train",
            job.seed,
            options.sprite_frames,
            side,
            job.data.setting,
            tick=lambda done: job.progress.tick("draw", done, options.sprite_clips),
        )
    return folder


def _recorded(size: tuple[int, int]) -> int | list[int]:
    """The size in a run's record: a square by its side, else height and width."""
    return size[0] if size[0] == size[1] else list(size)


def _clips(
    job: TrainJob, options: TrainOptions, backbone: AnimateXBackbone, folder: Path, size: tuple[int, int]
) -> PoseClips:
    """The clips, encoded where they are not on disk yet."""
    features = None if options.trains_encoder else backbone.encode_images
    weights = {k: v.cpu() for k, v in backbone.vae.state_dict().items()}
    if features is not None:
        weights |= {f"image.{k}": v.cpu() for k, v in backbone.image_encoder.state_dict().items()}
    pocket = backbone.spec.name.startswith(("pocket-", "tiny-"))
    estimator = {} if options.poses == "given" else weight_files(options.pose, None, pocket)
    facts = [
        hash_tensors(weights),
        _recorded(size),
        options.fps,
        options.poses,
        asdict(options.pose),
        features is not None,
        {name: hash_path(path) for name, path in estimator.items()},
        job.plan.dtype,
        job.plan.autocast,
    ]
    encoders = Encoders(
        backbone.encode,
        features,
        size,
        options.fps,
        options.poses,
        options.pose,
        pocket,
        job.plan.device,
        hash_json(facts),
    )
    cache = Path(options.cache).expanduser() if options.cache else job.folder / "cache"
    return PoseClips(folder, encoders, cache, job.progress)


def _examples(job: TrainJob, options: TrainOptions, backbone: AnimateXBackbone, clips: PoseClips) -> Examples:
    side = max(0, job.config.on(backbone.spec.name).draw.side)  # the size of the clip's file is no longer known
    text = backbone.encode_text([""]).cpu()
    return Examples(clips, options, text, side, job.seed, backbone.factor)


def _loop(
    job: TrainJob,
    options: TrainOptions,
    backbone: AnimateXBackbone,
    model: Denoiser,
    examples: Examples,
    workers: Workers,
) -> Loop:
    recipe = options.recipe
    steps = job.steps or recipe.steps
    slower = recipe.indicator_lr / recipe.lr

    def scale(name: str) -> float:
        return slower if name.startswith("network.indicator.") else 1.0

    settings = LoopSettings(
        job.folder,
        steps,
        recipe.lr,
        (0.9, 0.999),
        options.weight_decay,
        options.clip,
        recipe.ema,
        options.save_every,
        options.log_every,
        scale,
        warmup=recipe.warmup,
        schedule=SCHEDULES[recipe.schedule],
        accumulate=options.accumulate,
        save_steps=options.save_steps,
        half=options.checkpoint == "half",
        shard=round(options.shard * 1e9),
    )

    def before(step: int) -> None:
        job.progress.tick("train", step, steps)
        torch.manual_seed(seed_from(job.seed, f"animatex dropout {step} {workers.rank}"))  # as a resumed run would

    loss = make_loss(model, examples, backbone, options, job.tracker)
    more: dict[str, Any] = {"tracker": job.tracker, "validate": validation(examples, backbone, options)}
    return Loop(model, loss, settings, workers=workers, before=before, scale=LossScale(loss_scale(backbone)), **more)


def _same_run(
    job: TrainJob, options: TrainOptions, backbone: AnimateXBackbone, clips: PoseClips, size: tuple[int, int]
) -> None:
    """Begin the folder's record, or check that a checkpoint there belongs to the same run.

    Raises: UserError naming what differs.
    """
    free = (
        "save_every",
        "save_steps",
        "checkpoint",
        "shard",
        "log_every",
        "half",
        "backbone_path",
        "sprite_clips",
        "sprite_frames",
        "cache",
    )
    facts: dict[str, Any] = {k: v for k, v in plain(options).items() if k not in free}
    facts["temporal"] = backbone.network.config.temporal
    if options.variant == VariantSettings():
        del facts["variant"]  # runs that began before there were variants resume
    if options.renew == "nothing":
        del facts["renew"]  # so do runs from before this setting
    facts |= {
        "base": hash_json(backbone.fingerprint()),
        "clips": clips.identity(),
        "seed": job.seed,
        "size": _recorded(size),
    }
    job.claim(facts | {"recipe": asdict(replace(options.recipe, steps=0))})


def _finish(
    job: TrainJob,
    options: TrainOptions,
    backbone: AnimateXBackbone,
    trained: Any,
    examples: Examples,
    loop: Loop,
    size: tuple[int, int],
) -> str:
    figures = measure(trained, examples, backbone, options)
    write_folder(job.folder / "model", backbone, trained, options.half, options.reference_mode)
    record: dict[str, Any] = {
        "steps": loop.step,
        "seconds": loop.seconds,
        "size": _recorded(size),
        "seed": job.seed,
        "figures": figures,
        "recipe": asdict(options.recipe),
        "options": asdict(options),
        "clips": len(examples.clips.train),
        "notes": examples.clips.notes,
        "anchors": len(examples.pool),
        "epi": asdict(options.epi),
    }
    if backbone.spec.name.startswith("pocket-") and not (options.learns == "temporal" and options.backbone_path):
        record["compact_bytes"] = write_compact(job.folder / "compact", backbone, trained, options.learns)
    name = "animatex" if options.backbone.startswith("tiny-") else options.backbone  # a toy reads no folder
    write_record(job.folder / "record.json", record | job.made("animatex", name, "backbone.path", ["model"]))
    where = "held-out" if figures["held_out"] else "training"
    notes = "".join(f"; note: {note}" for note in examples.clips.notes)
    return (
        f"error on {where} clips {figures['error']:.4f} (without conditions: {figures['without']:.4f}) after "
        f"{loop.step} steps{notes}; use it with backbone={name} backbone.path={job.folder / 'model'}"
    )
