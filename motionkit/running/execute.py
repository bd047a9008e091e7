"""The way into a run: refuse what cannot work before any weight loads, then take its stages."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import media, registry
from motionkit.backbones import catalog
from motionkit.context import NullProgress, Progress, Reporter, RunContext
from motionkit.errors import UserError
from motionkit.media import Clip
from motionkit.media.output_files import Finish, check_output, check_writable
from motionkit.running import cache_files, canvas
from motionkit.running.canvas import SHAPING
from motionkit.running.lazy_backbone import LazyBackbone, choose_backbone
from motionkit.running.stage_runner import StageRunner
from motionkit.settings.config import check_seed, method_settings, typed
from motionkit.transfer import Inputs, MethodSpec, Result

if TYPE_CHECKING:
    from motionkit.backbones.lora_files import LoraOptions
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.settings.gpu import Plan

_log = logging.getLogger(__name__)


def execute(
    method: MethodSpec | str,
    inputs: Inputs,
    *,
    config: Any = None,
    backbone: str | None = None,
    backbone_path: str | None = None,
    online: bool = False,
    motion: MotionOptions | None = None,
    lora: LoraOptions | None = None,
    gpu: Any = "cpu",
    seed: int = 0,
    frames: int | None = None,
    size: int | str | tuple[int, int] | None = None,
    fps: float | None = None,
    folder: str | Path | None = None,
    output: str | Path | None = None,
    output_metadata: bool = True,
    progress: Progress | None = None,
    use_cache: bool = True,
    common: bool = False,
    alpha: bool | None = None,
    loop: str = "none",
    say: Callable[[str], None] = lambda line: None,
    announce: Callable[[Plan], None] = lambda plan: None,
) -> Result:
    """Run one method on one request.

    Everything that can be refused is refused before weights load; nothing appears under its final name until it is
    whole. When the run is cancelled or fails, `folder` holds a manifest that says so, and no video.

    Args:
        config: the method's settings: a mapping, its dataclass, or None for the defaults.
        backbone: a name, or None for the method's default; backbone_path is a local folder or another hub id;
            motion says which motion modules, for AnimateDiff; lora is merged into its weights.
        gpu: a name of conf/gpu, a mapping of its settings, or a `motionkit.settings.gpu.Plan`.
        size: a side in pixels, "WIDTHxHEIGHT", or (height, width); None is the backbone's default.
        folder: where result.mp4, manifest.json and shown/ go; a new temporary folder when it is None.
        output: one more copy of the video: .mp4, .gif, or a folder of frames.
        common: the result has the reference's shape even where the method does not read it, as all others have then.
        alpha, loop: see `motionkit.media.output_files.Finish`.
        say: gets a line for each thing that a user should know of how the clips were fitted and the result written.
        announce: gets the memory plan once nothing is left to refuse before weights load.
        output_metadata: whether the mp4's comment tag names method, backbone, seed and version.

    Raises:
        UserError: anything that the user can mend, in one line.
        Cancelled: `progress` asked for it.
    """
    check_types({"seed": seed, "frames": frames, "fps": fps})
    _check_inputs(inputs)
    check_seed(seed)
    if use_cache:
        cache_files.limit()  # a wrong one is said now, not when a step is kept
    spec = registry.spec(method) if isinstance(method, str) else method
    spec.check_inputs(inputs)
    spec.check_length(inputs, frames)
    settings = method_settings(spec, config)
    name = choose_backbone(spec, backbone)
    shaping = SHAPING if common else spec.used(inputs)
    fitted = canvas.fit(inputs, catalog.get(name) if name else None, frames, size, fps, shaping, spec.stride)
    finish = Finish(alpha, loop)
    finish.check(Path(output) if output is not None else None)
    _check_matte(spec, fitted, finish)
    if output is not None:
        check_output(Path(output))
    if folder is not None:
        check_writable(Path(folder))
    plan = plan_for(gpu, name)
    handle = LazyBackbone(name, plan, backbone_path, online, motion, lora) if name else None
    if handle:
        handle.check_frames(fitted.frames)
    run = RunContext(
        seed,
        fitted.frames,
        fitted.height,
        fitted.width,
        fitted.fps,
        plan,
        Path(folder or tempfile.mkdtemp(prefix="motionkit-")),
        Reporter(progress or NullProgress()),
    )
    transfer = registry.load_object(spec.transfer)(settings, handle, run)
    transfer.check(fitted.inputs)
    if handle:
        _tell_unknown_words(spec, fitted.inputs, handle, run)
    for line in fitted.lines:
        say(line)
    runner = StageRunner(
        spec, transfer, fitted, run, handle, settings, use_cache, finish, common, lambda: announce(plan)
    )
    result = runner.travel(inputs, Path(output) if output is not None else None, output_metadata)
    for line in result.manifest["remarks"][len(fitted.lines) :]:
        say(line)
    return result


def _tell_unknown_words(spec: MethodSpec, inputs: Inputs, handle: LazyBackbone, run: RunContext) -> None:
    """One line and a note in the manifest where a small text encoder was never taught a word of the request."""
    texts = [
        getattr(inputs, name) for name in ("prompt", "source_prompt", "negative_prompt") if name in spec.used(inputs)
    ]
    if unknown := handle.unknown_words(*texts):
        run.note("unknown_words", unknown)
        _log.warning(
            "%s was never taught the word%s %s: `motionkit backbones %s` lists those that it knows",
            handle.spec.name,
            "s" if len(unknown) > 1 else "",
            ", ".join(unknown),
            handle.spec.name,
        )


def _check_matte(spec: MethodSpec, fitted: canvas.Fitted, finish: Finish) -> None:
    """Refuse to cut out a subject that nobody could tell from its background. Raises: UserError."""
    clip = fitted.shaping
    if not finish.alpha or spec.mattes or (clip is not None and clip.transparent):
        return
    if clip is None or media.subject_mask(clip.frames[:1]) is None:
        raise UserError(
            f"alpha=true needs to know the subject: {spec.name} gives no mask of it, so its background has to be plain "
            "or transparent: give such a reference"
        )


def check_types(numbers: Mapping[str, Any]) -> None:
    """From Python anything can come. Raises: UserError that says what is wanted of seed, frames and fps."""
    for name, value in numbers.items():
        kind, what = (Real, "a number") if name == "fps" else (Integral, "a whole number")
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise UserError(f"{name}={value!r}: give {what}")


def _check_inputs(inputs: Inputs) -> None:
    for name in ("reference", "driving"):
        if not isinstance(value := getattr(inputs, name), Clip | None):
            raise UserError(
                f"{name} is a {type(value).__name__}: give a path, or a clip of motionkit.media "
                "(from_frames for an array)"
            )
    for name in ("prompt", "source_prompt", "negative_prompt"):
        if not isinstance(value := getattr(inputs, name), str):
            raise UserError(f"{name}={value!r}: give a text")


def plan_for(gpu: Any, backbone: str | None = None) -> Plan:
    """The memory plan for a name of conf/gpu, a mapping of its settings, or a finished `Plan`, on this machine.

    Raises:
        UserError: an unknown setting, or one that this machine or backbone would ignore.
    """
    from motionkit.settings.gpu import GpuConfig, Plan, detect, resolve

    if isinstance(gpu, Plan):
        return gpu
    settings = typed(GpuConfig, {"name": gpu} if isinstance(gpu, str) else gpu, "gpu.")
    return resolve(settings, detect(settings.device), catalog.get(backbone) if backbone else None)
