"""`motionkit backbones`: the backbones of the methods, which weights are here, how to get others, what runs on what."""

from __future__ import annotations

from pathlib import Path

from motionkit import registry
from motionkit.backbones import catalog, folders, tiny_tokenizer
from motionkit.backbones.presence import presence
from motionkit.cli.table import table
from motionkit.transfer import MethodSpec
from motionkit.weights import places

HELP = """usage: motionkit backbones [NAME ...]

Without a name: all backbones, whether their weights are here, and which method runs on which.
With names: also what is missing, how to get it, and the words that a small text encoder knows.
"""
RUNS, DEFAULT, UNSAID = "yes", "default", "?"


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    if argv:
        print("\n\n".join(detail(name) for name in argv))
        return 0
    rows = []
    for name, spec in catalog.specs().items():
        rows.append((name, spec.frame_name, presence(spec)[0], spec.licence, spec.summary))
    print(table(("backbone", "size", "weights", "licence", "what"), rows))
    print(f"\n{matrix()}")
    print("\n`motionkit backbones NAME` says how to get weights; backbone.path=FOLDER uses a folder of your own.")
    return 0


def matrix() -> str:
    """What runs on what, as the methods declare it: a row for each backbone, the reasons of refusals below."""
    methods = [registry.spec(name) for name in registry.names()]
    free = [spec.name for spec in methods if not spec.backbones]
    columns = [spec for spec in methods if spec.backbones]
    notes: dict[str, int] = {}
    rows = [
        (name, *(_cell(spec, backbone, notes) for spec in columns), "") for name, backbone in catalog.specs().items()
    ]
    lines = [table(("runs on", *(spec.name for spec in columns), ""), rows)]
    lines += [table((f"{number})", reason), []) for reason, number in notes.items()]
    if any(UNSAID in row for row in rows):
        lines.append(f"{UNSAID}  the method does not declare this backbone, and refuses it")
    lines += [f"{', '.join(free)}: need no backbone"] if free else []
    return "\n".join(lines)


def _cell(spec: MethodSpec, backbone: catalog.BackboneSpec, notes: dict[str, int]) -> str:
    """A word for a method on a backbone; a new reason for a refusal gets the next number."""
    if spec.runs_on(backbone):
        return DEFAULT if backbone.name == spec.default_backbone else RUNS
    reason = spec.refusal(backbone)
    if not reason:
        return UNSAID
    return f"no {notes.setdefault(f'{spec.name}: {reason}', len(notes) + 1)})"


def detail(name: str) -> str:
    """Everything about one backbone."""
    spec = catalog.get(name)
    state, line = presence(spec)
    facts = [
        ("what", spec.summary),
        ("family", spec.family),
        ("does", _abilities(spec)),
        ("size", f"{spec.frame_name} by default, multiples of {spec.size_multiple}"),
        ("licence", spec.licence),
        ("disk", f"about {spec.approx_gb:.3g} GB"),
        ("source", f"{spec.weights}, pocket weights {places.weights_version()}" if _ships(spec) else spec.weights),
        ("from", f"{registry.BACKBONES.registered(name).dist}, {spec.loader}"),
        ("weights", f"{state}: {line}"),
        *_words(spec, state),
        *_runs(spec),
    ]
    return table((name, ""), facts)


def _ships(spec: catalog.BackboneSpec) -> bool:
    """Whether its weights are among motionkit's own, not in a package that brings it."""
    return spec.asset is not None and not Path(spec.asset).is_absolute()


def _abilities(spec: catalog.BackboneSpec) -> str:
    """What it can do, as it is declared."""
    makes = "makes clips" if spec.makes_clips else "makes single pictures"
    reads = "guided by a prompt" if spec.reads_text else "reads no prompt"
    stride = f", one for {spec.time_stride} frames" if spec.time_stride > 1 else ""
    latents = f"latents of {spec.latent_channels} channels{stride}"
    return f"{makes}, {reads}; {latents}; predicts {' or '.join(spec.predictions)}, sampler {spec.sampler}"


def _words(spec: catalog.BackboneSpec, state: str) -> list[tuple[str, str]]:
    """The words that a small text encoder knows; nothing for one that reads any word."""
    known = tiny_tokenizer.known_words(folders.locate(spec)) if state == "here" else ()
    return [("words", ", ".join(known))] if known else []


def _runs(backbone: catalog.BackboneSpec) -> list[tuple[str, str]]:
    """Which methods run on a backbone, and why the others do not."""
    methods = [spec for spec in map(registry.spec, registry.names()) if spec.backbones]
    running = [spec.name for spec in methods if spec.runs_on(backbone)]
    others = [spec for spec in methods if not spec.runs_on(backbone)]
    return [("runs", ", ".join(running) or "no method")] + [
        (f"not {spec.name}", spec.refusal(backbone) or "it does not declare this backbone") for spec in others
    ]
