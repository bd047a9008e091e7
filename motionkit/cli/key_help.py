"""The keys of a verb as `--help` lists them, with the sentences of their declarations."""

from __future__ import annotations

import textwrap
from typing import Any

from motionkit.settings.setting import declared

WIDTH, INDENT = 120, 26


def told(schema: Any, words: str) -> str:
    """A line, or more, for each of the words such as "seed=0 driving=FILE"; their keys are settings of the schema.

    >>> from dataclasses import dataclass
    >>> from motionkit.settings.setting import setting
    >>> @dataclass
    ... class Keys:
    ...     loop: str = setting("In which order frames are shown.", "none", choices=("none", "pingpong"))
    >>> told(Keys, "loop=none")
    '  loop=none               In which order frames are shown. (none|pingpong)'
    """
    known, lines = declared(schema), []
    for word in words.split():
        said = known[word.partition("=")[0].partition(".")[0]]
        choices = f" ({'|'.join(said.choices)})" if said.choices else ""
        text = textwrap.wrap(said.help + choices, WIDTH - INDENT, break_on_hyphens=False)
        head = f"  {word}"
        lines += [head] if len(head) >= INDENT else []
        first = " " * INDENT if len(head) >= INDENT else f"{head:<{INDENT}}"
        lines += [first + text[0], *(" " * INDENT + line for line in text[1:])]
    return "\n".join(lines)
