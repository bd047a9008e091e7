"""`motionkit fits`: what a run needs of a card, stage by stage, before any weight is here; no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.cli.key_help import told
from motionkit.cli.table import table
from motionkit.errors import UserError
from motionkit.settings.setting import setting

if TYPE_CHECKING:
    from motionkit.running.preflight import Asked
    from motionkit.settings.gpu import DeviceFacts, GpuConfig, Plan
    from motionkit.settings.need import Need


@dataclass
class FitsConfig:
    """The keys of `motionkit fits`."""

    method: str = setting("Which method; its settings are method.KEY=VALUE.", "")
    backbone: str = setting("Which backbone; auto is the method's own.", "auto")
    size: str | None = setting("A side in pixels, or WIDTHxHEIGHT; null is the backbone's own.", None)
    frames: int = setting("Frames of the result.", 16, low=1, high=100_000)
    gpu: str = setting(
        "<N>gb, a card of that size whether it is here or not, or auto, this machine's; single switches are "
        "gpu.KEY=VALUE.",
        "auto",
    )
    exact: bool = setting("Whether it is counted anew at this very size, which takes minutes the first time.", False)
    rate: float | None = setting(
        "TFLOP/s that seconds stand at; null is a usual card's of that size, in half precision.",
        None,
        low=0.01,
        high=1e6,
    )


HELP = f"""usage: motionkit fits method=NAME [key=value ...]

What a run needs of a GPU: for each of its stages the most memory, operations, time at a stated rate, whether this card
holds it and under which switches, and else the nearest setting that fits. Nothing is downloaded and nothing computed:
figures come from passes of networks without weights, and were not measured on hardware.

{told(FitsConfig, "method=NAME backbone=NAME size=N|WxH frames=16 gpu=<N>gb exact=false rate=N")}

example: motionkit fits method=vidmp3 backbone=animatediff-sdxl size=1024 frames=16 gpu=24gb
"""


@dataclass
class Words:
    """The words of a call, by what they set."""

    keys: dict[str, Any] = field(default_factory=dict)
    method: dict[str, Any] = field(default_factory=dict)
    gpu: dict[str, Any] = field(default_factory=dict)


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code: 1 where the run does not fit."""
    from motionkit.settings.config import typed
    from motionkit.settings.setting import check

    words = _read(argv)
    config: FitsConfig = typed(FitsConfig, words.keys)
    check(config, "")
    if not config.method:
        raise UserError("fits needs a method: give method=NAME")
    from motionkit.running.canvas import working_size
    from motionkit.running.choices import method_settings
    from motionkit.running.exact import exact_need
    from motionkit.running.lazy_backbone import choose_backbone
    from motionkit.running.needs import why_none
    from motionkit.running.preflight import asked_for
    from motionkit.transfer import Inputs

    spec = registry.spec(config.method)
    backbone = choose_backbone(spec, config.backbone)
    if backbone is None:
        raise why_none(spec, None)
    size = working_size(Inputs(), catalog.get(backbone), config.size)
    settings, facts = _gpu(config, words)
    need, asked = asked_for(spec, backbone, config.frames, size, words.method)
    if config.exact:
        need = exact_need(spec, method_settings(spec, words.method), backbone, config.frames, *size)
    if need is None:
        raise why_none(spec, backbone)
    from motionkit.settings.gpu import resolve

    plan = resolve(settings, facts, catalog.get(backbone), need)
    return _tell(need, plan, settings, facts, asked, config.rate)


def _tell(need: Need, plan: Plan, settings: GpuConfig, facts: DeviceFacts, asked: Asked, rate: float | None) -> int:
    from motionkit.running import preflight
    from motionkit.settings.gpu import usable
    from motionkit.settings.need import GIB, free_bytes, rate_of

    vram = usable(settings, facts)
    need, choice = replace(need, dtype=plan.dtype), preflight.as_choice(plan)
    rate = rate or rate_of(vram)
    rows = preflight.stages(need, choice, vram, rate)
    print(f"{need.title}: gpu={plan.name}, {free_bytes(vram) / GIB:.1f} of {vram:g} GiB for the run, {plan.dtype}")
    print(f"plan: {preflight.switches(choice)}\n")
    print(table(("stage", "at most in", "GiB", "TFLOP", f"at {rate:g} TFLOP/s", "fits"), rows))
    fits = need.peak(choice).bytes <= free_bytes(vram)
    if not fits:
        fixed = {f.name: getattr(settings, f.name) for f in fields(settings) if getattr(settings, f.name) is not None}
        print(f"\nnearest that fits: {preflight.nearest(asked, vram, fixed, plan.dtype)}")
    print("\ncomputed, not measured; networks that perceive (masks, depth, poses) are left out: docs/gpu.md")
    return 0 if fits else 1


def _read(argv: list[str]) -> Words:
    """Raises: UserError for a word that is no key=value, or an unknown key."""
    from motionkit.errors import unknown
    from motionkit.running.preflight import put
    from motionkit.settings.setting import declared

    words, known = Words(), declared(FitsConfig)
    for word in argv:
        key, equals, value = word.partition("=")
        group, dot, rest = key.partition(".")
        if not equals:
            raise UserError(f"{word}: give key=value, such as method=NAME")
        if dot and group == "method":
            put(words.method, rest, _value(value))
        elif dot and group == "gpu":
            put(words.gpu, rest, _value(value))
        elif key in known:
            words.keys[key] = _value(value)
        else:
            raise unknown("key of fits", key, (*known, "method.KEY", "gpu.KEY"))
    return words


def _value(text: str) -> str | None:
    return None if text == "null" else text


def _gpu(config: FitsConfig, words: Words) -> tuple[GpuConfig, DeviceFacts]:
    """The settings, and the card: one of that size, or this machine's. Raises: UserError where there is none."""
    from motionkit.settings.config import typed
    from motionkit.settings.gpu import DeviceFacts, GpuConfig, detect, gigabytes

    settings: GpuConfig = typed(GpuConfig, words.gpu | {"name": config.gpu}, "gpu.")
    settings.name = config.gpu
    if (size := gigabytes(config.gpu)) is not None:
        return settings, DeviceFacts(cuda=True, name=f"a card of {size:g} GiB", vram_gb=size, bf16=True, compiler=True)
    facts = detect(settings.device)
    if config.gpu != "auto" or not facts.cuda:
        raise UserError("fits asks for a card: give gpu=<N>gb, such as gpu=8gb or gpu=24gb; there is none here")
    return settings, facts
