"""`python -m motionkit.testing NAME`: check an installed method or backbone and print the result of every rule."""

from __future__ import annotations

import sys

from motionkit import registry
from motionkit.errors import UserError
from motionkit.testing import Report, check_backbone, check_transfer


def main(argv: list[str]) -> int:
    """Check each named method or backbone; returns 0 when no rule is broken, 1 when one is, 2 for an unknown name."""
    if not argv:
        print(f"usage: python -m motionkit.testing NAME...; installed: {', '.join(registry.names())}")
        return 2
    try:
        reports = [_judged(name) for name in argv]
    except UserError as error:
        print(f"motionkit: error: {error}", file=sys.stderr)
        return 2
    print(*reports, sep="\n")
    return int(not all(report.passed for report in reports))


def _judged(name: str) -> Report:
    """The verdicts on a method, or on the backbone of that name where there is no such method."""
    if name in registry.BACKBONES.names() and name not in registry.names():
        return check_backbone(registry.BACKBONES.get(name))
    return check_transfer(registry.spec(name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
