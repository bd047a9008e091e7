"""Plain text tables for the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their content; the last one is wrapped to the terminal."""
    lines = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    indent = sum(widths) + 2 * len(widths)
    room = max(30, shutil.get_terminal_size((120, 24)).columns - indent)
    out = []
    for line in lines:
        left = "".join(f"{cell:<{width}}  " for cell, width in zip(line, widths, strict=False))
        last = textwrap.wrap(line[-1], room, break_on_hyphens=False) or [""]
        out.append((left + last[0]).rstrip())
        out += [" " * indent + more for more in last[1:]]
    return "\n".join(out)
