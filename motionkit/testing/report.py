"""Rules and their results: one small function each, in order; a rule is skipped when one that it builds on failed."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motionkit.testing.subject import Subject


@dataclass(frozen=True)
class Check:
    """Result of one rule: passed is None when it does not apply, or is skipped (`waits`) since another one failed."""

    name: str
    passed: bool | None
    detail: str = ""
    waits: bool = False

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "FAIL", None: "-   "}[self.passed]
        return f"{mark} {self.name}" + (f": {self.detail}" if self.detail else "")


class NotApplicable(unittest.SkipTest):
    """A rule does not apply to this method; pytest and unittest count it as skipped."""


@dataclass(frozen=True)
class Rule:
    """One condition that a method must meet; call it with a `Subject` to assert it alone."""

    name: str
    about: str
    needs: tuple[str, ...]
    function: Callable[[Subject], None]

    def __call__(self, subject: Subject) -> None:
        """Check the subject; a rule's result is kept, so asking twice costs nothing.

        Raises:
            AssertionError: the rule is broken.
            unittest.SkipTest: it does not apply.
        """
        found = subject.judge(self)
        if found.passed is None:
            raise NotApplicable(found.detail)
        assert found.passed, f"{subject.spec.name} breaks {self.name}: {found.detail}"

    def __str__(self) -> str:
        return self.name


RULES: dict[str, Rule] = {}


def rule(*needs: str) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Register a function that raises AssertionError as a rule; `needs` names rules that must not have failed."""

    def register(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        about = " ".join((function.__doc__ or "").split())
        RULES[function.__name__] = Rule(function.__name__, about, needs, function)
        return function

    return register


@dataclass(frozen=True)
class Report:
    """The results of all rules on one method."""

    method: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the broken rules."""
        return tuple(check.name for check in self.checks if check.passed is False)

    def raise_if_failed(self) -> Report:
        """Return the report, or raise AssertionError with every broken rule."""
        if self.failed:
            lines = [str(check) for check in self.checks if check.passed is False]
            raise AssertionError("\n".join([f"{self.method} breaks {len(lines)} rule(s):", *lines]))
        return self

    def __str__(self) -> str:
        return "\n".join([f"{self.method}:", *(f"  {check}" for check in self.checks)])


def expect(holds: object, detail: str) -> None:
    """Assert in words; unlike `assert`, `python -O` does not remove it."""
    if not holds:
        raise AssertionError(detail)


def listed(names: Iterable[object]) -> str:
    """Names with commas, or "none"."""
    return ", ".join(str(name) for name in names) or "none"
