"""Small pieces of Markdown: tables, numbers, first sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

HEAD = "<!-- made by docs/generate from what the parts declare; edit the declarations -->\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars in cells are escaped.

    >>> table(("a", "b"), [("1", "x|y")])
    '| a | b |\\n|---|---|\\n| 1 | x\\\\|y |\\n'
    """
    lines = [line(head), "|" + "---|" * len(head)]
    return "\n".join([*lines, *(line(row) for row in rows)]) + "\n"


def line(cells: Sequence[str]) -> str:
    """One row of a table."""
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"


def code(text: str) -> str:
    """Text as inline code; nothing for none."""
    return f"`{text}`" if text else ""


def number(value: float) -> str:
    """A figure in two or three digits.

    >>> number(18.7618), number(0.0344), number(774.6), number(0.95), number(0.0004)
    ('18.8', '0.034', '775', '0.95', '0')
    """
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}".rstrip("0").rstrip(".")


def paragraphs(*parts: str) -> str:
    """Parts with an empty line between them; empty parts are left out."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"
