"""The key=value words of a verb that is no Hydra application."""

from __future__ import annotations

from collections.abc import Sequence

from motionkit.errors import UserError, unknown


def given_of(verb: str, words: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """Key -> value of words that are each one of `keys`=VALUE; of a key given twice the last.

    Raises:
        UserError: another key, with the nearest, or a word without a value.
    """
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in keys:
            raise unknown(f"key of {verb}", key, keys)
        if not equals or not value:
            raise UserError(f"{word}: give {key}=VALUE, or leave it out")
        given[key] = value
    return given
