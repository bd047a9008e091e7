"""`gpu.compile=true`: into how many graphs the networks of each method compile, on the CPU and with tiny networks.

The backend takes graphs as they are and makes nothing of them, so that the count is that of any machine.
"""

from pathlib import Path

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch._dynamo.utils import counters

from motionkit import registry
from motionkit.backbones import load
from motionkit.context import RunContext
from motionkit.running.choices import method_settings
from motionkit.running.needs import demands_of
from motionkit.settings.gpu import Plan
from motionkit.settings.presets import resolved

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("method", "backbone", "what"),
    [
        ("anamodiff", "tiny-sd", "denoising step"),
        ("animatex", "tiny-animatex", "denoising step"),
        ("flipsketch", "tiny-modelscope", "denoising step"),
        ("vidmp3", "tiny-animatediff-sd15", "editing step"),
    ],
)
def test_a_step_compiles_without_a_break(method, backbone, what, monkeypatch):
    backend = CompileCounter()

    def compiled(module, *_, **__):
        module._compiled_call_impl = torch.compile(module._call_impl, backend=backend)

    monkeypatch.setattr(torch.nn.Module, "compile", compiled)
    torch._dynamo.reset()
    counters.clear()
    spec, plan = registry.spec(method), Plan(compile=True)
    built = load(backbone, plan)
    settings = resolved(method_settings(spec), backbone)
    demand = next(d for d in demands_of(spec, settings, 4) if d.what == what)
    call = registry.load_object(demand.once)(built, settings, RunContext(0, 4, 64, 64, 8.0, plan, Path()), 1)
    call(), call()
    breaks = {reason.splitlines()[0]: count for reason, count in counters["graph_break"].items()}
    print(method, backend.frame_count, "graphs", breaks)
    assert backend.frame_count >= 1 and not breaks
    torch._dynamo.reset()
