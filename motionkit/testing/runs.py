"""Rules on what a method does: each checks runs that the subject makes once and shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from motionkit.errors import Cancelled, UserError
from motionkit.running.canvas import SHAPING
from motionkit.testing.clips import moving_shapes, picture
from motionkit.testing.report import RULES, NotApplicable, Rule, expect, listed, rule
from motionkit.testing.subject import Outcome, Subject
from motionkit.transfer import MAPS, Inputs, MethodSpec

CLIPS, TEXTS = ("reference", "driving"), ("prompt", "source_prompt", "negative_prompt")
SLOW = 2.0  # seconds from which a run must tell how far it is


def base(subject: Subject) -> Outcome:
    """The basic run that most rules check; it fills the cache."""
    return subject.run("base", use_cache=True)


@rule("class_fits", "settings_have_defaults")
def missing_input_is_named(subject: Subject) -> None:
    """Without a required input the run ends in one line that names it, before a step begins or weights load."""
    for need in subject.spec.requires:
        empty: Any = "" if need.name in TEXTS else None
        out = subject.run(f"without-{need.name}", inputs=replace(subject.inputs, **{need.name: empty}))
        expect(isinstance(out.error, UserError), f"without {need.name}: {out.problem or 'it ran'}")
        expect(need.name in str(out.error) and "\n" not in str(out.error), f"not one line with its name: {out.error}")
        expect(not out.entered and not out.loads, f"without {need.name}, work began before it was refused")


@rule("class_fits", "settings_have_defaults")
def starts_without_weights(subject: Subject) -> None:
    """Making the method and checking its inputs load no weights: those come with the first step that needs them."""
    if not subject.backbone:
        raise NotApplicable("runs without a backbone")

    def stop(*args: object) -> None:
        raise _Stop

    with mock.patch.object(subject.transfer, "prepare", stop):
        out = subject.run("start")
    expect(isinstance(out.error, _Stop), f"it did not come to prepare: {out.problem}")
    expect(out.loads == 0, "weights were loaded before prepare")


class _Stop(Exception):
    pass


@rule("class_fits", "settings_have_defaults")
def video_has_its_shape(subject: Subject) -> None:
    """`generate` returns floats of shape (frames, 3, height, width)."""
    video = _video(base(subject))
    wanted = (subject.frames, 3, subject.size, subject.size)
    expect(hasattr(video, "is_floating_point"), f"generate returned {type(video).__name__}, not a tensor")
    found = tuple(video.shape)
    expect(found == wanted and video.is_floating_point(), f"{video.dtype} {found}, not floats {wanted}")


@rule("video_has_its_shape")
def video_is_in_range(subject: Subject) -> None:
    """Every value is a number from 0 to 1."""
    video = _video(base(subject)).float()
    expect(bool(video.isfinite().all()), "values that are not finite numbers")
    low, high = float(video.min()), float(video.max())
    expect(low >= 0 and high <= 1, f"values from {low:.3g} to {high:.3g}, not from 0 to 1")


@rule("video_is_in_range")
def run_ends_well(subject: Subject) -> None:
    """A plain run leaves a result: uint8 frames of the declared number, in the input's shape."""
    out = base(subject)
    expect(out.result is not None, out.problem)
    assert out.result is not None
    frames = out.result.frames
    expect(frames.dtype == np.uint8 and len(frames) == subject.frames, f"{len(frames)} frames of {frames.dtype}")
    _expect_aspect(out, subject.inputs, subject.spec)


@rule("run_ends_well")
def progress_is_whole(subject: Subject) -> None:
    """Progress never decreases, stays within its total, and ends at it; a run of more than two seconds reports some."""
    out = base(subject)
    expect(out.events or out.seconds < SLOW, f"a run of {out.seconds:.1f} s reports no progress")
    total: dict[str, int] = {}
    done: dict[str, int] = {}
    for kind, stage, number in out.events:
        if kind == "start":
            expect(number >= 1, f"{stage} starts with a total of {number}")
            total[stage], done[stage] = number, 0
        elif kind == "step":
            expect(stage in total, f"{stage} steps before it starts")
            whole = done[stage] <= number <= total[stage]
            expect(whole, f"{stage} goes from {done[stage]} to {number} of {total[stage]}")
            done[stage] = number
        else:
            expect(done[stage] == total[stage], f"{stage} ends at {done[stage]} of {total[stage]}")
            del total[stage], done[stage]
    expect(not total, f"never ended: {listed(total)}")


@rule("run_ends_well")
def inputs_stay_as_they_are(subject: Subject) -> None:
    """No step changes the frames that it is given."""
    expect(not base(subject).mutated, f"changed in place: {listed(base(subject).mutated)}")


@rule("run_ends_well")
def settings_stay_as_they_are(subject: Subject) -> None:
    """No step changes the settings."""
    expect(not base(subject).settings_changed, "the settings differ after the run")


@rule("run_ends_well")
def global_state_stays(subject: Subject) -> None:
    """The global random generators, torch's modes, the working directory and the environment are left alone."""
    expect(not base(subject).watch.changed, f"changed: {listed(base(subject).watch.changed)}")


@rule("class_fits", "settings_have_defaults")
def network_is_not_used(subject: Subject) -> None:
    """Nothing is looked up or connected to."""
    expect(not base(subject).watch.network, f"tried to reach {listed(base(subject).watch.network)}")


@rule("class_fits", "settings_have_defaults")
def writes_stay_inside(subject: Subject) -> None:
    """Nothing is written outside the run's folder and the cache."""
    expect(not base(subject).watch.writes, f"wrote {listed(base(subject).watch.writes)}")


@rule("run_ends_well", "global_state_stays", "inputs_stay_as_they_are")
def same_seed_same_bits(subject: Subject) -> None:
    """A second run with the same seed, without the cache, gives the same bits."""
    expect(_ended(subject.run("again")).digest == base(subject).digest, "two runs with one seed differ")


@rule("same_seed_same_bits")
def seed_counts_as_declared(subject: Subject) -> None:
    """Another seed gives another video if `stochastic` is declared, and the same one if not."""
    differs = _ended(subject.varied("seed")).digest != base(subject).digest
    expect(
        differs == subject.spec.stochastic,
        f"stochastic={subject.spec.stochastic}, but another seed "
        f"{'changes' if differs else 'does not change'} the video",
    )


def _counts_as_declared(subject: Subject, name: str) -> None:
    differs = _ended(subject.varied(name)).digest != base(subject).digest
    declared = name in subject.declared
    expect(
        differs == declared,
        f"{name} is {'' if declared else 'not '}declared, but another one "
        f"{'changes' if differs else 'does not change'} the video",
    )


def _input_rule(name: str) -> None:
    rule_name = f"{name}_counts_as_declared"
    about = f"Another {name} changes the video if the method declares that it reads {name}, and only then."
    RULES[rule_name] = Rule(
        rule_name, about, ("same_seed_same_bits",), lambda subject: _counts_as_declared(subject, name)
    )


for _name in (*CLIPS, *TEXTS):
    _input_rule(_name)


@rule("same_seed_same_bits")
def maps_count_as_declared(subject: Subject) -> None:
    """The same for every ready-made map of which two examples are given."""
    given = [name for name in MAPS if getattr(subject.inputs, name) and getattr(subject.others, name)]
    if not given:
        raise NotApplicable("no examples of ready-made maps: give two requests as inputs= and others=")
    for name in given:
        _counts_as_declared(subject, name)


@rule("run_ends_well")
def optional_inputs_are_optional(subject: Subject) -> None:
    """The required inputs alone are enough."""
    required = {need.name for need in subject.spec.requires}
    _ended(subject.run("required-only", inputs=replace(Inputs(), **{n: getattr(subject.inputs, n) for n in required})))


@rule("same_seed_same_bits")
def cache_gives_the_same_bits(subject: Subject) -> None:
    """A second run takes every declared stage from the cache and gives the same bits."""
    if not subject.spec.stages:
        raise NotApplicable("no cached stages")
    out = _ended(subject.run("from-cache", use_cache=True))
    assert out.result is not None
    missing = [stage.name for stage in subject.spec.stages if stage.name not in out.result.manifest["from_cache"]]
    expect(not missing, f"made again in spite of the cache: {listed(missing)}")
    expect(out.digest == base(subject).digest, "the video from cached stages differs")


@rule("cache_gives_the_same_bits")
def stages_declare_what_they_read(subject: Subject) -> None:
    """When something changes that a stage does not declare, the cached stage still gives the right video."""
    for name in ("seed", *CLIPS, *TEXTS, *MAPS):
        covers: Callable = (lambda stage: stage.seeded) if name == "seed" else (lambda stage, n=name: n in stage.inputs)
        if all(covers(stage) for stage in subject.spec.stages):
            continue  # every stage is made again
        try:
            fresh = subject.varied(name)
        except NotApplicable:
            continue
        cached = _ended(subject.varied(name, use_cache=True))
        expect(cached.digest == fresh.digest, f"with another {name} a cached stage gives an outdated video")


@rule("run_ends_well")
def cancel_stops_it(subject: Subject) -> None:
    """When the run is cancelled, `Cancelled` is raised at the next step of progress, and no video is left."""
    events = len(base(subject).events)
    for after in sorted({0, min(1, events), events // 2}):
        out = subject.run(f"cancel-{after}", cancel_after=after)
        expect(isinstance(out.error, Cancelled), f"cancelled after {after} events: {out.problem or 'it ran on'}")
        expect(not out.swallowed, f"went on after it was cancelled: {listed(out.swallowed)}")
        expect(out.ticks_after_cancel <= 1, f"{out.ticks_after_cancel} more steps after it was cancelled")
        left = sorted(path.name for path in out.folder.rglob("*") if path.suffix in (".mp4", ".gif"))
        expect(not left, f"a cancelled run left {listed(left)}")


@rule("run_ends_well")
def one_frame_works(subject: Subject) -> None:
    """One frame of a driving clip, and a driving clip of one frame, work or are refused in one line."""
    _refused(subject.run("frames-1", frames=1))
    _short(subject, 1)


@rule("run_ends_well")
def two_frames_work(subject: Subject) -> None:
    """A driving clip of two frames works, or is refused in one line."""
    _short(subject, 2)


def _short(subject: Subject, frames: int) -> None:
    driving = subject.inputs.driving and moving_shapes(frames, subject.size, subject.size)
    out = subject.run(f"clip-of-{frames}", inputs=replace(subject.inputs, driving=driving), frames=frames)
    if not _refused(out):
        assert out.result is not None
        expect(len(out.result.frames) == frames, f"{len(out.result.frames)} frames of {frames}")


@rule("run_ends_well")
def shape_follows_the_input(subject: Subject) -> None:
    """A reference that is not square gives a video of its aspect, and so does a driving clip where no other is read."""
    inputs, size = subject.inputs, subject.size
    if "reference" in subject.spec.used(inputs):
        wide = replace(inputs, reference=picture(size // 2, size))
    elif inputs.driving is not None:
        wide = replace(inputs, driving=moving_shapes(len(inputs.driving), size // 2, size))
    else:
        return
    _expect_aspect(_ended(subject.run("wide", inputs=wide)), wide, subject.spec)


@rule("run_ends_well")
def frame_need_not_be_square(subject: Subject) -> None:
    """A working size of other height than width works, or is refused in one line."""
    wide = (subject.size, subject.size + subject.size // 2)
    _refused(subject.run("wide-size", size=wide))


def _video(out: Outcome) -> Any:
    if out.video is None:
        raise NotApplicable(f"generate did not return: {out.problem}")
    return out.video


def _ended(out: Outcome) -> Outcome:
    expect(out.result is not None, f"the run {out.folder.name!r} failed: {out.problem}")
    return out


def _refused(out: Outcome) -> bool:
    """Whether the run was refused in one line; any other error breaks the rule."""
    if isinstance(out.error, UserError):
        expect("\n" not in str(out.error).strip(), f"refused in several lines: {out.error}")
        return True
    _ended(out)
    return False


def _expect_aspect(out: Outcome, inputs: Inputs, spec: MethodSpec) -> None:
    assert out.result is not None
    height, width = out.result.frames.shape[1:3]
    clip = next((getattr(inputs, name) for name in SHAPING if name in spec.used(inputs)), None)
    if clip is not None:
        wanted = clip.width / clip.height
        near = abs(width - wanted * height) <= max(1.0, wanted) + 1  # one pixel of rounding on either side
        expect(near, f"{width}x{height} pixels, not of aspect {wanted:.2f}")
