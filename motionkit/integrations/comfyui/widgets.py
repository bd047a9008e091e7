"""Declared settings as inputs of a ComfyUI node, and what the node was given as settings again."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from motionkit.errors import UserError
from motionkit.settings.schema import Fact, facts, shown

Declared = tuple[Any, dict[str, Any]]  # a type, or a list of words, and options

OPEN = "(as it is)"  # the word for a value that is still to come, which only text or a list of words can show
_WHOLE, _LARGE = 2**53 - 1, 1e12  # the browser counts no further; without limits it would take its own, which are small


def settings_of(config: type, backbone: str | None) -> dict[str, Declared]:
    """Name of the input -> its declaration, for every setting of a method as it is on a backbone.

    Those in groups are among the advanced inputs. Dots are written as two underscores.
    """
    return {_key(fact.name): declared(fact) for fact in facts(config, backbone) if fact.name != "name"}


def given(config: type, backbone: str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name -> value, for the settings that differ from what their widget showed at first.

    A widget that was left alone is no wish: the setting then follows preset and backbone, whichever are chosen.

    Raises:
        UserError: text that is no value.
    """
    found = {}
    for fact in facts(config, backbone):
        key = _key(fact.name)
        if key in values and values[key] is not None and values[key] != declared(fact)[1]["default"]:
            found[fact.name] = _value(fact, values[key])
    return found


def declared(fact: Fact) -> Declared:
    """A setting as an input: a list of words, BOOLEAN, INT, FLOAT, or text where it may be null or a list.

    >>> from motionkit.settings.setting import Setting
    >>> declared(Fact("steps", 20, int, Setting("Steps.", low=1, high=100)))
    ('INT', {'default': 20, 'min': 1, 'max': 100, 'tooltip': 'Steps. 1 to 100.'})
    """
    kind, options = _kind(fact)
    options["tooltip"] = _tooltip(fact)
    if "." in fact.name:
        options["advanced"] = True
    return kind, options


def _kind(fact: Fact) -> Declared:
    known, value, single = fact.known, fact.value, fact.hint in (bool, int, float, str)
    if known.choices and (single or fact.hint == str | None):
        words = [*([OPEN] if value is None else []), *known.choices]
        if value is None or value in words:
            return words, {"default": OPEN if value is None else value}
    if single and value is not None and fact.hint is not str:
        return _plain(fact)
    return "STRING", {"default": value if fact.hint is str and value is not None else _text(value)}


def _plain(fact: Fact) -> Declared:
    value, known = fact.value, fact.known
    if fact.hint is bool:
        return "BOOLEAN", {"default": bool(value)}
    if fact.hint is int:
        return "INT", {
            "default": int(value),
            "min": int(_limit(known.low, -_WHOLE)),
            "max": int(_limit(known.high, _WHOLE)),
        }
    low, high = _limit(known.low, -_LARGE), _limit(known.high, _LARGE)
    return "FLOAT", {"default": float(value), "min": low, "max": high, "step": _step(float(value)), "round": False}


def _limit(value: float | None, usual: float) -> float:
    return usual if value is None or math.isinf(value) else value


def _step(value: float) -> float:
    """A tenth of a value's first digit, so that small values are not shown as 0; at most 0.01.

    >>> _step(1e-4), _step(7.5)
    (1e-05, 0.01)
    """
    return min(0.01, 10.0 ** (math.floor(math.log10(abs(value))) - 1)) if value else 0.01


def _text(value: Any) -> str:
    return OPEN if value is None else shown(value)


def _tooltip(fact: Fact) -> str:
    known = fact.known
    words = "; ".join(f"{word}: {said}" for word, said in known.choices.items() if said)
    span = f"{known.span} {known.unit}".strip() if known.span else known.unit
    return " ".join(part for part in (known.help, f"{span}." if span else "", f"{words}." if words else "") if part)


def _value(fact: Fact, value: Any) -> Any:
    """What was given to an input, as the setting takes it."""
    if value in (OPEN, "null"):
        return None
    if not isinstance(value, str) or fact.hint is str or fact.hint == str | None:
        return value
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"{fact.name}={value}: give a value as on the command line, such as [0.1,0.7]") from None
    return _number(read) if {float, int} & {*_kinds(fact.hint)} else read


def _number(value: Any) -> Any:
    """Text that YAML does not take for a number, such as 1e-5, as one; in a list too."""
    if isinstance(value, list):
        return [_number(item) for item in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _kinds(hint: Any) -> list[Any]:
    """The plain types inside a type, such as float of list[float] | None."""
    inner = typing.get_args(hint)
    return [kind for part in inner for kind in _kinds(part)] if inner else [hint]


def _key(name: str) -> str:
    return name.replace(".", "__")
