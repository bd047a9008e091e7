"""Memory and speed settings: what a person asks for, and the plan that follows on this machine. No torch here until a
plan is applied; `resolve` is a pure function, so its logic is tested without a GPU.

Where it is known what a run needs (`motionkit.settings.need`) the switches follow from that and the card's memory;
otherwise, for a method or backbone of another package, from the card's size alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from motionkit.errors import UserError, unknown
from motionkit.settings.device import DeviceFacts as DeviceFacts
from motionkit.settings.device import card_of as card_of
from motionkit.settings.device import detect as detect
from motionkit.settings.need import Need, choose, free_bytes, spare_bytes
from motionkit.settings.setting import check, setting

if TYPE_CHECKING:
    from motionkit.backbones.catalog import BackboneSpec


@dataclass
class GpuConfig:
    """The `gpu` group. `name` picks a tier; every other field, when given, overrides the tier.

    `attention_backend` and `cache` are here to be refused by name: diffusers accepts them and does nothing.
    """

    name: str = setting(
        "Where it runs, and with how much memory: auto (by this machine), cpu, mps, or <N>gb for a GPU of any size, "
        "such as 8gb, 24gb or 80gb; what is held back follows from what the run needs.",
        "auto",
    )
    device: str | None = setting("Device: cpu, cuda, cuda:N or mps; null takes the tier's.", None)
    dtype: str | None = setting(
        "Precision of weights and arithmetic; null takes the tier's.",
        None,
        choices={
            "float32": "everywhere",
            "bfloat16": "on a CPU used for arithmetic only, over float32 weights",
            "float16": "on a GPU",
        },
    )
    attention: str | None = setting(
        "Implementation of attention; null is sdpa.",
        None,
        choices={"sdpa": "torch", "xformers": "xformers, where it has a kernel for this GPU"},
    )
    vae_slicing: bool | None = setting(
        "Whether the autoencoder handles a few frames at a time, to save memory; null takes the tier's.", None
    )
    vae_tiling: bool | None = setting(
        "Whether the autoencoder handles frames in tiles, to save memory; null takes the tier's.", None
    )
    offload: str | None = setting(
        "What is kept in CPU memory until it is needed; null takes the tier's.",
        None,
        choices={"none": "nothing", "model": "all parts but one", "group": "all layers but one"},
    )
    checkpointing: bool | None = setting(
        "Whether activations are recomputed to save memory (gradient checkpointing); null takes the tier's.", None
    )
    compile: bool | None = setting("Whether the UNet is compiled by torch.compile; null means no.", None)
    channels_last: bool | None = setting(
        "Whether tensors use the channels-last layout, which is faster on a GPU; null takes the tier's.", None
    )
    attention_backend: str | None = setting("Refused, since it has no effect on UNets; leave it null.", None)
    cache: str | None = setting("Refused, since it has no effect on UNets; leave it null.", None)


@dataclass(frozen=True)
class Plan:
    """Effective switches. `dtype` is the type of the weights; `autocast`, if any, the type of the arithmetic.

    guidance: "together": both halves pass the network in one call where a method's settings leave it open; "apart".
    vae_slicing: about 512 x 512 pixels pass the autoencoder at a time, otherwise eight times that.
    offload: "model" keeps one part on the device at a time, "group" one layer.  notes: what was changed, and why.
    spare_mb: what the card has left beyond the run's counted need, MB: a method may keep on it what it would otherwise
        move there or compute again. 0 where the need is not known.
    """

    name: str = "cpu"
    device: str = "cpu"
    dtype: str = "float32"
    autocast: str | None = None
    attention: str = "sdpa"
    vae_slicing: bool = True
    vae_tiling: bool = False
    offload: str = "none"
    checkpointing: bool = False
    compile: bool = False
    channels_last: bool = False
    notes: tuple[str, ...] = ()
    guidance: str = "together"
    spare_mb: int = 0

    @property
    def batched(self) -> bool:
        """Whether both halves of guidance may pass the network in one call."""
        return self.guidance == "together"

    @property
    def chunk_pixels(self) -> int:
        """How many pixels pass the autoencoder at a time (at least one frame does)."""
        return 512 * 512 * (1 if self.vae_slicing else 8)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the manifest."""
        return asdict(self) | {"notes": list(self.notes)}

    def lines(self) -> list[str]:
        """What to print: the plan on one line, then a line per note."""
        on = [f.name for f in fields(self) if getattr(self, f.name) is True]
        dtype = f"{self.dtype} (autocast {self.autocast})" if self.autocast not in (None, self.dtype) else self.dtype
        parts = [self.device, dtype, self.attention, *on, *([f"offload={self.offload}"] * (self.offload != "none"))]
        parts += ["guidance in two calls"] * (not self.batched)
        return [f"gpu={self.name}: {', '.join(parts)}", *(f"  {note}" for note in self.notes)]


_CUDA = {"device": "cuda", "dtype": "half", "channels_last": True}
TIERS: dict[str, dict[str, Any]] = {
    "cpu": {},
    "mps": {"device": "mps", "dtype": "float32"},  # Apple's GPU
    "8gb": _CUDA | {"vae_tiling": True, "offload": "model", "checkpointing": True},
    "12gb": _CUDA | {"offload": "model", "checkpointing": True},
    "24gb": _CUDA | {"checkpointing": True},
    "80gb": _CUDA | {"vae_slicing": False},
}
_IGNORED = {
    "attention_backend": "their attention processors never read it; use gpu.attention=sdpa or gpu.attention=xformers",
    "cache": "those caches work on transformer models only; leave gpu.cache out",
}


def tier_of(vram_gb: float) -> str:
    """The name of the nearest tier below, whose switches stand where it is not known what a run needs."""
    return next((t for t, limit in (("8gb", 11), ("12gb", 20), ("24gb", 44)) if vram_gb < limit), "80gb")


def gigabytes(name: str) -> float | None:
    """How many GiB a name such as "16gb" stands for; None for auto, cpu and mps."""
    found = re.fullmatch(r"(\d{1,4})gb", name)
    return float(found[1]) if found and int(found[1]) else None


def resolve(
    settings: GpuConfig, facts: DeviceFacts, spec: BackboneSpec | None = None, need: Need | None = None
) -> Plan:
    """The plan for these settings on this machine, and for this backbone where it matters.

    Args:
        need: of the run; checkpointing, offload, slices and batched guidance then follow from it. A name such as 8gb
            says how much of a larger card may be used.

    Raises: UserError for an unknown value, for a GPU tier without a GPU, and for a switch that would be ignored.
    """
    for name, why in _IGNORED.items():
        if getattr(settings, name) is not None:
            family = f" ({spec.family})" if spec else ""
            raise UserError(f"gpu.{name} has no effect on UNets{family}: {why}")
    check(settings, "gpu.")
    if settings.device and settings.device not in _ADJUST and not re.fullmatch(r"cuda(:[0-9]{1,3})?", settings.device):
        raise UserError(f"gpu.device={settings.device} is not supported: use cpu, cuda, cuda:N or mps")
    tier = _tier(settings.name, settings.device, facts)
    asked = {f.name: getattr(settings, f.name) for f in fields(settings) if getattr(settings, f.name) is not None}
    size = gigabytes(tier)
    defaults = TIERS[tier if size is None else tier_of(size)]
    values = {k: v for k, v in (defaults | asked).items() if k not in _IGNORED} | {"name": tier}
    notes: list[str] = []
    device = values.setdefault("device", "cpu")
    if need is not None and device.startswith("cuda"):
        need = replace(need, dtype=_cuda_dtype(values.get("dtype", "half"), facts))
        _by_need(values, asked, _usable(settings.name, facts), need, notes)
        asked = asked | {"offload": values["offload"]}
    _ADJUST.get(device, _on_cuda)(values, asked, facts, spec, notes)
    if values.get("compile") and not facts.compiler:
        values["compile"] = False
        notes.append("compile: off, no C++ compiler was found")
    return Plan(**values, notes=tuple(notes))


def _usable(name: str, facts: DeviceFacts) -> float:
    """GiB of the card, or as much of it as the name says."""
    return min(gigabytes(name) or facts.vram_gb, facts.vram_gb)


def usable(settings: GpuConfig, facts: DeviceFacts) -> float:
    """GiB of the card that a plan for these settings counts with."""
    return _usable(settings.name, facts)


def _by_need(values: dict[str, Any], asked: Mapping[str, Any], vram_gb: float, need: Need, notes: list[str]) -> None:
    """The quickest switches under which the run fits; what the user fixed stays."""
    choice, fits = choose(need, vram_gb, asked)
    values["spare_mb"] = int(spare_bytes(need, choice, vram_gb) / 1e6)
    values |= {k: v for k, v in asdict(choice).items() if k != "batched"}
    values["guidance"] = "together" if choice.batched else "apart"
    if not fits:
        worst = need.peak(choice)
        notes.append(
            f"too large: the {worst.what} needs {worst.gib:.1f} GiB, this card has {free_bytes(vram_gb) / 2**30:.1f} "
            "for it (`motionkit fits` says what would fit)"
        )


def _tier(name: str, device: str | None, facts: DeviceFacts) -> str:
    if name not in ("auto", *TIERS) and gigabytes(name) is None:
        raise unknown("gpu setting", name, ("auto", *TIERS, "<N>gb"))
    if "mps" in (name, device):
        return _mps_tier(name, device, facts)
    if name == "auto":
        if not facts.cuda or device == "cpu":
            name = "cpu"
        else:
            name = tier_of(facts.vram_gb)
    if (name != "cpu" or (device or "").startswith("cuda")) and not facts.cuda:
        what = f"gpu={name}" if name != "cpu" else f"gpu.device={device}"
        raise UserError(f"{what} needs an NVIDIA GPU that torch can use, and there is none: use gpu=cpu or gpu=auto")
    if device and (name == "cpu") != (device == "cpu"):
        raise UserError(f"gpu={name} and gpu.device={device} contradict each other: leave one of them out")
    return name


def _mps_tier(name: str, device: str | None, facts: DeviceFacts) -> str:
    """Apple's GPU is taken when it is asked for, never by auto."""
    if name not in ("auto", "mps") or device not in (None, "mps"):
        raise UserError(f"gpu={name} and gpu.device={device} contradict each other: leave one of them out")
    if not facts.mps:
        what = "gpu=mps" if name == "mps" else "gpu.device=mps"
        raise UserError(f"{what} needs an Apple GPU that torch can use, and there is none: use gpu=cpu or gpu=auto")
    return "mps"


def _on_cpu(
    values: dict[str, Any], asked: dict[str, Any], facts: DeviceFacts, spec: BackboneSpec | None, notes: list[str]
) -> None:
    dtype = values.pop("dtype", "float32")
    if dtype == "float16":
        raise UserError("gpu.dtype=float16 is not for CPUs: use float32, or bfloat16 where the CPU has it")
    if values.get("offload", "none") != "none":
        raise UserError(f"gpu.offload={values['offload']} has no effect on a CPU: leave it out")
    if dtype == "bfloat16" and facts.cpu_bf16:
        values["autocast"] = "bfloat16"
    elif dtype == "bfloat16":
        notes.append("dtype: float32, this CPU has no bfloat16 arithmetic (avx512_bf16 or amx_bf16)")
    if values.get("attention") == "xformers":
        values["attention"] = "sdpa"
        notes.append("attention: sdpa, xformers has no CPU kernels")


def _cuda_dtype(dtype: str, facts: DeviceFacts) -> str:
    """The type for a card: half precision is bfloat16 where the hardware computes in it."""
    if dtype in ("half", "bfloat16"):
        return "bfloat16" if facts.bf16 else "float16"
    return dtype


def _on_cuda(
    values: dict[str, Any], asked: dict[str, Any], facts: DeviceFacts, spec: BackboneSpec | None, notes: list[str]
) -> None:
    dtype = values.get("dtype", "half")
    if dtype == "bfloat16" and not facts.bf16:
        notes.append(f"dtype: float16, {facts.name} has no bfloat16 arithmetic")
    values["dtype"] = _cuda_dtype(dtype, facts)
    if values["dtype"] != "float32":
        values["autocast"] = values["dtype"]  # so that layers which a method trains in float32 fit in
    if values.get("attention") == "xformers" and not facts.xformers_kernel:
        values["attention"] = "sdpa"
        reason = (
            f"xformers {facts.xformers} has no kernel for {facts.name}"
            if facts.xformers
            else "xformers is not installed"
        )
        notes.append(f"attention: sdpa, {reason}")
    # The largest part (the UNet, about three quarters of the weights) has to fit beside its activations.
    if spec and "offload" not in asked and 0.75 * spec.approx_gb > 0.7 * facts.vram_gb:
        values["offload"] = "group"
        notes.append(f"offload: group, the UNet of {spec.name} does not fit {facts.vram_gb:.0f} GiB as a whole")
    if values.get("offload") == "group" and values.get("compile"):
        values["compile"] = False
        notes.append("compile: off, it cannot be combined with offload=group")


def _on_mps(
    values: dict[str, Any], asked: dict[str, Any], facts: DeviceFacts, spec: BackboneSpec | None, notes: list[str]
) -> None:
    if values["dtype"] == "bfloat16":
        raise UserError("gpu.dtype=bfloat16 is not for Apple's GPUs: use float32 or float16")
    if values.get("offload", "none") != "none":
        raise UserError(f"gpu.offload={values['offload']} has no effect on Apple's GPUs, which share the CPU's memory")
    notes.append("mps: untested on hardware; for operations that torch lacks there set PYTORCH_ENABLE_MPS_FALLBACK=1")
    if values["dtype"] == "float16":
        values["autocast"] = "float16"  # as on other GPUs
    if values.get("attention") == "xformers":
        values["attention"] = "sdpa"
        notes.append("attention: sdpa, xformers has no kernels for Apple's GPUs")
    if values.get("compile"):
        values["compile"] = False
        notes.append("compile: off, it is not for Apple's GPUs yet")


_ADJUST = {"cpu": _on_cpu, "mps": _on_mps}
