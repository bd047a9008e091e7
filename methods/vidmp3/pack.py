"""Tuned packs: MotionGuide and the change of the UNet's weights, as safetensors and JSON in one folder.

`pack.json` holds the facts and the hash of `pack.safetensors`, and is written last, so that an incomplete pack is
recognised. Changes are stored as differences from the base, so that a pack also fits another base of the same layout,
as AnimateDiff's motion modules do; a remark then says so.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from motionkit.errors import UserError
from motionkit.media.output_files import temporary_beside, write_json, writing
from motionkit.weights.hashing import hash_path

from .guide import MotionGuide
from .options import GuideOptions

FORMAT = "motionkit-vidmp3-1"
FACTS, WEIGHTS = "pack.json", "pack.safetensors"
_GUIDE, _DELTA = "guide.", "delta."
# Settings of the noise schedule that training, inversion and sampling have to share.
_SCHEDULE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type", "shift")


@dataclass(frozen=True)
class PackFacts:
    """The facts of a pack.

    Attributes:
        backbone, base: the backbone's name, and `VideoBackbone.fingerprint()` of base and motion modules together.
        schedule: the noise schedule that it was tuned with (`schedule_of`).
        scale: lambda.
        sites, guide: arguments of `MotionGuide`.
        centre: whether phi's mean over time is subtracted.
        subjects: the subjects' words, one guide for each; () is one guide.
        frames, height, width: of the clip in pixels.
        source_prompt: the text that it was tuned with.
        extra: anything else, for people.
    """

    backbone: str
    base: str
    schedule: dict[str, Any]
    scale: float
    sites: dict[str, int]
    guide: dict[str, Any]
    centre: bool = False
    frames: int = 0
    height: int = 0
    width: int = 0
    source_prompt: str = ""
    subjects: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pack:
    """A tuned pack: its facts, the guide's weights, and the changes of the UNet's weights (`trainable.deltas`).

    With several subjects each guide's names begin with its number: "0.trunk...", "1.trunk...".
    """

    facts: PackFacts
    guide: dict[str, Tensor]
    deltas: dict[str, Tensor]

    def build_guide(self) -> MotionGuide:
        """The only guide, or the first of several, with its tuned weights; gradients are off."""
        return self.build_guides()[0]

    def build_guides(self) -> list[MotionGuide]:
        """The guides with their tuned weights, in eval mode; gradients are off."""
        options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in self.facts.guide.items()}
        guides = []
        for weights in self._each():
            with torch.device(
                "meta"
            ):  # sizes come from a file: check them against its tensors before anything is allocated
                guide = MotionGuide(self.facts.sites, GuideOptions(**options))
            guide.load_state_dict(weights, assign=True)
            guides.append(guide.eval().requires_grad_(False))
        return guides

    def _each(self) -> list[dict[str, Tensor]]:
        """The weights of each guide."""
        count = len(self.facts.subjects)
        if count < 2:
            return [self.guide]
        parts = [{k[len(f"{i}.") :]: v for k, v in self.guide.items() if k.startswith(f"{i}.")} for i in range(count)]
        if sum(map(len, parts)) != len(self.guide):
            raise ValueError(f"its guides do not match {count} subjects")
        return parts


def schedule_of(scheduler: Any) -> dict[str, Any]:
    """The part of a diffusers scheduler's configuration that a pack depends on."""
    return {name: scheduler.config[name] for name in _SCHEDULE if name in scheduler.config}


def guide_facts(guide: MotionGuide) -> dict[str, Any]:
    """`sites` and `guide` of `PackFacts`."""
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(guide.options).items()}  # as JSON has them
    return {"sites": dict(guide.sites), "guide": options}


def save_pack(folder: Path, pack: Pack, dtype: torch.dtype = torch.float16) -> Path:
    """Write a pack; one that is there is replaced.

    Args:
        dtype: of the changes on disk; the guide stays float32.

    Raises:
        UserError: the place cannot be written.
    """
    tensors = {_GUIDE + k: v.detach().float().cpu().contiguous() for k, v in pack.guide.items()}
    tensors |= {_DELTA + k: v.detach().to("cpu", dtype).contiguous() for k, v in pack.deltas.items()}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_beside(folder / WEIGHTS) as temporary:
            save_file(tensors, temporary, {"format": FORMAT})
            os.chmod(temporary, 0o644)  # safetensors writes files that only their owner can read
    facts = {"format": FORMAT, "weights_sha256": hash_path(folder / WEIGHTS), **asdict(pack.facts)}
    write_json(folder / FACTS, facts)
    return folder


def load_pack(folder: Path) -> Pack:
    """Read a pack.

    Raises:
        UserError: not a pack, one of another version, half a pack, or a damaged one.
    """
    facts, digest = _read_facts(folder)
    path = folder / WEIGHTS
    if not path.is_file() or hash_path(path) != digest:
        raise UserError(f"{path} is not the file that {FACTS} describes (incomplete or changed): tune again")
    guide: dict[str, Tensor] = {}
    changes: dict[str, Tensor] = {}
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                tensor = file.get_tensor(name).float()
                if not torch.isfinite(tensor).all():
                    raise ValueError(f"{name} holds NaN or infinity")
                place, start = (guide, _GUIDE) if name.startswith(_GUIDE) else (changes, _DELTA)
                place[name.removeprefix(start)] = tensor
        pack = Pack(facts, guide, changes)
        pack.build_guides()
        _whole(pack.deltas)
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, OSError) as error:
        raise UserError(f"{folder} is not a usable vidmp3 pack: {_first_line(error)}") from error
    return pack


def _read_facts(folder: Path) -> tuple[PackFacts, str]:
    try:
        raw = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
            raise ValueError(f"{FACTS} says {found!r}, not {FORMAT!r}")
        known = {f.name for f in fields(PackFacts)}
        given = {name: value for name, value in raw.items() if name in known}
        facts = PackFacts(**given | {"subjects": tuple(given.get("subjects", ()))})
        numbers = (facts.scale, facts.frames, facts.height, facts.width, *facts.sites.values())
        if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
            raise ValueError("a value that should be a number is not")
        texts = (facts.backbone, facts.base, facts.source_prompt, *facts.sites, *facts.subjects)
        if not all(isinstance(t, str) for t in texts) or not isinstance(facts.schedule, dict):
            raise ValueError("a value that should be a name is not")
        return facts, str(raw["weights_sha256"])
    except FileNotFoundError as error:
        raise UserError(f"{folder} is not a vidmp3 pack: it has no {FACTS}") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{folder} is not a usable vidmp3 pack: {_first_line(error)}") from error


def check_pack(
    pack: Pack, shapes: Mapping[str, tuple[int, ...]], backbone: str, base: str, schedule: Mapping[str, Any]
) -> list[str]:
    """Whether a pack fits; needs no weights, only the shapes of the UNet's parameters.

    Args:
        shapes: name -> shape of every parameter of the UNet.
        backbone, base, schedule: as in `PackFacts`, of the UNet at hand.

    Returns:
        Remarks, each one line: another base, another noise schedule; none when both are the same.

    Raises:
        UserError: the pack belongs to a UNet of another layout.
    """
    if misfit := _misfit(pack, shapes):
        raise UserError(
            f"the pack was tuned on {pack.facts.backbone} and does not fit {backbone}: {misfit}; "
            f"tune it again here, or use backbone={pack.facts.backbone}"
        )
    remarks = []
    if pack.facts.base != base:
        remarks.append(
            f"the pack was tuned on another base ({pack.facts.backbone}, {pack.facts.base[:12]}) than this "
            f"{backbone} ({base[:12]}): its changes are added to this one"
        )
    other = {k: v for k, v in pack.facts.schedule.items() if schedule.get(k) != v}
    if other:
        named = ", ".join(f"{k}={v} (here {schedule.get(k)})" for k, v in other.items())
        remarks.append(f"the pack was tuned with another noise schedule: {named}")
    return remarks


def _misfit(pack: Pack, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The first tensor in the pack that does not fit the UNet; empty when all fit."""
    for name, change in _whole(pack.deltas, values=False).items():
        if name not in shapes:
            return f"there is no {name}"
        if tuple(change.shape) != tuple(shapes[name]):
            return f"{name} has shape {list(shapes[name])}, in the pack {list(change.shape)}"
    for site, width in pack.facts.sites.items():
        if shapes.get(f"{site}.to_v.weight", (0, 0))[1] != width:
            return f"no attention of {width} channels is called {site}"
    return ""


def add_pack(unet: Any, pack: Pack) -> None:
    """Add a pack's changes to the UNet's weights, in place and in float32 arithmetic; call `check_pack` before.

    Hand in a copy of a UNet that is still needed.
    """
    weights = dict(unet.named_parameters())
    with torch.no_grad():
        for name, change in _whole(pack.deltas).items():
            weight = weights[name]
            weight.copy_((weight.float() + change.to(weight.device)).to(weight.dtype))


def changed_names(pack: Pack) -> set[str]:
    """The parameters of the UNet that a pack changes."""
    return set(_whole(pack.deltas, values=False))


def _whole(changes: Mapping[str, Tensor], values: bool = True) -> dict[str, Tensor]:
    """Changes by parameter, LoRA pairs multiplied out (or, without values, only sized)."""
    whole = {}
    for name, change in changes.items():
        if name.endswith(".lora_A"):
            up = changes[name.removesuffix("A") + "B"]
            layer = name.removesuffix(".lora_A")
            whole[f"{layer}.weight"] = up @ change if values else torch.empty(len(up), change.shape[1], device="meta")
        elif not name.endswith(".lora_B"):
            whole[name] = change
    return whole


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
