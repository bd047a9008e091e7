"""Method settings with presets: what is left at None is filled in, and every value is checked; imports no torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Self

from motionkit.errors import UserError


class PresetSettings:
    """Base of a method's configuration dataclass; keys are dotted names of settings, at most one group deep.

    Attributes:
        presets: name -> the values of those settings that were left at None.
        tuned: backbone -> what the preset `best` takes there in place of its own values.
        choices: setting -> its allowed values.
        ranges: setting -> its lowest and highest value.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    tuned: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    preset: str

    def __post_init__(self) -> None:
        """Fill in the preset and check every value; raises UserError with one line."""
        _check_choice("preset", self.preset, tuple(self.presets))
        waiting = self._waiting()
        self._fill({key: v for key, v in self.presets[self.preset].items() if key not in waiting})
        self._check()

    def on(self, backbone: str) -> Self:
        """The same settings with those filled in that the preset `best` leaves to the backbone. Raises: UserError."""
        out = copy.deepcopy(self)
        out._fill({**self.presets[self.preset], **(self.tuned.get(backbone, {}) if self.preset == "best" else {})})
        out._check()
        return out

    def agree(self) -> None:
        """What a method checks besides: settings that cannot stand together. Raises: UserError."""

    def _waiting(self) -> set[str]:
        """Settings that may stay None until the backbone is known."""
        return {key for values in self.tuned.values() for key in values} if self.preset == "best" else set()

    def _fill(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            group, _, name = key.rpartition(".")
            owner = getattr(self, group) if group else self
            if getattr(owner, name) is None:
                setattr(owner, name, value)

    def _check(self) -> None:
        waiting = self._waiting()
        flat = {key: v for key, v in settings(self).items() if v is not None or key not in waiting}
        for key, options in self.choices.items():
            if key in flat:
                _check_choice(key, flat[key], options)
        for key, (low, high) in self.ranges.items():
            value = flat.get(key, low)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise UserError(f"method.{key}={value} is outside {low:g} to {high:g}")
        self.agree()


def settings(config: Any) -> dict[str, Any]:
    """All settings of a configuration dataclass by dotted name, in its order."""
    flat: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            flat |= {f"{item.name}.{inner.name}": getattr(value, inner.name) for inner in fields(value)}
        else:
            flat[item.name] = value
    return flat


def _check_choice(key: str, value: Any, options: tuple[str, ...]) -> None:
    if value not in options:
        raise UserError(f"method.{key}={value} is unknown: choose {', '.join(options)}")
