"""Before the button: what a run would be refused for, whether it fits this machine, and about how long it takes."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from motionkit.backbones import catalog
from motionkit.errors import UserError
from motionkit.running.choices import choose, method_settings
from motionkit.running.needs import need_of
from motionkit.settings.need import GIB, Choice, free_bytes, rate_of
from motionkit.settings.need import choose as fitting
from motionkit.ui import asking, gallery
from motionkit.ui.files import Files
from motionkit.ui.work import one_line

if TYPE_CHECKING:
    from motionkit.running.canvas import CanvasInputs
    from motionkit.running.choices import Chosen
    from motionkit.running.request import Request
    from motionkit.settings.gpu import Plan
    from motionkit.settings.need import Need
    from motionkit.transfer import MethodSpec

CARDS = (8, 12, 16, 24, 48, 80)
RUNS = 40  # past runs that are looked at for a rate
SMALL_GIB = 3.0  # a run of the shipped weights, or of none, takes less
OWN_GIB = 1.0  # what the program itself takes of a machine's memory
REACHED = 0.35  # the share of a processor's matrix products that such networks reach on it


def ahead(form: Any, clips: Mapping[str, Any], files: Files, session: str) -> dict[str, Any]:
    """What is known of a run before it begins; nothing is loaded, and nothing written.

    Returns:
        {"wrong": the one line for which it would be refused, "" for none or while inputs are missing,
        "fits": whether this machine's memory holds it, None where that is not known, "memory": that in words,
        "seconds": about how long it takes, "by": what that is told from, "shape": of the result in words,
        "nearest": the nearest setting that fits, "cards": (GiB, whether such a card would do), "notes": lines}.
    """
    said: dict[str, Any] = dict.fromkeys(("fits", "seconds"))
    said |= {"wrong": "", "memory": "", "by": "", "shape": "", "nearest": "", "cards": [], "notes": []}
    try:
        request = asking.request_of(form, clips, files, session)
        chosen = choose(request)
        canvas = placed(request, chosen)
        said["shape"] = f"{canvas.frames} frames of {canvas.width} × {canvas.height}"
        said |= _figures(request, chosen, canvas, files)
        if _complete(request, chosen.spec):
            said["notes"] = list(map(asking.told, _check(request, chosen, canvas)))
        return said
    except UserError as error:
        return said | {"wrong": asking.with_names(one_line(error), {**clips, **asking.maps_of(form)})}


def placed(request: Request, chosen: Chosen) -> CanvasInputs:
    """The clips that are there already, as the run will have them. Raises: UserError: as `motionkit.running.check`."""
    from motionkit.running.request import place

    given = request.inputs
    parts: dict[str, Any] = {} if given.driving else {"start": None, "end": None}
    parts |= {} if given.reference else {"reference_start": None, "reference_end": None}
    return place(replace(request, **parts), chosen)[1]


def _complete(request: Request, spec: MethodSpec) -> bool:
    return {need.name for need in spec.requires} <= set(request.inputs.present())


def _check(request: Request, chosen: Chosen, canvas: CanvasInputs) -> list[str]:
    """What the run itself would refuse; returns what its user should know."""
    from motionkit.running.request import check_values, plan_run, unknown_words

    check_values(request)
    plan = plan_run(request, chosen, canvas)
    plan.transfer.check(canvas.inputs)
    notes = [*canvas.lines, *plan.context.remarks]
    if plan.backbone is not None and (unknown := unknown_words(plan)):
        notes.append(f"{plan.backbone.spec.name} does not know the words {', '.join(unknown)}")
    return notes


def _figures(request: Request, chosen: Chosen, canvas: CanvasInputs, files: Files) -> dict[str, Any]:
    from motionkit.running.memory import plan_for
    from motionkit.running.preflight import as_choice

    spec, settings, backbone = chosen.spec, chosen.settings, chosen.backbone.name
    need = need_of(spec, settings, backbone, canvas.frames, canvas.height, canvas.width)
    plan = plan_for(request.gpu, backbone, need)
    if need is None:
        return _small(backbone) | _as_before(spec.name, backbone, canvas, files)
    need = replace(need, dtype=plan.dtype)
    timed = _time(need, plan, chosen, files)
    return _memory(need, plan, chosen, canvas, request) | timed | {"cards": _cards(need, backbone, as_choice(plan))}


def _small(backbone: str | None) -> dict[str, Any]:
    """Whether memory holds a run of which there are no figures, for the shipped weights and for no weights at all."""
    if backbone is not None and catalog.get(backbone).hub_id is not None:
        return {}
    free = free_memory()
    return {"fits": free >= SMALL_GIB * GIB, "memory": f"under {SMALL_GIB:g} GiB of memory ({free / GIB:.1f} free)"}


def _as_before(method: str, backbone: str | None, canvas: CanvasInputs, files: Files) -> dict[str, Any]:
    """The time of each stage as it was last computed, by the frames and pixels of that run."""
    stages: dict[str, float] = {}
    for number, (_, manifest) in enumerate(gallery.found(files)):
        if number >= RUNS:
            break
        same = (manifest["method"].get("name"), (manifest.get("backbone") or {}).get("name")) == (method, backbone)
        size, frames = manifest.get("size") or {}, manifest.get("frames")
        if not (same and size and frames and manifest.get("status") == "complete"):
            continue
        share = canvas.frames * canvas.height * canvas.width / (frames * size["height"] * size["width"])
        for stage, record in (manifest.get("stages") or {}).items():
            if not record.get("cached") and record.get("seconds"):
                stages.setdefault(stage, share * record["seconds"])
    return {"seconds": sum(stages.values()), "by": "your last run of it"} if stages else {}


def _memory(need: Need, plan: Plan, chosen: Chosen, canvas: CanvasInputs, request: Request) -> dict[str, Any]:
    """Whether the memory of this machine, or of its card, holds the run."""
    from motionkit.running.preflight import as_choice, asked_for, nearest, switches

    how = as_choice(plan)
    worst = need.peak(how)
    if not plan.device.startswith("cuda"):
        free, wanted = free_memory(), worst.bytes + OWN_GIB * GIB
        return {"fits": wanted <= free, "memory": f"about {wanted / GIB:.1f} GiB of memory ({free / GIB:.1f} free)"}
    vram = _card(plan, request.gpu)
    fits = worst.bytes <= free_bytes(vram)
    memory = f"at most {worst.gib:.1f} of {free_bytes(vram) / GIB:.1f} GiB of the card; {switches(how)}"
    if fits:
        return {"fits": True, "memory": memory}
    own, shape = {key: value for key, value in request.config.items() if key != "name"}, (canvas.height, canvas.width)
    _, asked = asked_for(chosen.spec, str(chosen.backbone.name), canvas.frames, shape, own)
    return {"fits": False, "memory": memory, "nearest": nearest(asked, vram, dtype=plan.dtype)}


def _card(plan: Plan, gpu: Any) -> float:
    """GiB of this machine's card that a run may count with."""
    from motionkit.settings.gpu import detect, gigabytes

    card = detect(plan.device).vram_gb
    return min(card, gigabytes(str(gpu)) or card)


def _cards(need: Need, backbone: str | None, how: Choice) -> list[tuple[int, bool]]:
    """Which cards would do, for full-size weights."""
    if backbone is None or catalog.get(backbone).hub_id is None:
        return []
    half = replace(need, dtype="bfloat16")
    return [(size, fitting(half, size, {})[1]) for size in CARDS]


def _time(need: Need, plan: Plan, chosen: Chosen, files: Files) -> dict[str, Any]:
    """About how long it takes, told from the nearest thing that has been measured."""
    from motionkit.running.preflight import as_choice

    how = as_choice(plan)
    rate, by = _rate(chosen.spec.name, str(chosen.backbone.name), plan.device, files)
    if not rate and plan.device.startswith("cuda"):
        rate, by = rate_of(_card(plan, "auto")), "a usual card's rate"
    elif not rate:
        rate, by = processor_rate(), "a short test of this processor"
    return {"seconds": need.seconds(how, rate), "by": by}


def _rate(method: str, backbone: str, device: str, files: Files) -> tuple[float, str]:
    """TFLOP/s of past runs on this kind of device: of the same method and backbone, else the newest; 0 for none."""
    others = 0.0
    for number, (_, manifest) in enumerate(gallery.found(files)):
        if number >= RUNS:
            break
        try:
            rate = rate_of_run(manifest, device)
        except (UserError, KeyError, TypeError, ValueError):  # of another version
            continue
        same = (manifest["method"].get("name"), (manifest.get("backbone") or {}).get("name")) == (method, backbone)
        if rate and same:
            return rate, "your last run of it"
        others = others or rate
    return others, "your other runs" if others else ""


def rate_of_run(manifest: Mapping[str, Any], device: str) -> float:
    """TFLOP/s of a run, over the stages that it computed; 0 where that is not known.

    Raises:
        UserError, KeyError, TypeError: settings or a form of another version.
    """
    backbone = (manifest.get("backbone") or {}).get("name")
    if manifest.get("status") != "complete" or backbone is None or (manifest.get("plan") or {}).get("device") != device:
        return 0.0
    from motionkit import registry

    spec, size = registry.spec(manifest["method"]["name"]), manifest["size"]
    settings = method_settings(spec, dict(manifest["config"]))
    need = need_of(spec, settings, backbone, manifest["frames"], size["height"], size["width"])
    if need is None:
        return 0.0
    cached = set(manifest.get("from_cache") or ())
    ran = {name: one["seconds"] for name, one in manifest["stages"].items() if name not in cached and one["seconds"]}
    work = sum(need.tflop(Choice(), name) for name in ran)
    return work / sum(ran.values()) if work else 0.0


@functools.cache
def processor_rate() -> float:
    """TFLOP/s that such networks reach on this processor: a share of what matrix products do, measured once."""
    import numpy as np

    side, best = 640, float("inf")
    a = np.ones((side, side), np.float32)
    for _ in range(4):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return REACHED * 2 * side**3 / best / 1e12


def free_memory() -> float:
    """Bytes of this machine's memory that a program can still have."""
    import psutil

    return float(psutil.virtual_memory().available)
