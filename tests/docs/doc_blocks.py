"""The code blocks of the pages: a comment `<!-- test: KIND -->` above one says how it is tried."""

import re
from dataclasses import dataclass

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[a-z]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```[ ]*$", re.M | re.S)
MARK = re.compile(r"<!-- test: (?P<kind>[a-z-]+)(?: file=(?P<file>\S+))? -->\s*$")
KINDS = ("run", "slow", "compose", "missing", "shell", "new-method", "class", "compile", "notebook", "file")


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, line, language, text without the indent, and how it is tried."""

    page: str
    line: int
    language: str
    text: str
    kind: str = "run"
    file: str = ""

    def __str__(self):
        return f"{self.page}:{self.line}:{self.kind}"

    @property
    def commands(self):
        """The lines of a shell block, continued ones in one, without empty ones and comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def blocks(page, text):
    """Every fenced block of a page, in order."""
    found = []
    for match in FENCE.finditer(text):
        indent, above = match["indent"], text[: match.start()].rstrip()
        mark = MARK.search(above)
        body = "".join(line.removeprefix(indent) for line in match["text"].splitlines(True))
        more = {"kind": mark["kind"], "file": mark["file"] or ""} if mark else {}
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, match["language"], body, **more))
    return found
