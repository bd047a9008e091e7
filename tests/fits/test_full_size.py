"""Every method on every backbone of full size, on a card that is not there: forward, backward, both halves of guidance.

Tensors have shapes, types and a device and no values. What is refused is what CUDA would refuse: tensors of two devices
in one operation, types that matrix products, convolutions and attention do not mix. Memory and operations have to be
those of the shipped table. What this cannot show is in docs/gpu.md: speed, the memory of libraries, which kernel runs,
values (overflow, NaN, branches on them), shapes that come from values, transfers, limits of single kernels.

A case, which is one pair in one type, takes 30 to 85 s of one core and .6 GB; all 28 of them about half an hour:

    pytest -m slow tests/fits/test_full_size.py -k "vidmp3 and sdxl and bfloat16"
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.backbones.pretend import early
from motionkit.running.choices import method_settings
from motionkit.running.needs import need_of
from motionkit.settings.need import GIB, Choice

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not early.can_be(), reason="no C++ compiler, and torch is no build for CUDA"),
]
FULL = [n for n, s in catalog.specs().items() if not n.startswith(("tiny-", "pocket-")) and n != "sd14"]
PAIRS = [(s.name, n) for s in registry.METHODS.every() if s.demands for n in s.backbones if n in FULL]


def passes(method, backbone, dtype, frames, size):
    words = [sys.executable, str(Path(__file__).parent / "pretended.py"), method, backbone, dtype, str(frames), size]
    for _ in range(2):  # see `motionkit.running.exact`: a process that a signal ended is started once more
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode >= 0:
            break
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if "registered at" not in line)[
        -3000:
    ]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("method", "backbone"), PAIRS)
def test_every_call_passes_on_cuda_as_the_table_says(method, backbone, dtype):
    """At another length and shape than the table was counted at."""
    facts, spec = catalog.get(backbone), registry.spec(method)
    height, width = facts.default_frame[0] - facts.size_multiple, facts.default_frame[1]
    found = passes(method, backbone, dtype, 12, f"{width}x{height}")
    need = replace(need_of(spec, method_settings(spec), backbone, 12, height, width), dtype=dtype)
    works = {work.what: work for work in need.works}
    for one in found:
        work, how = works[one["what"]], Choice(checkpointing=one["checkpointing"], batched=one["clips"] == 2)
        print(
            one["what"],
            how.checkpointing,
            one["clips"],
            f"{one['extra'] / GIB:.2f} GiB, {one['flops'] / 1e12:.1f} TFLOP",
        )
        row = work.again if how.checkpointing else work.row
        said = need.width(work.part) * row.bytes(one["frames"] * one["clips"], work.places)
        held = sum(need.width(part) * size for part, size in need.weights.items())
        assert held == pytest.approx(one["weights"], rel=0.01)
        # Animate-X's layers take their tokens in parts, so that memory is no line: its peak is right to a twentieth
        off = 0.05 * (one["weights"] + one["extra"]) if method == "animatex" else 0
        assert said == pytest.approx(one["extra"], rel=0.1, abs=off)
        assert one["clips"] * row.flops(one["frames"], work.places) == pytest.approx(one["flops"], rel=0.05)
    assert any(one["clips"] == 2 for one in found) or not any(work.guided for work in works.values())
    assert any(one["checkpointing"] for one in found) == any(work.again is not None for work in works.values())
