"""`motionkit methods`: the methods, what each one needs, uses and runs on; broken plugins are listed too."""

from __future__ import annotations

import dataclasses
import json
import textwrap
import typing
from typing import Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.cli.table import table
from motionkit.diffusion.samplers import SamplerSpec, refusal, walks
from motionkit.errors import UserError, unknown
from motionkit.running.choices import usual_settings
from motionkit.running.lazy_backbone import backbones_of, choose_backbone
from motionkit.settings.schema import Fact, facts, schema, shown, summary
from motionkit.settings.setting import nested
from motionkit.transfer import STATUSES, MethodSpec

HELP = """usage: motionkit methods [NAME ...] [key=value ...]

Without a name: all methods. With names: everything about each, its settings included.

  backbone=NAME           the values of settings that will be used on this backbone (default: the method's own)
  preset=NAME             the same for another preset than the default one
  json=true               the settings of one method as a JSON schema (draft 2020-12)

MOTIONKIT_DISABLE_PLUGINS=1 hides the methods of other packages.
"""
WIDTH = 120
_KEYS = ("backbone", "preset", "json")


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    names = [word for word in argv if "=" not in word]
    keys = dict(word.split("=", 1) for word in argv if "=" in word)
    for key in keys:
        if key not in _KEYS:
            raise unknown("key", key, _KEYS)
    if keys and not names:
        raise UserError(f"{next(iter(keys))}= needs the name of a method: motionkit methods NAME {argv[0]}")
    backbone, preset = keys.get("backbone"), keys.get("preset")
    if keys.get("json", "false") not in ("true", "false"):
        raise UserError(f"json={keys['json']}: give true or false")
    if keys.get("json") == "true":
        if len(names) > 1:
            raise UserError("json=true takes one method at a time")
        print(json.dumps(as_schema(names[0], backbone, preset), indent=1))
    else:
        print("\n\n".join(detail(name, backbone, preset) for name in names) if names else overview())
    return 0


def as_schema(name: str, backbone: str | None = None, preset: str | None = None) -> dict[str, Any]:
    """The JSON schema of a method's settings, as they will be used on a backbone. Raises: UserError."""
    spec = registry.spec(name)
    return schema(registry.settings_class(spec), choose_backbone(spec, backbone), preset)


def overview() -> str:
    """All methods as a table, and the plugins that failed."""
    rows = []
    for name in registry.names():
        spec = registry.spec(name)
        uses = f" ({', '.join(need.name for need in spec.uses)})" if spec.uses else ""
        needs = ", ".join(need.name for need in spec.requires) + uses
        rows.append((name, needs, ", ".join(backbones_of(spec)) or _none(spec), spec.status, spec.summary))
    text = table(("method", "needs (uses)", "backbones", "status", "what"), rows)
    text += "\n\n" + table(("sampler", "runs", "what"), [sampler_row(spec) for spec in registry.SAMPLERS.every()])
    text += "".join(f"\n\n{status}: {said}" for status, said in STATUSES.items() if said)
    text += "\n\n`motionkit methods NAME` shows the details, `motionkit cite NAME` the BibTeX."
    return text + broken()


def sampler_row(sampler: SamplerSpec) -> tuple[str, str, str]:
    """A sampler's name, the methods that run with it (those in brackets with a setting), and what it is."""
    runs = []
    for spec in map(registry.spec, registry.names()):
        free = " or ".join(f"method.{key}={value}" for key, value in spec.any_sampler.items())
        if walks(spec, sampler) and (free or not refusal(spec, sampler)):
            runs.append(f"{spec.name} ({free})" if refusal(spec, sampler) else spec.name)
    what = f"{sampler.summary}; made for {sampler.made_for}" if sampler.made_for else sampler.summary
    return sampler.name, ", ".join(runs) or "none built in", what


def broken() -> str:
    """The plugins that could not be loaded, a line each; "" when all could."""
    lines = [f"  {f.name} of {f.dist}: {f.error}" for f in registry.failures()]
    return "\n\nbroken (`motionkit doctor` shows where):\n" + "\n".join(lines) if lines else ""


def detail(name: str, backbone: str | None = None, preset: str | None = None) -> str:
    """Everything about one method, its settings with the values that will be used on a backbone.

    Raises:
        UserError: no such method or preset, or the method does not run on that backbone.
    """
    found = registry.registered(name)
    spec = found.spec
    rows = [
        ("what", spec.summary),
        ("paper", f"{spec.title} ({spec.year or 'no year'}) {spec.paper_url}"),
        ("licence", spec.licence),
        ("status", ": ".join(filter(None, (spec.status, STATUSES.get(spec.status))))),
        ("from", f"{found.dist}, {spec.transfer}"),
        *(("needs", _need(need.name, need.note)) for need in spec.requires),
        *(("uses", _need(need.name, need.note)) for need in spec.uses),
        ("backbones", _backbones(spec)),
        *_refusals(spec),
        *_samplers(spec),
        ("trainable", f"motionkit train method={name}" if spec.trainer else "no"),
    ]
    if backbone:
        choose_backbone(spec, backbone)  # refuses one that was typed, where the rest can be shown without one
    try:
        chosen, schema_class = choose_backbone(spec, backbone), registry.settings_class(spec)
        usual_settings(spec)  # as its own class makes and checks them
    except UserError as error:
        return table((name, ""), [*rows, ("settings", str(error))])
    known = [fact for fact in facts(schema_class, chosen, preset) if fact.name != "name"]
    return table((name, ""), rows) + "\n\n" + _settings(schema_class, known, chosen)


def _samplers(spec: MethodSpec) -> list[tuple[str, str]]:
    """The samplers that it runs with, and why no other; nothing for a method without a backbone."""
    if not spec.backbones:
        return []
    every = [sampler for sampler in registry.SAMPLERS.every() if walks(spec, sampler)]
    names = [sampler.name for sampler in every if not refusal(spec, sampler)]
    other = next((sampler for sampler in every if refusal(spec, sampler)), None)
    return [("samplers", ", ".join(names) + (f" (no other: {refusal(spec, other)})" if other else ""))]


def _need(name: str, note: str) -> str:
    return f"{name}: {note}" if note else name


def _backbones(spec: MethodSpec) -> str:
    return ", ".join(f"{b} (default)" if b == spec.default_backbone else b for b in backbones_of(spec)) or _none(spec)


def _none(spec: MethodSpec) -> str:
    return f"none installed of {', '.join(spec.backbones)}" if spec.backbones else "none needed"


def _refusals(spec: MethodSpec) -> list[tuple[str, str]]:
    """Families of backbones, and single ones, on which it does not run, each with the reason."""
    families = catalog.families()
    named = [(family, [n for n in families[family] if n != family], why) for family, why in spec.refuses.items()]
    rows = [(f"not {family}", f"{why} ({', '.join(names)})" if names else why) for family, names, why in named]
    return rows + [(f"not {name}", why) for name, why in spec.no_backbones.items()]


def _settings(schema_class: Any, known: list[Fact], backbone: str | None) -> str:
    """Every setting with its value and help, those of a group under a line of their own."""
    lines = ["settings" + (f" as they are used on {backbone}" if backbone else "") + (":" if known else ": none")]
    groups = {item.name: nested(schema_class, item) for item in dataclasses.fields(schema_class)}
    above = ""
    for fact in known:
        group = fact.name.rpartition(".")[0]
        if group != above and groups.get(group) is not None:
            lines += ["", f"  {group}: {summary(groups[group])}".rstrip(": ")]
        above = group
        lines += _setting(fact)
    return "\n".join(lines)


def _setting(fact: Fact) -> list[str]:
    """A setting's name and value, its help and limits, and each of its words with what it does."""
    known = fact.known
    limits = " ".join(filter(None, (known.span, known.unit))) or ("" if known.choices else kind(fact.hint))
    words = known.choices if any(known.choices.values()) else {}
    plain = f"one of {', '.join(known.choices)}" if known.choices and not words else ""
    told = " ".join(
        filter(None, (known.help, f"({'; '.join(filter(None, (plain, limits)))})" if plain or limits else ""))
    )
    lines = [f"  method.{fact.name}={shown(fact.value)}", *_wrapped(told, 6, 6)]
    widest = max(map(len, words), default=0)
    for word, what in words.items():
        lines += _wrapped(f"{word:<{widest}}  {what}", 8, 8 + widest + 2)
    return lines


def _wrapped(text: str, first: int, rest: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * first, subsequent_indent=" " * rest, break_on_hyphens=False)


def kind(hint: Any) -> str:
    """A type in words, such as "whole number"; "" for a text."""
    names = {int: "whole number", float: "number", bool: "true or false"}
    inner = [part for part in typing.get_args(hint) if part is not type(None)]
    if typing.get_origin(hint) in (list, tuple):
        return "list"
    return kind(inner[0]) if len(inner) == 1 else names.get(hint, "")
