"""Plain text tables for the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

WIDEST = 44  # characters of any column but the last


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their content, wrapped where it is long; the last one is wrapped to the terminal."""
    lines = [list(map(str, row)) for row in (head, *rows)]
    widths = [min(WIDEST, max(len(line[column]) for line in lines)) for column in range(len(head) - 1)]
    indent = sum(widths) + 2 * len(widths)
    widths.append(max(30, shutil.get_terminal_size((120, 24)).columns - indent))
    out = []
    for line in lines:
        cells = [
            textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(line, widths, strict=True)
        ]
        for parts in zip_longest(*cells, fillvalue=""):
            left = "".join(f"{part:<{width}}  " for part, width in zip(parts[:-1], widths, strict=False))
            out.append((left + parts[-1]).rstrip())
    return "\n".join(out)
