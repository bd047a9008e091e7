"""One setting of a configuration, declared once: its default, what it does, and what it may be."""

from __future__ import annotations

import dataclasses
import functools
import operator
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError, nearest

UNSET = "???"  # what OmegaConf takes for a value that is still to come: it fits a field of any type
_KEY = "motionkit"


@dataclass(frozen=True)
class Setting:
    """What is declared of a setting beside its name, type and default.

    Attributes:
        help: a plain sentence: what it does.
        choices: the words that it takes -> what each one does ("" where the word says it); empty for any value.
        low, high: its lowest and highest value, or None for no limit.
        unit: "px", "s", "steps", ...; "" for none.
        later: whether it came after runs were kept: at its default it is no part of what they are known by.
        drawn: "box", "point" or "mask" where its value is a mark on frame 0 of the driving clip, which a form may let
            its user draw: shares [left, top, right, bottom] or [x, y] of the frame, or a white-on-black picture's path.
        file: "read", "folder" or "write" where its value may name what is read (a file or folder, or a folder alone) or
            written: a page that others reach does not let them choose it freely (`motionkit.settings.named_files`).
    """

    help: str
    choices: Mapping[str, str] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    unit: str = ""
    later: bool = False
    drawn: str = ""
    file: str = ""

    @property
    def span(self) -> str:
        """Its limits as text, such as "0 to 1"; "" without limits."""
        if self.low is None and self.high is None:
            return ""
        if self.high is None or self.high == float("inf"):
            return f"{self.low:g} and up"
        return f"up to {self.high:g}" if self.low is None else f"{self.low:g} to {self.high:g}"


def setting(
    help: str,
    default: Any = UNSET,
    *,
    factory: Callable[[], Any] | None = None,
    choices: Mapping[str, str] | tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    later: bool = False,
    drawn: str = "",
    file: str = "",
) -> Any:
    """A dataclass field that is a declared setting.

    Args:
        help: a plain sentence: what it does.
        default: its value; left out, the value comes from the preset (`motionkit.settings.presets`).
        factory: makes the default, for lists and tables.
        choices: the words that it takes, each with what it does, or just the words.
        low, high: limits, both included.
        later, drawn, file: see `Setting`; the default of a later one must change no result.

    >>> @dataclass
    ... class Config:
    ...     steps: int = setting("Steps of the sampler.", 20, low=1, high=1000)
    >>> declared(Config)["steps"].span
    '1 to 1000'
    """
    words = choices if isinstance(choices, Mapping) else dict.fromkeys(choices, "")  # uncopied: a table may grow
    metadata = {_KEY: Setting(help, words, low, high, unit, later, drawn, file)}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def walk(config: Any) -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """(dotted name, field, owner) of every setting of a configuration dataclass or an instance of one, in order.

    The owner is the dataclass, or the instance, that holds the field.
    """
    for item in dataclasses.fields(config):
        inner = getattr(config, item.name) if not isinstance(config, type) else nested(config, item)
        if dataclasses.is_dataclass(inner):
            for name, below, owner in walk(inner):
                yield f"{item.name}.{name}", below, owner
        else:
            yield item.name, item, config


def nested(schema: type, item: dataclasses.Field[Any]) -> Any:
    """The dataclass that a field of a dataclass holds, or None for a field of another kind."""
    hint = typing.get_type_hints(schema).get(item.name)
    return hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None


@functools.cache
def nullable(schema: type) -> type:
    """The dataclass as the command line sees it: null where a value is still to come."""
    hints, columns, changed = typing.get_type_hints(schema), list[Any](), False
    for item in dataclasses.fields(schema):
        kind, left, inner = hints[item.name], item.default, nested(schema, item)
        if inner is not None and nullable(inner) is not inner:
            kind = nullable(inner)
            column = field(default_factory=kind)
        elif isinstance(left, str) and left == UNSET:
            kind, column = kind | None, field(default=None)
        else:
            columns.append((item.name, kind, field(default=left, default_factory=item.default_factory)))  # type: ignore[call-overload]
            continue
        changed = True
        columns.append((item.name, kind, column))
    return dataclasses.make_dataclass(schema.__name__, columns, kw_only=True) if changed else schema


def declared(config: Any) -> dict[str, Setting]:
    """Dotted name -> what is declared of it, for the declared settings of a configuration dataclass or instance."""
    return {name: item.metadata[_KEY] for name, item, _ in walk(config) if _KEY in item.metadata}


def is_open(value: Any) -> bool:
    """Whether a setting still waits for its value."""
    return value is None or (isinstance(value, str) and value == UNSET)


def check(config: Any, prefix: str = "method.") -> None:
    """Refuse the first declared setting of a configuration whose value is none of its words or outside its limits.

    Raises:
        UserError: one line that names the setting and what it may be; `prefix` stands before its name.
    """
    for name, item, owner in walk(config):
        known, value = item.metadata.get(_KEY), getattr(owner, item.name)
        if known is None or is_open(value):
            continue
        if known.choices:
            for word in value if isinstance(value, list | tuple) else (value,):
                check_choice(f"{prefix}{name}", word, known.choices)
        if known.span:
            check_limits(f"{prefix}{name}", value, known.low, known.high)


def check_choice(key: str, value: Any, options: Iterable[str]) -> None:
    """Raises: UserError with the options where the value is none of them."""
    if value not in options:
        if why := getattr(options, "broken", lambda _: "")(str(value)):  # of words that packages add
            raise UserError(f"{key}={value}: {why}")
        raise UserError(f"{key}={value} is unknown: choose {', '.join(options)}{nearest(str(value), options)}")


def check_limits(key: str, value: Any, low: float | None, high: float | None) -> None:
    """Raises: UserError with the limits where the value is no number between them."""
    low, high = float("-inf") if low is None else low, float("inf") if high is None else high
    if not isinstance(value, int | float) or not low <= value <= high:
        value = f"{value:g}" if isinstance(value, float) else value
        raise UserError(
            f"{key}={value} is " + (f"outside {low:g} to {high:g}" if high < float("inf") else f"below {low:g}")
        )


def plain(config: Any) -> dict[str, Any]:
    """A configuration dataclass as nested tables, as `dataclasses.asdict`; None where a value is still to come.

    Settings that came later are left out where they have their default.
    """
    out = {key: _plain(value) for key, value in dataclasses.asdict(config).items()}
    for name, item, owner in walk(config):
        if _KEY in item.metadata and item.metadata[_KEY].later and getattr(owner, item.name) == _default(item):
            *groups, last = name.split(".")
            del functools.reduce(operator.getitem, groups, out)[last]
    return out


def _default(item: dataclasses.Field[Any]) -> Any:
    made = item.default_factory
    return item.default if made is dataclasses.MISSING else made()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if is_open(value) else value
