"""What is counted without values, against what the CPU's allocator reports of the same calls with values."""

import gc
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from motionkit import registry
from motionkit.backbones import load
from motionkit.context import RunContext
from motionkit.running.choices import method_settings
from motionkit.running.count import Counter
from motionkit.running.needs import demands_of
from motionkit.settings.gpu import Plan
from motionkit.settings.presets import resolved

FRAMES, SIDE = 8, 128


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
