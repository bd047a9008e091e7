"""`motionkit methods`: what there is, what each one needs, uses and runs on; broken plugins are listed too."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.cli.table import table
from motionkit.errors import UserError
from motionkit.settings.presets import PresetSettings
from motionkit.transfer import MethodSpec

HELP = """usage: motionkit methods [NAME ...]

Without a name: all methods. With names: everything about each, its settings included.
MOTIONKIT_DISABLE_PLUGINS=1 leaves out what other packages add.
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    if argv:
        print("\n\n".join(detail(name) for name in argv))
    else:
        print(overview())
    return 0


def overview() -> str:
    """All methods as a table, and the plugins that failed."""
    rows = []
    for name in registry.names():
        spec = registry.spec(name)
        uses = f" ({', '.join(need.name for need in spec.uses)})" if spec.uses else ""
        needs = ", ".join(need.name for need in spec.requires) + uses
        rows.append((name, needs, ", ".join(spec.backbones) or "none needed", spec.status, spec.summary))
    text = table(("method", "needs (uses)", "backbones", "status", "what"), rows)
    text += "\n\n`motionkit methods NAME` tells more, `motionkit cite NAME` gives the BibTeX."
    return text + broken()


def broken() -> str:
    """The plugins that could not be loaded, a line each; "" when all could."""
    lines = [f"  {f.name} of {f.dist}: {f.error}" for f in registry.failures()]
    return "\n\nbroken (`motionkit doctor` shows where):\n" + "\n".join(lines) if lines else ""


def detail(name: str) -> str:
    """Everything about one method."""
    found = registry.registered(name)
    spec = found.spec
    facts = [
        ("what", spec.summary),
        ("paper", f"{spec.title} ({spec.year or 'no year'}) {spec.paper_url}"),
        ("licence", spec.licence),
        ("status", spec.status),
        ("from", f"{found.dist}, {spec.transfer}"),
        *(("needs", _need(need.name, need.note)) for need in spec.requires),
        *(("uses", _need(need.name, need.note)) for need in spec.uses),
        ("backbones", _backbones(spec)),
        *_refusals(spec),
        ("trainable", f"motionkit train method={name}" if spec.trainer else "no"),
    ]
    try:
        made = registry.load_object(spec.config)()
        settings = [(f"method.{key}", value) for key, value in _settings(made, _choices(made))]
    except UserError as error:
        settings = [("settings", str(error))]
    return table((name, ""), [*facts, *settings])


def _need(name: str, note: str) -> str:
    return f"{name}: {note}" if note else name


def _backbones(spec: MethodSpec) -> str:
    return ", ".join(f"{b} (default)" if b == spec.default_backbone else b for b in spec.backbones) or "none needed"


def _refusals(spec: MethodSpec) -> list[tuple[str, str]]:
    """Families of backbones, and single ones, on which it does not run, each with the reason."""
    families = catalog.families()
    named = [(family, [n for n in families[family] if n != family], why) for family, why in spec.refuses.items()]
    rows = [(f"not {family}", f"{why} ({', '.join(names)})" if names else why) for family, names, why in named]
    return rows + [(f"not {name}", why) for name, why in spec.no_backbones.items()]


def _choices(values: Any) -> dict[str, tuple[str, ...]]:
    """Setting -> the words that it takes, where its class declares them (`motionkit.settings.presets`)."""
    presets = {"preset": tuple(values.presets)} if isinstance(values, PresetSettings) else {}
    return presets | dict(getattr(values, "choices", {}))


def _settings(values: Any, choices: Mapping[str, tuple[str, ...]], above: str = "") -> list[tuple[str, str]]:
    """Every setting by dotted name, with its value and its words or type, from an instance of the dataclass."""
    rows: list[tuple[str, str]] = []
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if dataclasses.is_dataclass(value):
            rows += _settings(value, choices, f"{above}{field.name}.")
        elif field.name != "name" or above:
            words = "|".join(map(str, choices.get(f"{above}{field.name}", ())))
            rows.append((f"{above}{field.name}", f"{value}  [{words or _type(field.type)}]"))
    return rows


def _type(annotation: Any) -> str:
    return str(getattr(annotation, "__name__", annotation)).removesuffix(" | None")
