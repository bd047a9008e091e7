"""Apple's GPU as a device: the plan on machines that are only described, and what a CPU can show of the rest."""

import pytest

import motionkit
from motionkit.errors import UserError
from motionkit.settings import gpu
from motionkit.settings.gpu import DeviceFacts, GpuConfig, resolve

MAC = DeviceFacts(mps=True, compiler=True, os="Darwin")


def plan(facts=MAC, **settings):
    return resolve(GpuConfig(**settings), facts)


@pytest.mark.parametrize("asked", [{"name": "mps"}, {"device": "mps"}, {"name": "mps", "device": "mps"}])
def test_it_is_asked_for_by_name_or_by_device(asked):
    found = plan(**asked)
    assert (found.name, found.device, found.dtype, found.autocast) == ("mps", "mps", "float32", None)
    assert (found.attention, found.offload, found.channels_last) == ("sdpa", "none", False)
    assert any("untested" in note for note in found.notes)


def test_auto_does_not_take_it():
    assert plan().device == "cpu"


def test_half_precision_comes_with_autocast():
    found = plan(name="mps", dtype="float16")
    assert (found.dtype, found.autocast) == ("float16", "float16")


def test_switches_that_it_has_not_are_turned_off_and_named():
    found = plan(device="mps", attention="xformers", compile=True)
    assert found.attention == "sdpa" and not found.compile
    assert [word for word in ("attention", "compile") if any(note.startswith(word) for note in found.notes)]


@pytest.mark.parametrize(
    ("facts", "settings", "says"),
    [
        (MAC, {"device": "mps", "dtype": "bfloat16"}, "bfloat16.*float16"),
        (MAC, {"name": "mps", "offload": "model"}, "gpu.offload=model"),
        (MAC, {"name": "cpu", "device": "mps"}, "contradict"),
        (MAC, {"name": "mps", "device": "cpu"}, "contradict"),
        (MAC, {"name": "8gb", "device": "mps"}, "contradict"),
        (MAC, {"device": "mps:1"}, "not supported.*mps"),
        (DeviceFacts(), {"device": "mps"}, "gpu.device=mps needs an Apple GPU"),
        (DeviceFacts(cuda=True, vram_gb=24), {"name": "mps"}, "gpu=mps needs an Apple GPU"),
    ],
)
def test_what_is_refused(facts, settings, says):
    with pytest.raises(UserError, match=says) as caught:
        plan(facts, **settings)
    assert "\n" not in str(caught.value)


def test_detection_asks_torch(monkeypatch):
    import torch

    for there in (True, False):
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=there: there)
        assert gpu.detect().mps is there


def test_from_python_it_is_planned_and_a_machine_without_it_says_so(monkeypatch):
    import torch

    from motionkit.running.request import plan_for

    method = motionkit.load("warp").to("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert plan_for(method.request.gpu).device == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="Apple GPU"):
        plan_for(method.request.gpu)


@pytest.mark.parametrize(("name", "backbone"), [("flipsketch", "tiny-modelscope"), ("anamodiff", "tiny-sd")])
def test_networks_and_samplers_make_no_float64_which_apples_gpus_have_not(name, backbone, tmp_path, monkeypatch):
    import traceback

    import numpy as np
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    wide, count = set(), 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal count
            out, count = func(*args, **(kwargs or {})), count + 1
            if any(isinstance(one, torch.Tensor) and one.dtype == torch.float64 for one in tree_leaves(out)):
                stack = [frame.filename for frame in traceback.extract_stack()]
                own = next((f for f in reversed(stack) if "motionkit" in f or "methods" in f or "diffusers" in f), "")
                if any(room in own for room in ("/diffusion/", "/backbones/", "diffusers")):
                    wide.add(own)
            return out

    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    clip = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    words = {"weights": "random"} if name == "anamodiff" else {}
    method = motionkit.load(name, backbone, gpu="cpu", num_inference_steps=2, **words)
    with Watch():
        method(clip[0], clip, "a horse", source_prompt="a dog", size=64)
    assert count > 1000 and not wide
