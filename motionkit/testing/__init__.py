"""The conformance suite: the rules that any method or backbone, built in or from a third party, must follow.

    from motionkit.testing import check_transfer
    check_transfer(MyTransfer, settings={"steps": 2}).raise_if_failed()

    from motionkit.testing import check_backbone
    check_backbone(MY_BACKBONE).raise_if_failed()

With pytest, one test for each rule:

    @pytest.fixture(scope="module")
    def subject(tmp_path_factory):
        return Subject(SPEC, folder=tmp_path_factory.mktemp("check"))

    @pytest.mark.parametrize("check", checks(), ids=str)
    def test_conformance(check, subject):
        check(subject)

What it cannot see: files and sockets that native code opens by itself, other processes, and quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motionkit.testing import facts, matrix, runs
from motionkit.testing.backbone import check_backbone
from motionkit.testing.clips import moving_shapes, other_inputs, picture, sample_inputs
from motionkit.testing.report import RULES, Check, Report, Rule
from motionkit.testing.subject import Subject
from motionkit.transfer import Inputs, MethodSpec, Transfer

__all__ = [
    "Check",
    "Report",
    "Rule",
    "Subject",
    "check_backbone",
    "check_transfer",
    "checks",
    "facts",
    "matrix",
    "moving_shapes",
    "other_inputs",
    "picture",
    "runs",
    "sample_inputs",
]


def checks() -> list[Rule]:
    """Every rule, in order; call one with a `Subject` to assert it."""
    return list(RULES.values())


def check_transfer(
    method: type[Transfer] | MethodSpec,
    *,
    backbone: str | None = None,
    settings: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    frames: int = 4,
    size: int | None = None,
    inputs: Inputs | None = None,
    others: Inputs | None = None,
) -> Report:
    """Check a method against every rule.

    Args:
        method: a `Transfer` class or a `MethodSpec`; the class is imported from the spec's `transfer`.
        backbone: a name; None takes the method's tiny backbone when it has one, else its default.
        settings: the method's settings; choose ones that run in a second.
        folder: where the runs and their cache go; a temporary folder when it is None.
        frames, size: of the runs; size None is the backbone's default, or 64 without one.
        inputs, others: two requests that differ in every field; ready-made maps are only judged when given here.

    Returns:
        A report; `report.raise_if_failed()` raises AssertionError with every broken rule.
    """
    options = {"backbone": backbone, "settings": settings, "folder": folder, "frames": frames, "size": size}
    subject = Subject(method, inputs=inputs, others=others, **options)  # type: ignore[arg-type]
    return Report(subject.spec.name, tuple(subject.judge(rule) for rule in checks()))
