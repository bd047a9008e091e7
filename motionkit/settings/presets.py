"""Method settings with presets: what was not given is filled in, and every value is checked; imports no torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from motionkit.settings.setting import check, check_choice, check_limits, walk
from motionkit.settings.setting import is_open as is_open


class PresetSettings:
    """Base of a method's configuration dataclass; a table's keys are dotted names of settings.

    A setting that was declared without a default, or is left at None, takes the preset's value.

    Attributes:
        presets: name -> the values that the preset fills in.
        tuned: backbone -> what the preset `best` takes there in place of its own values.
        choices, ranges: allowed words, and lowest and highest value, of settings that are not declared with
            `motionkit.settings.setting`.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    tuned: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    preset: str

    def __post_init__(self) -> None:
        """Fill in the preset and check every value; raises UserError with one line."""
        check_choice("method.preset", self.preset, self.presets)
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
        """A method's own check, for settings that contradict each other. Raises: UserError."""

    def _waiting(self) -> set[str]:
        """Settings that may be left open until the backbone is known."""
        return {key for values in self.tuned.values() for key in values} if self.preset == "best" else set()

    def _fill(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            group, _, name = key.rpartition(".")
            owner = getattr(self, group) if group else self
            if is_open(getattr(owner, name)):
                setattr(owner, name, value)

    def _check(self) -> None:
        check(self)
        flat = {key: value for key, value in settings(self).items() if not is_open(value)}
        for key in filter(flat.__contains__, self.choices):
            check_choice(f"method.{key}", flat[key], self.choices[key])
        for key in filter(flat.__contains__, self.ranges):
            check_limits(f"method.{key}", flat[key], *self.ranges[key])
        self.agree()


def resolved(config: Any, backbone: str | None) -> Any:
    """A method's settings with the values that will be used on a backbone; without presets they are as they are.

    Raises: UserError: settings that contradict each other there.
    """
    return config.on(backbone or "") if isinstance(config, PresetSettings) else config


def settings(config: Any) -> dict[str, Any]:
    """All settings of a configuration dataclass by dotted name, in its order; None where a value is still to come."""
    values = {name: getattr(owner, item.name) for name, item, owner in walk(config)}
    return {name: None if is_open(value) else value for name, value in values.items()}
