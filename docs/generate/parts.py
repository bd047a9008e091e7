"""Pages of the declared parts besides methods: backbones and what runs on them, estimators, samplers, real weights."""

from __future__ import annotations

from docs.generate.text import HEAD, code, paragraphs, table
from motionkit import registry
from motionkit.backbones import catalog
from motionkit.diffusion.samplers import refusal, walks
from motionkit.perception.estimators import EstimatorSpec
from motionkit.registry import ESTIMATORS, SAMPLERS


def pages() -> dict[str, str]:
    """The table of real weights, what runs on what, estimators and samplers."""
    return {
        "reference/backbones.md": backbones(),
        "reference/estimators.md": estimators(),
        "reference/samplers.md": samplers(),
    }


def backbones() -> str:
    """Every backbone, and the matrix of methods on them."""
    specs = catalog.specs()
    rows = [
        (code(name), spec.frame_name, _disk(spec.approx_gb), spec.weights, spec.licence, spec.summary)
        for name, spec in specs.items()
    ]
    return paragraphs(
        "# Backbones",
        HEAD,
        "What methods stand on. `backbone=NAME` chooses one, `backbone.path=FOLDER` takes weights of your own. "
        "`motionkit backbones` says which weights are on this machine, and how to get the others: "
        "[real weights](../start/real-weights.md).",
        table(("name", "size", "disk", "weights", "licence", "what"), rows),
        "## What runs on what {#matrix}",
        _matrix(),
    )


def _disk(gigabytes: float) -> str:
    return f"{gigabytes:.1f} GB" if gigabytes >= 0.1 else f"{1000 * gigabytes:.0f} MB"


def _matrix() -> str:
    methods = [spec for spec in map(registry.spec, registry.names()) if spec.backbones]
    rows, notes = [], dict[str, int]()
    for name, backbone in catalog.specs().items():
        cells = []
        for spec in methods:
            if name in spec.backbones:
                cells.append("**default**" if name == spec.default_backbone else "yes")
            else:
                reason = f"{spec.name}: {spec.refusal(backbone) or 'it declares nothing about this backbone'}"
                cells.append(f"no ({notes.setdefault(reason, len(notes) + 1)})")
        rows.append((code(name), *cells))
    listed = "\n".join(f"{count}. {reason}" for reason, count in notes.items())
    free = [spec.name for spec in map(registry.spec, registry.names()) if not spec.backbones]
    return paragraphs(
        table(("", *(spec.name for spec in methods)), rows), listed, f"Methods without a backbone: {', '.join(free)}."
    )


def estimators() -> str:
    """Every estimator by what it finds."""
    rows = [
        (spec.kind, code(spec.word), spec.summary, spec.knows, spec.licence, _weights(spec))
        for spec in sorted(ESTIMATORS.every(), key=lambda spec: (spec.kind, spec.word))
    ]
    return paragraphs(
        "# Estimators",
        HEAD,
        "What looks at the clips: poses, masks, depth, correspondence, drawings, optical flow. A method's setting "
        "chooses one, such as `method.pose.backend=dwpose`; `motionkit doctor` says which weights are here. "
        "Ready-made maps (`poses=`, `masks=`, `depth=`, `correspondence=`, `keypoints=`) replace any of them.",
        table(("finds", "word", "what it is", "knows", "licence", "weights"), rows),
    )


def _weights(spec: EstimatorSpec) -> str:
    if not spec.needs:
        return "none needed"
    return "in the package" if all(need.shipped for need in spec.needs) else "to be downloaded"


def samplers() -> str:
    """Every sampler, and which method runs with which."""
    rows = [
        (code(s.name), s.summary, s.made_for or "any", ", ".join(s.predictions), f"[paper]({s.paper_url})")
        for s in SAMPLERS.every()
    ]
    return paragraphs(
        "# Samplers",
        HEAD,
        "`sampler=NAME`, with `motionkit transfer`, `compare` and `motionkit.load`; `auto` is the backbone's own. The "
        "number of steps is the method's own setting. Timesteps and steps are those of diffusers' scheduler of that "
        "name on the backbone's noise schedule, a zero terminal signal-to-noise ratio included. What draws noise "
        "(`lcm`, `tcd`) draws it on the CPU from the run's seed.",
        table(("name", "what it is", "made for", "walks models that predict", ""), rows),
        "Weights that were distilled to few steps need the sampler that they were distilled for, and guidance 1 or "
        "little more; `backbone.lora=FILE` brings a LoRA of that kind.",
        "## Which method runs with which {#matrix}",
        _sampler_matrix(),
    )


def _sampler_matrix() -> str:
    """Cells that run, or a number of the reason below."""
    methods = [spec for spec in map(registry.spec, registry.names()) if spec.backbones]
    rows, notes = [], dict[str, int]()
    for sampler in SAMPLERS.every():
        cells = []
        for spec in methods:
            why, word = refusal(spec, sampler), "with a setting" if spec.any_sampler else "no"
            if not walks(spec, sampler):
                word, kinds = "no", " or ".join(sampler.predictions)
                why = f"none of the backbones that it names predicts {kinds}; one of another package may"
            note = notes.setdefault(f"{spec.name}: {why}", len(notes) + 1) if why else 0
            cells.append(f"{word} ({note})" if why else "yes")
        rows.append((code(sampler.name), *cells))
    listed = "\n".join(f"{count}. {reason}" for reason, count in notes.items())
    return paragraphs(table(("", *(spec.name for spec in methods)), rows), listed)
