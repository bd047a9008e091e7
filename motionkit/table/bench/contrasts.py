"""Pairs of rows of a protocol, compared case by case: what is claimed, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from motionkit.table.bench.ablations import Claim
from motionkit.table.bench.engine import Outcome
from motionkit.table.bench.ledger import AGREES, DISAGREES, NOISE, NOT_RUN, Verdict, judge
from motionkit.table.bench.protocol import Contrast

WORDS = {AGREES: "seen", DISAGREES: "the other way round", NOISE: "within noise", NOT_RUN: "not measured"}


@dataclass(frozen=True)
class Held:
    """A contrast with its verdict: the difference of `row` minus `against`, paired by case."""

    contrast: Contrast
    verdict: Verdict

    @property
    def word(self) -> str:
        """The verdict in one or two words."""
        return WORDS[self.verdict.word]


def held(outcome: Outcome) -> list[Held]:
    """The protocol's contrasts whose rows are both in the table."""
    rows = {row.entry.label: row for row in outcome.rows}
    found = []
    for one in outcome.protocol.contrasts:
        if one.row in rows and one.against in rows:
            claim, base = Claim(one.figure, one.sign, one.says), rows[one.against].values(one.figure)
            verdict = judge(claim, base, rows[one.row].values(one.figure), outcome.protocol.reducers)
            found.append(Held(one, verdict))
    return found


def texts(outcome: Outcome, number: Any) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table of them; `number` formats a value."""
    head = ["Claim", "Figure", "Rows", "Difference", "Claimed", "Here", "n"]
    return head, [_text(outcome, one, number) for one in held(outcome)]


def _text(outcome: Outcome, one: Held, number: Any) -> list[str]:
    contrast, verdict = one.contrast, one.verdict
    interval = f" [{number(verdict.low)}, {number(verdict.high)}]" if verdict.low is not None else ""
    return [
        contrast.says,
        outcome.metrics.facts[contrast.figure].title,
        f"{contrast.row} − {contrast.against}",
        f"{number(verdict.mean)}{interval}",
        contrast.sign,
        one.word + (f" ({verdict.why})" if verdict.why else ""),
        str(verdict.n),
    ]


def as_json(outcome: Outcome) -> Sequence[dict[str, Any]]:
    """The same as JSON."""
    return [asdict(one.contrast) | {"verdict": asdict(one.verdict) | {"word": one.word}} for one in held(outcome)]
