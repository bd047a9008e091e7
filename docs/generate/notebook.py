"""The notebooks as pages: their text as it stands, their code as blocks."""

from __future__ import annotations

import json
from pathlib import Path

from docs.generate.text import paragraphs

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def pages() -> dict[str, str]:
    """A page for each notebook."""
    return {f"notebooks/{path.stem}.md": page(path) for path in sorted(NOTEBOOKS.glob("*.ipynb"))}


def page(path: Path) -> str:
    """A notebook's cells one after another, and the file itself to download."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    made = ["".join(c["source"]) if c["cell_type"] == "markdown" else _code(c) for c in cells]
    return paragraphs(made[0], f"[Download the notebook]({path.name}).", *made[1:])


def _code(cell: dict[str, list[str]]) -> str:
    return "<!-- test: notebook -->\n```python\n" + "".join(cell["source"]).strip("\n") + "\n```"
