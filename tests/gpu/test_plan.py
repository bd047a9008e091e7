"""The plan's logic, on machines that are only described."""

import dataclasses
import subprocess
import sys

import pytest

from motionkit.backbones import get
from motionkit.errors import UserError
from motionkit.settings import gpu
from motionkit.settings.gpu import DeviceFacts, GpuConfig, resolve

CPU = DeviceFacts(compiler=True)
AMPERE = DeviceFacts(cuda=True, name="a card", vram_gb=24, bf16=True, compiler=True)


def plan(facts=AMPERE, spec=None, **settings):
    return resolve(GpuConfig(**settings), facts, spec and get(spec))


@pytest.mark.parametrize(
    ("vram", "tier"), [(6, "8gb"), (8, "8gb"), (11.9, "12gb"), (16, "12gb"), (24, "24gb"), (40, "24gb"), (80, "80gb")]
)
def test_auto_picks_the_tier_of_the_card(vram, tier):
    assert plan(dataclasses.replace(AMPERE, vram_gb=vram)).name == tier


def test_auto_without_a_card_is_float32_on_the_cpu():
    found = plan(CPU)
    assert (found.name, found.device, found.dtype, found.autocast, found.offload) == (
        "cpu",
        "cpu",
        "float32",
        None,
        "none",
    )
    assert plan(AMPERE, device="cpu").name == "cpu"


@pytest.mark.parametrize("tier", [t for t in gpu.TIERS if t not in ("cpu", "mps")])
def test_a_gpu_tier_without_a_gpu_is_refused_in_one_line(tier):
    with pytest.raises(UserError, match=f"gpu={tier} needs an NVIDIA GPU.*gpu=cpu") as error:
        plan(CPU, name=tier)
    assert "\n" not in str(error.value)


def test_tiers_hold_back_less_as_memory_grows():
    tiers = [
        plan(dataclasses.replace(AMPERE, vram_gb=v), name=n)
        for n, v in (("8gb", 8), ("12gb", 12), ("24gb", 24), ("80gb", 80))
    ]
    assert [p.vae_tiling for p in tiers] == [True, False, False, False]
    assert [p.vae_slicing for p in tiers] == [True, True, True, False]
    assert [p.offload for p in tiers] == ["model", "model", "none", "none"]
    assert [p.checkpointing for p in tiers] == [True, True, True, False]
    assert all(p.dtype == "bfloat16" and p.device == "cuda" and not p.notes for p in tiers)


def test_an_older_card_computes_in_float16_and_says_so_when_asked_otherwise():
    turing = dataclasses.replace(AMPERE, bf16=False)
    assert plan(turing).dtype == "float16" and plan(turing).notes == ()
    asked = plan(turing, dtype="bfloat16")
    assert asked.dtype == "float16" and len(asked.notes) == 1


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (CPU, "no CPU kernels"),
        (AMPERE, "xformers is not installed"),
        (dataclasses.replace(AMPERE, xformers="0.0.33"), "no kernel for a card"),
    ],
)
def test_xformers_falls_back_with_one_line(facts, reason):
    found = plan(facts, attention="xformers")
    assert found.attention == "sdpa" and len(found.notes) == 1 and reason in found.notes[0]


def test_xformers_is_used_where_it_works():
    found = plan(dataclasses.replace(AMPERE, xformers="0.0.33", xformers_kernel=True), attention="xformers")
    assert found.attention == "xformers" and found.notes == ()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"attention_backend": "sage"}, "no effect on UNets"),
        ({"cache": "faster_cache"}, "no effect on UNets"),
        ({"name": "16g"}, "did you mean"),
        ({"name": "0gb"}, "unknown gpu setting"),
        ({"dtype": "fp16"}, "did you mean"),
        ({"attention": "flash"}, "gpu.attention=flash is unknown"),
        ({"offload": "disk"}, "gpu.offload=disk is unknown"),
        ({"device": "tpu:0"}, "use cpu, cuda"),
        ({"device": "cuda:one"}, "use cpu, cuda"),
        ({"name": "8gb", "device": "cpu"}, "contradict"),
        ({"name": "cpu", "device": "cuda"}, "contradict"),
    ],
)
def test_what_would_be_ignored_or_is_unknown_is_refused(settings, reason):
    with pytest.raises(UserError, match=reason) as error:
        plan(AMPERE, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("settings", [{"dtype": "float16"}, {"offload": "model"}, {"device": "cuda:0"}])
def test_a_cpu_refuses_what_only_a_gpu_has(settings):
    with pytest.raises(UserError):
        plan(CPU, **settings)


def test_bfloat16_on_a_cpu_is_autocast_where_the_hardware_has_it():
    assert plan(dataclasses.replace(CPU, cpu_bf16=True), dtype="bfloat16").autocast == "bfloat16"
    without = plan(CPU, dtype="bfloat16")
    assert without.autocast is None and without.dtype == "float32" and "bfloat16" in without.notes[0]


def test_a_backbone_too_large_for_the_card_is_offloaded_by_layers():
    small = dataclasses.replace(AMPERE, vram_gb=6)
    assert plan(small, spec="sd15").offload == "model"
    assert plan(small, spec="sdxl").offload == "group" and plan(small, spec="sdxl").notes
    assert plan(small, spec="sdxl", offload="model").offload == "model"  # asked for: left alone


def test_half_precision_on_a_card_computes_under_autocast():
    assert plan().autocast == plan().dtype == "bfloat16"
    full = plan(dtype="float32")
    assert (full.dtype, full.autocast) == ("float32", None)


def test_compile_needs_a_compiler():
    assert plan(compile=True).compile
    without = plan(dataclasses.replace(AMPERE, compiler=False), compile=True)
    assert not without.compile and "compiler" in without.notes[0]


def test_the_plan_prints_what_is_on():
    first, *notes = plan(name="8gb", attention="xformers").lines()
    assert (
        first == "gpu=8gb: cuda, bfloat16, sdpa, vae_slicing, vae_tiling, checkpointing, channels_last, offload=model"
    )
    assert notes == ["  attention: sdpa, xformers is not installed"]


def test_settings_need_no_torch():
    code = (
        "import sys, motionkit.settings.gpu as g; g.resolve(g.GpuConfig(), g.DeviceFacts()); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("device", "card"), [(None, 0), ("cpu", 0), ("cuda", 0), ("cuda:2", 2)])
def test_the_card_of_a_device(device, card):
    assert gpu.card_of(device) == card


def test_a_card_that_is_not_there_is_named(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"gpu.device=cuda:3: this machine has 1 GPU\(s\)"):
        gpu.detect("cuda:3")


def test_this_machine_can_be_looked_at():
    facts = gpu.detect()
    assert resolve(GpuConfig("auto"), facts).device in ("cpu", "cuda")


@pytest.mark.parametrize(("name", "like"), [("4gb", "8gb"), ("16gb", "12gb"), ("40gb", "24gb"), ("141gb", "80gb")])
def test_any_number_of_gigabytes_is_a_tier(name, like):
    found, tier = plan(name=name), plan(name=like)
    assert found.name == name
    assert (found.checkpointing, found.offload, found.vae_tiling) == (tier.checkpointing, tier.offload, tier.vae_tiling)


def test_a_number_without_a_gpu_is_refused():
    with pytest.raises(UserError, match="gpu=16gb needs an NVIDIA GPU"):
        plan(CPU, name="16gb")


def test_a_name_says_how_much_of_a_larger_card_may_be_used():
    assert gpu.usable(GpuConfig(name="8gb"), AMPERE) == 8
    assert gpu.usable(GpuConfig(name="80gb"), AMPERE) == 24 == gpu.usable(GpuConfig(), AMPERE)
