"""Run by a slow test in a process of its own: the calls of the GPU's report on a card that is not there."""

from motionkit.backbones.pretend import early

early.ready()

import json  # noqa: E402
import runpy  # noqa: E402
from pathlib import Path  # noqa: E402
from types import SimpleNamespace  # noqa: E402
from unittest import mock  # noqa: E402

import torch  # noqa: E402

from motionkit.backbones.pretend.device import world  # noqa: E402
from motionkit.settings import gpu  # noqa: E402

CASES = (
    "anamodiff:tiny-sd",
    "anamodiff:tiny-sd+checkpointing",
    "animatex:tiny-animatex",
    "animatex:tiny-animatex+offload",
    "flipsketch:tiny-modelscope",
    "vidmp3:tiny-animatediff-sd15",
    "vidmp3:tiny-animatediff-sd15+offload",
    "diffusers:tiny-sdxl",
    "diffusers:tiny-animatediff-sd15",
)
kernel = SimpleNamespace(device_type=torch.autograd.DeviceType.CUDA, is_user_annotation=False)
kernel.self_device_time_total = 2e6
seen = mock.MagicMock()
seen.__enter__.return_value.key_averages.return_value = [kernel]
made = {"synchronize": None, "reset_peak_memory_stats": None, "empty_cache": None}
made |= {"max_memory_allocated": 2**30, "max_memory_reserved": 2**30}
for name, value in made.items():
    setattr(torch.cuda, name, lambda value=value: value)
torch.profiler.profile = lambda **_: seen
gpu.detect = lambda *_: gpu.DeviceFacts(cuda=True, name="a pretended card", vram_gb=80, bf16=True)
report = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "gpu_report.py"))
for case in CASES:
    with world("cuda"):
        for row in report["measure"](case, "cuda"):
            print(json.dumps(row), flush=True)
