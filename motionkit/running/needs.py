"""From a request to what it needs: the shipped table of figures, for a method on a backbone at a size; no torch."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.backbones.spec import BackboneSpec
from motionkit.errors import UserError
from motionkit.running.step_errors import noted
from motionkit.settings.need import Need, Row, Work
from motionkit.settings.presets import resolved
from motionkit.transfer import Demand, MethodSpec
from motionkit.weights import places

TABLE = "costs.json"
ENCODE, DECODE = "pictures to latents", "latents to pictures"
SIZED = ("unet", "vae")  # parts whose work depends on the size of the frames; an image encoder's are all of one size


@functools.cache
def table() -> dict[str, Any]:
    """The shipped figures: weights of backbones by part, and a row for each "method backbone what".

    `same` and `autoencoder` name the backbone whose figures stand for another of one shape.
    """
    file = places.PACKAGE / TABLE
    found: dict[str, Any] = (
        json.loads(file.read_text(encoding="utf-8"))
        if file.is_file()
        else dict.fromkeys(("same", "autoencoder", "weights", "factor", "rows"), {})
    )
    return found


def key_of(method: str, backbone: str, what: str) -> str:
    """Where the table has a figure; the autoencoder's are of no method."""
    if what in (ENCODE, DECODE):
        return f"{table()['autoencoder'].get(backbone, backbone)} {what}"
    return f"{method} {like(backbone)} {what}"


def like(backbone: str) -> str:
    """The backbone of the same shape that was counted."""
    same: str = table()["same"].get(backbone, backbone)
    return same


def demands_of(spec: MethodSpec, settings: Any, frames: int) -> list[Demand]:
    """The method's calls, with the autoencoder's around them; [] for a method that declares none."""
    if not spec.demands:
        return []
    count = registry.load_object(spec.demands)
    with noted(spec, "demands"):
        made: list[Demand] = list(count(settings, frames))
    once = "motionkit.running.count"
    first = Demand("prepare", ENCODE, 1, frames, f"{once}:encode_once", part="vae", smaller="size")
    return [first, *made, Demand("generate", DECODE, 1, frames, f"{once}:decode_once", part="vae", smaller="size")]


def need_of(spec: MethodSpec, settings: Any, backbone: str | None, frames: int, height: int, width: int) -> Need | None:
    """What a run needs; None where there are no figures (a method without declared demands, a backbone of a package).

    Args:
        settings: the method's, with or without the backbone's values filled in.
    """
    if backbone is None or not spec.demands:
        return None
    facts, found = catalog.get(backbone), table()
    values = found["weights"].get(like(backbone))
    if values is None:
        return None
    works = []
    for demand in demands_of(spec, resolved(settings, backbone), frames):
        rows = found["rows"].get(key_of(spec.name, backbone, demand.counted))
        if rows is None:
            return None
        works.append(work_of(demand, rows, facts, found["factor"][like(backbone)], height, width))
    return made(spec, facts, works, values, (frames, height, width))


def made(
    spec: MethodSpec, facts: BackboneSpec, works: list[Work], values: Mapping[str, int], shape: tuple[int, int, int]
) -> Need:
    """The need of counted works on a backbone with so many values in each part, for (frames, height, width)."""
    frames, height, width = shape
    title = f"{spec.name} on {facts.name}, {width}x{height} px, {frames} frames"
    return Need(title, tuple(works), {part: 2.0 * count for part, count in values.items()}, upcast=facts.upcast)


def work_of(demand: Demand, rows: Mapping[str, Any], facts: BackboneSpec, factor: int, height: int, width: int) -> Work:
    """A demand with its figure at a size in pixels."""
    plain, again = (_row(rows.get(name)) for name in ("plain", "again"))
    assert plain is not None
    places = (height // factor) * (width // factor) if demand.part in SIZED else 1
    more: dict[str, Any] = {
        "clips": demand.clips,
        "guided": demand.guided,
        "halves": demand.halves,
        "part": demand.part,
        "smaller": demand.smaller,
    }
    tile = (512 // factor) ** 2
    return Work(
        demand.stage,
        demand.what,
        demand.calls,
        demand.frames,
        places,
        plain,
        again,
        pixels=height * width,
        tile=tile,
        **more,
    )


def _row(values: Mapping[str, Any] | None) -> Row | None:
    if values is None:
        return None
    start, slope = values["size"]
    plain, space, time = values["work"]
    return Row((start, slope), (plain, space, time))


def why_none(spec: MethodSpec, backbone: str | None) -> UserError:
    """Why there are no figures, as an error."""
    if backbone is None or not spec.demands:
        return UserError(f"{spec.name} declares nothing that could be counted, so nothing is known of what it needs")
    return UserError(
        f"the shipped table has no figures of {spec.name} on {backbone}: count them now with exact=true (some minutes)"
    )
