"""Writes the ledger: the paper's direction beside ours, as markdown for people and as JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from motionkit import registry
from motionkit.media import replacing
from motionkit.media.output_files import write_json, writing
from motionkit.running import manifest
from motionkit.settings.fact import Fact
from motionkit.table.bench import ablations, protocol
from motionkit.table.bench.ledger import AGREES, DISAGREES, LEAST, NOISE, NOT_RUN, OPEN, Finding, Ledger, Verdict
from motionkit.table.bench.protocol import Reducers, dotted
from motionkit.table.bench.tables import ARROWS, number
from motionkit.weights.hashing import hash_json

FOLDER, PAGE, DATA = "ledger", "ledger.md", "ledger.json"
CONFIDENCE = Reducers().confidence
_TRAINED = (
    "- Rows with a trained variant: one training each; intervals cover the variation between cases, not trainings"
)
_WORDS = (AGREES, DISAGREES, NOISE, OPEN, NOT_RUN)


def write_ledger(folder: Path, ledger: Ledger) -> Path:
    """Write ledger/ledger.md and ledger.json below a folder, each atomically; returns the page's path.

    A ledger that lacks rows, or ran on fewer cases, goes into a folder of its own and never replaces a complete one.

    Raises:
        UserError: the folder cannot be written.
    """
    target = folder / _name(ledger)
    facts = _facts(ledger)
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        with replacing(target / PAGE) as part:
            part.write_text(markdown(ledger, facts), encoding="utf-8")
    write_json(target / DATA, as_json(ledger))
    return target / PAGE


def _name(ledger: Ledger) -> str:
    ran = [f.ablation.name for f in ledger.findings if any(verdict.word != NOT_RUN for verdict in f.verdicts)]
    published = all(title == protocol.title(protocol.read(name)) for name, title in ledger.protocols.items())
    if published and ran == ablations.known():
        return FOLDER
    asked = [finding.ablation.name for finding in ledger.findings]
    return f"{FOLDER}-{hash_json([asked, ran, dict(ledger.protocols)])[:8]}"


def _facts(ledger: Ledger) -> Mapping[str, Fact]:
    from motionkit.metrics import protocols

    benches = {finding.ablation.bench for finding in ledger.findings}
    names = {protocol.read(bench).metrics for bench in benches}
    return {name: fact for metrics in sorted(names) for name, fact in protocols.get(metrics).facts.items()}


def markdown(ledger: Ledger, facts: Mapping[str, Fact]) -> str:
    """The ledger as markdown: a table per method, and why rows were not run."""
    counts = Counter(verdict.word for finding in ledger.findings for verdict in finding.verdicts)
    lines = [
        "# The papers' ablations, run here",
        "",
        ", ".join(f"{word}: {counts[word]}" for word in _WORDS if counts[word]) + ".",
        "",
        "Each row leaves out or changes one part of a method and is compared with its *base* on the same cases: the "
        "method's defaults, or what is said below a table. *Difference* is the row minus the base, paired by case "
        f"(seeds of a case averaged first), with its {CONFIDENCE:.0%} interval by Student's t: one that holds 0, or "
        f"fewer than {LEAST} cases, is *within noise*, and so is a trained variant's that a second training of the "
        f"full model (the rows called control) may show too. {_by_chance(counts)}These are small "
        "models of the sprite world, measured by other metrics than the papers': only directions can be compared.",
        "",
        *(f"- Protocol {title}" for title in ledger.protocols.values()),
        *([_TRAINED] if any(finding.ablation.model for finding in ledger.findings) else []),
        "",
    ]
    for method in dict.fromkeys(finding.ablation.method for finding in ledger.findings):
        spec = registry.spec(method)
        lines += [f"## {spec.title}", "", spec.paper_url, "", *_table(ledger, method, facts), ""]
    if ledger.failed:
        lines += ["## Cells that failed", "", *(f"- {line}" for line in ledger.failed), ""]
    return "\n".join([*lines, f"Made with {', '.join(f'{k} {v}' for k, v in manifest.versions().items())}.", ""])


def _by_chance(counts: Mapping[str, int]) -> str:
    judged = sum(counts[word] for word in (AGREES, DISAGREES, NOISE))
    if not judged:
        return ""
    return (
        f"Of {judged} such intervals about {judged * (1 - CONFIDENCE):.0f} would leave 0 out by chance alone if no "
        "part did anything. "
    )


def _table(ledger: Ledger, method: str, facts: Mapping[str, Fact]) -> list[str]:
    head = [
        "Row",
        "Where",
        "Paper: full → row",
        "Our metric",
        "Ours: base → row",
        "Difference",
        "Paper says",
        "Here",
        "n",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    remarks: dict[str, list[str]] = {}
    bases: dict[str, list[str]] = {}
    for finding in ledger.findings:
        if finding.ablation.method != method:
            continue
        base = " ".join(f"{key}={value}" for key, value in dotted(finding.ablation.base))
        bases.setdefault(base, []).append(finding.ablation.name)
        for verdict in finding.verdicts:
            lines.append("| " + " | ".join(_clean(text) for text in _cells(finding, verdict, facts)) + " |")
            for text in _remarks(finding, verdict):
                remarks.setdefault(text, []).append(finding.ablation.name)
    told = {f"the base, and the row too, have `{base}`": names for base, names in bases.items() if base}
    notes = [
        f"- {', '.join(f'`{name}`' for name in dict.fromkeys(names))}: {text}"
        for text, names in (told | remarks).items()
    ]
    return [*lines, "", *notes]


def _cells(finding: Finding, verdict: Verdict, facts: Mapping[str, Fact]) -> list[str]:
    row, claim = finding.ablation, verdict.claim
    fact = facts[claim.figure]
    ours = f"{number(verdict.full)} → {number(verdict.ablated)}" if verdict.n else "–"
    interval = f" [{number(verdict.low)}, {number(verdict.high)}]" if verdict.low is not None else ""
    difference = f"{number(verdict.mean)}{interval}"
    return [
        row.row,
        row.where,
        _paper(finding, verdict),
        f"{fact.title} {ARROWS[fact.better]}",
        ours,
        difference,
        claim.sign if claim.sign != "open" else "–",
        f"**{verdict.word}**",
        str(verdict.n or "–"),
    ]


def _paper(finding: Finding, verdict: Verdict) -> str:
    """The paper's two numbers, or its wording."""
    pair = finding.ablation.numbers.get(verdict.claim.paper)
    if pair is None:
        return verdict.claim.paper or "–"
    return f"{verdict.claim.paper}: {pair[0]:g} → {pair[1]:g}"


def _remarks(finding: Finding, verdict: Verdict) -> list[str]:
    """Why a claim was not run or could not be decided, and possible reasons for a result unlike the paper's."""
    if verdict.why:
        return [verdict.why]
    row = finding.ablation
    if verdict.word not in (DISAGREES, NOISE):
        return []
    found = [f"because (measured): {row.reason}"] if row.reason else []
    return found + ([f"may be because (not tested): {row.note}"] if row.note else [])


def _clean(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def as_json(ledger: Ledger) -> dict[str, Any]:
    """Every row with the paper's numbers, our verdicts and the reasons."""
    return {
        "versions": manifest.versions(),
        "protocols": dict(ledger.protocols),
        "rows": [
            asdict(finding.ablation)
            | {"verdicts": [asdict(verdict) for verdict in finding.verdicts], "failed": list(finding.failed)}
            for finding in ledger.findings
        ],
    }
