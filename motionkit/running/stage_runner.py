"""Runs the stages of a request, each cached or computed and saved; writes each file completely or not at all."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from motionkit import __version__, media, registry
from motionkit.context import Checkpoint, NoCheckpoint, RunContext
from motionkit.errors import Cancelled, UserError
from motionkit.media.output_files import Finish, staged, write_json, writing
from motionkit.running import manifest
from motionkit.running.cache import StageCache, StageOutput, content_hash, normalise, note_once, stage_key
from motionkit.running.canvas import CanvasInputs
from motionkit.running.familiar import unfamiliar
from motionkit.running.lazy_backbone import LazyBackbone
from motionkit.running.out_of_memory import explained, is_full
from motionkit.running.step_errors import noted
from motionkit.running.step_outputs import check_video, refuse_nan, table
from motionkit.settings.presets import resolved
from motionkit.transfer import Inputs, MethodSpec, Result, Tensors, Transfer
from motionkit.weights.hashing import hash_path

if TYPE_CHECKING:
    import torch

    from motionkit.backbones.base import VideoBackbone
    from motionkit.settings.need import Need

RESULT, MANIFEST, SHOWN = "result.mp4", "manifest.json", "shown"


@dataclass
class StageRunner:
    """One run in progress: its steps, the time and memory of each, and how it ends."""

    spec: MethodSpec
    transfer: Transfer
    on_canvas: CanvasInputs
    run: RunContext
    backbone: LazyBackbone | None
    settings: Any
    use_cache: bool
    finish: Finish = Finish()
    keep_shape: bool = False  # results that stand side by side are all of one shape
    found: Callable[[], None] = lambda: None  # called once every file of weights was found
    need: Need | None = None  # what the run computes, where that is known
    whole: bool = False
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keys of stages and the manifest say what is really used: the values of presets are filled in."""
        self.settings = resolved(self.settings, self.backbone.spec.name if self.backbone else None)

    def travel(self, given: Inputs, output: Path | None, label: bool) -> Result:
        """All steps, then the result; a manifest is written however it ends."""
        folder, began = self.run.folder, time.monotonic()
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for old in (folder / RESULT, *(folder / SHOWN).glob("*.png")):  # left by an earlier run in this folder
                old.unlink(missing_ok=True)
        memory = manifest.PeakMemory(self.run.device)
        self.facts = self._before(given)
        try:
            result = Result(self._frames(), self.run.fps, self.facts, folder, self.run.shown)
            result.alpha, result.sound, result.loop = self._alpha(result.frames), self._sound(given), self.finish.loop
            result.label = self._label() if label else ""
            self._write(result, output, lambda: self._close("complete", began, memory))
        except BaseException as error:
            stopped = isinstance(error, Cancelled | KeyboardInterrupt)
            self._close("cancelled" if stopped else "failed", began, memory, error)
            (folder / RESULT).unlink(missing_ok=True)
            if stopped:
                raise Cancelled(f"cancelled; {folder / MANIFEST} lists what was done") from None
            raise
        return result

    def _frames(self) -> np.ndarray:
        """The steps in order; returns (F, H, W, 3) uint8 in the input's shape."""
        inputs, transfer = self.on_canvas.inputs, self.transfer
        shared, report = self._shared(), self.run.progress
        self.found()
        clips = {"reference": inputs.reference, "driving": inputs.driving}
        report.output("inputs", {}, {name: clip.frames for name, clip in clips.items() if clip is not None})
        prepared = self._stage("prepare", shared, "", lambda: transfer.prepare(inputs))
        fitted = self._stage("fit", shared, prepared.content, lambda: transfer.fit(inputs, prepared.tensors))
        with self._timed("generate"), self._watched():
            self._say_unfamiliar()
            before = set(self.run.shown)
            with noted(self.spec, "generate"):
                video = transfer.generate(inputs, prepared.tensors, fitted.tensors)
                check_video(self.spec.name, video, (self.run.frames, 3, self.run.height, self.run.width))
            self._note_cut_prompts()
        report.output("generate", {}, {name: seen for name, seen in self.run.shown.items() if name not in before})
        frames = self._cut(_to_uint8(video))
        report.output("result", {}, {"video": frames})
        return frames

    def _say_unfamiliar(self) -> None:
        if self.backbone is None or not self.backbone.own_weights:
            return
        with noted(self.spec, "picture"):
            picture = self.transfer.picture(self.on_canvas.inputs)
        if line := unfamiliar(self.backbone, picture):
            self.facts["remarks"].append(line)

    def _note_cut_prompts(self) -> None:
        """Put into the manifest what is not read of a prompt; stderr has heard it from the text encoder."""
        if self.backbone is None or not self.backbone.loaded or not self.backbone.spec.reads_text:
            return
        inputs = self.on_canvas.inputs
        texts = {name: getattr(inputs, name) for name in self.spec.used(inputs) if name.endswith("prompt")}
        if cut := {name: line for name, text in texts.items() if (line := self.backbone.cut_of(text))}:
            self.run.note("cut_prompts", cut)

    def _cut(self, frames: np.ndarray) -> np.ndarray:
        """The frames in the input's shape; the whole canvas where a wide or tall input is too narrow for what moves."""
        box = self.on_canvas.box
        if box is None:
            return frames
        if self.keep_shape or not media.spills(frames, box):
            return media.unletterbox(frames, box)
        self.whole = True
        self.facts["remarks"].append(
            f"the picture is {box.source[1]}x{box.source[0]}, too narrow for this motion: the result is the "
            f"whole {box.canvas[1]}x{box.canvas[0]} (give a picture nearer to that shape)"
        )
        return frames

    def _alpha(self, frames: np.ndarray) -> np.ndarray | None:
        """(F, H, W) uint8, where the subject is, if that is wanted: from the method, else by a plain background."""
        clip = self.on_canvas.shaping
        if not (self.finish.alpha or (self.finish.alpha is None and clip is not None and clip.transparent)):
            return None
        if (own := self.run.matte) is not None:
            return media.unletterbox(own, self.on_canvas.box) if self.on_canvas.box and not self.whole else own
        mask = media.subject_mask(frames)
        if mask is None:
            self.facts["remarks"].append("the result's background is not plain: it is written without transparency")
            return None
        return (255 * mask).round().astype(np.uint8)

    def _sound(self, given: Inputs) -> media.Sound | None:
        """The sound of the driving clip, if the method follows that clip and the result is as long as its part."""
        clip = self.on_canvas.inputs.driving
        if clip is None or clip.sound is None or "driving" not in self.spec.used(given):
            return None
        if self.finish.loop != "none" or abs(len(clip) / clip.fps - self.run.frames / self.run.fps) > 0.5 / clip.fps:
            why = f"loop={self.finish.loop}" if self.finish.loop != "none" else "another speed than the driving clip"
            self.facts["remarks"].append(f"the sound is left out ({why})")
            return None
        return clip.sound

    def _stage(self, name: str, shared: dict[str, Any], parent: str, make: Callable[[], Tensors]) -> StageOutput:
        """One step: its output from the cache, or computed, and saved when the method declares it."""
        stage, cache, key = self.spec.stage(name), StageCache(self.spec.name), None
        if stage and self.use_cache:
            facts = shared | {"parent": parent, "seed": self.run.seed}
            with noted(self.spec, name):
                key = stage_key(self.spec, stage, self.on_canvas.inputs, self.settings, facts)
        self.run.checkpoints = _checkpoints(cache, name, key)
        with self._timed(name) as record:
            output = cache.load(name, key) if key else None
            record |= {"cached": output is not None, "key": key}
            if output is None:
                output = self._make(name, make)
                if key:
                    _keep(cache, name, key, output, record)
            else:
                self.run.shown |= output.shown
                self.run.notes |= output.notes
            record["content"] = output.content
        self.run.progress.output(name, output.tensors, output.shown)
        return output

    def _make(self, name: str, make: Callable[[], Tensors]) -> StageOutput:
        with self.run.collect() as (shown, notes), noted(self.spec, name):
            tensors = normalise(table(f"{self.spec.name}.{name}", make()))
        refuse_nan(self.spec.name, name, tensors)
        return StageOutput(tensors, shown, notes, content_hash(tensors))

    def _shared(self) -> dict[str, Any]:
        """The facts that enter every stage's key; the hashes of all weights go into the manifest as well."""
        with noted(self.spec, "weights"):
            weights = {name: hash_path(path) for name, path in sorted(self.transfer.weights().items())}
        self.facts["weights"] = weights
        if self.backbone:
            self.facts["backbone"]["fingerprint"] = self.backbone.fingerprint()
        plan = self.run.plan
        dtype = (plan.dtype, plan.autocast, *(["tiled"] if plan.vae_tiling else []))
        size = (self.run.frames, self.run.height, self.run.width)
        shared = {"backbone": self.facts["backbone"], "weights": weights, "size": size, "dtype": dtype}
        own = self.backbone is None or self.run.sampler == self.backbone.spec.sampler
        return shared if own else shared | {"sampler": self.run.sampler}

    @contextmanager
    def _timed(self, name: str) -> Iterator[dict[str, Any]]:
        """Measure a step, and end the progress stages that it left open."""
        self.run.progress.check()
        record = self.stages[name] = {}
        began = time.monotonic()
        try:
            yield record
        except Exception as error:
            if not is_full(error):
                raise
            plan = self.backbone.plan if self.backbone and self.backbone.loaded else self.run.plan
            raise explained(error, name, plan, self.settings, self.run.frames, self.need) from error
        finally:
            self.run.progress.close()
            record["seconds"] = round(time.monotonic() - began, 3)

    def _watched(self) -> AbstractContextManager[None]:
        """The denoising loop shows pictures of the clip, where the watcher wants them and there is a backbone."""
        every, inputs, report = self.run.progress.previews, self.on_canvas.inputs, self.run.progress
        clips = [clip.frames[:: max(1, len(clip) // 2)] for clip in (inputs.reference, inputs.driving) if clip]
        if every is None or self.backbone is None or not clips:
            return contextlib.nullcontext()
        from motionkit.diffusion import preview

        def show(picture: np.ndarray) -> None:
            report.picture = picture

        backbone = cast("VideoBackbone", self.backbone)
        return preview.watched(preview.watcher_of(backbone, np.concatenate(clips), show, every))

    def _before(self, given: Inputs) -> dict[str, Any]:
        spec, run = self.spec, self.run
        return {
            "status": "running",
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "method": manifest.method_facts(spec, registry.dist_of(spec)),
            "backbone": {"name": self.backbone.spec.name} if self.backbone else None,
            "sampler": run.sampler if self.backbone else None,
            "seed": run.seed,
            "frames": run.frames,
            "size": {"height": run.height, "width": run.width},
            "fps": run.fps,
            "inputs": manifest.input_facts(spec, given),
            "inputs_used": list(spec.used(given)),
            "remarks": [*self.on_canvas.lines, *run.remarks],
            "config": asdict(self.settings),
            "lora": self.backbone.lora.facts() if self.backbone and self.backbone.lora else None,
            **({"parts": self.backbone.parts_given.facts()} if self.backbone and self.backbone.parts_given else {}),
            "plan": manifest.as_dict(run.plan),
            "versions": manifest.versions(),
        }

    def _close(
        self, status: str, began: float, memory: manifest.PeakMemory, error: BaseException | None = None
    ) -> None:
        self.facts |= {
            "status": status,
            "stages": self.stages,
            "from_cache": [name for name, record in self.stages.items() if record.get("cached")],
            "seconds": round(time.monotonic() - began, 3),
            "peak_memory": memory.facts(),
            "notes": self.run.notes,
        }
        if self.backbone and self.backbone.loaded:
            self.facts["plan"] = manifest.as_dict(self.backbone.plan)  # what took effect, not what was asked for
        if status == "failed":
            self.facts["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        try:
            write_json(self.run.folder / MANIFEST, self.facts)
        except UserError:
            if error is None:  # otherwise the first error is the one to report
                raise

    def _write(self, result: Result, output: Path | None, close: Callable[[], None]) -> None:
        """The videos; they get their final names once all of them and the manifest (see `close`) fit on the disk."""
        finals = [result.folder / RESULT, *([output] if output is not None else [])]
        with contextlib.ExitStack() as stack:
            with self._timed("write"), writing(result.folder):
                for name, frames in result.shown.items():
                    (result.folder / SHOWN).mkdir(exist_ok=True)
                    media.write_image(result.folder / SHOWN / f"{name}.png", np.concatenate(list(frames), axis=1))
                made = [result.save(stack.enter_context(staged(path))) for path in finals]
            also = output.name if output else None
            self.facts["output"] = {
                "sound": result.sound is not None,
                "alpha": result.alpha is not None,
                "loop": result.loop,
                "file": RESULT,
                "sha256": hash_path(made[0]),
                "also": also,
            }
            close()

    def _label(self) -> str:
        label = {"motionkit": __version__, "method": self.spec.name, "seed": self.run.seed, "label": "AI-generated"}
        if self.backbone:
            label["backbone"] = self.backbone.spec.name
        return json.dumps(label)


def _keep(cache: StageCache, name: str, key: str, output: StageOutput, record: dict[str, Any]) -> None:
    try:
        cache.save(name, key, output)
    except OSError as error:  # the result matters more than its cache: warn and go on
        note_once(cache.folder, error, "the output of this step", "the next run computes it again")
        record["not_kept"] = f"{cache.folder}: {error.strerror or error}"


def _checkpoints(cache: StageCache, name: str, key: str | None) -> Callable[[str], Checkpoint]:
    def find(stage: str) -> Checkpoint:
        base, _, part = stage.partition(":")
        return cache.checkpoint(name, key, part) if key and base == name else NoCheckpoint()

    return find


def _to_uint8(video: torch.Tensor) -> np.ndarray:
    pixels = (video.detach().float().clamp(0, 1) * 255).round().cpu().numpy().astype(np.uint8)  # (F, 3, H, W)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))  # (F, H, W, 3)
