"""The way into a run: refuse what cannot work before any weight loads, then take the road."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import cache_files, fitting, registry
from motionkit.backbones import catalog
from motionkit.config import check_seed, method_settings, typed
from motionkit.context import RunContext
from motionkit.errors import UserError
from motionkit.fitting import SHAPING
from motionkit.handle import BackboneHandle, choose_backbone
from motionkit.media import Clip
from motionkit.output import check_output, check_writable
from motionkit.progress import NullProgress, Progress, Reporter
from motionkit.road import Road
from motionkit.transfer import Inputs, MethodSpec, Result

if TYPE_CHECKING:
    from motionkit.backbones.lora_files import LoraOptions
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.gpu import Plan


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
    announce: Callable[[Plan], None] = lambda plan: None,
) -> Result:
    """Run one method on one request.

    Everything that can be refused is refused before weights load; nothing appears under its final name until it is
    whole. When the run is cancelled or fails, `folder` holds a manifest that says so, and no video.

    Args:
        config: the method's settings: a mapping, its dataclass, or None for the defaults.
        backbone: a name, or None for the method's default; backbone_path is a local folder or another hub id;
            motion says which motion modules, for AnimateDiff; lora is merged into its weights.
        gpu: a name of conf/gpu, a mapping of its settings, or a `motionkit.gpu.Plan`.
        size: a side in pixels, "WIDTHxHEIGHT", or (height, width); None is the backbone's default.
        folder: where result.mp4, manifest.json and shown/ go; a new temporary folder when it is None.
        output: one more copy of the video: .mp4, .gif, or a folder of frames.
        common: the result has the reference's shape even where the method does not read it, as all others have then.
        announce: gets the memory plan once nothing is left to refuse before weights load.
        output_metadata: whether the mp4's comment tag names method, backbone, seed and version.

    Raises:
        UserError: anything that the user can mend, in one line.
        Cancelled: `progress` asked for it.
    """
    _check_types(inputs, seed, frames, fps)
    check_seed(seed)
    if use_cache:
        cache_files.limit()  # a wrong one is said now, not when a step is kept
    spec = registry.spec(method) if isinstance(method, str) else method
    spec.check_inputs(inputs)
    spec.check_length(inputs, frames)
    settings = method_settings(spec, config)
    name = choose_backbone(spec, backbone)
    shaping = SHAPING if common else spec.used(inputs)
    fitted = fitting.fit(inputs, catalog.get(name) if name else None, frames, size, fps, shaping)
    if output is not None:
        check_output(Path(output))
    if folder is not None:
        check_writable(Path(folder))
    plan = plan_for(gpu, name)
    handle = BackboneHandle(name, plan, backbone_path, online, motion, lora) if name else None
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
    road = Road(spec, transfer, fitted, run, handle, settings, use_cache, lambda: announce(plan))
    return road.travel(inputs, Path(output) if output is not None else None, output_metadata)


def _check_types(inputs: Inputs, seed: Any, frames: Any, fps: Any) -> None:
    """From Python anything can come. Raises: UserError that says what is wanted."""
    wanted = [
        ("seed", seed, Integral, "a whole number"),
        ("frames", frames, Integral, "a whole number"),
        ("fps", fps, Real, "a number"),
    ]
    for name, value, kind, what in wanted:
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise UserError(f"{name}={value!r}: give {what}")
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
    from motionkit.gpu import GpuConfig, Plan, detect, resolve

    if isinstance(gpu, Plan):
        return gpu
    settings = typed(GpuConfig, {"name": gpu} if isinstance(gpu, str) else gpu, "gpu.")
    return resolve(settings, detect(settings.device), catalog.get(backbone) if backbone else None)
