"""The method under test and its runs: each run is made once, observed, and shared by the rules."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from motionkit.backbones import catalog
from motionkit.context import NullProgress, Reporter
from motionkit.errors import Cancelled
from motionkit.registry import load_object
from motionkit.running.choices import method_settings
from motionkit.running.execute import request_of
from motionkit.running.lazy_backbone import choose_backbone
from motionkit.running.request import execute
from motionkit.testing.clips import other_inputs, sample_inputs
from motionkit.testing.guards import Watch, stirred
from motionkit.testing.report import RULES, Check, NotApplicable, Rule, listed
from motionkit.transfer import Inputs, MethodSpec, Result, Transfer

if TYPE_CHECKING:
    import torch

STEPS = ("prepare", "fit", "generate")


@dataclass
class Outcome:
    """What one run did, whether it ended well or not.

    Attributes:
        result, error: how it ended.
        video: what `generate` returned; digest is the hash of its bits.
        loads: how often weights were loaded.  entered: the steps of the method that began.
        mutated: input arrays that a step changed in place.  swallowed: steps that ended well after a cancel.
        events: (kind, stage, number) as a watcher of the progress sees them, and raw steps as the method reports them.
    """

    result: Result | None = None
    error: BaseException | None = None
    video: torch.Tensor | None = None
    digest: str = ""
    loads: int = 0
    seconds: float = 0.0
    entered: list[str] = field(default_factory=list)
    mutated: list[str] = field(default_factory=list)
    swallowed: list[str] = field(default_factory=list)
    events: list[tuple[str, str, int]] = field(default_factory=list)
    ticks_after_cancel: int = 0
    settings_changed: bool = False
    watch: Watch = field(default_factory=Watch)
    folder: Path = Path()

    @property
    def problem(self) -> str:
        """The error in one line, or nothing."""
        return f"{type(self.error).__name__}: {self.error}".splitlines()[0] if self.error else ""


class Subject:
    """A method with everything that it is run on.

    Args:
        method: a `Transfer` class or a `MethodSpec`.
        backbone: a name; None takes the method's tiny backbone when it has one, else its default.
        settings: the method's settings; choose ones that run in a second.
        folder: where the runs and their cache go; a temporary folder when it is None.
        frames, size: of the runs; size None is the backbone's default, or 64 without one.
        inputs, others: two requests that differ in every field; ready-made maps are only judged when given here.
    """

    def __init__(
        self,
        method: type[Transfer] | MethodSpec,
        *,
        backbone: str | None = None,
        settings: Mapping[str, Any] | None = None,
        folder: str | Path | None = None,
        frames: int = 4,
        size: int | None = None,
        inputs: Inputs | None = None,
        others: Inputs | None = None,
    ) -> None:
        self.spec: MethodSpec = method if isinstance(method, MethodSpec) else method.spec
        tiny = next((name for name in self.spec.backbones if name.startswith("tiny-")), None)
        self.backbone = choose_backbone(self.spec, backbone or tiny)
        self.settings = dict(settings or {})
        self.folder = Path(folder or tempfile.mkdtemp(prefix="motionkit-check-")).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.frames = frames
        self.size = size or (catalog.get(self.backbone).default_size if self.backbone else 64)
        self.inputs = inputs or sample_inputs(frames, self.size)
        self.others = others or other_inputs(frames, self.size)
        self.cache = self.folder / "cache"
        self._outcomes: dict[str, Outcome] = {}
        self._verdicts: dict[str, Check] = {}

    @property
    def transfer(self) -> type[Transfer]:
        """The method's class, imported on first use."""
        return load_object(self.spec.transfer)

    @property
    def declared(self) -> tuple[str, ...]:
        """The inputs that the method says it reads."""
        return tuple(need.name for need in (*self.spec.requires, *self.spec.uses))

    def judge(self, rule: Rule) -> Check:
        """The result of one rule, after those that it builds on."""
        if rule.name not in self._verdicts:
            self._verdicts[rule.name] = self._judge(rule)
        return self._verdicts[rule.name]

    def _judge(self, rule: Rule) -> Check:
        broken = [name for name in rule.needs if self._broken(name)]
        if broken:
            return Check(rule.name, None, f"skipped, since it depends on {listed(broken)}", waits=True)
        try:
            rule.function(self)
        except NotApplicable as reason:
            return Check(rule.name, None, str(reason))
        except Exception as error:  # whatever a method does wrong, the other rules are still checked
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            return Check(rule.name, False, f"{kind}{error}")
        return Check(rule.name, True)

    def _broken(self, name: str) -> bool:
        found = self.judge(RULES[name])
        return found.passed is False or found.waits

    def run(
        self, name: str, *, inputs: Inputs | None = None, cancel_after: int | None = None, **options: Any
    ) -> Outcome:
        """The run of that name; made on first use with `options` of `motionkit.execute`, then remembered."""
        if name not in self._outcomes:
            chosen = {
                "backbone": self.backbone,
                "frames": self.frames,
                "size": self.size,
                "seed": 0,
                "use_cache": False,
            } | options
            self._outcomes[name] = self._run(name, inputs or self.inputs, cancel_after, chosen)
        return self._outcomes[name]

    def varied(self, name: str, use_cache: bool = False) -> Outcome:
        """The run in which one input, or "seed", is the other one."""
        label = f"{name}-from-cache" if use_cache else name
        if name == "seed":
            return self.run(label, seed=1, use_cache=use_cache)
        other = getattr(self.others, name)
        if other in (None, "") or getattr(self.inputs, name) in (None, ""):
            raise NotApplicable(f"no example of {name}: give two requests as inputs= and others=")
        return self.run(label, inputs=replace(self.inputs, **{name: other}), use_cache=use_cache)

    def _run(self, name: str, inputs: Inputs, cancel_after: int | None, options: dict[str, Any]) -> Outcome:
        folder = self.folder / name
        out = Outcome(folder=folder, watch=Watch(folder, self.cache))
        settings = method_settings(self.spec, self.settings)
        before, inputs = asdict(settings), _copied(inputs)
        watcher = _Watcher(out, cancel_after)
        transfer, began = self.transfer, time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(mock.patch.dict(os.environ, MOTIONKIT_CACHE=str(self.cache)))
            stack.enter_context(_counted_loads(self.backbone, out))
            stack.enter_context(_watched_ticks(watcher))
            for step in STEPS:
                stack.enter_context(_watched_step(transfer, step, out, watcher))
            stack.enter_context(stirred(len(self._outcomes)))
            stack.enter_context(out.watch)
            try:
                request = request_of(self.spec, inputs, config=settings, folder=folder, **options)
                out.result = execute(request, watcher)
            except (Exception, Cancelled) as error:
                out.error = error
        out.seconds = time.monotonic() - began
        out.settings_changed = asdict(settings) != before
        return out


class _Watcher(NullProgress):
    """Records events, and cancels after a number of them."""

    def __init__(self, out: Outcome, cancel_after: int | None) -> None:
        self.out, self.cancel_after = out, cancel_after

    def start(self, stage: str, total: int) -> None:
        self.out.events.append(("start", stage, total))

    def end(self, stage: str) -> None:
        self.out.events.append(("end", stage, 0))

    def cancelled(self) -> bool:
        return self.cancel_after is not None and len(self.out.events) >= self.cancel_after


@contextmanager
def _watched_ticks(watcher: _Watcher) -> Iterator[None]:
    """See steps as the method reports them: the reporter mends some of what a watcher would see."""
    step, tick = Reporter.step, Reporter.tick

    def see_step(self: Reporter, stage: str, done: int, preview: Any = None) -> None:
        watcher.out.events.append(("step", stage, done))
        step(self, stage, done, preview)

    def see_tick(self: Reporter, *args: Any, **named: Any) -> None:
        watcher.out.ticks_after_cancel += watcher.cancelled()
        tick(self, *args, **named)

    with mock.patch.object(Reporter, "step", see_step), mock.patch.object(Reporter, "tick", see_tick):
        yield


@contextmanager
def _watched_step(transfer: type[Transfer], name: str, out: Outcome, watcher: _Watcher) -> Iterator[None]:
    """See a step of the method begin and end, its inputs before and after, and the video that it makes."""
    original: Callable[..., Any] = getattr(transfer, name)

    def watched(self: Transfer, inputs: Inputs, *rest: Any) -> Any:
        out.entered.append(name)
        before, ticks = _pixels(inputs), out.ticks_after_cancel
        value = original(self, inputs, *rest)
        out.mutated += [f"{clip} in {name}" for clip, pixels in _pixels(inputs).items() if pixels != before[clip]]
        if out.ticks_after_cancel > ticks:
            out.swallowed.append(name)
        if name == "generate":
            out.video, out.digest = value, digest(value) if hasattr(value, "detach") else ""
        return value

    with mock.patch.object(transfer, name, watched):
        yield


@contextmanager
def _counted_loads(backbone: str | None, out: Outcome) -> Iterator[None]:
    """Count how often weights are loaded."""
    from motionkit import backbones

    load = backbones.load

    def counted(*args: Any, **named: Any) -> Any:
        out.loads += 1
        return load(*args, **named)

    with mock.patch.object(backbones, "load", counted):
        yield


def digest(video: Any) -> str:
    """SHA-256 of a tensor's type, shape and bits."""
    held = video.detach().cpu()
    array = np.ascontiguousarray(held.float().numpy())  # exact for bfloat16, which numpy does not have
    return hashlib.sha256(f"{held.dtype}{array.shape}".encode() + array.tobytes()).hexdigest()


def _copied(inputs: Inputs) -> Inputs:
    """The same request with frames of its own, so that a method that writes into them does not affect other runs."""
    clips = {name: getattr(inputs, name) for name in ("reference", "driving")}
    return replace(inputs, **{name: replace(clip, frames=clip.frames.copy()) for name, clip in clips.items() if clip})


def _pixels(inputs: Inputs) -> dict[str, str]:
    clips = {name: getattr(inputs, name) for name in ("reference", "driving")}
    return {name: hashlib.sha256(np.ascontiguousarray(clip.frames)).hexdigest() for name, clip in clips.items() if clip}
