"""Docstrings that explain several arguments in one line, `low, high: limits`, as a line for each (for griffe)."""

from __future__ import annotations

import re
from typing import Any

import griffe

_JOINT = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)", re.M)
_ROW = re.compile(r"^( +)(\w+(?:, \w+)*: .*\.  [a-z_]+: .*)$", re.M)
_MORE = re.compile(r"(?<=\.)  (?=[a-z_]+: )")  # another name in the same line


class JointNames(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **more: Any) -> None:
        """One object of the package has been read."""
        if obj.docstring:
            obj.docstring.value = split(obj.docstring.value)


def split(text: str) -> str:
    """A docstring with a line for each name of a joint entry.

    >>> print(split("Args:\\n    low, high: limits,\\n        both included."))
    Args:
        low: limits,
            both included.
        high: limits,
            both included.
    """
    text = _ROW.sub(lambda found: "\n".join(found[1] + entry for entry in _MORE.split(found[2])), text)
    return _JOINT.sub(lambda found: "\n".join(f"{found[1]}{name}: {found[3]}" for name in found[2].split(", ")), text)
