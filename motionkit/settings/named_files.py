"""Settings whose values name files of the machine that runs: found by what they declare, allowed by who serves them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from motionkit.errors import UserError
from motionkit.settings.setting import declared

READ, WRITE = "read", "write"
Allow = Callable[[str, str], bool]  # (a place, READ or WRITE) -> whether whoever asks may name it
_WORD = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")  # auto, none, or a repository of the hub, owner/name


def is_place(value: str) -> bool:
    """Whether text names a place on this machine, there or not, and not a word or a repository of the hub.

    >>> is_place("auto"), is_place("owner/no-such-name"), is_place("/etc/passwd"), is_place("../a"), is_place("a/b/c")
    (False, False, True, True, True)
    """
    if not value:
        return False
    try:
        return _WORD.fullmatch(value) is None or Path(value).exists()
    except (OSError, ValueError):  # longer than names may be, or no text of a path
        return True


def check(config: type, given: Mapping[str, Any], allow: Allow, how: str, prefix: str = "method.") -> None:
    """Refuse settings that name a place which whoever asks may not name.

    Args:
        config: the dataclass that declares them.
        given: their values, nested or by dotted names; what is not declared to name files is not looked at.
        allow: asked for each place that is named.
        how: what to do instead, for the message; `prefix` stands before the setting's name.

    Raises:
        UserError: one line, which does not say whether the place is there.
    """
    kinds = {name: WRITE if known.file == WRITE else READ for name, known in declared(config).items() if known.file}
    for name, value in _flat(given):
        kind = kinds.get(name)
        named = bool(value) if kind == WRITE else is_place(value)  # what is written becomes a place, whatever its name
        if kind and named and not allow(value, kind):
            raise UserError(f"{prefix}{name}={value}: this place may not be named here: {how}")


def _flat(given: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            every = value if isinstance(value, list | tuple) else [value]
            yield from ((above + name, "" if one is None else str(one)) for one in every)
