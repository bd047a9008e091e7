"""A page for each registered method: its facts, what was written by hand, its settings, its measured figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from docs.generate import benchmark
from docs.generate.text import HEAD, code, paragraphs, table
from motionkit import registry
from motionkit.backbones import catalog
from motionkit.cli.methods import kind, shown
from motionkit.settings.presets import PresetSettings
from motionkit.settings.schema import Fact, facts, summary
from motionkit.settings.setting import walk
from motionkit.transfer import STATUSES, MethodSpec, Requirement

PICTURES = Path(__file__).parents[1] / "pictures"


def every() -> list[MethodSpec]:
    """The methods, those with a paper first."""
    return sorted((registry.spec(name) for name in registry.names()), key=lambda spec: (not spec.paper_url, spec.name))


def navigation() -> str:
    """The pages of all methods as entries of the site's navigation."""
    return ", ".join(f'{{"{spec.title}" = "methods/{spec.name}.md"}}' for spec in every())


def pages(written: Mapping[str, str]) -> dict[str, str]:
    """The overview and a page for each method; `written` holds what was written by hand, methods/NAME.md."""
    made = {f"methods/{spec.name}.md": page(spec, written.get(f"methods/{spec.name}.md", "")) for spec in every()}
    return made | {"methods/index.md": overview(written.get("methods/index.md", ""))}


def overview(written: str) -> str:
    """All methods in a table, below what was written by hand."""
    rows = []
    for spec in every():
        paper = f"[paper]({spec.paper_url})" if spec.paper_url else ""
        reads = ", ".join(need.name for need in spec.requires)
        rows.append((f"[{spec.title}]({spec.name}.md)", spec.summary, reads, code(spec.default_backbone or ""), paper))
    made = table(("method", "what it does", "needs", "default backbone", ""), rows)
    return paragraphs(written, made)


def page(spec: MethodSpec, written: str) -> str:
    """One method's page."""
    text = written.partition("\n")[2] if written.startswith("# ") else written
    settings = registry.settings_class(spec)
    return paragraphs(
        f"# {spec.title}",
        HEAD,
        f"{spec.summary} `method={spec.name}`",
        _picture(spec),
        text,
        "## What it needs",
        _needs(spec),
        benchmark.measured(spec.name),
        "## Facts",
        _facts(spec),
        _presets(settings, spec),
        "## Settings",
        _intro(spec),
        *_settings(settings, spec),
    )


def _picture(spec: MethodSpec) -> str:
    if not (PICTURES / f"{spec.name}.webp").is_file():
        return ""
    return f"![{spec.title} on the weights in the package](../pictures/{spec.name}.webp){{ .moving }}"


def _needs(spec: MethodSpec) -> str:
    rows = [_need(need, "required") for need in spec.requires] + [_need(need, "used if given") for need in spec.uses]
    backbones = ", ".join(f"**{code(b)}**" if b == spec.default_backbone else code(b) for b in spec.backbones)
    runs = f"Runs on (default in bold): {backbones}." if backbones else "Needs no backbone and no weights."
    families = catalog.families()
    reasons = [
        f"- not on {', '.join(code(name) for name in families[family]) or family}: {why}"
        for family, why in spec.refuses.items()
    ]
    reasons += [f"- not on {code(name)}: {why}" for name, why in spec.no_backbones.items()]
    return paragraphs(table(("input", "", "what"), rows), runs, "\n".join(reasons))


def _need(need: Requirement, how: str) -> tuple[str, str, str]:
    return code(need.name), how, need.note


def _facts(spec: MethodSpec) -> str:
    samplers = ", ".join(map(code, spec.samplers)) or "any that fits the backbone"
    samplers += f" ({spec.sampler_reason})" if spec.samplers and spec.sampler_reason else ""
    samplers += "".join(f"; any with {code(f'method.{key}={value}')}" for key, value in spec.any_sampler.items())
    rows = [
        ("paper", f"[{spec.paper_url}]({spec.paper_url}) ({spec.year})" if spec.paper_url else "none"),
        ("licence of the code", spec.licence),
        ("state", STATUSES.get(spec.status) or spec.status),
        ("samplers", samplers if spec.backbones else "none needed"),
        ("training", code(f"motionkit train method={spec.name}") if spec.trainer else "nothing to train"),
        ("cached stages", ", ".join(code(stage.name) for stage in spec.stages) or "none"),
        ("cite", code(f"motionkit cite {spec.name}")),
    ]
    return table(("", ""), rows)


def _presets(settings: type, spec: MethodSpec) -> str:
    """What each preset means, and where they differ on the default backbone; nothing for a method without presets."""
    if not issubclass(settings, PresetSettings):
        return ""
    names = list(settings.presets)
    values = {name: {f.name: shown(f.value) for f in facts(settings, spec.default_backbone, name)} for name in names}
    told = next(fact for fact in facts(settings) if fact.name == "preset").known.choices
    meanings = table(("preset", "what it is"), [(code(name), told.get(name, "")) for name in names])
    first = values[names[0]]
    differ = [key for key in first if key != "preset" and len({values[name].get(key) for name in names}) > 1]
    rows = [(code(f"method.{key}"), *(code(values[name].get(key, "")) for name in names)) for key in differ]
    return paragraphs(
        "## Presets",
        f"`method.preset=NAME` chooses one; the default is `{settings().preset}`.",
        meanings,
        f'??? note "Where they differ on {spec.default_backbone}"' if rows else "",
        "\n".join("    " + line for line in table(("setting", *names), rows).splitlines()) if rows else "",
    )


def _intro(spec: MethodSpec) -> str:
    on = f" The values are those that are used on `{spec.default_backbone}`." if spec.default_backbone else ""
    return f"On the command line as `method.KEY=VALUE`, in Python as keywords.{on}"


def _settings(settings: type, spec: MethodSpec) -> list[str]:
    """A table for the method's own settings and for each group of them."""
    known = [fact for fact in facts(settings, spec.default_backbone) if fact.name != "name"]
    if not known:
        return ["It has none."]
    groups: dict[str, list[Fact]] = {}
    for fact in known:
        groups.setdefault(fact.name.rpartition(".")[0], []).append(fact)
    made = []
    for group, held in groups.items():
        made.append(f"### {group}" if group else "")
        made.append(_about(settings, group))
        made.append(table(("setting", "value", "what it does"), [_row(fact) for fact in held]))
    return made


def _about(settings: type, group: str) -> str:
    """The first sentence about a group's class."""
    for name, _, owner in walk(settings):
        if group and name.rpartition(".")[0] == group:
            return summary(owner if isinstance(owner, type) else type(owner))
    return ""


def _row(fact: Fact) -> tuple[str, str, str]:
    known = fact.known
    limits = " ".join(filter(None, (known.span, known.unit))) or ("" if known.choices else kind(fact.hint))
    words = [f"<br>`{word}`" + (f": {what}" if what else "") for word, what in known.choices.items()]
    told = known.help + (f" ({limits})" if limits else "") + "".join(words)
    return code(f"method.{fact.name}"), code(shown(fact.value)), told
