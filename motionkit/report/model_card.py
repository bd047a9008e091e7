"""The model card of weights that `motionkit train` made: README.md with the hub's front matter. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motionkit import __version__, registry
from motionkit.backbones import catalog

SPRITES = (
    "**Made in the sprite world.** These weights were trained on procedural drawings of simple characters, or on "
    "top of weights that were. They are a small model of that small world: on photographs, films or other drawings "
    "their results mean nothing."
)
_MOST = 60  # rows of a table


def model_card(record: Mapping[str, Any], repository: str, licence: str) -> str:
    """The text of README.md.

    Args:
        record: a training's record, without paths of this machine.
        repository: owner/name, for the example.
        licence: the hub's word for it; "" where it is still to be chosen.

    Raises:
        UserError: the record names no method or backbone that is installed.
    """
    made = record["made"]
    spec = registry.spec(str(made["method"]))
    base = catalog.get(str(made["backbone"]))
    options = record.get("options")
    own_base = isinstance(options, Mapping) and bool(options.get("backbone_path"))
    front = [f"license: {licence or 'other'}", "library_name: motionkit", "tags:", "- motionkit", f"- {spec.name}"]
    world, whole = in_sprite_world(record), made["key"] == "backbone.path"
    if base.hub_id and not (own_base or world or whole):
        front.append(f"base_model: {base.hub_id}")
    sections = [
        "---\n" + "\n".join(front) + "\n---",
        f"# {repository.partition('/')[2]}",
        f"{spec.title} weights, trained with motionkit {__version__}. {spec.summary.rstrip('.')}. "
        f"Paper: {spec.paper_url}",
    ]
    sections += [SPRITES] if world else []
    sections += [_use(made, repository, own_base), _training(record, base.name, own_base), _figures(record)]
    said = licence or "not stated"
    sections.append(
        f"## Licence\n\n{said}. The base weights and the training clips may bring terms of their own. "
        f"The method: {spec.licence}"
    )
    sections.append(f"## Citation\n\n```bibtex\n{spec.citation.strip()}\n```")
    return "\n\n".join(part for part in sections if part) + "\n"


def in_sprite_world(record: Mapping[str, Any]) -> bool:
    """Whether the clips, or the weights that the training began with, are of the sprite world (or drawn at random)."""
    made, options = record["made"], record.get("options")
    names = {str(made["backbone"]), str(options.get("backbone")) if isinstance(options, Mapping) else ""}
    begun = [spec for name, spec in catalog.specs().items() if name in names]
    small = any(spec.asset or spec.name.startswith("tiny-") for spec in begun)
    own = isinstance(options, Mapping) and bool(options.get("backbone_path"))
    return made.get("data") == "sprites" or (small and not own)


def _use(made: Mapping[str, Any], repository: str, own_base: bool) -> str:
    words = f"method={made['method']} backbone={made['backbone']} {made['key']}={repository}"
    lines = [f"hf download {repository}", f"motionkit transfer {words} \\"]
    code = "\n".join([*lines, "    reference=REFERENCE driving=DRIVING prompt=TEXT"])
    note = (
        "\n\nThey were trained on other base weights than that backbone's default: give these as backbone.path=, too."
    )
    return f"## Use\n\n```sh\n{code}\n```" + (note if own_base and made["key"] != "backbone.path" else "")


def _training(record: Mapping[str, Any], base: str, own_base: bool) -> str:
    made = record["made"]
    data = f"the sprite world ({made['setting']})" if made.get("data") == "sprites" else "a folder of clips"
    rows = {"base": f"{base}, with other weights" if own_base else base, "data": data}
    known = ("steps", "seed", "size", "clips", "seconds", "supervision", "rank", "anchors")
    rows |= {name: record[name] for name in known if _short(record.get(name))}
    recipe = record.get("recipe")
    tables = [found for found in (record.get("options"), recipe) if isinstance(found, Mapping)]
    settings = {name: value for found in tables for name, value in flat(found).items()}
    table = _table(rows | {name: value for name, value in settings.items() if name not in rows})
    return f"## Recipe\n\n{table}"


def _figures(record: Mapping[str, Any]) -> str:
    figures = record.get("figures")
    if not isinstance(figures, Mapping) or not figures:
        return ""
    where = "held-out clips" if figures.get("held_out") else "the training clips: none were held out"
    rows = {name: value for name, value in figures.items() if name != "held_out"}
    return f"## Figures\n\nMeasured on {where}, when the training ended.\n\n{_table(rows)}"


def _table(rows: Mapping[str, Any]) -> str:
    lines = [f"| {name} | {_cell(value)} |" for name, value in list(rows.items())[:_MOST]]
    return "\n".join(["| | |", "|---|---|", *lines])


def _cell(value: Any) -> str:
    text = (
        f"{value:.6g}" if isinstance(value, float) else "×".join(map(str, value)) if isinstance(value, list) else value
    )
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())


def _short(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str | list) and 0 < len(str(value)) < 80)


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by dotted names, without those that are not given."""
    out: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{above}{name}.")
        elif _short(value):
            out[f"{above}{name}"] = value
    return out
