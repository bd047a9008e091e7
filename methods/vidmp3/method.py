"""VIDMP3 as a Transfer: maps of the subject, tuning and inversion of the source, and the edit in its motion."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from motionkit.diffusion.guidance import Guidance, idle_negative
from motionkit.diffusion.samplers import make_sampler
from motionkit.errors import UserError
from motionkit.settings.presets import settings
from motionkit.transfer import Inputs, MethodSpec, RunContext, Tensors, Transfer

from . import SPEC
from .config import PRESETS, VidMP3Config
from .edit import Asked, Keep, Source, denoise, invert
from .maps import choose_lambda, motion_size
from .pack import Pack, save_pack
from .perceive import Eyes, perceive
from .resize import plates, resize, shrink, widen
from .scene import Scene, gates_of, maps_of, tuned_scene
from .stored import fit_to, pack_from, read, tensors_of
from .tune import kept_dtype, tune

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone


_log = logging.getLogger(__name__)


class VidMP3(Transfer):
    """Mishra, Saha and Bovik 2025: motion as pose and position, injected into the values of attention over time."""

    spec: ClassVar[MethodSpec] = SPEC
    config: VidMP3Config
    _inputs: Inputs | None = None

    def __init__(self, config: VidMP3Config, backbone: VideoBackbone | None, run: RunContext) -> None:
        super().__init__(config.on(backbone.spec.name) if backbone else config, backbone, run)

    def check(self, inputs: Inputs) -> None:
        """Refuse words, maps, packs and settings that cannot work together, before weights load."""
        config = self.config
        for name in config.names:
            if name and inputs.source_prompt and not _occurs(name, inputs.source_prompt):
                raise UserError(
                    f"the subject {name!r} does not occur in source_prompt={inputs.source_prompt!r}: name "
                    "it in that prompt's own words"
                )
        if config.mode == "style" and not inputs.source_prompt:
            raise UserError("method.mode=style adds the style to what the source shows: give source_prompt=...")
        if config.mode == "personalised" and not self._personal():
            raise UserError(
                "method.mode=personalised needs a model of that person or thing: give backbone.lora=FILE "
                "or backbone.path=FOLDER"
            )
        if self.backbone.spec.inflatable:
            self._check_inflated()
        self._inputs = inputs
        self._eyes().check()
        self.run.remark(self._eyes().remark())
        self.run.remark(idle_negative(inputs.negative_prompt, config.sample.guidance))
        self.weights()
        if config.pack:
            read(config.pack, self.backbone.spec, config.names)
        elif self.run.plan.offload == "group" and config.tune.steps:
            raise UserError(
                "tuning needs the UNet on the GPU in one piece, and gpu.offload=group keeps single layers "
                "there: take gpu.offload=model, a smaller base, or method.pack=FOLDER"
            )

    def _check_inflated(self) -> None:
        """Refuse what has no meaning where the layers along time are new ones in an image model."""
        tune, name = self.config.tune, self.backbone.spec.name
        if tune.temporal == "values":
            raise UserError(
                f"method.tune.temporal=values would leave the new layers along time of {name} at the zero "
                "that they begin with: take projections or auto"
            )
        if tune.ends:
            raise UserError(f"method.tune.ends is for the motion modules of a video model: leave it out on {name}")
        if self.config.guide.sites != "all":
            raise UserError(f"{name} has one attention along time in each block: leave method.guide.sites out")
        if self.run.plan.offload == "group":
            raise UserError(
                f"gpu.offload=group does not know the layers that vidmp3 puts into {name}: take gpu.offload=model"
            )

    def _personal(self) -> bool:
        handle: Any = self._backbone
        return bool(getattr(handle, "lora", None) or getattr(handle, "_path", None))

    def _eyes(self) -> Eyes:
        return Eyes.of(self.config, self._inputs, self.backbone.spec)

    def weights(self) -> Mapping[str, Path]:
        """The estimators' weights, ready-made maps of the settings, and the tuned pack; of the inputs last checked."""
        found = dict(self._eyes().weights())
        return found | ({"pack": Path(self.config.pack).expanduser()} if self.config.pack else {})

    # prepare

    @torch.no_grad()
    def prepare(self, inputs: Inputs) -> Tensors:
        """Masks, depth and correspondence of each subject, and the video's latents."""
        frames, eyes = _frames(inputs), self._eyes()
        self.run.note("perception", eyes.facts())
        seen = perceive(frames, eyes, self.backbone, self.run)
        out = {"masks": torch.stack([s.mask for s in seen]).byte()}  # (S,F,1,H,W)
        for i, subject in enumerate(seen):
            self.run.show(f"maps-{i + 1}" if len(seen) > 1 else "maps", subject.pictures)
            out |= {f"image.{i}": subject.image, f"small.{i}": subject.small.byte()}
        self.run.note("motion_size", [round(motion_size(s.mask), 4) for s in seen])
        return out | {"latents": self.backbone.encode(_floats(frames)).cpu()}

    # fit

    def fit(self, inputs: Inputs, prepared: Tensors) -> Tensors:
        """Tune on the source video, or take a pack; then invert it. The edited prompt counts in neither."""
        config, run = self.config, self.run
        if not inputs.source_prompt:
            run.note("source_prompt", "none was given: tuned and inverted without text")
        if config.pack:
            pack = read(config.pack, self.backbone.spec, config.names)
            for i, remark in enumerate(fit_to(pack, self.backbone)):
                _log.warning("method.pack=%s: %s", config.pack, remark)
                run.note(f"pack_remark_{i + 1}", remark)
        else:
            pack = self._tune(inputs, prepared)
        run.note("lambda", pack.facts.scale)
        scene = self._scene(pack, prepared)
        text = self.backbone.encode_text([inputs.source_prompt if config.invert_prompt == "source" else ""])
        inverted = invert(
            scene,
            self._sampler(),
            prepared["latents"],
            text,
            config.steps,
            config.start_t,
            lambda done, total: run.progress.tick("invert", done, total),
        )
        return tensors_of(pack) | {"inverted": inverted.cpu()}

    def _tune(self, inputs: Inputs, prepared: Tensors) -> Pack:
        config = self.config
        masks = prepared["masks"].float()
        strength = config.guide.strength
        if strength is None:
            strength = max(choose_lambda(m) for m in masks)
        strength = 0.0 if config.guide.inputs == "off" else strength
        maps = maps_of(prepared, config.guide.inputs)
        weight = None
        if config.tune.loss == "subject":
            weight = shrink(masks.amax(0), _size(prepared["latents"]))
        losses: list[float] = []
        pack = tune(
            self.backbone,
            config,
            self.run,
            prepared["latents"],
            inputs.source_prompt,
            maps,
            gates_of(masks),
            strength,
            weight,
            lambda _, loss: losses.append(loss),
        )
        if losses:
            tail = losses[-max(1, len(losses) // 5) :]
            self.run.note("loss", round(float(np.mean(tail)), 4))
        return pack

    def _scene(self, pack: Pack, prepared: Tensors) -> Scene:
        """The tuned UNet with this clip's maps, as the pack's guide sees them."""
        off = self.config.guide.inputs == "off" or pack.facts.scale == 0
        maps = maps_of(prepared, "off" if off else str(pack.facts.guide["inputs"]))
        return tuned_scene(self.backbone, pack, maps, gates_of(prepared["masks"].float()), self.config.guide)

    # generate

    @torch.no_grad()
    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> Tensor:
        """Denoise with the edited prompt in the source's motion, and decode."""
        config, run = self.config, self.run
        run.note("settings", {k: v for k, v in settings(config).items() if k in PRESETS["paper"]})
        pack = pack_from(fitted)
        if config.save_pack:
            save_pack(Path(config.save_pack).expanduser(), pack, kept_dtype(self.backbone))
        scene = self._scene(pack, prepared)
        start, keep = self._start(inputs, prepared, fitted["inverted"])
        sample = config.sample
        negative = inputs.negative_prompt or sample.negative
        asked = Asked(
            self.backbone.encode_text([self._prompt(inputs)]),
            self.backbone.encode_text([negative]),
            Guidance.on(run.device, sample.guidance, sample.rescale, sample.batched, run.plan.batched),
            config.guide.edit_strength,
            config.start_t,
        )
        latents = denoise(
            scene, self._sampler(), start.to(run.device), asked, config.steps, keep, run.progress.walk("edit")
        )
        return self.backbone.decode(rearrange(latents, "1 c f h w -> f c h w")).cpu().contiguous()

    def _sampler(self) -> Any:
        return make_sampler(self.backbone, self.run.sampler, self.run.generator("sampler"))

    def _prompt(self, inputs: Inputs) -> str:
        """The edited prompt; in the mode "style" what the source shows, in the style that is asked for."""
        source = inputs.source_prompt
        if self.config.mode != "style" or source.lower() in inputs.prompt.lower():
            return inputs.prompt
        return f"{source}, {inputs.prompt}"

    def _start(self, inputs: Inputs, prepared: Tensors, inverted: Tensor) -> tuple[Tensor, Keep | None]:
        """The noised latents (1, C, F, h, w) to begin with, and what of the source stays."""
        config, latents = self.config, prepared["latents"]
        clean = rearrange(latents, "f c h w -> 1 c f h w")
        top = self._sampler().grid(config.steps, config.start_t)[0].level
        source, margin = Source.of(clean, inverted, top), config.keep.margin
        whole = prepared["masks"].float().amax(0)  # (F,1,H,W)
        subject = shrink(whole, _size(latents))
        if config.size == 1:
            free = 1 - subject if config.kept == "subject" else widen(subject, margin)
            return inverted, self._keep(source, free)
        bare = plates(_frames(inputs), widen(whole, margin)[:, 0].numpy() > 0.5)
        self.run.show("background", bare)
        resized = resize(
            latents,
            self.backbone.encode(_floats(bare)).cpu(),
            rearrange(source.noise, "1 c f h w -> f c h w"),
            subject,
            config.size,
            config.size_noise,
            margin,
            self.run.generator("size"),
        )
        clip = {
            name: rearrange(getattr(resized, name), "f c h w -> 1 c f h w") for name in ("clean", "noise", "background")
        }
        begin = Source(clip["clean"], clip["noise"]).at(top)
        return begin, self._keep(Source(clip["background"], clip["noise"]), resized.subject)

    def _keep(self, source: Source, free: Tensor) -> Keep | None:
        """Args: free: (F, 1, h, w)."""
        if self.config.kept == "none":
            return None
        device = self.run.device
        here = Source(source.clean.to(device), source.noise.to(device))
        return Keep(here, free.transpose(0, 1)[None].to(device), self.config.keep.until)


def _occurs(words: str, text: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(words.strip())}(?!\w)", text, re.IGNORECASE))


def _frames(inputs: Inputs) -> np.ndarray:
    assert inputs.driving is not None  # required
    return inputs.driving.frames


def _floats(frames: np.ndarray) -> Tensor:
    """(F, H, W, 3) uint8 to (F, 3, H, W) floats in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float() / 255


def _size(latents: Tensor) -> tuple[int, int]:
    return latents.shape[2], latents.shape[3]
