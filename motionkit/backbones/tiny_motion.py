"""tiny-animatediff-sd15 and -sdxl: AnimateDiff's classes at toy size with seeded random weights, for tests."""

from __future__ import annotations

from typing import Any

from motionkit.backbones.fingerprints import fingerprint
from motionkit.backbones.motion_files import MotionOptions
from motionkit.backbones.spec import BackboneSpec
from motionkit.backbones.tiny import components, xl_components
from motionkit.backbones.tiny_sizes import ADAPTER, architecture
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan


def parts_of(family: str) -> dict[str, Any]:
    """The parts of a toy image model, and `motion_adapter`; weights are drawn from the global generator.

    Save them to make folders in the layouts of the hub.
    """
    from diffusers import MotionAdapter

    parts = xl_components() if family == "animatediff-xl" else components()
    widths = architecture(family)["unet"]["block_out_channels"]
    return parts | {"motion_adapter": MotionAdapter(block_out_channels=widths, **ADAPTER)}


def load(
    spec: BackboneSpec,
    plan: Plan,
    path: str | None = None,
    seed: int = 0,
    online: bool = False,
    motion: MotionOptions | None = None,
) -> Any:
    """A toy of the spec's family with weights drawn from `seed`, apart from the global generator.

    Raises: UserError when a path or a motion adapter is given.
    """
    import torch

    from motionkit.backbones import animatediff
    from motionkit.weights.building import drawing

    motion = motion or MotionOptions()
    motion.check(spec)
    if path:
        raise UserError(f"{spec.name} draws random weights from the seed and reads no folder: leave backbone.path out")
    with drawing(seed):
        parts = parts_of(spec.family)
    parts["unet"] = animatediff.join(parts["unet"], parts.pop("motion_adapter"))
    for name, part in parts.items():
        if "tokenizer" not in name and name != "scheduler":
            torch.nn.Module.to(part, getattr(torch, plan.dtype))  # diffusers' own `to` warns at every call
    parts["scheduler"] = animatediff.schedule(spec, parts["scheduler"], motion)
    found = fingerprint(spec, seed=seed, motion=motion)
    return animatediff.class_of(spec)(spec, plan, **parts, fingerprint=found, per_frame_norm=motion.per_frame(spec))
