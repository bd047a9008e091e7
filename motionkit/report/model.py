"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from motionkit.report.tiles import Panel
from motionkit.settings.fact import Fact


@dataclass(frozen=True)
class MethodResult:
    """One method's part of a report.

    Attributes:
        name: the method.
        manifest: of its run; may hold little when the run failed.
        frames: (F, H, W, 3) uint8, or None when the run failed.
        metrics: values by the names of the report's facts; None is printed as a dash.
        shown: pictures that the model saw, as bytes of png files, by name.
        reason: why the run failed, in one line.
    """

    name: str
    manifest: Mapping[str, Any]
    frames: np.ndarray | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    shown: Mapping[str, bytes] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What a page shows: the inputs as panels before and after the methods, and the methods.

    Attributes:
        request: what was asked for, label to text.
        before, after: panels left of the methods (driving, reference) and right of them (truth).
        notes: remarks below the table of metrics.
        facts: what its columns may be, in their order; those without any value are left out.
    """

    title: str
    request: Mapping[str, str]
    before: Sequence[Panel]
    entries: Sequence[MethodResult]
    fps: float
    after: Sequence[Panel] = ()
    notes: Sequence[str] = ()
    facts: Sequence[Fact] = ()

    def panels(self) -> list[Panel]:
        """All videos of the report, in the order in which they are shown."""
        made = [Panel(entry.name, entry.frames) for entry in self.entries if entry.frames is not None]
        return [*self.before, *made, *self.after]
