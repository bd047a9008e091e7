"""Typed settings: defaults, nesting, and refusals in one line."""

from dataclasses import dataclass, field

import pytest

from motionkit.errors import UserError
from motionkit.running.choices import method_settings
from motionkit.settings.config import check_seed, refuse_empty, typed


@dataclass
class Inner:
    steps: int = 1


@dataclass
class Outer:
    ratio: float = 0.5
    inner: Inner = field(default_factory=Inner)
    sure: bool = True
    words: list[str] = field(default_factory=list)
    table: dict[str, int] = field(default_factory=dict)
    text: str = ""

    def __post_init__(self):
        if self.ratio > 1:
            raise UserError(f"ratio={self.ratio} is above 1")


def test_values_land_in_the_dataclass():
    made = typed(Outer, {"name": "outer", "ratio": "0.25", "inner": {"steps": 3}})
    assert made == Outer(0.25, Inner(3)) and typed(Outer, made) is made and typed(Outer) == Outer()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"inner": {"stepz": 3}}, "unknown key 'x.inner.stepz' .did you mean 'x.inner.steps'.*; known: x.inner.steps"),
        ({"text": {"name": "a"}}, "x.text has no keys of its own"),
        ({"text": ["a", "b"]}, r"x.text=\[a,b\]: give one text"),
        ({"inner": {"steps": "abc"}}, "x.inner.steps=abc: give a whole number"),
        ({"inner": 3}, "3: NAME has settings of its own"),
        ({"ratio": "wide"}, "x.ratio=wide: give a number"),
        ({"ratio": 2}, "ratio=2.0 is above 1"),
        ([1, 2], "give them as x.KEY=VALUE"),
        ({"sure": "maybe"}, "x.sure=maybe: give true or false"),
        ({"words": "one"}, r"give x.words=\[one\]"),
        ({"table": 1}, "x.table=1: give x.table.NAME=VALUE"),
        ({"text": None}, "x.text=null: give a value, or leave x.text= out"),
        ({"text": ["a"]}, r"x.text=\[a\]: give one text"),
    ],
)
def test_refusals_are_one_line_with_the_whole_key(given, says):
    with pytest.raises(UserError, match=says) as refused:
        typed(Outer, given, "x.")
    assert "\n" not in str(refused.value)


def test_seeds_and_paths_that_cannot_be():
    check_seed(2**63 - 1)
    for seed in (-1, 2**63):
        with pytest.raises(UserError, match=f"seed={seed} "):
            check_seed(seed)
    refuse_empty(Outer(text="a"), ["text"])
    with pytest.raises(UserError, match="text= is empty"):
        refuse_empty(Outer(text=" "), ["text"])


def test_a_method_without_settings_takes_none():
    from motionkit import registry

    with pytest.raises(UserError, match="unknown key 'method.speed'"):
        method_settings(registry.spec("still"), {"name": "still", "speed": 1})
