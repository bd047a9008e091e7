"""`motionkit backbones`: what methods can stand on, which weights are on this machine, how to get the others."""

from __future__ import annotations

from motionkit.backbones import catalog, files, motion_files
from motionkit.cli.table import table
from motionkit.errors import MissingWeights, UserError

HELP = """usage: motionkit backbones [NAME ...]

Without a name: all backbones, and whether their weights are here. With names: also what is missing and how to get it.
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    if argv:
        print("\n\n".join(detail(name) for name in argv))
        return 0
    rows = []
    for name, spec in catalog.specs().items():
        rows.append((name, f"{spec.default_size} px", presence(spec)[0], spec.licence, spec.summary))
    print(table(("backbone", "size", "weights", "licence", "what"), rows))
    print("\n`motionkit backbones NAME` says how to get weights; backbone.path=FOLDER uses a folder of your own.")
    return 0


def presence(spec: catalog.BackboneSpec) -> tuple[str, str]:
    """Whether the weights are here, in a word or two, and the whole line that says what is missing."""
    if spec.hub_id is None and spec.asset is None:
        return "none needed", "made from a seed"
    try:
        folder = files.locate(spec)
        modules = [str(motion_files.locate(spec, folder))] if spec.base else []
        return "here", ", ".join([str(folder), *modules])
    except MissingWeights as error:
        return "missing", str(error)
    except UserError as error:
        return "unusable", str(error)


def detail(name: str) -> str:
    """Everything about one backbone."""
    spec = catalog.get(name)
    state, line = presence(spec)
    facts = [
        ("what", spec.summary),
        ("family", spec.family),
        ("size", f"{spec.default_size} px by default, multiples of {spec.size_multiple}"),
        ("licence", spec.licence),
        ("disk", f"about {spec.approx_gb:.3g} GB"),
        ("source", spec.weights),
        ("weights", f"{state}: {line}"),
    ]
    return table((name, ""), facts)
