"""`motionkit train method=flipsketch`: a LoRA that teaches a text-to-video model to draw, from captioned clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from motionkit.backbones import catalog, motion_files
from motionkit.backbones.mixed_precision import loss_scale
from motionkit.errors import UserError
from motionkit.settings.setting import plain
from motionkit.training.loop import Loop, LoopSettings, write_record
from motionkit.training.loss_scale import LossScale
from motionkit.training.schedule import SCHEDULES
from motionkit.training.workers import Workers
from motionkit.weights.hashing import seed_from

from .train_config import TrainOptions
from .train_data import DrawingClips
from .train_lora import Factors, add_factors, text_layers, unet_layers, write_lora
from .train_loss import make_loss, measure
from .train_validation import validation

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.catalog import BackboneSpec
    from motionkit.training.job import TrainJob

FILE = "lora.safetensors"
FAMILIES = ("modelscope", "animatediff")
_NOT = {"animatediff-xl": "has two text encoders, and the trainer supports only one", "animatex": "reads no prompt"}


def train(job: TrainJob) -> str:
    """Train the factors, and write them as `lora.safetensors` into the job's folder.

    Returns:
        What was reached on held-out clips, and how to use the file, in one line.

    Raises:
        UserError: anything that the user can fix.
        Cancelled: stopped by the user; the same call resumes.
    """
    from motionkit import backbones

    options: TrainOptions = job.options or TrainOptions()
    spec = backbones.get(options.backbone)
    _check_backbone(spec, options)
    size = job.side(spec.default_size, spec.size_multiple, spec.name)
    _check_plan(job, options)
    workers = Workers(job.plan.device)
    job = job.seen_by(workers)
    backbone = backbones.load(spec, job.plan, path=options.backbone_path)
    with workers.first_alone():
        folder = _clips(job, options, size)
        clips = DrawingClips(folder, backbone, size, options.frames, job.folder / "cache", options.fps, job.progress)
    factors, loop = build(job, options, backbone, clips, size, workers)
    try:
        factors.take(loop.to_the_end())
    finally:
        job.progress.end("train")
    if workers.rank:
        return f"process {workers.rank} ended"
    return _finish(job, options, backbone, clips, factors, loop, size)


def _check_backbone(spec: BackboneSpec, options: TrainOptions) -> None:
    if spec.family not in FAMILIES:
        known = [s.name for s in catalog.specs().values() if s.family in FAMILIES]
        raise UserError(
            f"train.backbone={spec.name} {_NOT.get(spec.family, 'makes single pictures')}: a sketch LoRA "
            f"needs a text-to-video model ({', '.join(known)})"
        )
    motion_files.check_frames(spec, options.frames, motion_files.max_frames(spec, options.backbone_path))


def build(
    job: TrainJob, options: TrainOptions, backbone: VideoBackbone, clips: DrawingClips, size: int, workers: Workers
) -> tuple[Factors, Loop]:
    """The factors inside the backbone's networks, and the loop that trains them."""
    recipe = options.recipe
    prepare(backbone, options, job.seed)
    factors = Factors(backbone.unet, backbone.text_encoder if options.text_encoder else None).to(backbone.device)
    steps = job.steps or recipe.steps
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
        warmup=options.warmup,
        schedule=SCHEDULES[recipe.schedule],
        accumulate=options.accumulate,
    )
    _same_run(job, options, backbone, clips, size)

    def before(step: int) -> None:
        job.progress.tick("train", step, steps)
        mark = f" {workers.rank}" if workers.rank else ""
        torch.manual_seed(seed_from(job.seed, f"dropout {step}{mark}"))

    loss, scale = make_loss(backbone, clips, options, job.seed, job.tracker), LossScale(loss_scale(backbone))
    more = {"tracker": job.tracker, "validate": validation(backbone, clips, options, factors)}
    return factors, Loop(factors, loss, settings, workers=workers, before=before, scale=scale, **more)


def prepare(backbone: VideoBackbone, options: TrainOptions, seed: int) -> None:
    """Put factors into the backbone, and set its switches for training."""
    unet = backbone.unet
    if backbone.device.type == "cpu":
        unet.set_attn_processor(AttnProcessor())  # the fused kernel's backward is slow on a CPU for short sequences
    alpha = float(options.rank * options.scale)
    add_factors(unet, unet_layers(unet, options.targets), options.rank, alpha, options.dropout, seed)
    parts = [unet]
    if options.text_encoder:
        encoder = backbone.text_encoder
        add_factors(encoder, text_layers(encoder), options.rank, alpha, options.dropout, seed + 1)
        parts.append(encoder)
    for part in parts:
        part.eval()
        for name, module in part.named_modules():
            if isinstance(module, nn.Dropout):
                module.train("lora_dropout" in name or options.model_dropout)


def _check_plan(job: TrainJob, options: TrainOptions) -> None:
    if job.plan.offload == "group":
        raise UserError(
            "training keeps the whole UNet on the device, so gpu.offload=group is not possible (try gpu.offload="
            "model, gpu.checkpointing=true or a smaller size=)"
        )
    if job.plan.offload == "model" and options.text_encoder:
        raise UserError("train.text_encoder=true keeps two networks on the device: give gpu.offload=none")
    if job.plan.device == "cpu" and job.plan.autocast == "bfloat16" and options.frames == 2:
        # torch 2.13 returns unset memory as the weight gradient of such a convolution (only for a depth of two).
        raise UserError(
            "train.frames=2 with gpu.dtype=bfloat16 on a CPU gives wrong gradients: use train.frames=3 or "
            "more, or gpu.dtype=float32"
        )


def _clips(job: TrainJob, options: TrainOptions, size: int) -> Path:
    """The folder to train on; for data=sprites drawings are written first."""
    if job.data.name != "sprites":
        assert job.data.path is not None
        return Path(job.data.path)
    from motionkit.sprites.export import write_drawings

    facts = (options.sprite_clips, options.frames, size, job.data.setting, job.seed)
    folder = job.folder / "sprites" / "-".join(map(str, facts))
    if len(list(folder.glob("*.gif"))) != options.sprite_clips:
        write_drawings(
            folder,
            options.sprite_clips,
            "train",
            job.seed,
            options.frames,
            size,
            job.data.setting,
            tick=lambda done: job.progress.tick("draw", done, options.sprite_clips),
        )
    return folder


def _same_run(job: TrainJob, options: TrainOptions, backbone: VideoBackbone, clips: DrawingClips, size: int) -> None:
    """Begin the folder's record, or check that a checkpoint there belongs to the same run.

    Raises: UserError naming what differs.
    """
    recipe = options.recipe
    facts = {
        "backbone": backbone.fingerprint(),
        "clips": clips.identity(),
        "seed": job.seed,
        "size": size,
        **{n: getattr(options, n) for n in ("rank", "targets", "text_encoder", "frames", "fps", "accumulate")},
        "scale": options.scale,
        "batch": recipe.batch,
    }
    job.claim(facts)


def _finish(
    job: TrainJob,
    options: TrainOptions,
    backbone: VideoBackbone,
    clips: DrawingClips,
    factors: Factors,
    loop: Loop,
    size: int,
) -> str:
    figures = measure(backbone, clips, options.recipe)
    said = sorted({entry.caption for entry in clips.train})
    facts = {
        "kind": "lora",
        "method": "flipsketch",
        "steps": loop.step,
        "rank": options.rank,
        "alpha": options.rank,
        "base": {"name": backbone.spec.name, "fingerprint": backbone.fingerprint()},
        "targets": options.targets,
        "text_encoder": options.text_encoder,
        "frames": options.frames,
        "size": size,
        "seed": job.seed,
        "clips": len(clips.train),
        "captions": said[:100],
        "captions_in_all": len(said),
        "figures": figures,
    }
    path = job.folder / FILE
    write_lora(path, factors.named(), options.scale, facts, options.half)
    record = {"recipe": vars(options.recipe), "options": plain(options), "seconds": loop.seconds, "notes": clips.notes}
    made = job.made("flipsketch", backbone.spec.name, "method.lora", [FILE])
    write_record(job.folder / "record.json", facts | record | made)
    where = "held-out" if figures["held_out"] else "training"
    notes = "".join(f"; note: {note}" for note in clips.notes)
    return (
        f"error on {where} clips {figures['error']:.4f} (without the LoRA: {figures['without']:.4f}) after "
        f"{loop.step} steps{notes}; use it with method.lora={path}"
    )
