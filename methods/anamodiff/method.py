"""AnaMoDiff as a Transfer: keypoints and flow, two-level tuning, and denoising of the warped start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from motionkit.diffusion.guidance import idle_negative
from motionkit.errors import MissingWeights, UserError
from motionkit.transfer import Inputs, MethodSpec, Tensors, Transfer

from . import SPEC
from .config import AnaMoDiffConfig
from .denoise import denoise_from
from .detection import detect
from .foreground import Layers, plate, put_back, shrink, subject_mask
from .histogram import match_colours
from .keypoints import Keypoints, KPDetector, local_jacobians
from .motion import Analogy, check_frames, find_analogy, flow_of, to_pixels, warp_source
from .nets import build
from .pictures import draw_flow, draw_keypoints, to_float, to_uint8
from .points import read_points
from .tune import Material, load_tuned, tune
from .variations import variations
from .weights import load_networks, weight_files

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.context import RunContext

STILLS = 16  # variations of a single source image


class AnaMoDiff(Transfer):
    """Tanveer et al. 2024: warp one source frame along the driving motion, and repaint it with a tuned video UNet."""

    spec: ClassVar[MethodSpec] = SPEC
    config: AnaMoDiffConfig

    def __init__(self, config: AnaMoDiffConfig, backbone: VideoBackbone | None, run: RunContext) -> None:
        super().__init__(config.on(backbone.spec.name) if backbone else config, backbone, run)

    def check(self, inputs: Inputs) -> None:
        """Refuse frame numbers that do not exist, weights that are not there, and unreadable keypoints."""
        assert inputs.reference is not None and inputs.driving is not None
        frames = len(inputs.reference.frames), len(inputs.driving.frames)
        check_frames(self.config.adapt, self.config.source_frame, *frames)
        self._check_length()
        if self.run.plan.offload == "group" and self.config.lora.steps:
            raise UserError(
                "tuning needs the UNet on the GPU in one piece, and gpu.offload=group keeps single layers "
                "there: use gpu.offload=model, or a smaller backbone"
            )
        self.weights()
        self.run.remark(idle_negative(inputs.negative_prompt, self.config.sample.guidance))
        if inputs.keypoints:
            read_points(Path(inputs.keypoints), *frames)

    def _check_length(self) -> None:
        """Refuse clips longer than AnimateDiff's motion modules support, including an extra source frame."""
        handle: Any = self.backbone
        if not handle.spec.base:
            return
        extra = self.config.video.anchor in ("auto", "source")
        why = "the source frame that all others attend to counts too (method.video.anchor=first needs none)"
        wanted = {why: self.run.frames + extra}
        if self.config.lora.steps:
            wanted["method.lora.clip_frames asks for it"] = self.config.lora.clip_frames
        for why, frames in wanted.items():
            try:
                handle.check_frames(frames)
            except MissingWeights:
                raise
            except UserError as error:
                raise UserError(f"{error}; {why}") from error

    def weights(self) -> Mapping[str, Path]:
        """The keypoint and flow networks' files."""
        return weight_files(self.config.weights, self.backbone.spec.name)

    # prepare

    @torch.no_grad()
    def prepare(self, inputs: Inputs) -> Tensors:
        """Keypoints, flow, latents of the source, and the warped clip Z_WI."""
        assert inputs.reference is not None and inputs.driving is not None
        source, driving = inputs.reference.frames, inputs.driving.frames
        latents = self.backbone.encode(to_float(source)).cpu()
        files = dict(self.weights())
        detector, network = load_networks(files, self.backbone.spec.name, self.backbone.vae, min(latents.shape[-2:]))
        detector, network = detector.to(self.run.device), network.to(self.run.device)
        analogy, found = self._analogy(inputs, detector)
        if analogy.mirrored:
            source = np.ascontiguousarray(source[:, :, ::-1])
            latents = self.backbone.encode(to_float(source)).cpu()
        flow, seen = flow_of(network, latents, analogy)
        layers, pixel_layers = self._layers(source, latents.shape[-2:], analogy.pick)
        warped = self._warped(source, latents, analogy, flow, layers, pixel_layers)
        grid = layers.noise_grid(flow) if layers else flow.clone()
        if seen is not None:
            grid[seen[:, 0] < 0.5] = 3.0  # places that the source does not show get fresh noise
        self._report(source, driving, analogy, found, flow, warped)
        return {
            "source": latents,
            "warped": warped,
            "flow": flow,
            "grid": grid,
            "pick": analogy.pick,
            "reference": torch.tensor(analogy.reference),
            "mirrored": torch.tensor(analogy.mirrored),
            "adapted": analogy.adapted.value,
        } | (pixel_layers.kept(to_pixels(flow, self.backbone.factor)) if pixel_layers else {})

    def _analogy(self, inputs: Inputs, detector: KPDetector) -> tuple[Analogy, Keypoints]:
        """The adapted motion, and the driving keypoints that it came from."""
        assert inputs.reference is not None and inputs.driving is not None
        adapt, source, driving = self.config.adapt, inputs.reference.frames, inputs.driving.frames
        mirrored = None
        if inputs.keypoints:
            points = read_points(Path(inputs.keypoints), len(source), len(driving))
            if points[0].shape[1] != detector.num_kp:
                count = points[0].shape[1]
                raise UserError(
                    f"keypoints: {inputs.keypoints} holds {count} points, but the networks expect {detector.num_kp}"
                )
            ours, theirs = (Keypoints(p, local_jacobians(p, p.mean(0))) for p in points)
        else:
            ours, theirs = (detect(detector, frames, adapt.turned) for frames in (source, driving))
            if adapt.mirror:
                mirrored = detect(detector, np.ascontiguousarray(source[:, :, ::-1]), adapt.turned)
        if not adapt.jacobians:
            ours, theirs = Keypoints(ours.value), Keypoints(theirs.value)
            mirrored = Keypoints(mirrored.value) if mirrored is not None else None
        return find_analogy(ours, theirs, adapt, self.config.source_frame, mirrored), theirs

    def _layers(self, source: np.ndarray, latent_size: torch.Size, pick: Tensor) -> tuple[Layers | None, Layers | None]:
        """Subject and background of the picked source frames, as latents and as pictures, if the background stays."""
        if self.config.warp.background != "still":
            return None, None
        masks = subject_mask(source)
        if masks is None:
            self.run.note("background", "not plain: it moves with the flow")
            return None, None
        used, place = pick.unique(return_inverse=True)
        pictures = to_float(np.stack([plate(source[i], masks[i]) for i in used.tolist()]))
        mask = torch.from_numpy(masks)[used][:, None]  # (U,1,H,W)
        latents = self.backbone.encode(pictures).cpu()
        self.run.note("background", "plain: it stays where it is")
        small = shrink(mask, latent_size[0], latent_size[1])
        return Layers(small[place], latents[place]), Layers(mask[place], pictures[place])

    def _warped(
        self,
        source: np.ndarray,
        latents: Tensor,
        analogy: Analogy,
        flow: Tensor,
        layers: Layers | None,
        pixel_layers: Layers | None,
    ) -> Tensor:
        """Z_WI (T, C, h, w): the picked source frames moved by the flow, in latents or in pixels."""
        if self.config.warp.space == "latent":
            moved = warp_source(latents, analogy.pick, flow)
            return layers.place(moved, flow) if layers else moved
        grid = to_pixels(flow, self.backbone.factor)
        moved = warp_source(to_float(source), analogy.pick, grid)
        return self.backbone.encode(pixel_layers.place(moved, grid) if pixel_layers else moved).cpu()

    def _report(
        self, source: np.ndarray, driving: np.ndarray, analogy: Analogy, found: Keypoints, flow: Tensor, warped: Tensor
    ) -> None:
        run = self.run
        run.note("adaptation", analogy.mode)
        run.note("source_frames", analogy.pick.unique().tolist())
        if analogy.cost is not None:
            run.note("start_pose_cost", round(analogy.cost, 4))
            if analogy.cost > self.config.adapt.cost_warning:
                run.note(
                    "warning",
                    "no frame of the source has a pose similar to the driving clip's: the start may look distorted",
                )
        run.show("keypoints-source", draw_keypoints(source, analogy.source))
        run.show("keypoints-driving", draw_keypoints(driving, found))
        run.show("keypoints-adapted", draw_keypoints(source[analogy.pick.numpy()], analogy.adapted))
        run.show("flow", draw_flow(flow, run.height, run.width))
        run.show("warped", to_uint8(self.backbone.decode(warped)))

    # fit

    def fit(self, inputs: Inputs, prepared: Tensors) -> Tensors:
        """Tune adapters on the source clip and, at high noise, on the warped clip."""
        if not self.config.lora.steps:
            return {}
        assert inputs.reference is not None
        stills = None
        if len(prepared["source"]) == 1:
            frame = to_float(inputs.reference.frames)[0]
            frame = frame.flip(-1) if bool(prepared["mirrored"]) else frame
            stills = self.backbone.encode(variations(frame, STILLS, self.run.generator("variations"))).cpu()
        lead = prepared["source"][anchor_source(prepared)] if self._anchor(prepared) != "first" else None
        material = Material(prepared["source"], prepared["warped"], prepared["grid"], lead, stills)
        net = build(self.backbone, self.config.lora, self.config.video, self.run)
        text = self.backbone.encode_text([inputs.prompt])
        losses: list[Sequence[float]] = []
        fitted = tune(net, self.backbone, text, material, self.config.lora, self.run, lambda _, x: losses.append(x))
        if losses:
            tail = losses[-max(1, len(losses) // 5) :]
            self.run.note("loss_source", round(float(np.mean([x[0] for x in tail])), 4))
        return fitted

    def _anchor(self, prepared: Tensors) -> str:
        """The frame that all others attend to: first, reference, or an extra undistorted source frame."""
        anchor = self.config.video.anchor
        standing = int(prepared["reference"]) >= 0
        if anchor == "auto":
            return "reference" if standing else "source"
        if anchor == "reference" and not standing:
            raise UserError("method.video.anchor=reference: no frame stands still with these settings: give source")
        return anchor

    # generate

    @torch.no_grad()
    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> Tensor:
        """Denoise all frames together from the warped start, decode, and correct the colours."""
        assert inputs.reference is not None
        net = build(self.backbone, self.config.lora, self.config.video, self.run)
        load_tuned(net, fitted)
        anchor = self._anchor(prepared)
        latents = denoise_from(net, self.backbone, self.config, self.run, inputs, prepared, anchor)
        frames = self.backbone.decode(latents).cpu()
        match = self.config.match
        pixels = frames.permute(0, 2, 3, 1).numpy()  # (F,H,W,3)
        source = inputs.reference.frames
        matched, told = match_colours(pixels, source, match.kind, match.strength, match.pooled, match.masked)
        self.run.note("colours", f"{match.kind}{', subject and background apart' if told else ''}")
        return put_back(torch.from_numpy(matched).permute(0, 3, 1, 2), prepared)  # (F,3,H,W)


def anchor_source(prepared: Tensors) -> int:
    """The source frame that most output frames are warped from."""
    return int(prepared["pick"].mode().values)
