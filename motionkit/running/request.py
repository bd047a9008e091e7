"""A request: everything that is asked of one run, as one object that is checked once, before any weight loads.

`check` refuses what cannot work and returns a plan in which nothing is left to refuse; the plan runs.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.context import NullProgress, Progress, Reporter, RunContext
from motionkit.diffusion.samplers import choose_sampler
from motionkit.errors import UserError
from motionkit.media.output_files import Finish, check_output, check_writable, local_path
from motionkit.running import cache_files
from motionkit.running.choices import BackboneChoice, Chosen, choose
from motionkit.running.clips import CLIPS
from motionkit.running.lazy_backbone import LazyBackbone, idle_backbone
from motionkit.running.memory import plan_for as plan_for
from motionkit.running.needs import need_of
from motionkit.running.step_errors import noted
from motionkit.settings.config import check_seed, refuse_empty
from motionkit.settings.presets import resolved
from motionkit.settings.presets import settings as values
from motionkit.transfer import MAPS, Inputs, MethodSpec, Result, Transfer

if TYPE_CHECKING:
    from motionkit.running.canvas import CanvasInputs
    from motionkit.settings.gpu import Plan
    from motionkit.settings.need import Need

TEXTS = ("prompt", "source_prompt", "negative_prompt")
_log = logging.getLogger(__name__)


def silent(_: object) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Request:
    """What is asked of one run.

    Attributes:
        method: a name of `motionkit methods`, or the facts of a method that is not registered.
        inputs: reference and driving may be paths; `check` reads them.
        config: the method's settings: a mapping, its dataclass, or None for the defaults.
        backbone: which one, and with which weights.
        gpu: a name of conf/gpu, a mapping of its settings, or a `motionkit.settings.gpu.Plan`.
        sampler: a name of the entry points `motionkit.samplers`; "auto" is the backbone's own.
        seed: from 0 to 2^63 - 1.
        frames, fps: number and rate of the video's frames; None as `motionkit.running.canvas.place_inputs` says.
        size: a side in pixels, "WIDTHxHEIGHT", or (height, width); None is the backbone's default.
        start, end, reference_start, reference_end, audio: see `motionkit.running.clips.Excerpt`.
        alpha, loop: see `motionkit.media.output_files.Finish`.
        folder: where result.mp4, manifest.json and shown/ go; a new temporary folder when it is None.
        output: one more copy of the video: .mp4, .gif, or a folder of frames.
        output_metadata: whether the mp4's comment tag names method, backbone, seed and version.
        use_cache: take finished stages from the cache, and keep those that are made.
        common: the result has the reference's shape even where the method does not read it, as all others have then.
    """

    method: MethodSpec | str
    inputs: Inputs = field(default_factory=Inputs)
    config: Any = None
    backbone: BackboneChoice = BackboneChoice()
    gpu: Any = "cpu"
    sampler: str = "auto"
    seed: int = 0
    frames: int | None = None
    size: int | str | tuple[int, int] | None = None
    fps: float | None = None
    start: float | str | None = None
    end: float | str | None = None
    reference_start: float | str | None = None
    reference_end: float | str | None = None
    audio: bool = True
    alpha: bool | None = None
    loop: str = "none"
    folder: str | Path | None = None
    output: str | Path | None = None
    output_metadata: bool = True
    use_cache: bool = True
    common: bool = False

    def __post_init__(self) -> None:
        """Numbers of numpy as Python's own, which a manifest can hold; paths as they are typed, "~" filled in."""
        for name in ("seed", "frames"):
            value = getattr(self, name)
            if isinstance(value, Integral) and not isinstance(value, bool):
                object.__setattr__(self, name, int(value))
        for name in ("folder", "output"):
            if isinstance(value := getattr(self, name), str) and value.startswith("~"):
                object.__setattr__(self, name, local_path(value))

    @property
    def finish(self) -> Finish:
        """What is done to the result as it is written."""
        return Finish(self.alpha, self.loop)


_NO_OPTIONS = ("method", "inputs", "config", "backbone", "gpu", "common")
OPTIONS = tuple(item.name for item in fields(Request) if item.name not in _NO_OPTIONS)  # what a Python call may set


@dataclass(frozen=True)
class RunPlan:
    """A request in which nothing is left to refuse; `execute` carries it out, once.

    Attributes:
        settings: the method's, as its dataclass.
        inputs: as they were given, with the clips read; `on_canvas` holds them at the working size.
        memory: the plan for this machine's memory.
        backbone: loads its weights on first use; None for a method without one.
        need: what it computes, where that is known.
        transfer: the method, ready for its first step in `context`.
    """

    request: Request
    spec: MethodSpec
    settings: Any
    inputs: Inputs
    on_canvas: CanvasInputs
    memory: Plan
    backbone: LazyBackbone | None
    context: RunContext
    transfer: Transfer
    say: Callable[[str], None] = silent
    need: Need | None = None

    @property
    def preflight(self) -> str | None:
        """What the run needs of this machine's card, in one line; None on a CPU, and where it is not known."""
        from motionkit.running.preflight import run_line

        return run_line(self.need, self.memory, self.request.gpu)

    def execute(self, folder: Path | None = None, announce: Callable[[Plan], None] = silent) -> Result:
        """Run the stages; no file gets its final name before it is complete.

        When it is cancelled or fails, the folder holds a manifest that says so, and no video.

        Args:
            folder: in place of the request's.
            announce: gets the memory plan once every file of weights was found.

        Raises:
            UserError: weights that do not fit, values that are not numbers, a full disk.
            Cancelled: the progress asked for it.
        """
        from motionkit.running.stage_runner import StageRunner

        asked = self.request
        self.context.folder = Path(folder or asked.folder or tempfile.mkdtemp(prefix="motionkit-"))
        steps = (self.spec, self.transfer, self.on_canvas, self.context, self.backbone, self.settings, asked.use_cache)
        runner = StageRunner(*steps, asked.finish, asked.common, lambda: announce(self.memory), self.need)
        result = runner.travel(self.inputs, _path(asked.output), asked.output_metadata)
        for line in result.manifest["remarks"][len(self.on_canvas.lines) + len(self.context.remarks) :]:
            self.say(line)
        return result


def execute(
    request: Request,
    progress: Progress | None = None,
    say: Callable[[str], None] = silent,
    announce: Callable[[Plan], None] = silent,
) -> Result:
    """Check a request and carry it out; arguments and errors as of `check` and `RunPlan.execute`."""
    return check(request, progress, say).execute(announce=announce)


def check(request: Request, progress: Progress | None = None, say: Callable[[str], None] = silent) -> RunPlan:
    """Refuse whatever can be refused before weights load and before anything is written; what costs least comes first.

    Args:
        say: gets a line for each thing that a user should know of how clips were read and resized, and of the result.

    Raises:
        UserError: anything that the user can fix, in one line.
    """
    from motionkit.running import canvas

    check_values(request)
    chosen = choose(request)
    if not request.common and (idle := idle_backbone(chosen.spec, request.backbone.name)):
        say(idle)
    chosen.spec.check_inputs(request.inputs)
    request, on_canvas = place(request, chosen, say)
    canvas.check_matte(chosen.spec, on_canvas, request.alpha)
    plan = plan_run(request, chosen, on_canvas, progress, say)
    with noted(chosen.spec, "check"):
        plan.transfer.check(on_canvas.inputs)
    _tell_unknown_words(plan)
    for line in (*on_canvas.lines, *plan.context.remarks):
        say(line)
    return plan


def place(request: Request, chosen: Chosen, say: Callable[[str], None] = silent) -> tuple[Request, CanvasInputs]:
    """The request with its clips read, and they at the working size; maps and texts as they are.

    Raises:
        UserError: a clip that cannot be read, or numbers that do not go together.
    """
    from motionkit.running import canvas, clips

    spec, name = chosen.spec, chosen.backbone.name
    most = spec.most_frames(name, chosen.settings)
    if not clips.is_read(request):
        request = clips.read(request, spec.stride, say, most)
    spec.check_length(request.inputs, request.frames)
    shaping = canvas.SHAPING if request.common else spec.used(request.inputs)
    shape = (request.frames, request.size, request.fps, shaping, spec.stride)
    own = spec.edits and not request.common
    backbone = catalog.get(name) if name else None
    return request, canvas.place_inputs(request.inputs, backbone, *shape, most=most, edits=own)


def unknown_words(plan: RunPlan) -> list[str]:
    """Words of the request that a small text encoder was not trained on. Raises: UserError: damaged taught words."""
    if plan.backbone is None:
        return []
    inputs = plan.on_canvas.inputs
    return plan.backbone.unknown_words(*(getattr(inputs, text) for text in TEXTS if text in plan.spec.used(inputs)))


def _tell_unknown_words(plan: RunPlan) -> None:
    """Warn of them, and note them in the manifest."""
    if plan.backbone is not None and (unknown := unknown_words(plan)):
        name = plan.backbone.spec.name
        plan.context.note("unknown_words", unknown)
        _log.warning(
            "%s was not trained on the word%s %s: `motionkit backbones %s` lists those that it knows",
            name,
            "s" if len(unknown) > 1 else "",
            ", ".join(unknown),
            name,
        )


def check_values(request: Request) -> None:
    """Refuse values of a wrong type, which a Python call may pass.

    Raises:
        UserError: a wrong type, an empty path, a seed out of range, an output that cannot be written.
    """
    given = request.inputs
    _check_types(request)
    check_seed(request.seed)
    refuse_empty(given, (*CLIPS, *MAPS))
    refuse_empty(request, ("output", "folder"))
    if request.use_cache:
        cache_files.limit()  # reports a wrong limit now, not when a step is saved
    request.finish.check(_path(request.output))
    if request.output is not None:
        paths = [getattr(given, name) for name in (*CLIPS, *MAPS)]
        check_output(Path(request.output), [Path(path) for path in paths if isinstance(path, str | Path)])
    if request.folder is not None:
        check_writable(Path(request.folder))


def _check_types(request: Request) -> None:
    from motionkit.media import Clip

    wanted = (("seed", Integral, "a whole number"), ("frames", Integral, "a whole number"), ("fps", Real, "a number"))
    for name, kind, what in wanted:
        value = getattr(request, name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise UserError(f"{name}={value!r}: give {what}")
    for name in CLIPS:
        if not isinstance(value := getattr(request.inputs, name), Clip | str | Path | None):
            raise UserError(
                f"{name} is a {type(value).__name__}: give a path, or a clip of motionkit.media "
                "(from_frames for an array)"
            )
    for name in TEXTS:
        if not isinstance(value := getattr(request.inputs, name), str):
            raise UserError(f"{name}={value!r}: give text")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise UserError(f"{name} holds characters that are no text (half of a pair): type it again")
    for owner, names in ((request.inputs, MAPS), (request, ("folder", "output"))):
        for name in names:
            if not isinstance(value := getattr(owner, name), str | os.PathLike | None):
                raise UserError(f"{name} is a {type(value).__name__}: give a path")
    for name in ("audio", "use_cache", "output_metadata", "alpha"):
        if not isinstance(value := getattr(request, name), bool) and not (value is None and name == "alpha"):
            raise UserError(f"{name}={value!r}: give True or False")


def plan_run(
    request: Request,
    chosen: Chosen,
    on_canvas: CanvasInputs,
    progress: Progress | None = None,
    say: Callable[[str], None] = silent,
) -> RunPlan:
    """The plan for inputs at the working size: memory, a backbone that is not loaded yet, and the method itself.

    Raises:
        UserError: a memory setting or weights that do not fit this machine or backbone, or too many frames for it.
    """
    spec, settings, choice = chosen
    need = need_of(spec, settings, choice.name, on_canvas.frames, on_canvas.height, on_canvas.width)
    memory = plan_for(request.gpu, choice.name, need)
    backbone = choice.lazy(memory)
    if backbone:
        backbone.check_frames(on_canvas.frames)
    shape = (on_canvas.frames, on_canvas.height, on_canvas.width, on_canvas.fps)
    folder = Path(request.folder or tempfile.gettempdir())  # until the run begins
    context = RunContext(request.seed, *shape, memory, folder, Reporter(progress or NullProgress()))
    asked = values(resolved(settings, choice.name))
    context.sampler = choose_sampler(spec, backbone.spec if backbone else None, request.sampler, asked) or "auto"
    made = registry.load_object(spec.transfer)
    with noted(spec, "start"):
        transfer = made(settings, backbone, context)
    return RunPlan(request, spec, settings, request.inputs, on_canvas, memory, backbone, context, transfer, say, need)


def _path(value: str | Path | None) -> Path | None:
    return Path(value) if value is not None else None
