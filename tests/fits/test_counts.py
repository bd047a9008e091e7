"""What is counted without values, against what the CPU's allocator reports of the same calls with values."""

import gc
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from motionkit import registry
from motionkit.backbones import catalog, load
from motionkit.backbones.pretend.build import weights_of
from motionkit.context import RunContext
from motionkit.running.choices import method_settings
from motionkit.running.count import Counter, row
from motionkit.running.needs import demands_of, made, work_of
from motionkit.settings.gpu import Plan
from motionkit.settings.need import Choice
from motionkit.settings.presets import resolved

FRAMES, SIDE = 8, 128
COUNTED, ASKED = ((64, 64), (128, 128)), (5, 96, 128)  # sizes of a row's two passes; frames, height and width of a run


def allocated(call):
    """The most that torch's CPU allocator had given out during a call, above what it had before: its own reports."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        kept = call()
    del kept
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        most = max(most, live)
    return most


@pytest.mark.parametrize(
    ("method", "backbone", "what"),
    [
        ("anamodiff", "pocket-sd", "tuning step"),
        ("anamodiff", "pocket-sd", "denoising step"),
        ("flipsketch", "pocket-modelscope", "alignment"),
        ("flipsketch", "pocket-modelscope", "denoising step"),
    ],
)
def test_a_count_without_values_is_near_what_the_allocator_gives(method, backbone, what):
    spec, plan = registry.spec(method), Plan()
    settings = resolved(method_settings(spec), backbone)
    demand = next(d for d in demands_of(spec, settings, FRAMES) if d.what == what)
    with Counter(backbone, plan) as counter:
        counted = counter.figure(demand, settings, SIDE, SIDE, FRAMES).extra
    real, run = load(backbone, plan), RunContext(0, FRAMES, SIDE, SIDE, 8.0, plan, Path())
    once = registry.load_object(demand.once)
    given = allocated(lambda: once(real, settings, run, 1)())
    print(f"{method} {what}: counted {counted / 2**20:.1f} MiB, allocated {given / 2**20:.1f} MiB")
    assert counted == pytest.approx(given, rel=0.1)
    assert torch.zeros(1).device.type == "cpu"  # the world of fake tensors has ended


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "backbone", "stage"),
    [
        ("anamodiff", "pocket-sd", "fit"),  # forward and backward, with the optimiser's
        ("flipsketch", "pocket-modelscope", "prepare"),  # forward
        ("flipsketch", "pocket-modelscope", "generate"),
    ],
)
def test_the_peak_that_fits_tells_is_near_what_a_run_holds(method, backbone, stage):
    """Weights and all, at a length and shape that were not counted: a line through two other sizes."""
    spec, facts, how = registry.spec(method), catalog.get(backbone), Choice(batched=False)
    settings = resolved(method_settings(spec), backbone)
    demands = {d.what: d for d in demands_of(spec, settings, ASKED[0]) if d.stage == stage and not d.like}
    with Counter(backbone, Plan()) as counter:
        rows = {what: {"plain": row(counter, d, settings, None, (4, 8), COUNTED)} for what, d in demands.items()}
        factor = counter.backbone.factor
    works = [work_of(demand, rows[what], facts, factor, *ASKED[1:]) for what, demand in demands.items()]
    wide = {part: 2 * values for part, values in weights_of(facts).items()}  # float32, in which the rows were counted
    (peak,) = made(spec, facts, works, wide, ASKED).peaks(how)
    demand, real = demands[peak.what], load(backbone, Plan())
    held = sum(
        p.numel() * p.element_size() for part in (real.unet, real.vae, real.text_encoder) for p in part.parameters()
    )
    run = RunContext(0, demand.frames, *ASKED[1:], 8.0, Plan(), Path())
    given = held + allocated(lambda: registry.load_object(demand.once)(real, settings, run, demand.clips)())
    print(f"{method} {stage}, {peak.what}: fits {peak.bytes / 2**20:.1f} MiB, held {given / 2**20:.1f} MiB")
    assert peak.bytes == pytest.approx(given, rel=0.1)
