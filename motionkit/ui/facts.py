"""What the page knows of methods and backbones: everything comes from what they declare."""

from __future__ import annotations

from typing import Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.backbones.presence import presence
from motionkit.errors import UserError
from motionkit.running.lazy_backbone import backbones_of, choose_backbone
from motionkit.settings.gpu import TIERS
from motionkit.settings.schema import schema
from motionkit.transfer import MAPS, STATUSES, MethodSpec

TEXTS = ("prompt", "source_prompt", "negative_prompt")


def methods() -> list[dict[str, Any]]:
    """A card for each method that can be used: those that need no backbone first, as they are the quickest."""
    specs = sorted(
        map(registry.spec, registry.names()), key=lambda spec: (spec.default_backbone is not None, spec.name)
    )
    return [card(spec) for spec in specs]


def card(spec: MethodSpec) -> dict[str, Any]:
    """What a method declares, for its card."""
    return {
        "name": spec.name,
        "title": spec.title,
        "summary": spec.summary,
        "needs": {need.name: need.note for need in spec.requires},
        "uses": {need.name: need.note for need in spec.uses},
        "backbones": backbones_of(spec),
        "default": choose_backbone(spec, None),
        "licence": spec.licence,
        "paper": spec.paper_url,
        "year": spec.year,
        "state": STATUSES.get(spec.status, spec.status),
        "seeded": spec.stochastic,
        "from": registry.registered(spec.name).dist,
    }


def backbones() -> dict[str, dict[str, str]]:
    """Each backbone: what it is, whether its weights are here, and the line that says how to get them."""
    found = {}
    for name, spec in catalog.specs().items():
        state, line = presence(spec)
        found[name] = {"summary": spec.summary, "licence": spec.licence, "size": spec.frame_name, "state": state}
        found[name]["line"] = "" if state == "here" else line
    return found


def form(method: str, backbone: str | None = None, preset: str | None = None) -> dict[str, Any]:
    """The settings of a method as they are used on a backbone, and what the memory plan is there.

    Returns:
        {"schema": as of `motionkit methods NAME json=true`, "plan": lines, "wrong": "" or why not, "backbone"}.
    """
    try:
        spec = registry.spec(method)
        chosen = choose_backbone(spec, backbone)
        made = schema(registry.settings_class(spec), chosen, preset)
        return {"schema": made, "wrong": "", "plan": _plan(chosen), "backbone": chosen}
    except UserError as error:
        return {"schema": None, "wrong": str(error), "plan": [], "backbone": None}


def _plan(backbone: str | None) -> list[str]:
    from motionkit.running.request import plan_for

    if backbone is None:
        return []
    state, line = presence(catalog.get(backbone))
    missing = [f"weights missing: {line}"] if state in ("missing", "unusable") else []
    return missing + plan_for("auto", backbone).lines()


def everything() -> dict[str, Any]:
    """All that the page is made of."""
    return {
        "methods": methods(),
        "backbones": backbones(),
        "samplers": ["auto", *registry.SAMPLERS.names()],
        "gpus": ["auto", *TIERS],
        "texts": list(TEXTS),
        "maps": list(MAPS),
        "broken": [f"{failure.name} of {failure.dist}: {failure.error}" for failure in registry.failures()],
    }
