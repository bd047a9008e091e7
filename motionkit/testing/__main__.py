"""`python -m motionkit.testing NAME`: check an installed method and print the result of every rule."""

from __future__ import annotations

import sys

from motionkit import registry
from motionkit.errors import UserError
from motionkit.testing import check_transfer


def main(argv: list[str]) -> int:
    """Check each named method; returns 0 when no rule is broken, 1 when one is, 2 for an unknown name."""
    if not argv:
        print(f"usage: python -m motionkit.testing NAME...; installed: {', '.join(registry.names())}")
        return 2
    try:
        reports = [check_transfer(registry.spec(name)) for name in argv]
    except UserError as error:
        print(f"motionkit: error: {error}", file=sys.stderr)
        return 2
    print(*reports, sep="\n")
    return int(not all(report.passed for report in reports))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
