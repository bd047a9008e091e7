"""FlipSketch as a Transfer: the sketch's own noise and reference branch, then frames that look back at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from motionkit.backbones.lora_files import lora_files
from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.samplers import make_sampler
from motionkit.errors import MissingWeights, UserError
from motionkit.perception.sketch import Drawing
from motionkit.settings.presets import settings
from motionkit.transfer import Inputs, MethodSpec, RunContext, Tensors, Transfer
from motionkit.weights import places
from motionkit.weights.finding import Wanted, find, shipped
from motionkit.weights.hashing import seed_from

from . import SPEC
from .align import checkpointed
from .compose import Composer
from .config import PRESETS, FlipSketchConfig
from .invert import invert, sketch_latents
from .loop import DenoiseSettings, denoise, start
from .recording_cache import key_of, remember_near, remembering
from .reference import Recorder, Reference, Schedule, recorder, walk
from .sketch import drawing_of, finish, network_files, network_of, to_video

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

LORA = "lora.safetensors"  # as it is shipped, and as the trainer writes it


@dataclass
class _Segment:
    """One clip to make: a drawing and its reference branch, or neither, and what happens."""

    drawing: np.ndarray | None
    reference: Reference | None
    schedule: Schedule
    prompt: str
    number: int = 0


class FlipSketch(Transfer):
    """Bandyopadhyay and Song 2025: a text-to-video model whose frames are aligned with and composed from a sketch."""

    spec: ClassVar[MethodSpec] = SPEC
    config: FlipSketchConfig
    _merged = False
    _drawing: Drawing | None = None
    _made: Reference | None = None  # with the recordings that are still on the device

    def __init__(self, config: FlipSketchConfig, backbone: VideoBackbone | None, run: RunContext) -> None:
        super().__init__(config.on(backbone.spec.name) if backbone else config, backbone, run)

    def check(self, inputs: Inputs) -> None:
        """Refuse a picture that is not a drawing, a missing LoRA, and too few frames for all sentences."""
        sentences = 1 + len(self.config.next_prompts)
        if sentences > 1 and self.run.frames < sentences + 1:
            few = f"{sentences} sentences need at least {sentences + 1} frames (got {self.run.frames})"
            raise UserError(f"{few}: give frames={10 * sentences - sentences + 1}")
        if self.run.plan.offload == "group" and self.config.align.enabled and not self.config.undrawn:
            raise UserError(
                "alignment needs the UNet on the GPU in one piece, and gpu.offload=group keeps single "
                "layers there: use gpu.offload=model, or method.align.enabled=false"
            )
        self.weights()
        self.run.remark(self._first_frame())
        if self.config.clip is not None:
            from motionkit.perception.consistency import CLIP
            from motionkit.perception.networks import locate

            locate(CLIP, self.config.clip)
        if not self.config.undrawn and network_of(self.config.sketch) is None:  # networks are loaded later
            self._read(inputs)

    def _first_frame(self) -> str:
        """A warning where the first frame only starts as the drawing, and may become something else; else ""."""
        config = self.config
        if config.undrawn or config.pin_first_frame or config.align.enabled:
            return ""
        return (
            "without alignment the first frame may differ from the drawing: "
            "method.pin_first_frame=true keeps the drawing there, method.align.enabled=true aligns to it"
        )

    def weights(self) -> Mapping[str, Path]:
        """The LoRA's file or folder, if there is one, and the files of a network that draws the lines."""
        lora, files = self._lora(), dict[str, Path]()
        if lora:
            files = {"lora": lora}
        if lora and lora.is_file():  # a folder is hashed whole
            files |= {f"lora/{i}": file for i, file in enumerate(lora_files(lora)[1:], 1)}
        return files | network_files(self.config.sketch)

    def _lora(self) -> Path | None:
        name = self.config.lora
        if name == "none" or (name == "auto" and self.backbone.spec.name != "pocket-modelscope"):
            return None
        if name == "auto":
            get = f"{places.install_again()}, or give method.lora=none to run without it"
            return shipped("flipsketch", LORA, get=get)
        path = Path(name).expanduser()
        if not path.exists() and places.is_hub_id(name):
            return find(Wanted("flipsketch's LoRA", (LORA,), setting="method.lora"), name) / LORA
        if not path.exists():
            what = f"no such file or folder ({path})"
            raise MissingWeights(
                f"method.lora={name}: {what}: check the path, or give method.lora=none to run without it"
            )
        return path

    def _read(self, inputs: Inputs) -> Drawing:
        assert inputs.reference is not None
        if self._drawing is None:
            self._drawing = drawing_of(inputs.reference, self.config.sketch, self.run.height, self.run.width)
        return self._drawing

    # prepare

    def picture(self, inputs: Inputs) -> np.ndarray | None:
        """The cleaned drawing, as the model gets it."""
        shown = self.run.shown.get("sketch")
        return None if shown is None else shown[0]

    @torch.no_grad()
    def prepare(self, inputs: Inputs) -> Tensors:
        """The drawing, its inverted noise, and the reference branch: what serves every prompt and seed."""
        if self.config.undrawn:
            self.run.note("sketch", {"source": "none", "said": "the drawing is not used: method.sketch.source=none"})
            return {}
        assert inputs.reference is not None
        drawing = self._read(inputs)
        self.run.show("sketch", drawing.image[None])
        self.run.note("sketch", drawing.notes)
        if len(inputs.reference) > 1:
            self.run.note("reference", f"the first of {len(inputs.reference)} frames")
        reference = self._refer(drawing.image, self._lengths()[0], inputs.negative_prompt)
        self.run.note("stored_qk_mb", round(reference.megabytes, 1))
        self._made = reference if self._room_mb() else None
        small = reference.megabytes <= self.config.store_mb
        if not small:
            remember_near(key_of(reference, self.config.compose.layers), reference)
        return reference.tensors(recordings=small)

    def _refer(self, drawing: np.ndarray, frames: int, negative_prompt: str) -> Reference:
        """Invert a drawing (H, W, 3) and walk its reference branch."""
        config, run, schedule = self.config, self.run, self._schedule(frames)
        with self._composer() as composer:
            null = self._text("")
            latents = sketch_latents(self.backbone, drawing, config.invert).to(run.device)
            inverted = invert(
                text_model(composer.plain, null),
                self._sampler(),
                latents,
                schedule.steps,
                progress=lambda done, total: run.progress.tick("invert", done, total),
            )
            guided = bool(negative_prompt) and config.compose.reference_guidance == "negative"
            return walk(
                composer,
                self._sampler(),
                inverted[0],
                schedule,
                null,
                given=inverted if config.invert.path == "kept" else None,
                negative=self._text(negative_prompt) if guided else None,
                guidance=config.sample.guidance,
                room_mb=self._room_mb(),
                progress=lambda done, total: run.progress.tick("reference", done, total),
            )

    def _room_mb(self) -> float:
        """How much of the device's memory recordings may take, MB: what the plan has beyond all that the run needs."""
        return float(self.run.plan.spare_mb) if self.run.device.startswith("cuda") else 0.0

    def _schedule(self, frames: int) -> Schedule:
        config = self.config
        return Schedule.of(
            config.sample.steps,
            frames,
            config.align.fraction,
            config.compose.fraction,
            first_frames=str(config.compose.first_frames),
            pinned=bool(config.pin_first_frame),
        )

    def _lengths(self) -> list[int]:
        """Frames of each clip: they share `frames`, and each begins with the last frame of the one before."""
        sentences = 1 + len(self.config.next_prompts)
        whole, rest = divmod(self.run.frames + sentences - 1, sentences)
        return [whole + (i < rest) for i in range(sentences)]

    def _sampler(self) -> Any:
        return make_sampler(self.backbone, self.run.sampler, self.run.generator("sampler"))

    def _text(self, prompt: str) -> Tensor:
        return self.backbone.encode_text([prompt])  # (1, L, C)

    @contextmanager
    def _composer(self) -> Iterator[Composer]:
        """The backbone's UNet with the LoRA in its weights and this method's attention in its layers."""
        if not self._merged:
            if lora := self._lora():
                from motionkit.backbones.lora import merge_lora

                self.run.note("lora_layers", len(merge_lora(lora, self.backbone.unet, self.backbone.text_encoder)))
            self._merged = True
        compose, words = self.config.compose, self.config.mode == "words"
        if self.backbone.plan.attention != "sdpa":
            self.run.note("attention", f"sdpa: composed attention does not support {self.backbone.plan.attention}")
        composer = Composer(
            self.backbone.denoise,
            self.backbone.unet,
            lambda_=self.config.lambda_,
            ramp=str(compose.ramp),
            spatial=bool(compose.spatial),
            temporal=bool(compose.temporal) and not words,
            layers=str(compose.layers),
        )
        with composer.installed():
            yield composer

    # generate

    @torch.no_grad()
    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> Tensor:
        """Denoise all videos in one batch, rank them, and continue from the best one's last frame if asked."""
        self.run.note("settings", {k: v for k, v in settings(self.config).items() if k in PRESETS["paper"]})
        prompts, lengths = [inputs.prompt, *self.config.next_prompts], self._lengths()
        schedule = self._schedule(lengths[0])
        phrased = [self.config.phrased(prompt) for prompt in prompts]
        if phrased != prompts:
            self.run.note("phrased", phrased)
            prompts = phrased
        frames = self._best(self._opening(inputs, prepared, schedule, prompts[0]), inputs.negative_prompt)
        for number, (prompt, length) in enumerate(zip(prompts[1:], lengths[1:], strict=True), 1):
            more = self._best(self._next(frames[-1], length, prompt, number, inputs), inputs.negative_prompt)
            frames = np.concatenate([frames, more[1:]])
        self.run.matte = 255 - frames.min(-1)  # (F, H, W): the ink
        return to_video(frames)

    def _opening(self, inputs: Inputs, prepared: Tensors, schedule: Schedule, prompt: str) -> _Segment:
        """The first clip; from here on it alone holds what `prepare` left on the device."""
        if self.config.undrawn:
            return _Segment(None, None, schedule.alone(), prompt)
        reference, self._made = self._reference(prepared), None
        return _Segment(self._read(inputs).image, reference, schedule, prompt)

    def _next(self, frame: np.ndarray, length: int, prompt: str, number: int, inputs: Inputs) -> _Segment:
        """The clip that goes on from a frame (H, W, 3); nothing is left on the device of the one before."""
        last = self._again(frame)
        reference = self._refer(last, length, inputs.negative_prompt)
        return _Segment(last, reference, self._schedule(length), prompt, number)

    def _reference(self, prepared: Tensors) -> Reference:
        """The one that `prepare` left, its recordings on the device where this object walked it there itself."""
        found, made, layers = Reference.of(prepared), self._made, self.config.compose.layers
        return made if made and key_of(made, layers) == key_of(found, layers) else found

    def _again(self, frame: np.ndarray) -> np.ndarray:
        """The last frame (H, W, 3) of a clip as the next one's drawing, strictly black on white."""
        drawing = finish(to_video(frame[None]), "otsu")[0]
        if drawing.min() == drawing.max():
            raise UserError("the clip ends in an empty frame and cannot be continued: try another seed")
        return drawing

    def _best(self, segment: _Segment, negative_prompt: str) -> np.ndarray:
        """Frames (M, H, W, 3) uint8 of the video that is most similar to the drawing."""
        latents = self._denoise(segment, negative_prompt)
        clips = rearrange(latents, "b c f h w -> b f c h w")
        videos = [finish(self.backbone.decode(clip), self.config.binarise) for clip in clips]
        if segment.drawing is None or len(videos) == 1:
            return videos[0]
        from .rank import rank

        return rank(videos, segment.drawing, self.config, self.run, segment.number)

    def _denoise(self, segment: _Segment, negative_prompt: str) -> Tensor:
        """Clean latents (B, C, M, h, w) of all seeds."""
        config, run, device = self.config, self.run, self.run.device
        schedule, reference, backbone = segment.schedule, segment.reference, self.backbone
        noise = self._noise(segment, "noise", schedule.frames)
        first = reference.noise.to(device) if reference else self._noise(segment, "common noise", 1)
        wanted = config.align.checkpointing
        again = backbone.plan.checkpointing if wanted == "auto" else wanted == "on"
        with self._composer() as composer, checkpointed(backbone.unet, again):
            return denoise(
                composer,
                self._sampler(),
                start(noise, first, config.reference_share),
                reference,
                self._recordings(composer, segment),
                schedule,
                self._text(segment.prompt),
                self._text(negative_prompt),
                self._options(),
                check=run.progress.check,
                progress=run.progress.walk("denoise"),
            )

    def _noise(self, segment: _Segment, name: str, frames: int) -> Tensor:
        """Gaussian noise (B, C, frames, h, w), of each seed by itself."""
        shape = (1, *self.backbone.latent_shape(frames, self.run.height, self.run.width))
        seeds = [seed_from(self.run.seed + i, f"{name} {segment.number}") for i in range(self.config.seeds)]
        made = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.cat(made).to(self.run.device)  # (B, C, frames, h, w)

    def _recordings(self, composer: Composer, segment: _Segment) -> Recorder | None:
        if segment.reference is None:
            return None
        reference = segment.reference
        found = recorder(composer, self._sampler(), reference, segment.schedule, self._text(""))
        return found if reference.recordings else remembering(key_of(reference, self.config.compose.layers), found)

    def _options(self) -> DenoiseSettings:
        config, sample = self.config, self.config.sample
        return DenoiseSettings(
            guidance=Guidance.on(
                self.run.device, sample.guidance, sample.rescale, sample.batched, self.run.plan.batched
            ),
            both_passes=config.compose.passes == "both",
            aligned=bool(config.align.enabled),
            updates=config.align.updates,
            lr=config.align.lr,
            loss=str(config.align.loss),
            precision=str(config.align.precision),
            stall=config.align.stall,
            half=self.backbone.plan.autocast is not None or self.backbone.dtype != torch.float32,
        )
