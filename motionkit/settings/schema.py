"""A configuration dataclass as facts: what each setting is on a backbone, and a JSON schema for forms and editors."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motionkit.errors import UserError
from motionkit.settings.presets import PresetSettings, resolved
from motionkit.settings.setting import Setting, declared, is_open, nested, walk

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
_NONE = type(None)


@dataclass(frozen=True)
class Fact:
    """One setting with the value that will be used.

    Attributes:
        name: dotted, as it is given below `method.`.
        value: None where null has a meaning of its own, which `known.help` says.
        hint: its type.
        known: what is declared of it; without help for the plain field of a plugin.
    """

    name: str
    value: Any
    hint: Any
    known: Setting


def facts(config_class: type, backbone: str | None = None, preset: str | None = None) -> list[Fact]:
    """Every setting of a configuration dataclass, in its order, as it will be used on a backbone.

    Args:
        backbone: its name; None for one on which nothing is tuned.
        preset: of `PresetSettings`; None is the configuration's own default.

    Raises:
        UserError: no such preset, or no presets at all.
    """
    if preset and not issubclass(config_class, PresetSettings):
        raise UserError(f"preset={preset}: this method has no presets: leave it out")
    values = resolved(config_class(**({"preset": preset} if preset else {})), backbone)
    known = _plain_settings(values) | declared(values)
    found = []
    for name, item, owner in walk(values):
        value = getattr(owner, item.name)
        hint = typing.get_type_hints(type(owner))[item.name]
        found.append(Fact(name, None if is_open(value) else value, hint, known.get(name, Setting(""))))
    return found


def schema(config_class: type, backbone: str | None = None, preset: str | None = None) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a configuration dataclass; the arguments and errors are those of `facts`.

    Groups are objects. A word's meaning is in `enumDescriptions`, as editors read it, a unit in `x-unit`; in
    `x-drawn` is what may be drawn on the driving clip's first frame, in `x-file` whether it names files (`Setting`).
    """
    known = {fact.name: fact for fact in facts(config_class, backbone, preset)}
    return {"$schema": DIALECT} | _object(config_class, known, "")


def summary(owner: type) -> str:
    """The first sentence of a class's docstring; "" where it has none of its own."""
    text = " ".join((owner.__doc__ or "").partition("\n\n")[0].split())
    return "" if text.startswith(f"{owner.__name__}(") else text


def shown(value: Any) -> str:
    """A value as it is written on the command line.

    >>> shown(True), shown(None), shown([1.5, "x"]), shown("")
    ('true', 'null', '[1.5,x]', "''")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value) or "''"


def _plain_settings(values: Any) -> dict[str, Setting]:
    """What a plugin's class says in tables of words and limits, beside its fields."""
    if not isinstance(values, PresetSettings):
        return {}
    out = {"preset": Setting("", dict.fromkeys(values.presets, ""))}
    for name in {**values.choices, **values.ranges}:
        low, high = values.ranges.get(name, (None, None))
        out[name] = Setting("", dict.fromkeys(values.choices.get(name, ()), ""), low, high)
    return out


def _object(owner: type, known: Mapping[str, Fact], above: str, title: str = "") -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for item in dataclasses.fields(owner):
        name, inner = f"{above}{item.name}", nested(owner, item)
        properties[item.name] = (
            _object(inner, known, f"{name}.", item.name) if inner is not None else _value(known[name])
        )
    head = {"title": _title(title) or owner.__name__, "description": summary(owner)}
    return head | {"type": "object", "properties": properties, "additionalProperties": False}


def _value(fact: Fact) -> dict[str, Any]:
    known, default = fact.known, list(fact.value) if isinstance(fact.value, tuple) else fact.value
    out: dict[str, Any] = {"title": _title(fact.name.rpartition(".")[2]), "description": known.help}
    out |= _type(fact.hint)
    target = out.get("items", out)
    if known.choices:
        null = ["null"] if target is out and _NONE in typing.get_args(fact.hint) else []
        target["enum"] = [*known.choices, *[None for _ in null]]
        target["enumDescriptions"] = [*known.choices.values(), *null]
    for key, limit in (("minimum", known.low), ("maximum", known.high)):
        if limit is not None and abs(limit) != float("inf"):
            target[key] = limit
    marks = {"x-unit": known.unit, "x-drawn": known.drawn, "x-file": known.file}
    return out | {name: mark for name, mark in marks.items() if mark} | {"default": default}


def _type(hint: Any) -> dict[str, Any]:
    """A type as JSON schema; {} for any value."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        made = [_type(kind) for kind in inner if kind is not _NONE]
        one = made[0] if len(made) == 1 else {"type": [name for kind in made if (name := kind.get("type"))]}
        names = one["type"] if isinstance(one.get("type"), list) else [one["type"]] if "type" in one else []
        return one | ({"type": [*names, "null"]} if names and _NONE in inner else {})
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if origin in (list, tuple):
        return {"type": "array"} | ({"items": _type(inner[0])} if inner else {})
    return {"type": "object"} if origin is dict or hint is dict else {}


def _title(name: str) -> str:
    return name.replace("_", " ").strip().capitalize()
