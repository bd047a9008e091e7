"""Animate-X as a Transfer: poses and image features once per pair of clips, then guided denoising in windows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from motionkit.diffusion.guidance import Guidance, Half
from motionkit.diffusion.samplers import make_sampler
from motionkit.diffusion.schedule import Step
from motionkit.media import Clip
from motionkit.perception.pose.estimate import check as check_poses
from motionkit.perception.pose.estimate import weight_files
from motionkit.settings.presets import settings
from motionkit.transfer import Inputs, MethodSpec, RunContext, Tensors, Transfer

from . import SPEC
from .config import DIFFERS, PRESETS, AnimateXSettings
from .poses import WORDS, arrange, estimator_of, overlaid, read_driving, read_reference, restored, skeletons, stored
from .sample import Window, WindowModel, offset_noise, sample, windows

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.methods.animatex.net import Conditions, Prepared
    from motionkit.methods.animatex.net.backbone import AnimateXBackbone

_log = logging.getLogger(__name__)


class AnimateX(Transfer):
    """Tan et al. 2025: a 3D UNet that reads a reference, skeletons, and what image features say of the motion."""

    spec: ClassVar[MethodSpec] = SPEC
    config: AnimateXSettings
    _inputs: Inputs | None = None

    def __init__(self, config: AnimateXSettings, backbone: VideoBackbone | None, run: RunContext) -> None:
        super().__init__(config.on(backbone.spec.name) if backbone else config, backbone, run)

    @property
    def _model(self) -> AnimateXBackbone:
        """The backbone, or the handle that stands for it."""
        return cast("AnimateXBackbone", self.backbone)

    @property
    def _pocket(self) -> bool:
        return self.backbone.spec.name.startswith(("pocket-", "tiny-"))

    def check(self, inputs: Inputs) -> None:
        """Refuse invalid pose files and missing estimators before weights load."""
        self._inputs, config = inputs, self.config
        if config.preset == "released":
            self.run.remark(f"method.preset=released differs from the authors' inference: {'; '.join(DIFFERS)}")
        if config.reference_pose not in WORDS:
            check_poses(config.pose, Path(config.reference_pose).expanduser())
        elif config.reference_pose != "driving":
            check_poses(estimator_of(config), None, self._pocket)
        check_poses(config.pose, Path(inputs.poses) if inputs.poses else None, self._pocket)

    def weights(self) -> Mapping[str, Path]:
        """The estimator's files, and a file with the reference's pose; of the inputs last checked."""
        config, found = self.config, dict[str, Path]()
        if config.reference_pose not in WORDS:
            found["reference_pose"] = Path(config.reference_pose).expanduser()
        given = self._inputs is not None and bool(self._inputs.poses)
        if not given or config.reference_pose in ("auto", "strict"):
            found |= weight_files(estimator_of(config), None, self._pocket)
        return found

    # prepare

    @torch.no_grad()
    def prepare(self, inputs: Inputs) -> Tensors:
        """Poses, the skeletons as pictures, and the image features of reference and driving frames."""
        assert inputs.reference is not None and inputs.driving is not None  # required
        run, config = self.run, self.config
        picture, frames = inputs.reference.frames[0], inputs.driving.frames
        file = Path(inputs.poses) if inputs.poses else None
        run.progress.tick("poses", 0, 2)
        driving = read_driving(inputs.driving, config, file, self._pocket, run.device, run.fps)
        run.progress.tick("poses", 1, 2)
        aligned = arrange(driving, read_reference(inputs.reference, config, self._pocket, run.device), config.align)
        run.progress.tick("poses", 2, 2)
        for line in aligned.facts["notes"]:
            _log.warning("animatex: %s", line)
        run.note("poses", aligned.facts)
        drawn = self._draw(aligned.poses, inputs.driving)
        run.show("skeletons", drawn)
        pictures = np.concatenate([picture[None], frames])  # (T, H, W, 3)
        before = self._draw(driving, inputs.driving)
        run.show("poses-read", overlaid(frames, before))
        run.show("poses-aligned", overlaid(np.repeat(picture[None], len(frames), 0), drawn[1:]))
        features = self._model.encode_images(floats(pictures)).cpu()  # (T, C)
        arrays = {name: torch.from_numpy(value) for name, value in stored(aligned.poses).items()}
        return arrays | {"skeletons": torch.from_numpy(drawn), "features": features}

    def _draw(self, poses: Any, clip: Clip) -> np.ndarray:
        draw = self.config.draw
        side = max(clip.source_size) if draw.side < 0 else draw.side
        return skeletons(poses, self.run.height, self.run.width, side, draw.faces)

    # generate

    @torch.no_grad()
    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> Tensor:
        """Denoise under guidance, in windows where the clip is long, and decode."""
        assert inputs.reference is not None
        run, config, backbone = self.run, self.config, self._model
        run.note("settings", {k: v for k, v in settings(config).items() if k in PRESETS["released"]})
        given = self._conditions(inputs.reference.frames[:1], prepared)
        sampling, window = config.sample, config.window
        sampler = make_sampler(backbone, run.sampler, run.generator("sampler"))
        shape = (1, *backbone.latent_shape(run.frames, run.height, run.width))
        noise = offset_noise(shape, run.generator("noise"), sampling.offset, sampling.noise_share)
        noise = noise * sampler.initial_scale
        if sampling.prior:
            still = self._latent(inputs.reference.frames[:1]).cpu()[:, :, None].expand_as(noise)
            noise = backbone.noised(still, noise, sampling.prior)
        for site in backbone.network.sites():
            site.motion_scale = backbone.network.config.motion_scale * config.indicator_scale
        size, overlap = window.size, window.overlap
        run.note("windows", len(windows(run.frames, size, overlap)))
        latents = sample(
            self._denoiser(given),
            noise.to(run.device),
            sampling.steps,
            guidance=self._guidance,
            sampler=sampler,
            size=size,
            overlap=overlap,
            progress=run.progress.walk("denoise"),
        )
        return backbone.decode(rearrange(latents, "1 c f h w -> f c h w")).cpu().contiguous()  # (F, 3, H, W)

    @property
    def _guidance(self) -> Guidance:
        sample = self.config.sample
        room, interval = self.run.plan.batched, sample.guidance_interval
        return Guidance.on(self.run.device, sample.guidance, 0.0, sample.batched, room, interval)

    def _conditions(self, picture: np.ndarray, prepared: Tensors) -> Conditions:
        """Everything the clip is conditioned on, of all T slots."""
        from motionkit.methods.animatex.net import Conditions

        backbone, mode = self.backbone, self._reference_mode()
        reference = floats(picture)  # (1, 3, H, W)
        latent = None if mode == "local" else self._latent(picture)
        poses = restored(*(prepared[name].numpy() for name in ("xy", "seen", "size")))
        features = prepared["features"][None] if self.config.indicator else None  # (1, T, C)
        return Conditions(
            backbone.encode_text([""]),
            self.run.frames,
            reference,
            latent,
            floats(prepared["skeletons"].numpy()).transpose(0, 1)[None],  # (1, 3, T, H, W)
            torch.from_numpy(poses.keypoints())[None] if self.config.indicator else None,
            prepared["features"][None, :1],
            features,
        ).with_reference(mode)

    def _reference_mode(self) -> str:
        """How the reference enters; the manifest says it, and whether the network was trained with another way."""
        trained = self._model.network.config.reference
        mode = self._model.network.config.entered(self.config.reference_mode)
        self.run.note("reference_mode", mode)
        if trained and mode != trained:
            self.run.note("reference_trained", trained)
            _log.warning("animatex: this network was trained with reference_mode=%s, not %s", trained, mode)
        return mode

    def _latent(self, picture: np.ndarray) -> Tensor:
        """The reference (1, H, W, 3) as a latent (1, C, h, w): a sample of the posterior, as the authors take it."""
        return self.backbone.encode(floats(picture), generator=self.run.generator("reference"))

    def _denoiser(self, given: Conditions) -> WindowModel:
        """The network on a window; anything that does not depend on the step is computed once per window."""
        backbone = self._model
        kept: dict[tuple[Half, Window], Prepared] = {}

        def parts(half: Half, span: Window) -> Prepared:
            span = (0, span[1] - span[0]) if half == "uncond" else span  # without conditions only the length counts
            if (half, span) not in kept:
                if half == "both":
                    kept[half, span] = joined_pair(parts("uncond", span), backbone.prepare(sliced(given, span)))
                else:
                    part = sliced(given, span)
                    kept[half, span] = backbone.prepare(part.empty() if half == "uncond" else part)
            return kept[half, span]

        def model(latents: Tensor, step: Step, half: Half, span: Window) -> Tensor:
            self.run.progress.check()
            return backbone.denoise(latents, step.t, prepared=parts(half, span))

        return model


def joined_pair(uncond: Prepared, cond: Prepared) -> Prepared:
    """Both halves as a batch of two."""
    from motionkit.methods.animatex.net import join

    return join([uncond, cond])


def sliced(given: Conditions, span: Window) -> Conditions:
    """The conditions of the frames of a window, with slot 0 before them."""
    first, stop = span
    slots = [0, *range(first + 1, stop + 1)]

    def at(value: Tensor | None, dim: int) -> Tensor | None:
        return None if value is None else value.index_select(dim, torch.tensor(slots, device=value.device))

    return replace(
        given,
        frames=stop - first,
        pose_images=at(given.pose_images, 2),
        keypoints=at(given.keypoints, 1),
        clip_frames=at(given.clip_frames, 1),
    )


def floats(frames: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) floats in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float() / 255  # (N, 3, H, W)
