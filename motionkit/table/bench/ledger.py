"""The ablation ledger: every ablation row of the papers, run here, with the paper's direction beside ours.

A row is compared with the method without its change on the same cases; the paired difference of a metric with
Student's t interval agrees with the paper, disagrees, or lies within the noise. Rows that cannot run say why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from motionkit.errors import UserError, unknown
from motionkit.metrics import t_interval
from motionkit.table.bench import protocol as protocols
from motionkit.table.bench.ablations import Ablation, Claim
from motionkit.table.bench.engine import Outcome, Row, run
from motionkit.table.bench.entry import Entry, Options
from motionkit.table.bench.protocol import Protocol, Reducers
from motionkit.table.bench.runners import Runner
from motionkit.table.bench.shards import Shard
from motionkit.weights.hashing import hash_json

AGREES, DISAGREES, NOISE, OPEN, NOT_RUN = "agrees", "disagrees", "within noise", "no direction in the paper", "not run"
FULL = "full"  # folder of the trained model that trained variants are compared with
LEAST = 5  # with fewer cases an interval is too wide to tell


@dataclass(frozen=True)
class Verdict:
    """A claim with its measurement: the ablated row minus the full method, paired by case.

    Attributes:
        word: one of AGREES, DISAGREES, NOISE, OPEN, NOT_RUN.
        n: cases with both values; seeds of a case are averaged.
        full, ablated: means over those cases.  mean, low, high: of the difference; None when n is 0, and no interval
            when it is 1.
        why: for NOT_RUN and for too few cases, in one line.
    """

    claim: Claim
    word: str
    n: int = 0
    full: float | None = None
    ablated: float | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Finding:
    """An ablation row and a verdict for each of its claims; `failed` are its cells that failed, a line each."""

    ablation: Ablation
    verdicts: Sequence[Verdict]
    failed: Sequence[str] = ()


@dataclass(frozen=True)
class Ledger:
    """All rows, and the protocols that they ran under (name -> title in a line)."""

    findings: Sequence[Finding]
    protocols: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """Every cell that failed, a line each."""
        return list(dict.fromkeys(line for finding in self.findings for line in finding.failed))


@dataclass(frozen=True)
class _Planned:
    """The ablated and the full entry of a row, each with its protocol's name; or why it cannot run."""

    ablation: Ablation
    ablated: Entry | None = None
    full: Entry | None = None
    why: str = ""


def run_ledger(
    rows: Sequence[Ablation],
    folder: str | Path,
    options: Options | None = None,
    runner: Runner | None = None,
    say: Callable[[str], None] = lambda line: None,
    *,
    variants: Path | None = None,
    shard: Shard = Shard(),  # noqa: B008
    **changed: object,
) -> Ledger:
    """Run the rows and their base rows; finished cells are read back, equal ones run once.

    Args:
        rows: as `motionkit.table.bench.ablations.choose` gives them.
        variants: folder with a sub-folder for each trained model: FULL, and each row's `model`.
        shard: which part of each protocol's cells; the ledger of a part is computed from that part alone.
        changed: fields of the protocols to change, such as pairs=6, or by protocol: pairs={"drawing": 6}.

    Raises:
        UserError: nothing to run, a folder that cannot be written, or an unknown protocol.
        Cancelled: stopped by the user; finished cells are kept.
    """
    if not rows:
        raise UserError("no ablation to run: give ablations=[flipsketch-*], or leave it out for all")
    planned, chosen = plan(rows, variants), {name: _chosen(name, changed) for name in protocols.known()}
    tables: dict[str, list[Entry]] = {}
    for one in planned:
        for bench, entry in _both(one):
            own = tables.setdefault(bench, [])
            own += [entry] if entry not in own else []
    outcomes: dict[str, Outcome] = {}
    for bench, entries in tables.items():
        outcomes[bench] = run(chosen[bench], entries, folder, options, runner, say, shard=shard)
    titles = {bench: protocols.title(outcome.protocol) for bench, outcome in outcomes.items()}
    return Ledger(beside_controls([_finding(one, outcomes) for one in planned]), titles)


def _chosen(name: str, changed: Mapping[str, object]) -> Protocol:
    """A protocol with the changes that are given for all protocols, or for it by name."""
    own: dict[str, object] = {}
    for key, value in changed.items():
        for bench in value if isinstance(value, Mapping) else ():
            if bench not in protocols.known():
                raise unknown(f"protocol in bench.{key}", str(bench), protocols.known())
        if not isinstance(value, Mapping):
            own[key] = value
        elif name in value:
            own[key] = value[name]
    return protocols.read(name, **own)


def beside_controls(findings: Sequence[Finding]) -> list[Finding]:
    """The findings; a trained variant's difference counts only beyond that of a second training of the full model.

    A variant is one training. Its difference must exceed the far end of the interval of the control (the full model
    trained again with another seed) on the same protocol and metric.
    """
    reach = {
        (one.ablation.method, one.ablation.bench, verdict.claim.figure): max(abs(verdict.low), abs(verdict.high))
        for one in findings
        if one.ablation.train_seed is not None
        for verdict in one.verdicts
        if verdict.low is not None and verdict.high is not None
    }
    return [
        replace(one, verdicts=[_beside(one.ablation, verdict, reach) for verdict in one.verdicts]) for one in findings
    ]


def _beside(row: Ablation, verdict: Verdict, reach: Mapping[tuple[str, str, str], float]) -> Verdict:
    far = reach.get((row.method, row.bench, verdict.claim.figure)) if row.train else None
    if far is None or verdict.word not in (AGREES, DISAGREES) or abs(verdict.mean or 0) > far:
        return verdict
    why = f"the full model trained again (control) may itself differ by {far:.2g} in {verdict.claim.figure}"
    return replace(verdict, word=NOISE, why=why)


def plan(rows: Sequence[Ablation], variants: Path | None = None) -> list[_Planned]:
    """Each row's two entries, or why it has none; equal entries have the same label."""
    return [_plan(row, variants) for row in rows]


def _plan(row: Ablation, variants: Path | None) -> _Planned:
    paths: list[str | None] = [None, None]
    if row.not_run:
        return _Planned(row, why=row.not_run)
    if row.model:
        folders = [(variants or Path("VARIANTS")) / name / "model" for name in (row.model, FULL)]
        if variants is None or not all(path.is_dir() for path in folders):
            return _Planned(row, why=_how_to_train(row))
        paths = [str(path) for path in folders]
    mark = hash_json([row.method, row.backbone, row.base, paths[1]])[:4]
    ablated = Entry(row.name, row.method, row.backbone, row.changed, paths[0])
    return _Planned(row, ablated, Entry(f"{row.method} in full ({mark})", row.method, row.backbone, row.base, paths[1]))


def _how_to_train(row: Ablation) -> str:
    words = " ".join(f"train.{key}={value}" for key, value in protocols.dotted(row.train))
    words += "" if row.train_seed is None else f"{' ' if words else ''}seed={row.train_seed}"
    return (
        f"no trained variant here: `motionkit train method={row.method} {words} output=VARIANTS/{row.model}`, and the "
        f"same without these settings into VARIANTS/{FULL}, both at the protocol's size (all of them: "
        f"`make train-{row.method}-ablations-all`); then bench.variants=VARIANTS"
    )


def _both(one: _Planned) -> list[tuple[str, Entry]]:
    row = one.ablation
    pairs = [(row.bench, one.ablated), (row.base_bench or row.bench, one.full)]
    return [(bench, entry) for bench, entry in pairs if entry is not None]


def _finding(one: _Planned, outcomes: Mapping[str, Outcome]) -> Finding:
    row = one.ablation
    if one.why:
        return Finding(row, [Verdict(claim, NOT_RUN, why=one.why) for claim in row.claims])
    (ablated, own), (full, _) = (_row_of(outcomes[bench], entry) for bench, entry in _both(one))
    failed = [f"{done.cell.name}: {done.reason}" for part in (ablated, full) for done in part.cells if done.reason]
    why = ablated.refused or full.refused or (failed[0] if failed else "the metric has no value on these cases")
    verdicts = []
    for claim in row.claims:
        found = judge(claim, full.values(claim.figure), ablated.values(claim.figure), own.reducers)
        verdicts.append(replace(found, why=why) if found.word == NOT_RUN else found)
    return Finding(row, verdicts, failed)


def _row_of(outcome: Outcome, entry: Entry) -> tuple[Row, Protocol]:
    return next(row for row in outcome.rows if row.entry == entry), outcome.protocol


def judge(
    claim: Claim,
    full: Mapping[tuple[int, int], float],
    ablated: Mapping[tuple[int, int], float],
    reducers: Reducers | None = None,
) -> Verdict:
    """The verdict on one claim, from (case, seed) -> value of both rows.

    >>> rows = {(i, 0): 10.0 + i for i in range(6)}
    >>> judge(Claim("psnr", "lower"), rows, {key: value - 1 for key, value in rows.items()}).word
    'agrees'
    """
    how = reducers or Reducers()
    both = {key for key in full if key in ablated}
    cases = sorted({case for case, _ in both})
    if not cases:
        return Verdict(claim, NOT_RUN)
    means = [[_mean([values[key] for key in both if key[0] == case]) for case in cases] for values in (full, ablated)]
    differences = [b - a for a, b in zip(*means, strict=True)]
    if len(cases) == 1:
        word = OPEN if claim.sign == "open" else NOISE
        return Verdict(claim, word, 1, means[0][0], means[1][0], differences[0], why="one case has no interval")
    mean, low, high = t_interval(differences, how.confidence)
    word, why = _word(claim.sign, low, high), ""
    if len(cases) < LEAST and word in (AGREES, DISAGREES):
        word, why = NOISE, f"too few cases to tell: {len(cases)} of at least {LEAST}"
    return Verdict(claim, word, len(cases), _mean(means[0]), _mean(means[1]), mean, low, high, why)


def _word(sign: str, low: float, high: float) -> str:
    if sign == "open":
        return OPEN
    if low > 0 or high < 0:
        return AGREES if (low > 0) == (sign == "higher") else DISAGREES
    return NOISE


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
